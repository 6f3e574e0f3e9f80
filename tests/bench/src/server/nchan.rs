//! A peer: nginx with the nchan module, set up to do what the broker does on the paths that both can serve.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::foreign::{free_address, start};
use super::process::Server;

const NGINX: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

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
        let address = free_address()?;
        let file = directory.path().join("nginx.conf");
        fs::write(&file, configuration(directory.path(), address))?;
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file);
        start(command, address, directory, worker)
    }
}

/// The process that serves: the master's first child.
fn worker(master: u32) -> Result<Option<u32>> {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))
        .context("reading the workers of nginx")?;
    let worker = children.split_whitespace().next().map(str::parse);
    Ok(worker.transpose()?)
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
