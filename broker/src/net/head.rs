//! Looks at the head of a request before the HTTP dispatcher does: where the request ends, whether another may follow, and
//! what the dispatcher is not to see.
//!
//! It refuses whatever the dispatcher would, so that a client always hears why, and both see the same end of a request. Two
//! header fields are kept from the dispatcher: an offer to upgrade that is not taken, after which it would close the
//! connection, and the wish to be told to go on with the body, which it would grant before anybody has looked at the head.

use actix_web::http::{Method, Uri};
use bytes::Bytes;
use httparse::{Header, Request, Status};

use super::refusal::Refusal;

/// How long a head may be, and how many fields it may have: what the dispatcher takes.
pub(super) const HEAD_BYTES: usize = 128 << 10;
const FIELDS: usize = 96;

/// How the end of a request is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// The body has so many bytes; 0 where there is none.
    Length(u64),
    /// The body says it itself.
    Chunked,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// How many bytes it has.
    pub(super) length: usize,
    /// What follows it.
    pub(super) framing: Framing,
    /// No other request follows on the connection.
    pub(super) is_last: bool,
    /// The client waits to be told to send the body.
    pub(super) expects_continue: bool,
    /// What the dispatcher is to see in its place.
    pub(super) rewritten: Option<Bytes>,
}

/// Whether a WebSocket may begin at a path.
pub type TakesUpgrade = fn(&str) -> bool;

/// Reads a head; `None` when it is not whole yet.
pub(super) fn inspect(input: &[u8], takes: TakesUpgrade) -> Result<Option<Head>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() >= HEAD_BYTES => return Err(Refusal::HeadTooLarge),
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) => return Err(Refusal::NoRequest),
    };
    if length > HEAD_BYTES {
        return Err(Refusal::HeadTooLarge);
    }
    let request = Parsed::of(&request)?;
    request.check_host()?;
    let framing = request.framing()?;
    let expects_continue = request.is_current && request.lists("expect", "100-continue");
    let is_hidden = request.is_hidden(framing, expects_continue, takes);
    Ok(Some(Head {
        length,
        framing,
        is_last: request.is_last(),
        expects_continue,
        rewritten: is_hidden.then(|| request.without_hidden(framing, takes)),
    }))
}

/// A head that is whole.
struct Parsed<'a> {
    method: &'a str,
    target: &'a str,
    /// HTTP/1.1; else HTTP/1.0.
    is_current: bool,
    fields: &'a [Header<'a>],
}

impl<'a> Parsed<'a> {
    fn of(request: &'a Request<'_, '_>) -> Result<Self, Refusal> {
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(Refusal::NoRequest);
        };
        let is_method = Method::from_bytes(method.as_bytes()).is_ok();
        if !is_method || target.parse::<Uri>().is_err() {
            return Err(Refusal::NoRequest);
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

    /// [RFC 9112, section 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2); what stands in it is judged later.
    fn check_host(&self) -> Result<(), Refusal> {
        match self.values("host").count() {
            1 => Ok(()),
            0 if !self.is_current => Ok(()),
            _ => Err(Refusal::NoHost),
        }
    }

    /// [RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3), without its allowances: what two
    /// readers could understand differently is refused.
    fn framing(&self) -> Result<Framing, Refusal> {
        let lengths: Vec<&[u8]> = self.values("content-length").collect();
        let codings: Vec<&[u8]> = self.values("transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) if !self.is_current && self.method == "POST" => Err(Refusal::NoLength),
            ([], []) => Ok(Framing::Length(0)),
            ([length], []) => Ok(Framing::Length(number(length).ok_or(Refusal::NoLength)?)),
            ([], [coding]) if self.is_current && is_word(coding, "chunked") => Ok(Framing::Chunked),
            _ => Err(Refusal::NoLength),
        }
    }

    /// [RFC 9112, section 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)
    fn is_last(&self) -> bool {
        self.lists("connection", "close")
            || !(self.is_current || self.lists("connection", "keep-alive"))
    }

    /// Whether the head asks for a WebSocket where there is one
    /// ([RFC 6455, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
    fn is_upgrade(&self, framing: Framing, takes: TakesUpgrade) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        self.is_current
            && self.method == "GET"
            && framing == Framing::Length(0)
            && self.lists("upgrade", "websocket")
            && self.lists("connection", "upgrade")
            && takes(path)
    }

    fn is_hidden(&self, framing: Framing, expects_continue: bool, takes: TakesUpgrade) -> bool {
        let offers = self.values("upgrade").next().is_some() || self.lists("connection", "upgrade");
        expects_continue || (offers && !self.is_upgrade(framing, takes))
    }

    fn without_hidden(&self, framing: Framing, takes: TakesUpgrade) -> Bytes {
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

/// Digits and nothing else; the standard library would take a sign.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value.trim_ascii()).ok()?;
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(path: &str) -> bool {
        path.ends_with("/ws")
    }

    fn read(head: &str) -> Result<Option<Head>, Refusal> {
        inspect(head.replace('\n', "\r\n").as_bytes(), takes)
    }

    fn whole(head: &str) -> Head {
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
        let Head {
            length,
            framing,
            is_last,
            rewritten,
            ..
        } = whole(&format!("{head}GET /"));
        assert_eq!(length, head.len() + 3);
        assert_eq!(framing, Framing::Length(0));
        assert!(!is_last && rewritten.is_none());
        let framing = |fields: &str| {
            read(&format!("POST / HTTP/1.1\nHost: b\n{fields}\n\n"))
                .map(|head| head.unwrap().framing)
        };
        assert_eq!(framing("Content-Length: 07"), Ok(Framing::Length(7)));
        assert_eq!(framing("Transfer-Encoding: Chunked"), Ok(Framing::Chunked));
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
            assert_eq!(framing(bad), Err(Refusal::NoLength), "{bad}");
        }
        assert_eq!(
            read("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n"),
            Err(Refusal::NoLength)
        );
        assert_eq!(read("POST / HTTP/1.0\n\n"), Err(Refusal::NoLength));
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for_and_one_that_is_none_is_not() {
        assert_eq!(read("GET / HTTP/1.1\nHost: b\n"), Ok(None));
        assert_eq!(read("\x16\x03\x01\x02"), Err(Refusal::NoRequest));
        assert_eq!(
            read("GET / HTTP/1.1\nHo st: b\n\n"),
            Err(Refusal::NoRequest)
        );
        assert_eq!(read("GET / HTTP/1.1\n\n"), Err(Refusal::NoHost));
        assert_eq!(
            read("GET / HTTP/1.1\nHost: b\nhost: b\n\n"),
            Err(Refusal::NoHost)
        );
        assert!(read("GET / HTTP/1.0\n\n").is_ok());
        let many = "X: y\n".repeat(FIELDS);
        assert_eq!(
            read(&format!("GET / HTTP/1.1\nHost: b\n{many}\n")),
            Err(Refusal::HeadTooLarge)
        );
        let long = "y".repeat(HEAD_BYTES);
        assert_eq!(
            read(&format!("GET / HTTP/1.1\nHost: b\nX: {long}")),
            Err(Refusal::HeadTooLarge)
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
        assert_eq!(body.framing, Framing::Length(2));
        assert!(body.rewritten.is_some());
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
}
