//! What a program has with an HTTP response that goes on: it resumes from the cursor of the last whole line.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use widecast_tests::subscriber::lines::Lines;

use crate::payload::Shown;

use super::http::{ask, cursor_header};
use super::{Subscriber, unless_silent};

/// A reader of lines, and its last cursor.
#[derive(Default)]
pub(super) struct LineReader {
    cursor: Option<String>,
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
                self.take(it, &line)?;
            }
        }
        Ok("the end".to_owned())
    }

    fn take(&mut self, it: &Subscriber, line: &str) -> Result<()> {
        let Ok(mut object) = serde_json::from_str::<Value>(line) else {
            it.strange(format!("the line {line:.300}"));
            bail!("a line that is not JSON");
        };
        let cursor = object["cursor"].as_str().unwrap_or_default().to_owned();
        match object["type"].as_str() {
            None => {
                let shown = Shown::Value(object["data"].take());
                let places = it.read(&cursor)?;
                let place = |channel: &str| places.get(channel).cloned();
                let told = it.catalog.heard(&shown, object["event"].as_str(), place);
                it.log.tell(told);
            }
            Some("gap") => {
                it.gap(object["channel"].as_str().unwrap_or_default(), &cursor)?;
                if it.spec.channels.len() > 1 && !cursor.contains('=') {
                    // Only of the one channel: it says nothing of the others.
                    return Ok(());
                }
            }
            Some(_) => return Ok(()),
        }
        it.given("line", &cursor)?;
        self.cursor = Some(cursor);
        Ok(())
    }
}
