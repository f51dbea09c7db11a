//! Clients that send the bearer token of one user, and have no other rights.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Uri};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::users::Clients;
use crate::causes::chain;
use crate::client::{Cluster, Error};

/// How requests of the page are told from others in audit logs.
const AGENT: &str = concat!("daskflow-ui/", env!("CARGO_PKG_VERSION"));
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The API server to which the tokens of users are sent, as they are.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: Uri,
    /// A file with the certificates that are trusted; none: those of this machine.
    pub authority: Option<PathBuf>,
    /// The namespace where none is named.
    pub namespace: String,
}

impl Server {
    /// Makes clients that send a token to it. They are made from nothing but that token: neither a kubeconfig
    /// nor the account of a pod is read.
    pub fn clients(self) -> Clients {
        Box::new(move |token| self.client(token))
    }

    fn client(&self, token: &str) -> Result<Cluster, Error> {
        let mut config = Config::new(self.address.clone());
        if let Some(file) = &self.authority {
            // Of the file alone kube reads the system's certificates as well, and an image may have none.
            config.root_cert = Some(certificates(file)?);
            // This one is read again when it has changed.
            config.root_cert_file = Some(file.clone());
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|error| Error::Unauthorized { why: error.to_string() })?;
        bearer.set_sensitive(true);
        config.headers.push((AUTHORIZATION, bearer));
        config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        let client = Client::try_from(config).map_err(|error| Error::Unreachable { why: chain(&error) })?;
        Ok(Cluster { client, namespace: self.namespace.clone() })
    }
}

/// The certificates in a file, in DER.
fn certificates(file: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let read = CertificateDer::pem_file_iter(file);
    let found: Result<Vec<_>, _> =
        read.and_then(|found| found.map(|one| one.map(|one| one.to_vec())).collect());
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::Senseless(format!("there is no certificate in {}", file.display()))),
        Err(error) => Err(Error::Senseless(format!(
            "the certificates in {} cannot be read: {}",
            file.display(),
            chain(&error)
        ))),
    }
}
