//! The little of HTTP/1.1 that both loops need: where a head ends, what its length is. Enough for the peers in this
//! crate and for an honest broker, not for the internet.

/// A request as the floor reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`, `POST`…
    pub method: &'a [u8],
    /// Path and query, still percent-encoded.
    pub target: &'a [u8],
    /// As long as `Content-Length` says.
    pub body: &'a [u8],
    /// How many bytes of the input the request takes.
    pub length: usize,
}

/// An answer as the load generator reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// 200, 404…
    pub status: u16,
    /// As long as `Content-Length` says; empty without it.
    pub body: &'a [u8],
    /// How many bytes of the input the answer takes.
    pub length: usize,
}

/// Reads the request that `input` begins with; nothing while it is incomplete or no request.
pub fn request(input: &[u8]) -> Option<Request<'_>> {
    let message = split(input)?;
    let mut words = message.first_line.split(|&b| b == b' ');
    Some(Request {
        method: words.next()?,
        target: words.next()?,
        body: message.body,
        length: message.length,
    })
}

/// Reads the answer that `input` begins with; nothing while it is incomplete or no answer.
pub fn response(input: &[u8]) -> Option<Response<'_>> {
    let message = split(input)?;
    let status = message.first_line.split(|&b| b == b' ').nth(1)?;
    Some(Response {
        status: std::str::from_utf8(status).ok()?.parse().ok()?,
        body: message.body,
        length: message.length,
    })
}

/// Where the head ends that `input` begins with: the index after its empty line.
pub fn head_length(input: &[u8]) -> Option<usize> {
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

struct Split<'a> {
    first_line: &'a [u8],
    body: &'a [u8],
    length: usize,
}

fn split(input: &[u8]) -> Option<Split<'_>> {
    let head = head_length(input)?;
    let length = head + content_length(&input[..head]);
    let body = input.get(head..length)?;
    let first_line = input.split(|&b| b == b'\r').next()?;
    Some(Split {
        first_line,
        body,
        length,
    })
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    head.split(|&b| b == b'\n')
        .filter(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))
        .find_map(|line| {
            std::str::from_utf8(&line[NAME.len()..])
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"POST /a?b HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 3\r\n\r\nabcGET";

    #[test]
    fn a_request_ends_where_its_length_says() {
        let read = request(REQUEST).unwrap();
        assert_eq!(read.method, b"POST");
        assert_eq!(read.target, b"/a?b");
        assert_eq!(read.body, b"abc");
        assert_eq!(&REQUEST[read.length..], b"GET");
    }

    #[test]
    fn an_incomplete_message_is_none() {
        for end in 0..REQUEST.len() - 3 {
            assert_eq!(request(&REQUEST[..end]), None, "{end}");
        }
    }

    #[test]
    fn an_answer_without_a_length_has_no_body() {
        let read = response(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81")
            .unwrap();
        assert_eq!((read.status, read.body), (101, &b""[..]));
    }
}
