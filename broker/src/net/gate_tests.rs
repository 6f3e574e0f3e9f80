use proptest::prelude::*;

use super::*;

fn takes(path: &str) -> bool {
    path.ends_with("/ws")
}

struct Tried {
    gate: Gate,
    now: Instant,
}

impl Tried {
    fn new() -> Self {
        let now = Instant::now();
        let gate = Gate::new(now, takes);
        Self { gate, now }
    }

    /// What the dispatcher is handed, in pieces of at most so many bytes.
    fn handed(&mut self, piece: usize) -> Result<String, RequestRefusal> {
        let mut all = Vec::new();
        loop {
            let mut space = vec![0; piece];
            let mut out = ReadBuf::new(&mut space);
            self.gate.hand_on(&mut out, self.now)?;
            if out.filled().is_empty() {
                return Ok(String::from_utf8(all).unwrap());
            }
            all.extend_from_slice(out.filled());
        }
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<String, RequestRefusal> {
        self.gate.received(bytes, self.now);
        self.handed(1000)
    }
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: b\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc";
const CHUNKED: &str =
    "POST /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";

#[test]
fn one_request_at_a_time_is_handed_on_wherever_the_bytes_are_cut() {
    let all = [GET, POST, CHUNKED, GET].concat();
    for cut in 0..all.len() {
        for piece in [1, 7, 1000] {
            let mut tried = Tried::new();
            tried.gate.received(&all.as_bytes()[..cut], tried.now);
            let mut rest = &all.as_bytes()[cut..];
            for request in [GET, POST, CHUNKED, GET] {
                let mut handed = tried.handed(piece).unwrap();
                if handed.len() < request.len() {
                    tried.gate.received(std::mem::take(&mut rest), tried.now);
                    handed += &tried.handed(piece).unwrap();
                }
                assert_eq!(handed, request, "cut at {cut}");
                tried.gate.answered(tried.now);
            }
            assert!(tried.gate.is_idle());
        }
    }
}

#[test]
fn little_is_read_while_a_request_is_unanswered() {
    let mut tried = Tried::new();
    assert_eq!(tried.receive(GET.as_bytes()), Ok(GET.to_owned()));
    assert_eq!(tried.gate.want(9), Want::Bytes(READ_AHEAD));
    let many = GET.repeat(READ_AHEAD / GET.len() + 1);
    assert_eq!(
        tried.receive(&many.as_bytes()[..READ_AHEAD]),
        Ok(String::new())
    );
    assert_eq!(tried.gate.want(9), Want::Nothing);
    tried.gate.answered(tried.now);
    assert_eq!(tried.handed(1000), Ok(GET.to_owned()));
}

#[test]
fn nothing_follows_the_last_request_nor_one_that_was_cut() {
    let last = "GET /a HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
    let mut tried = Tried::new();
    tried.receive(format!("{last}{GET}").as_bytes()).unwrap();
    tried.gate.answered(tried.now);
    assert_eq!(tried.handed(1000), Ok(String::new()));
    assert_eq!(tried.gate.want(9), Want::End);
    assert!(tried.gate.has_unread());

    let mut tried = Tried::new();
    let cut = &POST[..POST.len() - 1];
    assert_eq!(tried.receive(cut.as_bytes()), Ok(cut.to_owned()));
    assert_eq!(tried.gate.want(9), Want::Body(1));
    tried.gate.answered(tried.now);
    assert_eq!(tried.gate.want(9), Want::End);
    assert!(tried.gate.has_unread());
}

#[test]
fn a_body_is_read_to_where_it_belongs() {
    let mut tried = Tried::new();
    let head = &CHUNKED[..CHUNKED.find("1\r\nx").unwrap()];
    assert_eq!(tried.receive(head.as_bytes()), Ok(head.to_owned()));
    assert_eq!(tried.gate.want(9), Want::Body(9));
    let rest = format!("{}{GET}", &CHUNKED[head.len()..]);
    assert_eq!(
        tried.gate.handed_on(rest.as_bytes()),
        CHUNKED.len() - head.len()
    );
    tried.gate.answered(tried.now);
    assert_eq!(tried.handed(1000), Ok(GET.to_owned()));
}

#[test]
fn nothing_is_read_behind_a_body_that_is_not_chunked() {
    let bad = CHUNKED.replace("1\r\nx", "z\r\nx");
    let head = bad.find("z\r\nx").unwrap();
    // Read with the head, and behind it.
    for cut in [bad.len(), head] {
        let mut tried = Tried::new();
        let handed = tried.receive(&bad.as_bytes()[..cut]).unwrap();
        assert_eq!(handed, bad[..head]);
        assert_eq!(tried.gate.handed_on(&bad.as_bytes()[cut..]), 0);
        assert_eq!(tried.gate.fault(), Some(BadChunk::Size));
        assert_eq!(tried.gate.want(9), Want::Nothing);
        assert_eq!(tried.handed(1000), Ok(String::new()));
        assert!(tried.gate.is_in_request());
        // The client may still read why.
        tried.gate.end(tried.now);
        assert_eq!(tried.gate.want(9), Want::Nothing);
        tried.gate.answered(tried.now);
        assert_eq!(tried.gate.want(9), Want::End);
        assert!(tried.gate.has_unread());
    }
}

#[test]
fn the_client_is_told_to_go_on_unless_it_does() {
    let head = POST.replace("\r\n\r\nabc", "\r\nExpect: 100-continue\r\n\r\n");
    let mut tried = Tried::new();
    tried.receive(head.as_bytes()).unwrap();
    assert!(tried.gate.take_expectation());
    assert!(!tried.gate.take_expectation());

    let mut tried = Tried::new();
    tried.receive(format!("{head}a").as_bytes()).unwrap();
    assert!(!tried.gate.take_expectation());
}

#[test]
fn a_client_that_ends_its_direction_is_answered_what_it_has_asked() {
    let mut tried = Tried::new();
    assert_eq!(
        tried.receive(format!("{GET}{GET}").as_bytes()),
        Ok(GET.to_owned())
    );
    tried.gate.end(tried.now);
    assert_eq!(tried.gate.want(9), Want::Nothing);
    tried.gate.answered(tried.now);
    assert_eq!(tried.handed(1000), Ok(GET.to_owned()));
    assert_eq!(tried.gate.want(9), Want::End);
}

#[test]
fn a_head_is_not_read_anew_for_every_byte_of_it() {
    let mut tried = Tried::new();
    for byte in GET.as_bytes() {
        let handed = tried.receive(&[*byte]).unwrap();
        assert!(handed.is_empty() || handed == GET);
    }
    assert!(tried.gate.is_in_request() || !tried.gate.is_in_head());
    let mut tried = Tried::new();
    assert_eq!(
        tried.receive(b"\x16\x03\x01"),
        Err(RequestRefusal::NoRequest)
    );
}

/// What a connection does with a gate: reads what it wants, as much of it as has come, and gives the dispatcher what may be handed on.
/// Says what was handed on before the answer had to be written.
fn hand_on_one(
    tried: &mut Tried,
    input: &mut &[u8],
    sizes: &mut impl Iterator<Item = usize>,
) -> Vec<u8> {
    let mut handed = Vec::new();
    loop {
        let room = sizes.next().unwrap();
        let mut space = vec![0; room];
        let mut out = ReadBuf::new(&mut space);
        tried.gate.hand_on(&mut out, tried.now).unwrap();
        handed.extend_from_slice(out.filled());
        if !out.filled().is_empty() {
            continue;
        }
        let piece = sizes.next().unwrap().min(input.len());
        match tried.gate.want(room) {
            Want::Bytes(most) if piece > 0 && (tried.gate.is_in_head() || handed.is_empty()) => {
                let (bytes, rest) = input.split_at(piece.min(most));
                tried.gate.received(bytes, tried.now);
                *input = rest;
            }
            Want::Body(most) => {
                assert!(piece > 0, "a body is waited for that has come");
                let (bytes, rest) = input.split_at(piece.min(most));
                let count = tried.gate.handed_on(bytes);
                handed.extend_from_slice(&bytes[..count]);
                *input = rest;
            }
            _ => return handed,
        }
    }
}

proptest! {
    #[test]
    fn each_request_is_handed_on_by_itself_in_whatever_pieces_all_come(
        requests in prop::collection::vec(prop_oneof![Just(GET), Just(POST), Just(CHUNKED)], 1..6),
        sizes in prop::collection::vec(1..60_usize, 1..30),
    ) {
        let all = requests.concat();
        let mut input = all.as_bytes();
        let mut sizes = sizes.into_iter().cycle();
        let mut tried = Tried::new();
        for request in requests {
            let handed = hand_on_one(&mut tried, &mut input, &mut sizes);
            prop_assert_eq!(String::from_utf8_lossy(&handed), request);
            prop_assert!(!tried.gate.is_in_request());
            tried.gate.answered(tried.now);
        }
        prop_assert!(tried.gate.is_idle() && input.is_empty());
    }

    #[test]
    fn no_more_is_kept_than_a_head_may_have(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..READ_BYTES), 0..40),
    ) {
        let mut tried = Tried::new();
        for piece in pieces {
            let Want::Bytes(most) = tried.gate.want(1000) else {
                break;
            };
            tried.gate.received(&piece[..piece.len().min(most)], tried.now);
            prop_assert!(tried.gate.kept_bytes() <= 2 * (HEAD_BYTES + READ_BYTES));
            if tried.handed(1000).is_err() {
                break;
            }
        }
    }
}

#[test]
fn a_gate_that_is_closed_keeps_no_memory_and_remembers_that_bytes_were_unread() {
    let mut tried = Tried::new();
    let half = format!("GET /a HTTP/1.1\r\nX: {}", "a".repeat(100_000));
    assert_eq!(tried.receive(half.as_bytes()), Ok(String::new()));
    assert!(tried.gate.kept_bytes() >= half.len());
    tried.gate.close();
    assert_eq!(tried.gate.kept_bytes(), 0);
    assert!(tried.gate.has_unread());
    let mut unused = Tried::new();
    unused.gate.close();
    assert!(!unused.gate.has_unread());
}

#[test]
fn nothing_is_handed_on_after_a_request_with_a_long_head() {
    for (bytes, is_long) in [(100, false), (LONG_HEAD_BYTES, true)] {
        let long = "x".repeat(bytes);
        let request = format!("GET /a HTTP/1.1\r\nHost: b\r\nX: {long}\r\n\r\n");
        let mut tried = Tried::new();
        assert_eq!(tried.receive(request.as_bytes()), Ok(request.clone()));
        let counted = is_long.then_some(request.len());
        assert_eq!(tried.gate.long_head(), counted);
        tried.gate.answered(tried.now);
        assert_eq!(tried.gate.is_idle(), !is_long);
        assert_eq!(tried.gate.want(9) == Want::End, is_long);
    }
}
