//! All that a broker can be asked for, as it and its description list it: nothing here is listed by hand.

use anyhow::{Context, Result};
use bytes::Bytes;
use reqwest::Method;
use widecast_protocol::codec::{Codec, decode_commands};

use crate::broker::Broker;

/// A path and one of the methods that the broker answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
}

impl Endpoint {
    /// Every endpoint. The paths are those of `docs/openapi.yaml`, which a unit test of the broker compares with its router; what can
    /// be done at each is what this broker says.
    ///
    /// # Errors
    /// When the description cannot be read, or the broker does not answer.
    pub async fn all(broker: &Broker) -> Result<Vec<Self>> {
        let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.yaml");
        let description = std::fs::read_to_string(description)?;
        let lines = description.lines();
        let paths = lines.filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':'));
        let mut all = Vec::new();
        for path in paths.map(|path| format!("/{path}")) {
            let url = format!("{}{}", broker.base(), path.replace(['{', '}'], ""));
            let answer = broker.http().request(Method::OPTIONS, url).send().await?;
            let allow = answer.headers().get("allow");
            let allow = allow.with_context(|| format!("what {path} allows"))?;
            let methods = allow.to_str()?.split(", ").map(str::parse);
            for method in methods {
                let (method, path) = (method?, path.clone());
                all.push(Self { method, path });
            }
        }
        Ok(all)
    }
}

/// The types of all commands, as the error about an unknown one lists them.
///
/// # Errors
/// When it does not list them.
pub fn command_types() -> Result<Vec<String>> {
    let unknown = Bytes::from_static(br#"{"type":"?"}"#);
    let refused = decode_commands(Codec::Json, &unknown)?.pop();
    let refused = refused.and_then(Result::err).context("it is unknown")?;
    let text = refused.error.to_string();
    let (_, known) = text.split_once("one of ").context("a list")?;
    Ok(known.split(", ").map(str::to_owned).collect())
}
