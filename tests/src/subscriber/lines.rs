//! A response body as it comes: lines, or pieces of a known length.

use anyhow::Result;
use bytes::{Bytes, BytesMut};

/// The body of a response that may never end.
pub struct Lines {
    response: reqwest::Response,
    received: BytesMut,
    ended: bool,
}

impl Lines {
    /// Reads the body of the response.
    pub fn new(response: reqwest::Response) -> Self {
        Self {
            response,
            received: BytesMut::new(),
            ended: false,
        }
    }

    /// Waits for more bytes; says whether there are any. A broken connection is an end.
    async fn more(&mut self) -> bool {
        match self.response.chunk().await {
            Ok(Some(bytes)) => self.received.extend_from_slice(&bytes),
            Ok(None) | Err(_) => self.ended = true,
        }
        !self.ended
    }

    /// The next line without its end; nothing at the end of the body. A call that is given up loses nothing.
    ///
    /// # Errors
    /// When the line is not UTF-8.
    pub async fn next(&mut self) -> Result<Option<String>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.received[seen..].iter().position(|&b| b == b'\n') {
                let mut line = self.received.split_to(seen + at + 1);
                line.truncate(seen + at);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(std::str::from_utf8(&line)?.to_owned()));
            }
            seen = self.received.len();
            if !self.more().await {
                return Ok(None);
            }
        }
    }

    /// The next piece after its length, four bytes big-endian; nothing at the end of the body. A call that is given up
    /// loses nothing.
    pub async fn next_piece(&mut self) -> Option<Bytes> {
        loop {
            if let Some(&[a, b, c, d]) = self.received.first_chunk() {
                let end = 4 + u32::from_be_bytes([a, b, c, d]) as usize;
                if self.received.len() >= end {
                    return Some(self.received.split_to(end).freeze().slice(4..));
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }
}
