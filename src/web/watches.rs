//! The objects that one user looks at, kept up to date by watches with that user's rights.
//!
//! A scope (a namespace, or all) is watched once, whatever number of tabs look at it, and until a minute
//! after the last one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::page::seen::Seen;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Kind, Ours};
use crate::client::{Cluster, Error, wait};

/// How long a scope is watched after the last look at it.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// How long a failed watch is not tried again.
const REST: Duration = Duration::from_secs(3);
/// How many scopes one user may look at, four watches each.
const SCOPES_MAX: usize = 8;
/// How many changes a slow tab may be behind before it is only said that there were some.
const CHANGES: usize = 256;
/// How many failures of a watch in a row are borne before they are shown.
const FAILURES_MAX: usize = 3;

/// Which objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Those of a namespace.
    Namespace(String),
    /// Those of all.
    All,
}

impl Scope {
    /// Where it is, in words.
    pub fn place(&self) -> String {
        match self {
            Self::Namespace(name) => format!("the namespace {name}"),
            Self::All => "all namespaces".to_owned(),
        }
    }

    /// Whether objects of this namespace are in it.
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::Namespace(name) => name == namespace,
            Self::All => true,
        }
    }
}

/// An object has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    /// The Flow of a run or a backfill.
    pub flow: Option<String>,
}

/// How far it is.
#[derive(Clone, Debug)]
enum State {
    Opening,
    Warm,
    Failed(Arc<Error>),
}

/// A scope that is watched for as long as this lives.
pub(super) struct Watched {
    flows: Store<Flow>,
    runs: Store<FlowRun>,
    clusters: Store<DaskCluster>,
    backfills: Store<FlowBackfill>,
    state: watch::Receiver<State>,
    changes: Arc<Changes>,
    /// What was shown last, with the number of changes that it has.
    shown: Mutex<Option<(u64, Arc<Seen>)>>,
    begun: Instant,
    _task: AbortOnDropHandle<()>,
}

/// What has changed: each change to whoever listens, and their number to whoever comes later.
struct Changes {
    number: AtomicU64,
    sender: broadcast::Sender<Change>,
}

impl Changes {
    fn count(&self, change: Change) {
        self.number.fetch_add(1, Ordering::Relaxed);
        // That no tab listens is no failure.
        let _ = self.sender.send(change);
    }
}

impl Watched {
    fn open(cluster: &Cluster, scope: Scope) -> Self {
        let (flows, flow_writer) = reflector::store();
        let (runs, run_writer) = reflector::store();
        let (clusters, cluster_writer) = reflector::store();
        let (backfills, backfill_writer) = reflector::store();
        let (sender, state) = watch::channel(State::Opening);
        let changes = Arc::new(Changes { number: AtomicU64::new(0), sender: broadcast::channel(CHANGES).0 });
        let (told, cluster) = (changes.clone(), cluster.clone());
        let ready = (flows.clone(), runs.clone(), clusters.clone(), backfills.clone());
        let task = async move {
            let warm = async {
                let (flows, runs, clusters, backfills) = &ready;
                let all = tokio::join!(
                    flows.wait_until_ready(),
                    runs.wait_until_ready(),
                    clusters.wait_until_ready(),
                    backfills.wait_until_ready()
                );
                if let (Ok(()), Ok(()), Ok(()), Ok(())) = all {
                    sender.send_replace(State::Warm);
                }
                std::future::pending::<Error>().await
            };
            let error = tokio::select! {
                error = follow::<Flow>(&cluster, &scope, flow_writer, &told, |_| None) => error,
                error = follow(&cluster, &scope, run_writer, &told, |run: &FlowRun| Some(run.spec.flow.clone())) => error,
                error = follow::<DaskCluster>(&cluster, &scope, cluster_writer, &told, |_| None) => error,
                error = follow(&cluster, &scope, backfill_writer, &told, |fill: &FlowBackfill| Some(fill.spec.flow.clone())) => error,
                error = warm => error,
            };
            sender.send_replace(State::Failed(Arc::new(error)));
        };
        Self {
            flows,
            runs,
            clusters,
            backfills,
            state,
            changes,
            shown: Mutex::default(),
            begun: Instant::now(),
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// The objects as they are now; none where they have not been read yet.
    ///
    /// # Errors
    /// They may not be read, or cannot be.
    pub fn seen(&self) -> Result<Option<Arc<Seen>>, Arc<Error>> {
        match &*self.state.borrow() {
            State::Opening => Ok(None),
            State::Failed(error) => Err(error.clone()),
            State::Warm => Ok(Some(self.shown())),
        }
    }

    /// Whether the objects have been read, and are watched.
    pub fn is_warm(&self) -> bool {
        matches!(&*self.state.borrow(), State::Warm)
    }

    /// The objects, put in order once for each change and not for each page.
    fn shown(&self) -> Arc<Seen> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the objects: a change is in the store before it is counted.
        let number = self.number();
        if let Some((_, seen)) = shown.as_ref().filter(|(of, _)| *of == number) {
            return seen.clone();
        }
        let (flows, runs) = (self.flows.state(), self.runs.state());
        let seen = Arc::new(Seen::new((flows, runs), (self.clusters.state(), self.backfills.state())));
        *shown = Some((number, seen.clone()));
        seen
    }

    /// Waits until they have been read, or could not be.
    pub async fn opened(&self) {
        let mut state = self.state.clone();
        // Its sender lives as long as the task, which ends with a failure only.
        let _ = state.wait_for(|state| !matches!(state, State::Opening)).await;
    }

    /// Waits until nothing more is watched.
    pub async fn ended(&self) {
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| matches!(state, State::Failed(_))).await;
    }

    /// How many changes there were.
    pub fn number(&self) -> u64 {
        self.changes.number.load(Ordering::Relaxed)
    }

    /// The changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.sender.subscribe()
    }

    /// Waits until something holds of a run, which is none where it is not there, or nothing more is watched.
    pub async fn until(&self, namespace: &str, name: &str, holds: impl Fn(Option<&FlowRun>) -> bool) {
        let mut changes = self.changes();
        let key = ObjectRef::new(name).within(namespace);
        let changed = async {
            // One who is behind looks at what there is now.
            while !holds(self.runs.get(&key).as_deref())
                && !matches!(changes.recv().await, Err(broadcast::error::RecvError::Closed))
            {}
        };
        tokio::select! {
            () = changed => {}
            () = self.ended() => {}
        }
    }

    /// Whether it has failed so long ago that it is tried again.
    fn is_over(&self) -> bool {
        matches!(&*self.state.borrow(), State::Failed(_)) && self.begun.elapsed() >= REST
    }
}

/// Follows the objects of a kind. Ends with a failure that does not pass by itself, or has not for a while.
async fn follow<K: Ours>(
    cluster: &Cluster,
    scope: &Scope,
    writer: reflector::store::Writer<K>,
    changes: &Changes,
    flow: impl Fn(&K) -> Option<String>,
) -> Error
where
    K::DynamicType: Default,
{
    let api: Api<K> = match scope {
        Scope::Namespace(name) => Api::namespaced(cluster.client.clone(), name),
        Scope::All => Api::all(cluster.client.clone()),
    };
    let action = format!("watch {} in {}", K::plural(&()), scope.place());
    let all = watcher(api, watcher::Config::default()).default_backoff();
    // What is not shown is not kept: it is a third of many objects.
    let all = all.modify(|object: &mut K| object.managed_fields_mut().clear()).reflect(writer);
    let mut all = pin!(all);
    let mut failures = 0;
    while let Some(event) = all.next().await {
        match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => {
                failures = 0;
                changes.count(Change {
                    kind: K::KIND,
                    namespace: object.namespace().unwrap_or_default(),
                    name: object.name_any(),
                    flow: flow(&object),
                });
            }
            // All of it was read anew, and what was missed is in the store.
            Ok(Event::InitDone) => {
                failures = 0;
                changes.number.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => failures = 0,
            Err(error) => {
                failures += 1;
                let error = wait::failure(error, K::KIND, &action);
                if wait::is_lasting(&error) || failures > FAILURES_MAX {
                    return error;
                }
            }
        }
    }
    Error::Senseless(format!("cannot {action}: the watch has ended"))
}

/// What is watched for one user.
pub(super) struct Watches {
    cluster: Cluster,
    all: Mutex<BTreeMap<Scope, (Arc<Watched>, Instant)>>,
}

impl Watches {
    /// Nothing yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, all: Mutex::default() }
    }

    /// The objects of a scope, which are watched from now on.
    ///
    /// # Errors
    /// Too many scopes are looked at.
    pub fn of(&self, scope: &Scope) -> Result<Arc<Watched>, Error> {
        let now = Instant::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (watched, _)| !watched.is_over());
        // All namespaces have those of each.
        let wider = all.get_mut(&Scope::All).filter(|(watched, _)| watched.is_warm());
        if let Some((watched, used)) = wider {
            *used = now;
            return Ok(watched.clone());
        }
        if let Some((watched, used)) = all.get_mut(scope) {
            *used = now;
            return Ok(watched.clone());
        }
        if all.len() >= SCOPES_MAX {
            return Err(Error::Senseless(format!(
                "{SCOPES_MAX} namespaces are looked at already: close some of the tabs, or look at all namespaces in one"
            )));
        }
        let watched = Arc::new(Watched::open(&self.cluster, scope.clone()));
        all.insert(scope.clone(), (watched.clone(), now));
        Ok(watched)
    }

    /// Ends what no tab has looked at for a while.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (watched, used) in all.values_mut() {
            // A tab that is open looks at it now.
            if Arc::strong_count(watched) > 1 {
                *used = now;
            }
        }
        all.retain(|_, (_, used)| now.duration_since(*used) < KEPT);
    }

    /// Whether a tab is open.
    pub fn are_used(&self) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().any(|(watched, _)| Arc::strong_count(watched) > 1)
    }
}
