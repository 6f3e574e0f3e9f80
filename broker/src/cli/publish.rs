//! `widecast publish`: one POST, and the broker's answer on standard output.

use std::ffi::OsString;
use std::io::{self, Read, Write};

use bytes::Bytes;
use widecast_client::{Client, Data, Error, Published};

use super::arguments::{DataForm, PublishArguments};
use super::error::CliError;

/// Publishes one message and prints the answer.
///
/// # Errors
/// When the data cannot be read, the broker cannot be reached or refuses, or the answer cannot be printed.
pub fn publish(arguments: &PublishArguments, output: &mut dyn Write) -> Result<(), CliError> {
    let data = read_data(arguments.data.as_ref(), &mut io::stdin())?;
    let data = data_of(arguments.form.form(), data)?;
    let sent = async |client: &Client| send(client, arguments, &data).await;
    let published = actix_rt::System::new().block_on(arguments.broker.ask(sent))?;
    let printed = serde_json::to_writer(&mut *output, &published)
        .map_err(io::Error::from)
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

/// The data in the form that it is said to have, or that it looks like.
fn data_of(asked: Option<DataForm>, data: Bytes) -> Result<Data, CliError> {
    let form = asked.unwrap_or_else(|| form_of(&data));
    match form {
        DataForm::Json => Data::json(data).map_err(|_| CliError::NotInForm("JSON")),
        DataForm::MessagePack => {
            Data::msgpack(data).map_err(|_| CliError::NotInForm("MessagePack"))
        }
        DataForm::Binary => Ok(Data::binary(data)),
        DataForm::Text => match String::from_utf8(data.into()) {
            Ok(text) => Ok(Data::text(text)),
            Err(_) => Err(CliError::NotInForm("UTF-8 text")),
        },
    }
}

/// What the data looks like, by the rule that the broker has for forms: JSON if it begins like an object or an array and is
/// one, else a string, else bytes.
fn form_of(data: &Bytes) -> DataForm {
    let begins_so = matches!(data.trim_ascii_start().first(), Some(b'{' | b'['));
    if begins_so && Data::json(data.clone()).is_ok() {
        DataForm::Json
    } else if std::str::from_utf8(data).is_ok() {
        DataForm::Text
    } else {
        DataForm::Binary
    }
}

async fn send(
    client: &Client,
    arguments: &PublishArguments,
    data: &Data,
) -> Result<Published, Error> {
    let mut message = client.publish_data(arguments.channel.as_str(), data.clone());
    if let Some(event) = &arguments.event {
        message = message.event(event.as_str());
    }
    if let Some(key) = &arguments.idempotency_key {
        message = message.idempotency_key(key.as_str());
    }
    message.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_what_it_looks_like_unless_it_is_said() {
        let made = |asked, data: &'static [u8]| data_of(asked, Bytes::from_static(data)).ok();
        let json = |text: &'static str| Data::json(text).ok();
        assert_eq!(made(None, b" {\"a\":1}"), json(" {\"a\":1}"));
        assert_eq!(made(None, b"[broken"), Some(Data::text("[broken")));
        assert_eq!(made(None, b"5"), Some(Data::text("5")));
        assert_eq!(made(None, b"\xff"), Some(Data::binary(&b"\xff"[..])));
        assert_eq!(made(Some(DataForm::Json), b"5"), json("5"));
        assert_eq!(made(Some(DataForm::Json), b"hello"), None);
        assert_eq!(made(Some(DataForm::Text), b"\xff"), None);
        assert_eq!(made(Some(DataForm::MessagePack), b"\x91"), None);
        assert_eq!(
            made(Some(DataForm::Binary), b"{}"),
            Some(Data::binary("{}"))
        );
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
