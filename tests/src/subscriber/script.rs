//! What a page makes of the scripts that it is answered over JSONP.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The function that the clients here have called.
pub const CALLBACK: &str = "widecast.callbacks.f1";

/// What the script calls the function with; an answer that is an error is one here.
///
/// # Errors
/// When it is no script that calls the function, or says what went wrong.
pub fn argument_of(script: &str, callback: &str) -> Result<Value> {
    let call = script.trim().strip_prefix("/**/").unwrap_or(script);
    let argument = call
        .strip_prefix(callback)
        .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(");"));
    let argument = argument.with_context(|| format!("not a call of {callback}: {script}"))?;
    if script.contains(['\u{2028}', '\u{2029}', '\r']) {
        bail!("a script with a bare line separator: {script}");
    }
    let quoted = argument
        .strip_prefix("JSON.parse(")
        .and_then(|rest| rest.strip_suffix(')'));
    // A script and JSON have the same escapes in strings.
    let text = quoted.map(serde_json::from_str::<String>).transpose()?;
    let json = text.as_deref().unwrap_or(argument);
    let value: Value = serde_json::from_str(json).with_context(|| script.to_owned())?;
    if let Some(error) = value.get("error") {
        bail!("{error}");
    }
    Ok(value)
}
