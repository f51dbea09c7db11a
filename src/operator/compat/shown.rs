//! The Deployments by which pods of dask-kubernetes' clusters are seen: what is known of them, and the writes
//! that the planner wants ([`crate::plan::compat::adapter::Shown`]).
//!
//! They are watched here, and not with the kinds of [`crate::operator::caches::Stores`]: without the kinds of
//! dask-kubernetes nothing is asked of Deployments.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::memory::Known;
use super::theirs::Subject;
use crate::api::{Reason, labels};
use crate::operator::caches::{Index, Kept, Watched};
use crate::operator::context::Context;
use crate::operator::execute::{Bounds, side_by_side};
use crate::operator::failure::Error;
use crate::operator::lookup;
use crate::operator::undecodable::condense;
use crate::operator::watch::{WATCH_TIMEOUT_S, paused, retries};
use crate::plan::Note;
use crate::plan::compat::adapter::{Namesake, Show, Shown, TheirKind, judge_shown, plan_shown};

/// How many Deployments of a cluster are named that cannot be made: a quota refuses all in the same words.
const NOTES_MAX: usize = 3;

/// How long a name counts as somebody else's without another question: nothing tells of the end of
/// Deployments without our label.
const TAKEN: Duration = Duration::from_secs(60);

/// What a watch of Deployments tells: of which place, and what.
pub(super) type Told = (usize, Result<Event<Deployment>, watcher::Error>);

/// The watches of the Deployments with our label.
pub(super) fn watches(client: &Client, watched: &Watched) -> SelectAll<BoxStream<'static, Told>> {
    let streams = (0..watched.places()).map(|place| {
        let api: Api<Deployment> = match watched.namespace(place) {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        let ours = format!("{}={}", labels::APP_MANAGED_BY, labels::APP);
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT_S).labels(&ours);
        paused(watcher(api, config).backoff(retries())).map(move |event| (place, event)).boxed()
    });
    stream::select_all(streams)
}

/// The Deployments that are known.
pub(super) struct Deployments {
    kept: Kept<Deployment>,
    by_cluster: Index<Deployment>,
    /// The places that have been listed once.
    listed: Mutex<BTreeSet<usize>>,
    /// The names that belong to somebody else, of each cluster.
    taken: Mutex<HashMap<Subject, BTreeMap<String, Taken>>>,
}

/// A name that was to be had for a pod, and was found to belong to somebody else.
struct Taken {
    /// The uid of the pod.
    pod: Option<String>,
    /// When it was found.
    at: Instant,
}

impl Default for Deployments {
    fn default() -> Self {
        let by_cluster = Index::new(|one: &Deployment| cluster_of(one).into_iter().collect());
        let kept = Kept::new(&[&by_cluster]);
        Self { kept, by_cluster, listed: Mutex::default(), taken: Mutex::default() }
    }
}

/// The cluster that a Deployment says it is of.
fn cluster_of(deployment: &Deployment) -> Option<&str> {
    deployment.metadata.labels.as_ref()?.get(labels::CLUSTER_NAME).map(String::as_str)
}

impl Deployments {
    /// Takes in what a watch tells. Gives the namespaces and names of the clusters that it concerns; none:
    /// all of them.
    pub(super) fn take(
        &self,
        watched: &Watched,
        place: usize,
        mut event: Event<Deployment>,
    ) -> Option<Vec<(String, String)>> {
        let is_list = matches!(event, Event::InitDone);
        if let Event::Apply(one) | Event::InitApply(one) | Event::Delete(one) = &mut event {
            condense(one);
        }
        let before = match &event {
            Event::Apply(one) => self.kept.get(&ObjectRef::from_obj(one)),
            _ => None,
        };
        let changed = self.kept.take(watched.namespace(place), event);
        if is_list {
            self.listed().insert(place);
            // What has changed since the list before is not known.
            return None;
        }
        let all = changed.iter().chain(before.as_deref());
        let concerned = |one: &Deployment| Some((one.namespace()?, cluster_of(one)?.to_owned()));
        Some(all.filter_map(concerned).collect())
    }

    /// Whether they are known in a namespace.
    fn is_known(&self, watched: &Watched, namespace: &str) -> bool {
        let is_it = |place: &usize| watched.namespace(*place).is_none_or(|watched| watched == namespace);
        self.listed().iter().any(is_it)
    }

    fn listed(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster is not there any more.
    pub(super) fn forget(&self, cluster: &Subject) {
        self.taken().remove(cluster);
    }

    /// Which of these names were found to belong to somebody else a short while ago, for the same pod. What
    /// was found of others does not count any more.
    fn taken_now(&self, cluster: &Subject, wanted: &[Show]) -> BTreeSet<String> {
        let mut taken = self.taken();
        let Some(names) = taken.get_mut(cluster) else { return BTreeSet::new() };
        let pods: BTreeMap<String, Option<String>> = wanted.iter().filter_map(pod_to_show).collect();
        names.retain(|name, found| found.at.elapsed() < TAKEN && pods.get(name) == Some(&found.pod));
        names.keys().cloned().collect()
    }

    /// Notes that the name of this one belongs to somebody else.
    fn found_taken(&self, cluster: &Subject, wanted: &Show) {
        let Some((name, pod)) = pod_to_show(wanted) else { return };
        self.taken().entry(cluster.clone()).or_default().insert(name, Taken { pod, at: Instant::now() });
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Subject, BTreeMap<String, Taken>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a Deployment that is to be made, and the uid of its pod.
fn pod_to_show(change: &Show) -> Option<(String, Option<String>)> {
    match change {
        Show::Make(wanted) => Some((wanted.name_any(), wanted.annotations().get(labels::SHOWN_POD).cloned())),
        Show::Remove { .. } => None,
    }
}

/// Brings the Deployments of a cluster in line with its pods. Gives what is to be said of it.
pub(super) async fn show(
    context: &Context,
    deployments: &Deployments,
    known: &Known,
) -> Result<Vec<Note>, Error> {
    let (kind, namespace, name) = &known.subject;
    let stores = &context.stores;
    if *kind != TheirKind::Cluster || !deployments.is_known(&stores.watched, namespace) {
        return Ok(Vec::new());
    }
    let ours = stores.clusters.get(&ObjectRef::new(name).within(namespace));
    let observed = Shown {
        object: &known.object,
        groups: &known.groups,
        ours: ours.as_deref(),
        pods: &stores.by.pods_by_cluster.of(namespace, name),
        deployments: &deployments.by_cluster.of(namespace, name),
    };
    let changes = plan_shown(&observed);
    let taken = deployments.taken_now(&known.subject, &changes);
    let is_taken = |change: &Show| pod_to_show(change).is_some_and(|(name, _)| taken.contains(&name));
    let (taken, changes): (Vec<Show>, Vec<Show>) = changes.into_iter().partition(is_taken);
    let said = taken.iter().map(|change| (change.title(), name_taken(&change.title())));
    let notes = Mutex::new(said.collect::<BTreeMap<_, _>>());
    side_by_side(Bounds::USUAL.at_once, changes, |change| {
        let notes = &notes;
        async move {
            tracing::info!(write = %change.title(), "write");
            let note = match carry_out(context, deployments, namespace, &change).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    deployments.found_taken(&known.subject, &change);
                    name_taken(&change.title())
                }
                // The cluster serves all the same, so that this is no failure of it.
                Err(error) if error.refusal().is_some() => {
                    let failure = error.tell();
                    Note::warning(failure.reason, format!("cannot {}: {}", change.title(), failure.message))
                }
                Err(error) => return Err(error),
            };
            notes.lock().unwrap_or_else(PoisonError::into_inner).insert(change.title(), note);
            Ok(())
        }
    })
    .await?;
    let notes = notes.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(notes.into_values().take(NOTES_MAX).collect())
}

fn name_taken(title: &str) -> Note {
    let message =
        format!("cannot {title}: one of this name exists and is not of this cluster: rename it or delete it");
    Note::warning(Reason::NameTaken, message)
}

/// Carries out one change. False: the name belongs to somebody else.
async fn carry_out(
    context: &Context,
    deployments: &Deployments,
    namespace: &str,
    change: &Show,
) -> Result<bool, Error> {
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), namespace);
    let wanted = match change {
        Show::Make(wanted) => wanted,
        Show::Remove { name, uid } => return remove(&api, name, uid.clone()).await.map(|()| true),
    };
    if make(&api, deployments, wanted).await? {
        return Ok(true);
    }
    let Some(there) = lookup::by_name(&api, &wanted.name_any()).await? else { return Ok(true) };
    match judge_shown(wanted, &there) {
        Namesake::Same => Ok(true),
        Namesake::Foreign => Ok(false),
        // Without our label it is not watched, so that this is the time for both.
        Namesake::Wrong => {
            remove(&api, &there.name_any(), there.metadata.uid.clone()).await?;
            make(&api, deployments, wanted).await.map(|_| true)
        }
    }
}

/// Creates a Deployment. False: there is one of its name.
async fn make(api: &Api<Deployment>, deployments: &Deployments, wanted: &Deployment) -> Result<bool, Error> {
    let params = PostParams { field_manager: Some(labels::APP.to_owned()), ..PostParams::default() };
    let ticket = deployments.kept.ticket();
    match api.create(&params, wanted).await {
        Ok(mut made) => {
            condense(&mut made);
            deployments.kept.take_written(ticket, made);
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(Error::Api(error)),
    }
}

async fn remove(api: &Api<Deployment>, name: &str, uid: Option<String>) -> Result<(), Error> {
    let mut params = DeleteParams::background();
    params.preconditions = Some(Preconditions { uid, resource_version: None });
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(drop).map_err(Error::Api),
    }
}
