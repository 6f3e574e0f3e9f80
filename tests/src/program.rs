//! Where the `widecast` binary and the examples are, built if need be.
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
    build(&["--package", "widecast", "--bin", "widecast"]).await?;
    Ok(target()?.join("widecast"))
}

/// The path of an example of a package. `tests/run` has built it, too, with the unit tests of its package.
///
/// # Errors
/// When it cannot be built.
pub async fn example(package: &str, name: &str) -> Result<PathBuf> {
    let path = target()?.join("examples").join(name);
    let is_built = env::var_os("BROKER_BINARY").is_some() && path.exists();
    if !is_built {
        build(&["--package", package, "--example", name]).await?;
    }
    Ok(path)
}

/// Where cargo puts programs: one is target/PROFILE/NAME, a test program target/PROFILE/deps/NAME-HASH.
fn target() -> Result<PathBuf> {
    let program = env::current_exe()?;
    let directory = program.parent().context("no target directory")?;
    let target = match directory.parent() {
        Some(parent) if directory.ends_with("deps") => parent,
        _ => directory,
    };
    Ok(target.to_owned())
}

async fn build(what: &[&str]) -> Result<()> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]).args(what);
    if target()?.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .await?;
    if !output.status.success() {
        bail!("cargo build: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
