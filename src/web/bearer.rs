//! Clients that send the bearer token of one user, and have no other rights.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Uri};
use kube::{Client, Config};

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
        config.root_cert_file.clone_from(&self.authority);
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
