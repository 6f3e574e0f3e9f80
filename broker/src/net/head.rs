//! Looks at the head of a request before the HTTP dispatcher does: it finds out where the request ends and whether another
//! may follow, and takes out what the dispatcher is not to see.
//!
//! It refuses whatever the dispatcher would, so that a client always hears why, and both see the same end of a request. Two
//! header fields are kept from the dispatcher: an offer to upgrade that is not taken, after which it would close the
//! connection, and the wish to be told to go on with the body, which it would grant before anybody has looked at the head.
//! A target with bare UTF-8, which URIs do not have but people and simple clients write, is shown to it percent-encoded.

use std::borrow::Cow;

use actix_web::http::{Method, Uri};
use bytes::Bytes;
use httparse::{Header, Request, Status};
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::refusal::RequestRefusal;

/// How many bytes and fields a head may have: as many as the dispatcher takes.
pub(super) const HEAD_BYTES: usize = 128 << 10;
const FIELDS: usize = 96;

/// How the end of a request is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestFraming {
    /// The body has so many bytes; 0 where there is none.
    Length(u64),
    /// The body is chunked, and its chunks say where it ends.
    Chunked,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestHead {
    /// How many bytes it has.
    pub(super) length: usize,
    /// What body follows it.
    pub(super) framing: RequestFraming,
    /// No other request follows on the connection.
    pub(super) is_last: bool,
    /// The client waits to be told to send the body.
    pub(super) expects_continue: bool,
    /// The head that the dispatcher is to see instead, if it is another.
    pub(super) rewritten: Option<Bytes>,
}

/// Whether a WebSocket may begin at a path.
pub type TakesUpgrade = fn(&str) -> bool;

/// Reads a head; `None` when it is not whole yet.
pub(super) fn inspect(
    input: &[u8],
    takes: TakesUpgrade,
) -> Result<Option<RequestHead>, RequestRefusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() >= HEAD_BYTES => {
            return Err(RequestRefusal::HeadTooLarge);
        }
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(RequestRefusal::HeadTooLarge),
        Err(_) => return Err(RequestRefusal::NoRequest),
    };
    if length > HEAD_BYTES {
        return Err(RequestRefusal::HeadTooLarge);
    }
    let request = Parsed::of(&request)?;
    request.check_host()?;
    let framing = request.framing()?;
    let expects_continue = request.is_current && request.lists("expect", "100-continue");
    let is_rewritten = matches!(request.target, Cow::Owned(_))
        || request.has_hidden(framing, expects_continue, takes);
    let rewritten = is_rewritten.then(|| request.without_hidden(framing, takes));
    if rewritten
        .as_ref()
        .is_some_and(|head| head.len() > HEAD_BYTES)
    {
        return Err(RequestRefusal::HeadTooLarge);
    }
    Ok(Some(RequestHead {
        length,
        framing,
        is_last: request.is_last(),
        expects_continue,
        rewritten,
    }))
}

/// The parsed parts of a whole head.
struct Parsed<'a> {
    method: &'a str,
    /// Owned if it had to be percent-encoded.
    target: Cow<'a, str>,
    /// Whether the version is HTTP/1.1; else it is HTTP/1.0.
    is_current: bool,
    fields: &'a [Header<'a>],
}

impl<'a> Parsed<'a> {
    fn of(request: &'a Request<'_, '_>) -> Result<Self, RequestRefusal> {
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(RequestRefusal::NoRequest);
        };
        let target = if target.is_ascii() {
            Cow::Borrowed(target)
        } else {
            Cow::from(utf8_percent_encode(target, CONTROLS))
        };
        let is_method = Method::from_bytes(method.as_bytes()).is_ok();
        if !is_method || target.parse::<Uri>().is_err() {
            return Err(RequestRefusal::NoRequest);
        }
        Ok(Self {
            method,
            target,
            is_current: request.version == Some(1),
            fields: request.headers,
        })
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|field| field.value)
    }

    /// Whether one of the fields of this name has the word in its list.
    fn lists(&self, name: &str, word: &str) -> bool {
        let mut items = self
            .values(name)
            .flat_map(|value| value.split(|&byte| byte == b','));
        items.any(|item| is_word(item, word))
    }

    /// Makes sure that there is one `Host` ([RFC 9112, section 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2));
    /// its value is judged later.
    fn check_host(&self) -> Result<(), RequestRefusal> {
        match self.values("host").count() {
            1 => Ok(()),
            0 if !self.is_current => Ok(()),
            _ => Err(RequestRefusal::NoHost),
        }
    }

    /// How the end of the body is found ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)),
    /// without the allowances of the RFC: a head that two readers could understand differently is refused.
    fn framing(&self) -> Result<RequestFraming, RequestRefusal> {
        let mut lengths = self.values("content-length");
        let mut codings = self.values("transfer-encoding");
        let (length, coding) = (lengths.next(), codings.next());
        if lengths.chain(codings).next().is_some() {
            return Err(RequestRefusal::NoLength);
        }
        match (length, coding) {
            (None, None) if !self.is_current && self.method == "POST" => {
                Err(RequestRefusal::NoLength)
            }
            (None, None) => Ok(RequestFraming::Length(0)),
            (Some(length), None) => Ok(RequestFraming::Length(
                number(length).ok_or(RequestRefusal::NoLength)?,
            )),
            (None, Some(coding)) if self.is_current && is_word(coding, "chunked") => {
                Ok(RequestFraming::Chunked)
            }
            _ => Err(RequestRefusal::NoLength),
        }
    }

    /// Whether no other request follows ([RFC 9112, section 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)).
    fn is_last(&self) -> bool {
        self.lists("connection", "close")
            || !(self.is_current || self.lists("connection", "keep-alive"))
    }

    /// Whether the head asks for a WebSocket where there is one
    /// ([RFC 6455, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
    fn is_upgrade(&self, framing: RequestFraming, takes: TakesUpgrade) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        self.is_current
            && self.method == "GET"
            && framing == RequestFraming::Length(0)
            && self.lists("upgrade", "websocket")
            && self.lists("connection", "upgrade")
            && takes(path)
    }

    fn has_hidden(
        &self,
        framing: RequestFraming,
        expects_continue: bool,
        takes: TakesUpgrade,
    ) -> bool {
        let offers = self.values("upgrade").next().is_some() || self.lists("connection", "upgrade");
        expects_continue || (offers && !self.is_upgrade(framing, takes))
    }

    fn without_hidden(&self, framing: RequestFraming, takes: TakesUpgrade) -> Bytes {
        let keeps_upgrade = self.is_upgrade(framing, takes);
        let version = u8::from(self.is_current);
        let mut head = format!("{} {} HTTP/1.{version}\r\n", self.method, self.target).into_bytes();
        for field in self.fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("expect") || (is("upgrade") && !keeps_upgrade) {
                continue;
            }
            head.extend_from_slice(field.name.as_bytes());
            head.extend_from_slice(b": ");
            if is("connection") && !keeps_upgrade {
                head.extend_from_slice(&without_word(field.value, "upgrade"));
            } else {
                head.extend_from_slice(field.value);
            }
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.into()
    }
}

fn is_word(item: &[u8], word: &str) -> bool {
    item.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

fn without_word(list: &[u8], word: &str) -> Vec<u8> {
    let items = list.split(|&byte| byte == b',');
    let kept: Vec<&[u8]> = items.filter(|item| !is_word(item, word)).collect();
    kept.join(&b',')
}

/// A number of digits and nothing else; the standard library would take a sign as well.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

#[cfg(test)]
mod tests {
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
            read(&format!("POST / HTTP/1.1\nHost: b\n{fields}\n\n"))
                .map(|head| head.unwrap().framing)
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
        assert_eq!(
            read("GET / HTTP/1.1\nHo st: b\n\n"),
            Err(RequestRefusal::NoRequest)
        );
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
        assert!(socket("GET", "/v1/sse", "").rewritten.is_some());
        let body = socket("POST", "/v1/ws", "Content-Length: 2\n");
        assert_eq!(body.framing, RequestFraming::Length(2));
        assert!(body.rewritten.is_some());
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
}
