//! `widecast publish`: one POST, and the broker's answer on standard output.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::time::Duration;

use awc::http::header::{CONTENT_TYPE, HeaderName};
use bytes::Bytes;

use super::arguments::{DataForm, PublishArguments};
use super::broker::{Problem, encoded};
use super::error::{CliError, chain};
use super::tls::client;

/// The most an answer may have: it is small, whatever answers.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How long the answer may take: a broker that has too much to do lets publishers wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes one message and prints the answer.
///
/// # Errors
/// When the data cannot be read, the broker cannot be reached or refuses, or the answer cannot be printed.
pub fn publish(arguments: &PublishArguments, output: &mut dyn Write) -> Result<(), CliError> {
    let data = read_data(arguments.data.as_ref(), &mut io::stdin())?;
    let form = form_of(arguments.form.form(), &data)?;
    let system = actix_rt::System::new();
    let answer = system.block_on(post(arguments, form, data))?;
    let printed = output
        .write_all(answer.trim_ascii_end())
        .and_then(|()| output.write_all(b"\n"))
        .and_then(|()| output.flush());
    printed.map_err(CliError::Output)
}

fn read_data(argument: Option<&OsString>, input: &mut dyn Read) -> Result<Bytes, CliError> {
    match argument {
        Some(data) if data != "-" => Ok(Bytes::from(data.clone().into_encoded_bytes())),
        _ => {
            let mut data = Vec::new();
            input.read_to_end(&mut data).map_err(CliError::Input)?;
            Ok(Bytes::from(data))
        }
    }
}

/// What the data is: as was said, or by the rule the broker has for forms: JSON if it begins like an object or an array
/// and is one, else a string, else bytes.
fn form_of(asked: Option<DataForm>, data: &[u8]) -> Result<DataForm, CliError> {
    let is_json = || serde_json::from_slice::<&serde_json::value::RawValue>(data).is_ok();
    let is_text = || std::str::from_utf8(data).is_ok();
    match asked {
        Some(DataForm::Json) if !is_json() => Err(CliError::NotInForm("JSON")),
        Some(DataForm::Text) if !is_text() => Err(CliError::NotInForm("UTF-8 text")),
        Some(form) => Ok(form),
        None if matches!(data.trim_ascii_start().first(), Some(b'{' | b'[')) && is_json() => {
            Ok(DataForm::Json)
        }
        None if is_text() => Ok(DataForm::Text),
        None => Ok(DataForm::Binary),
    }
}

async fn post(
    arguments: &PublishArguments,
    form: DataForm,
    data: Bytes,
) -> Result<Bytes, CliError> {
    let broker = &arguments.broker.url;
    let event = arguments.event.as_ref();
    let query = event.map_or_else(String::new, |name| {
        format!("?event={}", encoded(name.as_str()))
    });
    let channel = encoded(arguments.channel.as_str());
    let url = broker.join(&format!("/channels/{channel}/messages{query}"));
    let mut request = client(arguments.broker.tls()?.as_ref())
        .post(url)
        .timeout(PATIENCE)
        .insert_header((CONTENT_TYPE, content_type(form)));
    if let Some(key) = &arguments.idempotency_key {
        let name = HeaderName::from_static("idempotency-key");
        request = request.insert_header((name, key.as_str()));
    }
    let unreachable = |reason: String| CliError::unreachable(broker, reason);
    let mut response = request
        .send_body(data)
        .await
        .map_err(|error| unreachable(chain(&error)))?;
    let body = response.body().limit(MAX_ANSWER_BYTES).await;
    let body = body.map_err(|error| unreachable(chain(&error)))?;
    if response.status().is_success() {
        return Ok(body);
    }
    let problem = Problem::read(response.status().as_u16(), &body);
    Err(CliError::Refused(problem.to_string()))
}

fn content_type(form: DataForm) -> &'static str {
    match form {
        DataForm::Json => "application/json",
        DataForm::Text => "text/plain; charset=utf-8",
        DataForm::Binary => "application/octet-stream",
        DataForm::MessagePack => "application/msgpack",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_what_it_looks_like_unless_it_is_said() {
        let form = |asked, data: &[u8]| form_of(asked, data).ok();
        assert_eq!(form(None, b" {\"a\":1}"), Some(DataForm::Json));
        assert_eq!(form(None, b"[broken"), Some(DataForm::Text));
        assert_eq!(form(None, b"5"), Some(DataForm::Text));
        assert_eq!(form(None, b"\xff"), Some(DataForm::Binary));
        assert_eq!(form(Some(DataForm::Json), b"5"), Some(DataForm::Json));
        assert_eq!(form(Some(DataForm::Json), b"hello"), None);
        assert_eq!(form(Some(DataForm::Text), b"\xff"), None);
        assert_eq!(form(Some(DataForm::Binary), b"{}"), Some(DataForm::Binary));
    }

    #[test]
    fn a_dash_or_nothing_reads_standard_input() {
        let read = |argument: Option<&str>| {
            let argument = argument.map(OsString::from);
            read_data(argument.as_ref(), &mut &b"input"[..]).unwrap()
        };
        assert_eq!(read(None), "input");
        assert_eq!(read(Some("-")), "input");
        assert_eq!(read(Some("x")), "x");
    }
}
