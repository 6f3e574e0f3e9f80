//! TLS: which authorities are trusted.
//!
//! They are those of the system, as for curl: a company's own authority is trusted where the machine trusts it, and
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. A file of authorities replaces those of the system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// The only protocol that this client speaks inside of TLS (RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";

/// The authorities that a client trusts.
#[derive(Debug)]
pub(crate) enum Authorities {
    /// None, because nothing is called over TLS.
    None,
    /// Those of the system.
    System,
    /// Those of a PEM file, and no others.
    File(PathBuf),
}

/// How the client makes itself sure of a broker that is called by `https://`.
pub(crate) fn tls(authorities: &Authorities) -> Result<Arc<ClientConfig>, Error> {
    let roots = match authorities {
        Authorities::None => RootCertStore::empty(),
        Authorities::System => roots_of_system()?,
        Authorities::File(path) => roots_of(path)?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

fn roots_of(path: &Path) -> Result<RootCertStore, Error> {
    let unreadable = |error: &dyn std::error::Error| {
        Error::Tls(format!("cannot read {}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    if roots.is_empty() {
        let text = format!("{} has no certificate in PEM form", path.display());
        return Err(Error::Tls(text));
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // A system has certificates now and then that cannot be read; the others do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let text = "this system has no root certificates: install its package ca-certificates, or name a file of authorities";
        return Err(Error::Tls(text.to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = |path: &Path| tls(&Authorities::File(path.to_owned())).unwrap_err();
        let error = refused(file.path()).to_string();
        assert!(error.contains("no certificate in PEM form"), "{error}");
        let error = refused(Path::new("/nowhere/ca.pem"));
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
