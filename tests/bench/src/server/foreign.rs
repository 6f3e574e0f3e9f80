//! Starting programs that do not say when they can be reached: their port is chosen for them, and tried until it answers.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::Server;

/// How long one may take to start: this many times ten milliseconds.
const START_TRIES: usize = 500;
const START_INTERVAL: Duration = Duration::from_millis(10);

/// An address that is free now; nobody else here takes ports in the moment until the program does.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Starts a program that will listen on `address`. `counted` finds the process whose work counts, once there is one.
pub(super) fn start(
    mut command: Command,
    address: SocketAddr,
    directory: TempDir,
    counted: impl Fn(u32) -> Result<Option<u32>>,
) -> Result<Server> {
    let log = directory.path().join("log");
    let file = fs::File::create(&log)?;
    let mut process = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    match wait(&mut process, address, counted) {
        Ok(counted) => Ok(Server {
            process,
            address,
            counted,
            end: Signal::TERM,
            headers: String::new(),
            files: Some(directory),
        }),
        Err(error) => {
            // It has ended, or never served: nothing to lose either way.
            let _ = process.kill();
            let _ = process.wait();
            Err(error.context(fs::read_to_string(log).unwrap_or_default()))
        }
    }
}

fn wait(
    process: &mut Child,
    address: SocketAddr,
    counted: impl Fn(u32) -> Result<Option<u32>>,
) -> Result<u32> {
    for _ in 0..START_TRIES {
        thread::sleep(START_INTERVAL);
        if let Some(status) = process.try_wait()? {
            bail!("it ended with {status}");
        }
        if let Some(counted) = counted(process.id())?
            && TcpStream::connect(address).is_ok()
        {
            return Ok(counted);
        }
    }
    bail!("nobody answers on {address}")
}
