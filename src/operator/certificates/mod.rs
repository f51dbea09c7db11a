//! The certificates of clusters: what their Secrets say, and how a certificate is issued.
//!
//! Secrets are read by name and never listed or watched, so that the operator needs no right to see all of
//! them. Keys are in memory while one is copied, issued or connected with, and nowhere else.

pub(super) mod credentials;
pub(super) mod issue;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::caches::Stores;
use super::failure::Error;
use super::lookup;
use crate::api::{DaskCluster, Reason, labels};
use crate::dask::tls::Credentials;
use crate::plan::certificates::{self, Fault, Secrets, TlsView, copy_name, is_owned, secrets};
use crate::plan::pods::mounts::Files;
use crate::plan::pods::state;

/// For how long what was read counts, where no live look is asked for: a cluster that scales is planned many
/// times a second.
const FRESH: Duration = Duration::from_secs(10);

/// What the Secrets of clusters say, and said last.
pub(super) struct Certificates {
    client: Client,
    stores: Stores,
    read: Mutex<HashMap<(String, String), Read>>,
}

/// One reading.
struct Read {
    /// Of which spec.
    of: (Option<String>, Option<i64>),
    at: Instant,
    view: TlsView,
}

impl Certificates {
    /// None was read yet.
    pub(super) fn new(client: Client, stores: Stores) -> Self {
        Self { client, stores, read: Mutex::default() }
    }

    /// Reads what there is of the certificates of a cluster.
    pub(super) async fn view(
        &self,
        cluster: &DaskCluster,
        live: bool,
        now: Timestamp,
    ) -> Result<TlsView, Error> {
        let had_tls = cluster.status.as_ref().is_some_and(|status| status.tls.is_some());
        let Some(secrets) = secrets(cluster) else {
            let of_runners = if had_tls { self.secrets_of_runners(cluster) } else { BTreeSet::new() };
            return Ok(TlsView { of_runners, ..TlsView::default() });
        };
        if let Some(view) = self.fresh(cluster).filter(|_| !live) {
            return Ok(view);
        }
        let view = self.read(cluster, &secrets, now).await?;
        self.keep(cluster, &view);
        Ok(view)
    }

    async fn read(&self, cluster: &DaskCluster, secrets: &Secrets, now: Timestamp) -> Result<TlsView, Error> {
        let namespace = cluster.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let found = lookup::by_name(&api, &secrets.source).await?;
        let source = secrets.source(cluster, found.as_ref(), now);
        let authority = match &secrets.authority {
            Some(name) => secrets.authority(cluster, lookup::by_name(&api, name).await?.as_ref(), now),
            None => None,
        };
        let copied = match &source {
            Ok(certificates) => {
                let name = copy_name(&cluster.name_any(), certificates);
                api.get_metadata_opt(&name).await?.is_some_and(|copy| is_owned(cluster, &copy))
            }
            Err(_) => false,
        };
        // Where cert-manager writes the Secret it may still be asked to, whoever issues now.
        let request = match &secrets.request {
            Some(name) => requested(&self.client, &namespace, name).await?,
            None if found.as_ref().is_some_and(|secret| secrets.is_by_cert_manager(secret)) => {
                let request = requested(&self.client, &namespace, &secrets.source).await?;
                request.filter(|request| is_owned(cluster, request))
            }
            None => None,
        };
        let request = request.and_then(|request| serde_json::to_value(request).ok());
        let of_runners = self.secrets_of_runners(cluster);
        Ok(TlsView { source: Some(source), authority, copied, request, of_runners })
    }

    /// The Secrets of runners that have not ended.
    fn secrets_of_runners(&self, cluster: &DaskCluster) -> BTreeSet<String> {
        let namespace = cluster.namespace().unwrap_or_default();
        let jobs = self.stores.by.jobs_with_certificate.of(&namespace, "");
        let going = jobs.iter().filter(|job| !state::has_ended(job));
        going.filter_map(|job| job.annotations().get(labels::CERTIFICATE).cloned()).collect()
    }

    /// What a Flow's Secret holds for a scheduler that is not ours, and how a runner is given it.
    pub(super) async fn of_client(
        &self,
        namespace: &str,
        (name, host): (&str, Option<&str>),
        now: Timestamp,
    ) -> Result<Result<(Credentials, Files), Fault>, Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = lookup::by_name(&api, name).await?;
        if let Err(fault) = certificates::judge((namespace, name), found.as_ref(), now, certificates::read) {
            return Ok(Err(fault));
        }
        let data = found.and_then(|secret| secret.data).unwrap_or_default();
        let files = Files {
            secret: name.to_owned(),
            own_authority: certificates::is_in_certificate(&data, certificates::CA),
            key_in_certificate: certificates::is_in_certificate(&data, certificates::KEY),
        };
        Ok(credentials::of_files(&data, host).map(|made| (made, files)).map_err(|error| Fault {
            reason: Reason::UnsupportedCertificate,
            message: format!("Secret {namespace}/{name}: {error}"),
        }))
    }

    /// Forgets what was read of a cluster.
    pub(super) fn forget(&self, namespace: &str, cluster: &str) {
        self.lock().remove(&(namespace.to_owned(), cluster.to_owned()));
    }

    fn fresh(&self, cluster: &DaskCluster) -> Option<TlsView> {
        let key = (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let all = self.lock();
        let read = all.get(&key)?;
        (read.of == identity(cluster) && read.at.elapsed() < FRESH).then(|| read.view.clone())
    }

    fn keep(&self, cluster: &DaskCluster, view: &TlsView) {
        let key = (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let read = Read { of: identity(cluster), at: Instant::now(), view: view.clone() };
        self.lock().insert(key, read);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Read>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(cluster: &DaskCluster) -> (Option<String>, Option<i64>) {
    (cluster.metadata.uid.clone(), cluster.metadata.generation)
}

/// The object by which cert-manager is asked. Where its kind is not known the API server answers without a
/// status.
async fn requested(client: &Client, namespace: &str, name: &str) -> Result<Option<DynamicObject>, Error> {
    match lookup::by_name(&requests(client, namespace), name).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        other => Ok(other?),
    }
}

/// cert-manager's Certificates.
pub(super) fn requests(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
    Api::namespaced_with(client.clone(), namespace, &kind)
}
