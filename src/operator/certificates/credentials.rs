//! What the operator shows to schedulers, read when it connects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use crate::api::Reason;
use crate::dask;
use crate::dask::tls::{Credentials, CredentialsError};
use crate::plan::certificates::{CA, CERTIFICATE, KEY, file};

/// The credentials for one scheduler, which are in a Secret that never changes.
#[derive(Clone)]
pub(in crate::operator) struct Keeper {
    client: Client,
    namespace: String,
    secret: String,
    /// The name that the scheduler's certificate must have, where names are looked at.
    host: Option<String>,
    kept: Arc<Mutex<Option<Credentials>>>,
}

impl Keeper {
    /// Of the Secret `secret`, which nobody has read yet.
    pub(in crate::operator) fn new(
        client: Client,
        namespace: &str,
        secret: &str,
        host: Option<String>,
    ) -> Self {
        let (namespace, secret) = (namespace.to_owned(), secret.to_owned());
        Self { client, namespace, secret, host, kept: Arc::default() }
    }

    /// The credentials.
    pub(in crate::operator) async fn get(&self) -> Result<Credentials, dask::Error> {
        if let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(kept);
        }
        let unusable = |why: String| {
            let message = format!("Secret {}/{}: {why}", self.namespace, self.secret);
            dask::Error::Unreachable(std::io::Error::other(message))
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = api.get(&self.secret).await.map_err(|error| unusable(error.to_string()))?;
        let data = secret.data.unwrap_or_default();
        let made = of_files(&data, self.host.as_deref()).map_err(|error| unusable(error.to_string()))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }
}

/// The credentials in the files of a Secret.
pub(in crate::operator) fn of_files(
    data: &BTreeMap<String, ByteString>,
    host: Option<&str>,
) -> Result<Credentials, CredentialsError> {
    let made = Credentials::from_pem(file(data, CA), file(data, CERTIFICATE), file(data, KEY))?;
    match host {
        Some(host) => made.checking_host_name(host),
        None => Ok(made),
    }
}

/// The word for what a scheduler could not be asked for.
pub(in crate::operator) fn reason_of(error: &dask::Error) -> Reason {
    match error {
        dask::Error::CredentialsRefused { .. } => Reason::CredentialsRefused,
        dask::Error::Untrusted { .. } => Reason::CertificateUntrusted,
        dask::Error::WrongScheme(_) => Reason::WrongScheme,
        dask::Error::TooLarge(_) | dask::Error::TooManyEntries { .. } => Reason::AnswerTooLarge,
        _ => Reason::SchedulerUnreachable,
    }
}
