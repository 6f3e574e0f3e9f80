//! An event stream, read as the standard says
//! ([HTML, section 9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation)),
//! except that blocks without data are shown too.

use anyhow::Result;

use super::lines::Lines;

/// One block of an event stream, up to its empty line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The last `id:`.
    pub id: Option<String>,
    /// The last `event:`.
    pub event: Option<String>,
    /// All `data:` lines, joined by line feeds.
    pub data: Option<String>,
    /// The last `retry:`.
    pub retry: Option<String>,
    /// How many comment lines there were.
    pub comments: usize,
}

/// Reads blocks off a response.
pub struct EventStream {
    lines: Lines,
    block: Block,
}

impl EventStream {
    /// Reads the body of the response.
    pub fn new(response: reqwest::Response) -> Self {
        Self {
            lines: Lines::new(response),
            block: Block::default(),
        }
    }

    /// The next block, comments alone included; nothing at the end of the stream. A call that is given up loses nothing.
    ///
    /// # Errors
    /// When a line is not UTF-8.
    pub async fn next(&mut self) -> Result<Option<Block>> {
        while let Some(line) = self.lines.next().await? {
            if line.is_empty() {
                let block = std::mem::take(&mut self.block);
                if block != Block::default() {
                    return Ok(Some(block));
                }
            } else {
                self.block.take_line(&line);
            }
        }
        // A block that is cut off is no block.
        Ok(None)
    }
}

impl Block {
    fn take_line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" => self.comments += 1,
            "id" if !value.contains('\0') => self.id = Some(value),
            "event" => self.event = Some(value),
            "retry" => self.retry = Some(value),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value),
            },
            _ => {}
        }
    }
}
