//! Looks at the head of a request before the HTTP dispatcher does: it finds out where the request ends and whether another
//! may follow, and takes out what the dispatcher is not to see.
//!
//! It refuses whatever the dispatcher would, so that a client always hears why, and both see the same end of a request. Two
//! header fields are kept from the dispatcher: an offer to upgrade that is not taken, after which it would close the
//! connection, and the wish to be told to go on with the body, which it would grant before anybody has looked at the head.
//! An offer that is taken is shown to it in the one form that it understands. A target with bare UTF-8, which URIs do not
//! have but people and simple clients write, is shown to it percent-encoded.
//!
//! So what a head means is decided here alone. A fuzz target compares that with what the dispatcher makes of the head that it
//! is shown.

use std::borrow::Cow;

use actix_web::http::{Method, Uri};
use bytes::Bytes;
use httparse::{Header, Request, Status};
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::refusal::RequestRefusal;

/// How many bytes and fields a head may have: as many as the dispatcher takes.
pub(super) const HEAD_BYTES: usize = 128 << 10;
const FIELDS: usize = 96;

/// How many bytes a target may have: as many as the dispatcher takes.
const TARGET_BYTES: usize = u16::MAX as usize - 1;

/// How the end of a request is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFraming {
    /// The body has so many bytes; 0 where there is none.
    Length(u64),
    /// The body is chunked, and its chunks say where it ends.
    Chunked,
    /// There is no body, and what follows the head is not HTTP: the client asks for a WebSocket where there is one, or for a
    /// tunnel (`CONNECT`). Also when that is refused, no other request follows.
    OtherProtocol,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// How many bytes it has.
    pub length: usize,
    /// What body follows it.
    pub framing: RequestFraming,
    /// No other request follows on the connection.
    pub is_last: bool,
    /// The client waits to be told to send the body.
    pub expects_continue: bool,
    /// The head that the dispatcher is to see instead, if it is another.
    pub rewritten: Option<Bytes>,
}

/// Whether a WebSocket may begin at a path.
pub type TakesUpgrade = fn(&str) -> bool;

/// Reads a head; `None` when it is not whole yet.
///
/// # Errors
/// When it is no head of a request, or one that two readers could understand differently.
pub fn inspect(input: &[u8], takes: TakesUpgrade) -> Result<Option<RequestHead>, RequestRefusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() < HEAD_BYTES => return Ok(None),
        Ok(Status::Partial) if !input.trim_ascii_start().contains(&b'\n') => {
            return Err(RequestRefusal::TargetTooLong);
        }
        Ok(Status::Partial) => return Err(RequestRefusal::HeadTooLarge),
        Err(error) => return Err(refusal(error)),
    };
    let request = Parsed::of(&request)?;
    if length > HEAD_BYTES {
        return Err(RequestRefusal::HeadTooLarge);
    }
    request.check_host()?;
    request.check_options()?;
    let framing = request.framing(takes)?;
    let rewritten = request.shown(framing);
    if rewritten
        .as_ref()
        .is_some_and(|head| head.len() > HEAD_BYTES)
    {
        return Err(RequestRefusal::HeadTooLarge);
    }
    Ok(Some(RequestHead {
        length,
        framing,
        is_last: framing == RequestFraming::OtherProtocol || request.is_last(),
        expects_continue: request.expects_continue(),
        rewritten,
    }))
}

/// What is wrong with a head that cannot be parsed.
fn refusal(error: httparse::Error) -> RequestRefusal {
    match error {
        httparse::Error::TooManyHeaders => RequestRefusal::HeadTooLarge,
        httparse::Error::Version => RequestRefusal::OtherVersion,
        httparse::Error::HeaderName => RequestRefusal::NoField,
        httparse::Error::HeaderValue => RequestRefusal::NoValue,
        _ => RequestRefusal::NoRequest,
    }
}

impl RequestFraming {
    /// Whether the request has a body.
    pub(super) fn has_body(self) -> bool {
        match self {
            Self::Length(length) => length > 0,
            Self::Chunked => true,
            Self::OtherProtocol => false,
        }
    }
}

/// The parsed parts of a whole head.
struct Parsed<'a> {
    method: &'a str,
    /// Owned if it had to be percent-encoded.
    target: Cow<'a, str>,
    uri: Uri,
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
        if target.len() > TARGET_BYTES {
            return Err(RequestRefusal::TargetTooLong);
        }
        let (Ok(_), Ok(uri)) = (Method::from_bytes(method.as_bytes()), target.parse()) else {
            return Err(RequestRefusal::NoRequest);
        };
        Ok(Self {
            method,
            target,
            uri,
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

    /// Makes sure that what decides about the connection is text
    /// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)): the dispatcher overlooks a whole field
    /// that has other bytes beside its words, and would understand the rest of the head differently.
    fn check_options(&self) -> Result<(), RequestRefusal> {
        let mut options = self.values("connection").chain(self.values("upgrade"));
        if options.all(<[u8]>::is_ascii) {
            Ok(())
        } else {
            Err(RequestRefusal::NoOptions)
        }
    }

    /// How the end of the body is found ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)),
    /// without the allowances of the RFC: a head that two readers could understand differently is refused.
    fn framing(&self, takes: TakesUpgrade) -> Result<RequestFraming, RequestRefusal> {
        let mut lengths = self.values("content-length");
        let mut codings = self.values("transfer-encoding");
        let (length, coding) = (lengths.next(), codings.next());
        if lengths.chain(codings).next().is_some() {
            return Err(RequestRefusal::NoLength);
        }
        let framing = match (length, coding) {
            (None, None) if !self.is_current && self.method == "POST" => {
                return Err(RequestRefusal::NoLength);
            }
            (None, None) => RequestFraming::Length(0),
            (Some(length), None) => {
                RequestFraming::Length(number(length).ok_or(RequestRefusal::NoLength)?)
            }
            (None, Some(coding)) if self.is_current && is_word(coding, "chunked") => {
                RequestFraming::Chunked
            }
            _ => return Err(RequestRefusal::NoLength),
        };
        if !framing.has_body() && (self.method == "CONNECT" || self.is_upgrade(takes)) {
            return Ok(RequestFraming::OtherProtocol);
        }
        Ok(framing)
    }

    /// Whether no other request follows ([RFC 9112, section 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)).
    fn is_last(&self) -> bool {
        self.lists("connection", "close")
            || !(self.is_current || self.lists("connection", "keep-alive"))
    }

    /// Whether the head asks for a WebSocket where there is one
    /// ([RFC 6455, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
    fn is_upgrade(&self, takes: TakesUpgrade) -> bool {
        self.is_current
            && self.method == "GET"
            && self.lists("upgrade", "websocket")
            && self.lists("connection", "upgrade")
            && !self.is_last()
            && takes(self.uri.path())
    }

    fn expects_continue(&self) -> bool {
        self.is_current && self.lists("expect", "100-continue")
    }

    /// What becomes of the fields that offer an upgrade.
    fn offer(&self, framing: RequestFraming) -> Offer {
        let offers = self.values("upgrade").next().is_some() || self.lists("connection", "upgrade");
        if !offers {
            Offer::Plain
        } else if framing != RequestFraming::OtherProtocol || self.method == "CONNECT" {
            Offer::Hidden
        } else if let [value] = self.values("upgrade").collect::<Vec<_>>()[..]
            && is_word(value, "websocket")
        {
            Offer::Plain
        } else {
            Offer::Spelt
        }
    }

    /// The head that the dispatcher is to see instead, if it is another.
    fn shown(&self, framing: RequestFraming) -> Option<Bytes> {
        let offer = self.offer(framing);
        let is_shown_as_it_is = matches!(self.target, Cow::Borrowed(_))
            && offer == Offer::Plain
            && !self.expects_continue();
        if is_shown_as_it_is {
            return None;
        }
        let version = u8::from(self.is_current);
        let mut head = format!("{} {} HTTP/1.{version}\r\n", self.method, self.target).into_bytes();
        for field in self.fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("expect") || (is("upgrade") && offer != Offer::Plain) {
                continue;
            }
            head.extend_from_slice(field.name.as_bytes());
            head.extend_from_slice(b": ");
            if is("connection") && offer == Offer::Hidden {
                head.extend_from_slice(&without_word(field.value, "upgrade"));
            } else {
                head.extend_from_slice(field.value);
            }
            head.extend_from_slice(b"\r\n");
        }
        if offer == Offer::Spelt {
            head.extend_from_slice(b"Upgrade: websocket\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Some(head.into())
    }
}

/// How the dispatcher is shown the fields that offer an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// As they came; there may be none.
    Plain,
    /// Not at all.
    Hidden,
    /// As an offer of a WebSocket alone: it came among others, which the dispatcher would not find it in.
    Spelt,
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
#[path = "head_tests.rs"]
mod tests;
