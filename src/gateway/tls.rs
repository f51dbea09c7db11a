//! TLS towards a gateway's REST API: as of any web server, with the system's authorities or with given ones.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::Error;
use super::hidden::Hidden;

/// Whom to believe. A clone is cheap and the same.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities of a PEM file, and no others.
    ///
    /// # Errors
    /// The file has none that can be used, in words.
    pub fn of_pem(file: &[u8]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
        let found = found.map_err(|_| Error::Tls("the authorities are broken PEM".to_owned()))?;
        roots.add_parsable_certificates(found);
        Self::of(roots, "the authorities have no certificate that can be used")
    }

    /// The authorities of this machine.
    ///
    /// # Errors
    /// It has none.
    pub fn of_system() -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::of(roots, "this machine has no authorities: name them in ca.secretName")
    }

    fn of(roots: RootCertStore, otherwise: &'static str) -> Result<Self, Error> {
        if roots.is_empty() {
            return Err(Error::Tls(otherwise.to_owned()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Error::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// A session over a connection to `host`. It has no time limit of its own. What is said of a certificate
    /// that is not believed is shown without `hidden`.
    ///
    /// # Errors
    /// The peer's certificate is not believed, or is not for `host`, or it speaks no TLS.
    pub async fn secure<S>(&self, host: &str, stream: S, hidden: &Hidden) -> Result<TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let fault = |text: &str| Error::Tls(hidden.shown(text));
        let name = ServerName::try_from(host.to_owned()).map_err(|error| fault(&error.to_string()))?;
        let connected = TlsConnector::from(self.0.clone()).connect(name, stream).await;
        connected.map_err(|error| fault(&error.to_string()))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}
