//! Waiting for what an object becomes.

use std::pin::pin;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};

use super::cluster::Cluster;
use super::error::Error;
use super::find::shown;
use crate::api::{Kind, Ours};
use crate::view::state::State;

/// How many failures in a row are borne: with kube's delays between them, half a minute of an API server that
/// does not answer.
const FAILURES_MAX: usize = 8;

/// Whoever is shown what an object is at while it is waited for.
pub type Seen<'a> = dyn FnMut(String) + Send + 'a;

/// Follows an object until `is_over` says so of it; every state of it that is seen is shown to `is_over`, and
/// in words to `seen`.
///
/// # Errors
/// It was deleted, or the API server refuses, or does not answer for a while.
pub async fn until<K: Ours + State>(
    cluster: &Cluster,
    name: &str,
    seen: &mut Seen<'_>,
    mut is_over: impl FnMut(&K) -> bool,
) -> Result<K, Error> {
    let api: Api<K> = cluster.api();
    let mut states = pin!(watcher::watch_object(api, name).default_backoff());
    let mut failures = 0;
    while let Some(state) = states.next().await {
        match state {
            Ok(Some(object)) => {
                failures = 0;
                if is_over(&object) {
                    return Ok(object);
                }
                if let Some(state) = object.state() {
                    seen(state);
                }
            }
            Ok(None) => return Err(deleted::<K>(name)),
            Err(error) => {
                failures += 1;
                if let Some(error) = lasting::<K>(cluster, error, failures) {
                    return Err(error);
                }
            }
        }
    }
    Err(deleted::<K>(name))
}

/// That an object is there no more.
pub(super) fn deleted<K: Ours>(name: &str) -> Error {
    let hint = format!("`daskflow status` shows what there is, and {} do not come back", K::plural(&()));
    Error::Deleted { kind: K::KIND.as_str(), name: name.to_owned(), hint }
}

/// A failure of a watch that does not pass by itself, or has not for a while.
pub(super) fn lasting<K: Ours>(cluster: &Cluster, error: watcher::Error, failures: usize) -> Option<Error> {
    let action = format!("watch {} in the namespace {}", K::plural(&()), cluster.namespace);
    let error = failure(error, K::KIND, &action);
    (is_lasting(&error) || failures > FAILURES_MAX).then_some(error)
}

/// What a failure of a watch means. `action` goes on after "you may not".
pub fn failure(error: watcher::Error, kind: Kind, action: &str) -> Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Error::of(error, action),
        watcher::Error::WatchError(status) => Error::of(kube::Error::Api(status), action),
        watcher::Error::NoResourceVersion => Error::Senseless(format!(
            "the API server does not say which version of its {} it lists",
            shown(kind)
        )),
    }
}

/// Whether it does not pass by itself.
pub fn is_lasting(error: &Error) -> bool {
    matches!(error, Error::Forbidden { .. } | Error::Unauthorized { .. } | Error::NotInstalled)
}

/// Whether the operator has looked at the newest spec of an object.
pub fn is_observed<K: Resource>(object: &K, observed: Option<i64>) -> bool {
    observed.is_some() && observed >= object.meta().generation
}
