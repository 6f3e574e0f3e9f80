//! HTTP streaming: a message object on each line.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::lines::Lines;
use crate::address::address;
use crate::broker::Broker;
use crate::heard::Heard;
use crate::join::Join;

/// A stream of lines.
pub struct RawStream {
    lines: Lines,
    cursor: Option<String>,
}

impl RawStream {
    /// Joins.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn open(broker: &Broker, join: &Join) -> Result<Self> {
        let mut query = join.raw_query();
        query.extend(
            join.cursor
                .clone()
                .map(|cursor| ("cursor".to_owned(), cursor)),
        );
        let url = address(&broker.base(), &join.raw_path("stream"), &query)?;
        let response = broker.http().get(url).send().await?;
        let status = response.status();
        if status != 200 {
            bail!("{status}: {}", response.text().await?);
        }
        let header = response.headers().get("widecast-cursor");
        let cursor = header
            .context("a stream without Widecast-Cursor")?
            .to_str()?
            .to_owned();
        Ok(Self {
            lines: Lines::new(response),
            cursor: Some(cursor),
        })
    }

    /// The next message, gap, or the end.
    ///
    /// # Errors
    /// When a line is not a message object.
    pub async fn next(&mut self) -> Result<Heard> {
        loop {
            let Some(line) = self.lines.next().await? else {
                return Ok(Heard::end());
            };
            if line.is_empty() {
                continue;
            }
            let object: Value = serde_json::from_str(&line).context(line)?;
            if let Some(cursor) = object["cursor"].as_str() {
                self.cursor = Some(cursor.to_owned());
            }
            return Heard::from_object(object);
        }
    }

    /// The cursor of the last line.
    pub fn cursor(&self) -> Option<String> {
        self.cursor.clone()
    }
}
