//! A proxy that adds TLS in front of a broker, as nginx or Caddy would, with an authority of its own; and what a server needs that speaks TLS itself.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::broker::Broker;
use crate::join::Join;
use crate::settings::Settings;
use crate::subscriber::Transport;

/// Makes sure that a broker of these settings has its channels on its servers if it trusts this authority, and none if it trusts another.
///
/// # Errors
/// When that is not so.
pub async fn proves_who_it_is(settings: &Settings, authority: &str) -> Result<()> {
    let broker = Broker::trusting(authority, settings.clone()).await?;
    broker.until_readiness(200).await?;
    // Channels of several parts, where it is a cluster.
    for number in 0..8 {
        let channel = format!("news-{number}");
        let join = Join::channel(&channel);
        let mut subscriber = broker.join(Transport::JsonWebSocket, &join).await?;
        broker.publisher().publish(&channel, "secret").await?;
        let data = subscriber.message().await?.data;
        ensure!(data == "secret", "{data}");
    }
    let stranger = TlsIdentity::new()?;
    let broker = Broker::trusting(&stranger.authority(), settings.clone()).await?;
    let (readiness, log) = (broker.readiness().await?, broker.log());
    ensure!(readiness == 503, "the readiness is {readiness}: {log}");
    ensure!(log.contains("invalid peer certificate"), "{log}");
    Ok(())
}

/// A certificate for `localhost`, its key, and the authority that signed it: PEM files, which are gone with this.
#[derive(Debug)]
pub struct TlsIdentity {
    certificate: Certificate,
    key: KeyPair,
    directory: TempDir,
}

impl TlsIdentity {
    /// A new one.
    ///
    /// # Errors
    /// When no certificate can be made, or no file be written.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        // A certificate with the name of its issuer would look as if it had signed itself.
        let name = "the authority of a test";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let identity = Self {
            certificate,
            key,
            directory: tempfile::tempdir()?,
        };
        std::fs::write(identity.authority(), issuer.pem())?;
        std::fs::write(identity.certificate(), identity.certificate.pem())?;
        std::fs::write(identity.key(), identity.key.serialize_pem())?;
        Ok(identity)
    }

    /// The file of the authority.
    pub fn authority(&self) -> String {
        self.file("ca.pem")
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> String {
        self.file("certificate.pem")
    }

    /// The file of its key.
    pub fn key(&self) -> String {
        self.file("key.pem")
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

/// A proxy for `https://localhost`; it ends with this.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    identity: TlsIdentity,
    accepting: JoinHandle<()>,
}

impl TlsProxy {
    /// A proxy in front of the address.
    ///
    /// # Errors
    /// When no certificate can be made, or no port can be listened on.
    pub async fn to(broker: SocketAddr) -> Result<Self> {
        let identity = TlsIdentity::new()?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![identity.certificate.der().clone()],
                PrivateKeyDer::Pkcs8(identity.key.serialize_der().into()),
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
            identity,
            accepting,
        })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The PEM file of the authority that signed the certificate.
    pub fn authority(&self) -> String {
        self.identity.authority()
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
