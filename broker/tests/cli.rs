//! The binary from outside: exit statuses and what is said. What needs a serving broker is in `tests/tests/cli.rs`.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use anyhow::{Context, Result};

/// A command that sees no settings but those of the test.
fn widecast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widecast"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WIDECAST_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(arguments: &[&str]) -> Result<Output> {
    Ok(widecast(arguments).output()?)
}

/// The exit status and the one line on standard error of a command that prints nothing else.
fn refusal(output: &Output) -> Result<(i32, String)> {
    let line = String::from_utf8(output.stderr.clone())?;
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(output.stdout.is_empty());
    let status = output.status.code().context("killed by a signal")?;
    Ok((status, line.trim_end().to_owned()))
}

#[test]
fn help_and_version_are_no_errors() -> Result<()> {
    for flag in ["--help", "--version"] {
        let output = run(&[flag])?;
        assert!(output.status.success());
        assert!(output.stderr.is_empty());
        assert!(String::from_utf8_lossy(&output.stdout).contains("widecast"));
    }
    Ok(())
}

#[test]
fn a_missing_subcommand_is_status_2_with_the_help() -> Result<()> {
    let output = run(&["config"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr)?;
    assert!(text.starts_with("Check or show the settings"), "{text}");
    assert!(
        text.contains("Usage: widecast config") && text.contains("explain"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_bad_variable_of_an_argument_is_named() -> Result<()> {
    let publish = ["publish", "a", "b"];
    for (variable, value, arguments) in [
        ("WIDECAST_CONFIG", "", &["config", "check"][..]),
        ("WIDECAST_TOKEN", "", &publish),
        ("WIDECAST_TOKEN_FILE", "", &publish),
        ("WIDECAST_URL", "", &publish),
        ("WIDECAST_URL", "localhost", &publish),
    ] {
        let output = widecast(arguments).env(variable, value).output()?;
        let (status, line) = refusal(&output)?;
        assert_eq!(status, 2, "{line}");
        assert!(line.contains(variable), "{variable}: {line}");
        assert_eq!(line.contains("is empty"), value.is_empty(), "{line}");
    }
    // It is not the variable's fault where the flag is given.
    let arguments = ["publish", "a", "b", "--url=localhost"];
    let output = widecast(&arguments)
        .env("WIDECAST_URL", "http://a")
        .output()?;
    let (_, line) = refusal(&output)?;
    assert!(
        line.contains("--url") && !line.contains("WIDECAST_URL"),
        "{line}"
    );
    Ok(())
}

#[test]
fn no_secret_is_repeated() -> Result<()> {
    let url = "http://me:hunter2@here";
    let key = "wck_hunter2";
    for arguments in [
        &["publish", "a", "b", "--url", url][..],
        &["publish", "a", "b", "--url", "me:hunter2@here:80"],
        &["publish", "a", "b", url],
        &["publish", "a", "b", key],
        &["--set", "auth.hook.url=https://me:hunter2@here"],
        &["--set", url],
        &["--listen", url],
        &[url],
    ] {
        let (status, line) = refusal(&run(arguments)?)?;
        assert_eq!(status, 2, "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    for arguments in [&["publish", "--help"], &["publish", "-h"]] {
        let output = widecast(arguments)
            .env("WIDECAST_URL", "http://me:hunter2@here")
            .output()?;
        assert!(!String::from_utf8(output.stdout)?.contains("hunter2"));
    }
    Ok(())
}

#[test]
fn a_token_file_that_is_none_is_told_and_not_waited_for() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    for (path, what) in [(directory.path(), "a directory"), (&pipe, "a named pipe")] {
        let path = path.to_str().context("a path of text")?;
        for command in [&["publish", "a", "b"][..], &["subscribe", "a"], &["nodes"]] {
            let arguments = [command, &["--token-file", path]].concat();
            let (status, line) = refusal(&run(&arguments)?)?;
            assert_eq!(status, 2, "{line}");
            assert!(line.contains(what) && line.contains(path), "{line}");
        }
    }
    Ok(())
}

#[test]
fn what_the_settings_name_is_looked_at_as_at_the_start() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let foreign = directory.path().join("foreign");
    fs::create_dir(&foreign)?;
    fs::write(foreign.join("notes"), "")?;
    fs::write(directory.path().join("short"), "secret")?;
    let file = r#"
        [auth.jwt]
        hmac_secret_file = "short"
        public_key_files = ["none.pem", "foreign"]
        [auth.hook]
        url = "https://login.example/"
        secret_file = "short"
        [engine.default]
        kind = "redis"
        url = "redis://:hunter2@127.0.0.1:1?nmae=x"
        password_file = "nowhere"
        [engine.several]
        kind = "redis"
        urls = ["redsi://a", "redis://b", "redis://b"]
        [engine.kept]
        kind = "disk"
        path = "foreign"
        [engine.buried]
        kind = "disk"
        path = "short/deeper"
    "#;
    fs::write(directory.path().join("widecast.toml"), file)?;
    let errors = |arguments: &[&str]| -> Result<String> {
        let output = widecast(arguments).current_dir(&directory).output()?;
        assert_eq!(output.status.code(), Some(2));
        Ok(String::from_utf8(output.stderr)?)
    };
    let checked = errors(&["config", "check"])?;
    assert_eq!(errors(&["serve", "--listen", "127.0.0.1:0"])?, checked);
    insta::assert_snapshot!(checked, @r#"
    error: cannot serve: the key file short cannot be used: the secret has 6 bytes, at least 32 are needed: make one with `openssl rand -base64 48`
    error: cannot serve: cannot read the key file none.pem: No such file or directory (os error 2)
    error: cannot serve: cannot read the key file foreign: it is a directory and no regular file
    error: cannot serve: the secret of the authorisation hook short has 6 bytes, at least 32 are needed: make one with `openssl rand -base64 48`
    error: cannot serve: engine.default: expected the password in the file "nowhere": No such file or directory (os error 2)
    error: cannot serve: engine.default: redis://:…@127.0.0.1:1?nmae=x: its parameter `nmae` is unknown (known: name, protocol); expected redis://[user[:password]@]host[:port][/database], redis+sentinel://[user[:password]@]host[:port],…/primary[/database], redis+cluster://[user[:password]@]host[:port],…, or rediss… for TLS
    error: cannot serve: engine.buried: expected a directory at short: there is a file. Name another directory in `path`
    error: cannot serve: engine.kept: the directory foreign has files of something else; choose an empty or a new one
    error: cannot serve: engine.several: redsi://a: its scheme is unknown; expected redis://[user[:password]@]host[:port][/database], redis+sentinel://[user[:password]@]host[:port],…/primary[/database], redis+cluster://[user[:password]@]host[:port],…, or rediss… for TLS
    error: cannot serve: engine.several: `urls` has the server b:6379 twice: each needs an address, or a name (`?name=…`), of its own
    "#);
    Ok(())
}

#[test]
fn a_bad_flag_is_status_2_and_names_the_flag() -> Result<()> {
    let (status, line) = refusal(&run(&["--lisen", "127.0.0.1:1"])?)?;
    assert_eq!(status, 2);
    insta::assert_snapshot!(line, @"error: unexpected argument '--lisen' found; a similar argument exists: '--listen'; see widecast --help");
    Ok(())
}

#[test]
fn a_bad_setting_is_status_2_and_names_file_line_and_cure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("widecast.toml");
    fs::write(path, "[limits]\nmesage_bytes = 1\n")?;
    for arguments in [&["serve"][..], &["config", "check"], &["config", "show"]] {
        let output = widecast(arguments).current_dir(&directory).output()?;
        let (status, line) = refusal(&output)?;
        assert_eq!(status, 2);
        insta::allow_duplicates! { insta::assert_snapshot!(line, @"error: widecast.toml:2: unknown setting limits.mesage_bytes (did you mean limits.message_bytes?); `widecast config show` lists all"); }
    }
    Ok(())
}

#[test]
fn config_check_prints_what_the_broker_would_warn_of() -> Result<()> {
    let output = run(&["config", "check", "--set", "history.total_bytes=65536"])?;
    assert!(output.status.success());
    insta::assert_snapshot!(String::from_utf8(output.stdout)?, @r"
    the settings can be used; no file
    warning: history.total_bytes is less than limits.message_bytes: a subscriber that is away when a larger message comes is told of a gap
    ");
    Ok(())
}

#[test]
fn everything_that_is_wrong_with_the_settings_is_told_at_once() -> Result<()> {
    let output = widecast(&["config", "check", "--set", "limits.message_byte=1"])
        .args(["--listen", "0.0.0.0:0", "--workers", "many"])
        .env("WIDECAST_LISTEN", ":0")
        .output()?;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr)?;
    let named = [
        "WIDECAST_SERVER_LISTEN",
        "limits.message_bytes",
        "--workers",
        "--allow-public-without-authentication",
    ];
    assert_eq!(text.lines().count(), named.len(), "{text}");
    for (line, name) in text.lines().zip(named) {
        assert!(line.starts_with("error: ") && line.contains(name), "{line}");
    }
    Ok(())
}

#[test]
fn a_missing_file_is_status_2() -> Result<()> {
    let (status, line) = refusal(&run(&["--config", "/nowhere/widecast.toml"])?)?;
    assert_eq!(status, 2);
    insta::assert_snapshot!(line, @"error: cannot read the configuration file /nowhere/widecast.toml: No such file or directory (os error 2)");
    Ok(())
}

#[test]
fn a_bad_variable_is_status_2() -> Result<()> {
    let output = widecast(&[])
        .env("WIDECAST_LIMIT_MESSAGE_BYTES", "1")
        .output()?;
    let (status, line) = refusal(&output)?;
    assert_eq!(status, 2);
    insta::assert_snapshot!(line, @"error: unknown environment variable WIDECAST_LIMIT_MESSAGE_BYTES (did you mean WIDECAST_LIMITS_MESSAGE_BYTES?); those that begin with WIDECAST_ are settings");
    Ok(())
}

#[test]
fn a_public_address_without_authentication_is_refused_with_the_flag_that_allows_it() -> Result<()> {
    let (status, line) = refusal(&run(&["--listen", "0.0.0.0:0"])?)?;
    assert_eq!(status, 2);
    let flag = "--allow-public-without-authentication";
    assert!(line.contains(flag), "{line}");
    let allowed = run(&["config", "check", "--listen", "0.0.0.0:0", flag])?;
    assert!(allowed.status.success());
    Ok(())
}

#[test]
fn an_address_in_use_is_status_2_and_says_so() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let (status, line) = refusal(&run(&["--listen", &address])?)?;
    assert_eq!(status, 2);
    assert!(line.contains(&address), "{line}");
    Ok(())
}

#[test]
fn a_broker_that_is_not_there_is_status_1() -> Result<()> {
    // A port that was free a moment ago and that nobody listens on now.
    let free = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", free.local_addr()?);
    drop(free);
    let (status, line) = refusal(&run(&["publish", "a", "b", "--url", &url])?)?;
    assert_eq!(status, 1);
    assert!(line.contains(&url), "{line}");
    for transport in ["ws", "sse", "stream", "poll"] {
        let arguments = ["subscribe", "a", "--transport", transport, "--url", &url];
        let (status, line) = refusal(&run(&arguments)?)?;
        assert_eq!(status, 1, "{transport}");
        assert!(line.contains(&url), "{line}");
    }
    Ok(())
}
