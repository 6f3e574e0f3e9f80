//! A way to a broker that can be cut and mended: what a client goes through when the network fails and the broker lives on.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on to a broker, as long as it is whole.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    way: watch::Sender<Way>,
    accepting: JoinHandle<()>,
}

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    Cut,
}

impl Relay {
    /// A way to the address, whole at first.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn to(broker: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (way, watched) = watch::channel(Way::Whole);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, broker, watched.clone()));
            }
        });
        Ok(Self {
            address,
            way,
            accepting,
        })
    }

    /// The base of the HTTP addresses that lead to the broker.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection, and new ones as they come.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.way.send_replace(Way::Whole);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut client: TcpStream, broker: SocketAddr, mut way: watch::Receiver<Way>) {
    let cut = async {
        // The relay is gone when there is nobody to cut it any more.
        let _ = way.wait_for(|way| *way == Way::Cut).await;
    };
    let through = async {
        if let Ok(mut server) = TcpStream::connect(broker).await {
            // How a connection ends is for client and broker to notice.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    };
    tokio::select! {
        biased;
        () = cut => {}
        () = through => {}
    }
}
