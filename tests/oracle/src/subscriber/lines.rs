//! What a program has with an HTTP response that goes on: it resumes from the cursor of the last whole line.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use widecast_tests::subscriber::lines::Lines;

use crate::payload::Shown;

use super::http::{ask, cursor_header, place_of};
use super::{Subscriber, unless_silent};

/// A reader of objects on lines, and its last cursor.
#[derive(Default)]
pub(super) struct LineReader {
    pub(super) cursor: Option<String>,
}

impl LineReader {
    pub(super) async fn connection(&mut self, it: &mut Subscriber) -> Result<String> {
        let cursor = self.cursor.as_deref();
        let from = cursor.map(|cursor| it.read(cursor)).transpose()?;
        it.asked("lines", from);
        let query = self.cursor.iter();
        let query = query.map(|cursor| ("cursor".to_owned(), cursor.clone()));
        let response = ask(it, "stream", query.collect(), None).await?;
        let begin = cursor_header(response.headers()).context("no Widecast-Cursor")?;
        it.given("header", &begin)?;
        self.cursor = Some(begin);
        let mut lines = Lines::new(response);
        while let Some(line) = unless_silent(lines.next()).await? {
            if !line.is_empty() {
                self.take(it, "line", &line)?;
            }
        }
        Ok("the end".to_owned())
    }

    /// Takes an object; `by` is what carries its cursor.
    pub(super) fn take(&mut self, it: &Subscriber, by: &'static str, line: &str) -> Result<()> {
        let Ok(mut object) = serde_json::from_str::<Value>(line) else {
            it.strange(format!("the {by} {line:.300}"));
            bail!("what is not JSON");
        };
        let cursor = object["cursor"].as_str().map(str::to_owned);
        match object["type"].as_str() {
            None => {
                let shown = Shown::Value(object["data"].take());
                let places = it.read(cursor.as_deref().unwrap_or_default())?;
                let place = |channel: &str| place_of(&object, places.get(channel)?);
                let told = it.catalog.heard(&shown, object["event"].as_str(), place);
                it.log.tell(told);
            }
            Some("gap") => {
                let channel = object["channel"].as_str().unwrap_or_default();
                it.gap(channel, cursor.as_deref())?;
            }
            Some("subscribed" | "cursor") => {}
            Some(_) => return Ok(()),
        }
        if let Some(cursor) = cursor {
            it.given(by, &cursor)?;
            self.cursor = Some(cursor);
        }
        Ok(())
    }
}
