//! `widecast key`: makes an API key.

use std::io::Write;

use super::credential_arguments::KeyArguments;
use super::error::CliError;
use crate::auth::new_api_key;
use crate::config::KeyHash;

/// Prints a new API key, and the settings by which the broker knows it.
///
/// # Errors
/// When the output cannot be written.
pub fn make_key(arguments: &KeyArguments, output: &mut dyn Write) -> Result<(), CliError> {
    let key = new_api_key();
    let (name, hash) = (arguments.name.as_str(), KeyHash::of(&key));
    let text = format!(
        "# The key, for the backend's `Authorization: Bearer …`. It is not shown again:\n# {key}\n\n\
         # For the broker's settings file:\n[[auth.api_key]]\nname = {name:?}\nhash = \"{hash}\"\n\
         allow = {{ \"*\" = [\"publish\", \"history\", \"presence\"] }}\n"
    );
    output.write_all(text.as_bytes()).map_err(CliError::Output)
}
