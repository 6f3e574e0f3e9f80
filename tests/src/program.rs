//! Where the `widecast` binary is, built if need be.
//!
//! `tests/run` builds it beforehand and sets `BROKER_BINARY`; a plain `cargo test` builds it here, once per test
//! program, because cargo does not build the binary of another package for a test.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::sync::OnceCell;

static BINARY: OnceCell<PathBuf> = OnceCell::const_new();

/// Names the binary to test, before the first use of [`binary`].
///
/// # Errors
/// When a binary is in use already.
pub fn use_binary(path: PathBuf) -> Result<()> {
    BINARY.set(path).context("a binary is in use already")
}

/// The path of the binary.
///
/// # Errors
/// When it cannot be built.
pub async fn binary() -> Result<&'static Path> {
    let path = BINARY.get_or_try_init(find_or_build).await?;
    Ok(path)
}

async fn find_or_build() -> Result<PathBuf> {
    if let Some(path) = env::var_os("BROKER_BINARY") {
        return Ok(path.into());
    }
    // A program is target/PROFILE/NAME, a test program target/PROFILE/deps/NAME-HASH.
    let program = env::current_exe()?;
    let directory = program.parent().context("no target directory")?;
    let target = match directory.parent() {
        Some(parent) if directory.ends_with("deps") => parent,
        _ => directory,
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "widecast",
        "--bin",
        "widecast",
    ]);
    if target.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    if !output.status.success() {
        bail!("cargo build: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(target.join("widecast"))
}
