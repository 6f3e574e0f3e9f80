//! The PROXY protocol, versions 1 and 2: the header that a proxy sends first on each connection that it passes on, to say which
//! client it is for (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A line of version 1 has no more bytes (section 2.1).
const LONGEST_LINE: usize = 107;

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What stands before the addresses of version 2: a signature, a command, a family and a length (section 2.2).
const FIXED_BYTES: usize = 16;

/// The largest header of version 2 that is read: enough for the addresses and the usual additions, but not for certificates.
const MOST_ADDED: usize = 4096;

fn invalid(reason: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Reads the header, and no byte behind it. Gives the address of the client; none if the proxy itself has connected, or does not say
/// for whom.
///
/// # Errors
/// When the connection ends before, or what it begins with is no such header.
pub(super) async fn read_client(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![stream.read_u8().await?];
    if header == [b'P'] {
        read_line(stream, &mut header).await?;
    } else {
        read_binary(stream, &mut header).await?;
    }
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (parsed, _) = ProxyHeader::parse(&header, config).map_err(invalid)?;
    Ok(parsed.proxied_address().map(|address| address.source))
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>) -> io::Result<()> {
    // What is behind the line is the client's, and read by others.
    while !header.ends_with(b"\r\n") {
        if header.len() == LONGEST_LINE {
            return Err(invalid("the line does not end"));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn read_binary(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> io::Result<()> {
    header.resize(FIXED_BYTES, 0);
    stream.read_exact(&mut header[1..]).await?;
    if !header.starts_with(SIGNATURE) {
        return Err(invalid("the connection does not begin with a header"));
    }
    let added = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if added > MOST_ADDED {
        return Err(invalid(format!("the header has {added} bytes more")));
    }
    header.resize(FIXED_BYTES + added, 0);
    stream.read_exact(&mut header[FIXED_BYTES..]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn read(bytes: &[u8]) -> (String, Vec<u8>) {
        let mut stream = bytes;
        let outcome = match read_client(&mut stream).await {
            Ok(Some(address)) => address.to_string(),
            Ok(None) => "none".to_owned(),
            Err(error) => format!("refused: {error}"),
        };
        (outcome, stream.to_vec())
    }

    fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, addresses, b"GET"].concat()
    }

    #[actix_web::test]
    async fn the_client_is_read_and_nothing_behind_the_header() {
        let v4 = [203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 80];
        let with_more = [&v4[..], &[4, 0, 1, 7]].concat();
        let mut v6 = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        v6.extend([0; 16]);
        v6.extend([0, 99, 0, 80]);
        for (bytes, expected) in [
            (
                b"PROXY TCP4 203.0.113.7 127.0.0.1 4660 80\r\nGET".to_vec(),
                "203.0.113.7:4660",
            ),
            (
                b"PROXY TCP6 2001:db8::5 ::1 99 80\r\nGET".to_vec(),
                "[2001:db8::5]:99",
            ),
            (b"PROXY UNKNOWN\r\nGET".to_vec(), "none"),
            (binary(0x21, 0x11, &v4), "203.0.113.7:4660"),
            (binary(0x21, 0x11, &with_more), "203.0.113.7:4660"),
            (binary(0x21, 0x21, &v6), "[2001:db8::5]:99"),
            (binary(0x20, 0, &[]), "none"),
            (binary(0x21, 0, &[]), "none"),
        ] {
            assert_eq!(
                read(&bytes).await,
                (expected.to_owned(), b"GET".to_vec()),
                "{bytes:?}"
            );
        }
    }

    #[actix_web::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"POST / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 x y 1 2\r\n".to_vec(),
            b"P".repeat(500),
            binary(0x21, 0x11, &[1, 2, 3]),
            binary(0x91, 0x11, &[0; 12]),
            binary(0x21, 0x11, &[0; 5000]),
            SIGNATURE.to_vec(),
            Vec::new(),
        ] {
            let (outcome, _) = read(&bytes).await;
            assert!(outcome.starts_with("refused: "), "{outcome} for {bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, command: u8, family: u8) {
            let runtime = actix_rt::Runtime::new().unwrap();
            runtime.block_on(read(&bytes));
            runtime.block_on(read(&binary(command, family, &bytes[..bytes.len().min(5000)])));
        }
    }
}
