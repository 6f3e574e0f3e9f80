//! TLS of the clients: which authorities are trusted.
//!
//! They are those of the system, as for curl: a company's own authority is trusted where the machine trusts it, and
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. `--ca FILE` trusts those of a file and no others.

use std::path::Path;
use std::sync::Arc;

use awc::http::Version;
use awc::{Client, Connector};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::CliError;

/// The only protocol that these clients speak inside of TLS (RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";

/// How a client makes itself sure of a broker that is called by `https://`.
pub(super) type Tls = Arc<ClientConfig>;

/// Trusts the authorities of a PEM file, or those of the system.
pub(super) fn tls(authorities: Option<&Path>) -> Result<Tls, CliError> {
    let roots = match authorities {
        Some(path) => roots_of(path)?,
        None => roots_of_system()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::Tls(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

/// A client that makes TLS connections so, if there are to be any. It waits for as long as an answer takes.
pub(super) fn client(tls: Option<&Tls>) -> Client {
    let builder = Client::builder().disable_timeout();
    match tls {
        // The configuration says which version of HTTP; a limit here would put another in its place.
        Some(tls) => {
            let connector = Connector::new().rustls_0_23(Arc::clone(tls));
            builder.connector(connector).finish()
        }
        None => builder.max_http_version(Version::HTTP_11).finish(),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, CliError> {
    let unreadable = |error: &dyn std::error::Error| {
        CliError::Tls(format!("cannot read {}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        let text = format!("{} has no certificate in PEM form", path.display());
        return Err(CliError::Tls(text));
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, CliError> {
    let mut roots = RootCertStore::empty();
    // A system has certificates now and then that cannot be read; the others do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let text = "this system has no root certificates: install its package ca-certificates, or name a file with --ca";
        return Err(CliError::Tls(text.to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = tls(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("no certificate in PEM form"), "{error}");
        let error = tls(Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
