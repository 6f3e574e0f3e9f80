//! A proxy that adds TLS in front of a broker, as nginx or Caddy would, with an authority of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A proxy for `https://localhost`; it ends with this.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    authority: PathBuf,
    accepting: JoinHandle<()>,
    _directory: TempDir,
}

impl TlsProxy {
    /// A proxy in front of the address.
    ///
    /// # Errors
    /// When no certificate can be made, or no port can be listened on.
    pub async fn to(broker: SocketAddr) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let directory = tempfile::tempdir()?;
        let authority = directory.path().join("ca.pem");
        std::fs::write(&authority, issuer.pem())?;

        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), client, broker));
            }
        });
        Ok(Self {
            address,
            authority,
            accepting,
            _directory: directory,
        })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The PEM file of the authority that signed the certificate.
    pub fn authority(&self) -> String {
        self.authority.display().to_string()
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(acceptor: TlsAcceptor, client: TcpStream, broker: SocketAddr) {
    // A client that does not trust the certificate ends the handshake.
    let Ok(mut client) = acceptor.accept(client).await else {
        return;
    };
    if let Ok(mut broker) = TcpStream::connect(broker).await {
        // Either side may end it.
        let _ = copy_bidirectional(&mut client, &mut broker).await;
    }
}
