use super::*;
use proptest::prelude::*;

fn takes(path: &str) -> bool {
    path.ends_with("/ws")
}

fn read(head: &str) -> Result<Option<RequestHead>, RequestRefusal> {
    inspect(head.replace('\n', "\r\n").as_bytes(), takes)
}

fn whole(head: &str) -> RequestHead {
    read(head).unwrap().unwrap()
}

fn seen(head: &str) -> String {
    let rewritten = whole(head).rewritten.expect("rewritten");
    String::from_utf8(rewritten.to_vec())
        .unwrap()
        .replace('\r', "")
}

#[test]
fn a_head_says_where_its_request_ends() {
    let head = "GET /a HTTP/1.1\nHost: b\n\n";
    let RequestHead {
        length,
        framing,
        is_last,
        rewritten,
        ..
    } = whole(&format!("{head}GET /"));
    assert_eq!(length, head.len() + 3);
    assert_eq!(framing, RequestFraming::Length(0));
    assert!(!is_last && rewritten.is_none());
    let framing = |fields: &str| {
        read(&format!("POST / HTTP/1.1\nHost: b\n{fields}\n\n")).map(|head| head.unwrap().framing)
    };
    assert_eq!(framing("Content-Length: 07"), Ok(RequestFraming::Length(7)));
    assert_eq!(
        framing("Transfer-Encoding: Chunked"),
        Ok(RequestFraming::Chunked)
    );
    for bad in [
        "Content-Length: +7",
        "Content-Length: 7, 7",
        "Content-Length: 7\nContent-Length: 7",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length: 7\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(framing(bad), Err(RequestRefusal::NoLength), "{bad}");
    }
    assert_eq!(
        read("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n"),
        Err(RequestRefusal::NoLength)
    );
    assert_eq!(read("POST / HTTP/1.0\n\n"), Err(RequestRefusal::NoLength));
}

#[test]
fn an_unfinished_head_is_waited_for_and_other_bytes_are_refused() {
    assert_eq!(read("GET / HTTP/1.1\nHost: b\n"), Ok(None));
    assert_eq!(read("\x16\x03\x01\x02"), Err(RequestRefusal::NoRequest));
    for (bad, refusal) in [
        ("GET / HTTP/1.2\nHost: b\n\n", RequestRefusal::OtherVersion),
        ("PRI * HTTP/2.0\n\nSM\n\n", RequestRefusal::OtherVersion),
        ("GET / HTTP/1.1\nHo st: b\n\n", RequestRefusal::NoField),
        ("GET / HTTP/1.1\nHost : b\n\n", RequestRefusal::NoField),
        (
            "GET / HTTP/1.1\nHost: b\n folded\n\n",
            RequestRefusal::NoField,
        ),
        (
            "GET / HTTP/1.1\nHost: b\nX: \0\n\n",
            RequestRefusal::NoValue,
        ),
        ("GET  / HTTP/1.1\nHost: b\n\n", RequestRefusal::NoRequest),
    ] {
        assert_eq!(read(bad), Err(refusal), "{bad:?}");
    }
    assert_eq!(read("GET / HTTP/1.1\n\n"), Err(RequestRefusal::NoHost));
    assert_eq!(
        read("GET / HTTP/1.1\nHost: b\nhost: b\n\n"),
        Err(RequestRefusal::NoHost)
    );
    assert!(read("GET / HTTP/1.0\n\n").is_ok());
    let many = "X: y\n".repeat(FIELDS);
    assert_eq!(
        read(&format!("GET / HTTP/1.1\nHost: b\n{many}\n")),
        Err(RequestRefusal::HeadTooLarge)
    );
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\nHost: b\n\n", "a".repeat(bytes - 1));
    assert!(read(&target(TARGET_BYTES)).is_ok());
    for bytes in [TARGET_BYTES + 1, HEAD_BYTES] {
        assert_eq!(read(&target(bytes)), Err(RequestRefusal::TargetTooLong));
    }
    let long = "y".repeat(HEAD_BYTES);
    assert_eq!(
        read(&format!("GET / HTTP/1.1\nHost: b\nX: {long}")),
        Err(RequestRefusal::HeadTooLarge)
    );
}

#[test]
fn the_last_request_of_a_connection_says_so() {
    let is_last = |version: &str, connection: &str| {
        whole(&format!(
            "GET / HTTP/1.{version}\nHost: b\nConnection: {connection}\n\n"
        ))
        .is_last
    };
    assert!(!is_last("1", "keep-alive"));
    assert!(is_last("1", "Close"));
    assert!(is_last("1", "x, close ,y"));
    assert!(is_last("0", "x"));
    assert!(!is_last("0", "Keep-Alive"));
}

#[test]
fn an_offer_that_is_not_taken_is_not_shown() {
    let h2c = "GET /a HTTP/1.1\nHost: b\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AA\n\n";
    assert_eq!(
        seen(h2c),
        "GET /a HTTP/1.1\nHost: b\nConnection:  HTTP2-Settings\nHTTP2-Settings: AA\n\n"
    );
    let socket = |method: &str, path: &str, more: &str| {
        whole(&format!(
            "{method} {path} HTTP/1.1\nHost: b\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\n{more}\n"
        ))
    };
    assert_eq!(socket("GET", "/v1/ws?x=/y", "").rewritten, None);
    assert_eq!(
        socket("GET", "/v1/ws", "").framing,
        RequestFraming::OtherProtocol
    );
    for hidden in [
        socket("GET", "/v1/sse", ""),
        socket("GET", "/v1/sse#/ws", ""),
        socket("GET", "/v1/ws", "Connection: close\n"),
    ] {
        assert_eq!(hidden.framing, RequestFraming::Length(0));
        assert!(hidden.rewritten.is_some());
    }
    let body = socket("POST", "/v1/ws", "Content-Length: 2\n");
    assert_eq!(body.framing, RequestFraming::Length(2));
    assert!(body.rewritten.is_some());
}

#[test]
fn an_offer_that_is_taken_is_shown_alone() {
    let several = "GET /v1/ws HTTP/1.1\nHost: b\nUpgrade: h2c, WebSocket\nConnection: Upgrade\nUpgrade: TLS/1.2\nExpect: 100-continue\n\n";
    assert_eq!(
        seen(several),
        "GET /v1/ws HTTP/1.1\nHost: b\nConnection: Upgrade\nUpgrade: websocket\n\n"
    );
}

/// The dispatcher overlooks a field that has them, and would take what follows for a part of this request.
#[test]
fn options_of_the_connection_that_are_no_text_are_refused() {
    for field in [
        &b"Connection: Upgrade, \xFF\r\nUpgrade: websocket"[..],
        b"Connection: Upgrade\r\nUpgrade: websocket, \xC3\xBC",
        b"Connection: close, \x80",
    ] {
        let head = [b"GET /v1/ws HTTP/1.1\r\nHost: b\r\n", field, b"\r\n\r\n"].concat();
        let shown = field.escape_ascii();
        assert_eq!(
            inspect(&head, takes),
            Err(RequestRefusal::NoOptions),
            "{shown}"
        );
    }
}

#[test]
fn nothing_follows_a_tunnel() {
    let tunnel = whole("CONNECT b:80 HTTP/1.1\nHost: b\nContent-Length: 0\n\n");
    assert!(tunnel.is_last);
    assert_eq!(tunnel.framing, RequestFraming::OtherProtocol);
    let body = whole("CONNECT b:80 HTTP/1.1\nHost: b\nContent-Length: 1\n\n");
    assert_eq!(body.framing, RequestFraming::Length(1));
}

#[test]
fn a_target_with_bare_utf8_is_shown_percent_encoded() {
    let target = |target: &str| {
        let head = seen(&format!("GET {target} HTTP/1.1\nHost: b\n\n"));
        head.lines().next().unwrap().to_owned()
    };
    insta::assert_snapshot!(target("/früh/%C3%BC%?q=日本&x=%"), @"GET /fr%C3%BCh/%C3%BC%?q=%E6%97%A5%E6%9C%AC&x=% HTTP/1.1");
    insta::assert_snapshot!(target("http://b/ü"), @"GET http://b/%C3%BC HTTP/1.1");
    let socket = "GET /ü/ws HTTP/1.1\nHost: b\nConnection: Upgrade\nUpgrade: websocket\n\n";
    insta::assert_snapshot!(seen(socket), @r"
    GET /%C3%BC/ws HTTP/1.1
    Host: b
    Connection: Upgrade
    Upgrade: websocket
    ");
    // Percent-encoding makes the head longer, but the dispatcher's limit stays the same.
    for length in [20_000, 40_000, 60_000] {
        let long = format!("GET /{} HTTP/1.1\nHost: b\n\n", "ü".repeat(length));
        assert!(read(&long).is_err(), "{length}");
    }
    for bad in [
        &b"/\xFF"[..],
        b"/\xC3",
        b"/\xC3/",
        b"/\xED\xA0\x80",
        b"/\x7F",
    ] {
        let head = [b"GET ", bad, b" HTTP/1.1\r\nHost: b\r\n\r\n"].concat();
        let shown = bad.escape_ascii();
        assert_eq!(
            inspect(&head, takes),
            Err(RequestRefusal::NoRequest),
            "{shown}"
        );
    }
}

#[test]
fn the_wish_to_be_told_to_go_on_is_not_shown() {
    let head = "POST / HTTP/1.1\nHost: b\nExpect: 100-Continue\nContent-Length: 1\n\n";
    assert!(whole(head).expects_continue);
    assert_eq!(
        seen(head),
        "POST / HTTP/1.1\nHost: b\nContent-Length: 1\n\n"
    );
    let old = "POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 1\n\n";
    assert!(!whole(old).expects_continue);
}

/// A head that a client may send, with fields that are looked at and others.
fn head() -> impl Strategy<Value = String> {
    let method = prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS")];
    let target = prop_oneof![
        Just("/v1/ws"),
        Just("/a?b=c"),
        Just("/fr\u{fc}h/ws"),
        Just("*")
    ];
    let field = prop_oneof![
        Just("Host: b"),
        Just("Host: b"),
        Just("Content-Length: 7"),
        Just("content-length: +7"),
        Just("Transfer-Encoding: chunked"),
        Just("Connection: Upgrade, close"),
        Just("Connection: keep-alive,upgrade"),
        Just("Upgrade: websocket"),
        Just("Upgrade: h2c"),
        Just("Expect: 100-continue"),
        Just("X-Other: a, b"),
    ];
    let fields = prop::collection::vec(field, 0..6);
    (method, target, 0..2_u8, fields).prop_map(|(method, target, version, fields)| {
        let fields = fields.join("\r\n");
        let host = "Host: b\r\n";
        let host = if fields.contains("Host") { "" } else { host };
        let end = if fields.is_empty() { "" } else { "\r\n" };
        format!("{method} {target} HTTP/1.{version}\r\n{host}{fields}{end}\r\n")
    })
}

proptest! {
    /// So a head may come in any pieces, and what follows it changes nothing.
    #[test]
    fn a_head_is_waited_for_until_it_is_whole_and_says_the_same_whatever_follows(
        head in head(),
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let whole = inspect(head.as_bytes(), takes);
        prop_assert!(!matches!(whole, Ok(None)));
        for end in 0..head.len() {
            // A target that is cut within a letter may be refused before its head is whole.
            let part = inspect(&head.as_bytes()[..end], takes);
            prop_assert!(part == Ok(None) || !head.is_ascii(), "{end}: {part:?}");
        }
        let followed = [head.as_bytes(), &rest].concat();
        prop_assert_eq!(&inspect(&followed, takes), &whole);
        if let Ok(Some(read)) = whole {
            prop_assert_eq!(read.length, head.len());
        }
    }

    /// Else the dispatcher would see the end of a request elsewhere than the gate.
    #[test]
    fn the_head_that_the_dispatcher_is_shown_means_the_same(head in head()) {
        let Ok(Some(read)) = inspect(head.as_bytes(), takes) else {
            return Ok(());
        };
        let Some(shown) = &read.rewritten else {
            return Ok(());
        };
        let again = inspect(shown, takes);
        let expected = RequestHead {
            length: shown.len(),
            expects_continue: false,
            rewritten: None,
            ..read
        };
        prop_assert_eq!(again, Ok(Some(expected)));
    }

    #[test]
    fn garbage_is_refused_or_waited_for(
        garbage in prop::collection::vec(any::<u8>(), 0..200),
        begin in prop_oneof![Just(""), Just("GET / HTTP/1.1\r\n"), Just("POST /a HTTP/1.0\r\nHost:")],
    ) {
        let input = [begin.as_bytes(), &garbage].concat();
        if let Ok(Some(head)) = inspect(&input, takes) {
            prop_assert!(head.length <= input.len());
        }
    }
}
