//! The certificates of clusters: what their Secrets say, and the Secrets that are ours.
//!
//! Secrets are read by name and never listed or watched, so that the operator needs no right to see all of them. Keys are
//! in memory while one is copied, issued or connected with, and nowhere else.

pub(super) mod credentials;
pub(super) mod issue;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::clock;
use super::context::Context;
use super::failure::Error;
use crate::api::{DaskCluster, Reason};
use crate::dask::tls::Credentials;
use crate::plan::cluster::{TlsView, copy_name, secrets};
use crate::plan::pods::tls::Files;
use crate::plan::tls::{self, Certificates, Fault};

pub(super) use write::{copy, issue, request};

/// For how long what was read counts, where no live look is asked for: a cluster that scales is planned many times a
/// second.
const FRESH: Duration = Duration::from_secs(10);

/// What the Secrets of clusters said last.
#[derive(Default)]
pub(super) struct Views {
    read: Mutex<HashMap<(String, String), Read>>,
}

/// One reading.
struct Read {
    /// Of which spec.
    of: (Option<String>, Option<i64>),
    at: Instant,
    view: TlsView,
}

impl Views {
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

/// Reads what there is of the certificates of a cluster.
pub(super) async fn view(
    context: &Context,
    cluster: &DaskCluster,
    live: bool,
    now: Timestamp,
) -> Result<TlsView, Error> {
    let Some(secrets) = secrets(cluster) else { return Ok(TlsView::default()) };
    if let Some(view) = context.certificates.fresh(cluster).filter(|_| !live) {
        return Ok(view);
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let client = &context.client;
    let source = judge(client, (&namespace, &secrets.source), now, tls::read).await?;
    let authority = match &secrets.authority {
        Some(name) => Some(judge(client, (&namespace, name), now, tls::read_authority).await?),
        None => None,
    };
    let copied = match &source {
        Ok(certificates) => {
            let name = copy_name(&cluster.name_any(), certificates);
            Api::<Secret>::namespaced(client.clone(), &namespace).get_metadata_opt(&name).await?.is_some()
        }
        Err(_) => false,
    };
    let request = match &secrets.request {
        Some(name) => requested(client, &namespace, name).await?,
        None => None,
    };
    let request = request.and_then(|request| serde_json::to_value(request).ok());
    let view = TlsView { source: Some(source), authority, copied, request };
    context.certificates.keep(cluster, &view);
    Ok(view)
}

/// The object by which cert-manager is asked. Where its kind is not known the API server answers without a status.
async fn requested(client: &Client, namespace: &str, name: &str) -> Result<Option<DynamicObject>, Error> {
    match requests(client, namespace).get_opt(name).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        other => Ok(other?),
    }
}

/// How a Secret's files are judged.
type Judge = fn(&str, &BTreeMap<String, ByteString>, Timestamp) -> Result<Certificates, Fault>;

/// Reads a Secret and judges the files in it.
async fn judge(
    client: &Client,
    (namespace, name): (&str, &str),
    now: Timestamp,
    read: Judge,
) -> Result<Result<Certificates, Fault>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let Some(secret) = api.get_opt(name).await? else { return Ok(Err(not_found(namespace, name))) };
    Ok(read(&format!("{namespace}/{name}"), &secret.data.unwrap_or_default(), now))
}

/// What a Flow's Secret holds for a scheduler that is not ours, and how a runner is given it.
pub(super) async fn of_client(
    context: &Context,
    namespace: &str,
    (name, host): (&str, Option<&str>),
) -> Result<Result<(Credentials, Files), Fault>, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let Some(secret) = api.get_opt(name).await? else { return Ok(Err(not_found(namespace, name))) };
    let data = secret.data.clone().unwrap_or_default();
    let full_name = format!("{namespace}/{name}");
    if let Err(fault) = tls::read(&full_name, &data, clock::now()) {
        return Ok(Err(fault));
    }
    let files = Files {
        secret: name.to_owned(),
        own_authority: file(&data, tls::CA).is_empty(),
        key_in_certificate: file(&data, tls::KEY).is_empty(),
    };
    Ok(credentials::of_secret(&secret, host).map(|made| (made, files)).map_err(|error| Fault {
        reason: Reason::UnsupportedCertificate,
        message: format!("Secret {full_name}: {error}"),
    }))
}

/// There is no such Secret.
pub(super) fn not_found(namespace: &str, name: &str) -> Fault {
    let message = format!(
        "there is no Secret {namespace}/{name}: create it with the keys {}, {} and {}",
        tls::CA,
        tls::CERTIFICATE,
        tls::KEY
    );
    Fault { reason: Reason::SecretNotFound, message }
}

/// The file of this name in a Secret; nothing where there is none.
fn file<'a>(data: &'a BTreeMap<String, ByteString>, name: &str) -> &'a [u8] {
    data.get(name).map(|bytes| bytes.0.as_slice()).unwrap_or_default()
}

/// cert-manager's Certificates.
fn requests(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
    Api::namespaced_with(client.clone(), namespace, &kind)
}
