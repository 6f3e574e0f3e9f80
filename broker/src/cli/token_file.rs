//! `--token-file`: a file that holds a token or an API key, and may be replaced while a command runs.

use std::io::Read;
use std::path::Path;

use super::error::CliError;
use crate::config::open_regular_file;

/// The most that a file may have: twice as much as the longest token that a broker takes, for white space around it.
const MAX_BYTES: u64 = 16 * 1024;

/// The token or API key that the file holds now, without the white space around it.
///
/// # Errors
/// When the file cannot be read, or holds nothing, or something else. What it holds is not told.
pub(super) fn read_token(file: &Path) -> Result<String, CliError> {
    let unusable = |reason: String| CliError::TokenFile {
        file: file.to_owned(),
        reason,
    };
    let mut held = Vec::new();
    let opened = open_regular_file(file);
    let read = opened.and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut held));
    read.map_err(|error| unusable(error.to_string()))?;
    if held.len() as u64 > MAX_BYTES {
        return Err(unusable(format!("it has more than {MAX_BYTES} bytes")));
    }
    let token = held.trim_ascii();
    if token.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    let is_one_word = token.iter().all(u8::is_ascii_graphic);
    match String::from_utf8(token.to_vec()) {
        Ok(token) if is_one_word => Ok(token),
        _ => Err(unusable(
            "a token has no blanks and no characters that are not ASCII".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_holds_one_word_and_an_error_does_not_tell_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |held: &str| {
            fs::write(&path, held).unwrap();
            let read = read_token(&path).map_err(|error| error.to_string());
            read.map_err(|error| error.replace(&path.display().to_string(), "FILE"))
        };
        assert_eq!(read(" a.b.c\r\n").as_deref(), Ok("a.b.c"));
        insta::assert_snapshot!(read(" \n").unwrap_err(), @"cannot use the token file FILE: it is empty; expected a file with a token or API key and nothing else");
        let several = "cannot use the token file FILE: a token has no blanks and no characters that are not ASCII; expected a file with a token or API key and nothing else";
        assert_eq!(read("secret key").unwrap_err(), several);
        assert_eq!(read("schl\u{fc}ssel").unwrap_err(), several);
        insta::assert_snapshot!(read(&"s".repeat(16_385)).unwrap_err(), @"cannot use the token file FILE: it has more than 16384 bytes; expected a file with a token or API key and nothing else");
        let missing = read_token(Path::new("missing")).unwrap_err();
        insta::assert_snapshot!(missing, @"cannot use the token file missing: No such file or directory (os error 2); expected a file with a token or API key and nothing else");
        assert_eq!(missing.exit_status(), 2);
        let directory = read_token(Path::new("/")).unwrap_err();
        insta::assert_snapshot!(directory, @"cannot use the token file /: it is a directory and no regular file; expected a file with a token or API key and nothing else");
    }
}
