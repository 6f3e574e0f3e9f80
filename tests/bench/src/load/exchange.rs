//! One keep-alive connection: a request, its answer, the next request.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, bail};

use crate::http::response;

/// A connection for requests that are answered with a length.
#[derive(Debug)]
pub struct Exchange {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// How many bytes of the inbox the last answer took.
    answered: usize,
    busy: bool,
}

impl Exchange {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(target: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(target).with_context(|| format!("connecting to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            answered: 0,
            busy: false,
        })
    }

    /// Whether an answer is awaited.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Sends a request, which must fit the socket's buffer: one exchange at a time always does here.
    ///
    /// # Errors
    /// When it does not, or the peer is gone.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream
            .write_all(request)
            .context("sending a request")?;
        self.busy = true;
        Ok(())
    }

    /// Reads what has come; the body of the answer once it is whole, which must tell of success.
    ///
    /// # Errors
    /// When the answer has a status other than 2xx, or the connection ends.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<&[u8]>> {
        self.inbox.drain(..self.answered);
        self.answered = 0;
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection instead of answering"),
            Ok(length) => self.inbox.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading an answer"),
        }
        let Some(answer) = response(&self.inbox) else {
            return Ok(None);
        };
        if !(200..300).contains(&answer.status) {
            bail!(
                "the server answered {}: {}",
                answer.status,
                String::from_utf8_lossy(answer.body)
            );
        }
        self.busy = false;
        self.answered = answer.length;
        Ok(Some(answer.body))
    }
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
