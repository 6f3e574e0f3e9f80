//! A peer: nginx with the nchan module, set up to do what the broker does on the paths that both can serve.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::process::Server;

const NGINX: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// How long nginx may take to start: this many times ten milliseconds.
const START_TRIES: usize = 500;
const START_INTERVAL: Duration = Duration::from_millis(10);

impl Server {
    /// Starts Debian's nginx with nchan, with one worker and the broker's limits for history.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn nchan() -> Result<Self> {
        if !Path::new(NGINX).exists() || !Path::new(MODULE).exists() {
            bail!("expected {NGINX} and {MODULE}: apt-get install nginx libnginx-mod-nchan");
        }
        let directory = tempfile::tempdir()?;
        // Free now; nobody else here takes ports in the moment until nginx does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path(), address))?;
        let mut process = Command::new(NGINX)
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("error.log"))?)
            .spawn()
            .context("starting nginx")?;
        match worker(&mut process, address) {
            Ok(counted) => Ok(Self {
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
                let log = fs::read_to_string(directory.path().join("error.log"));
                Err(error.context(log.unwrap_or_default()))
            }
        }
    }
}

/// Waits until nginx answers; gives the process that does.
fn worker(process: &mut Child, address: SocketAddr) -> Result<u32> {
    let master = process.id();
    for _ in 0..START_TRIES {
        thread::sleep(START_INTERVAL);
        if let Some(status) = process.try_wait()? {
            bail!("nginx ended with {status}");
        }
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))
            .context("reading the workers of nginx")?;
        let worker = children.split_whitespace().next();
        if let Some(worker) = worker
            && TcpStream::connect(address).is_ok()
        {
            return Ok(worker.parse()?);
        }
    }
    bail!("nginx does not answer on {address}")
}

fn configuration(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    format!(
        r"load_module {MODULE};
daemon off;
worker_processes 1;
user root;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 19000; use epoll; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    tcp_nodelay on;
    nchan_shared_memory_size 256M;
    nchan_message_buffer_length 256;
    nchan_message_timeout 5m;
    server {{
        listen {address} backlog=4096;
        location ~ ^/channels/([^/]+)/messages$ {{ nchan_publisher; nchan_channel_id $1; }}
        location ~ ^/channels/([^/]+)/ws$ {{ nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message newest; }}
        location ~ ^/channels/([^/]+)/sse$ {{ nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest; }}
    }}
}}
"
    )
}
