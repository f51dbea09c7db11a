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

/// How far a kind is.
#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Opening,
    Warm,
    /// It may not be read, or cannot be, and is tried again.
    Failed(Arc<Error>),
}

/// How far each kind is.
type States = BTreeMap<Kind, State>;

/// Why nothing is watched: all kinds have failed.
fn failure(states: &States) -> Option<&Arc<Error>> {
    let mut errors = states.values().map(|state| match state {
        State::Failed(error) => Some(error),
        State::Opening | State::Warm => None,
    });
    let first = errors.next()??;
    errors.all(|error| error.is_some()).then_some(first)
}

fn is_opening(states: &States) -> bool {
    states.values().any(|state| matches!(state, State::Opening))
}

/// A scope that is watched for as long as this lives.
pub(super) struct Watched {
    scope: Scope,
    flows: Store<Flow>,
    runs: Store<FlowRun>,
    clusters: Store<DaskCluster>,
    backfills: Store<FlowBackfill>,
    states: watch::Receiver<States>,
    changes: Arc<Changes>,
    /// What was shown last, with the number of changes that it has.
    shown: Mutex<Option<(u64, Arc<Seen>)>>,
    begun: Instant,
    _task: AbortOnDropHandle<()>,
}

/// What has changed: each change to whoever listens, and their number to whoever comes later.
struct Changes {
    number: AtomicU64,
    sender: broadcast::Sender<Option<Change>>,
}

impl Changes {
    /// One more; none where it is not known what has changed.
    fn count(&self, change: Option<Change>) {
        self.number.fetch_add(1, Ordering::Relaxed);
        // That no tab listens is no failure.
        let _ = self.sender.send(change);
    }
}

/// Where what is read of the kinds goes.
struct Reading {
    cluster: Cluster,
    scope: Scope,
    states: watch::Sender<States>,
    changes: Arc<Changes>,
}

impl Watched {
    fn open(cluster: &Cluster, scope: Scope) -> Self {
        let (flows, flow_writer) = reflector::store();
        let (runs, run_writer) = reflector::store();
        let (clusters, cluster_writer) = reflector::store();
        let (backfills, backfill_writer) = reflector::store();
        let opening = Kind::ALL.map(|kind| (kind, State::Opening));
        let (sender, states) = watch::channel(States::from(opening));
        let changes = Arc::new(Changes { number: AtomicU64::new(0), sender: broadcast::channel(CHANGES).0 });
        let reading = Reading {
            cluster: cluster.clone(),
            scope: scope.clone(),
            states: sender,
            changes: changes.clone(),
        };
        let task = async move {
            let error = tokio::select! {
                error = follow::<Flow>(&reading, flow_writer, |_| None) => error,
                error = follow(&reading, run_writer, |run: &FlowRun| Some(run.spec.flow.clone())) => error,
                error = follow::<DaskCluster>(&reading, cluster_writer, |_| None) => error,
                error = follow(&reading, backfill_writer, |fill: &FlowBackfill| Some(fill.spec.flow.clone())) => error,
            };
            let error = Arc::new(error);
            reading.states.send_modify(|states| {
                for state in states.values_mut() {
                    *state = State::Failed(error.clone());
                }
            });
        };
        Self {
            scope,
            flows,
            runs,
            clusters,
            backfills,
            states,
            changes,
            shown: Mutex::default(),
            begun: Instant::now(),
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// The objects of a scope as they are now, which may be a part of what is watched; none where they have
    /// not been read yet. What cannot be read is left out, and said.
    ///
    /// # Errors
    /// All that there is, or what it is `about`, may not be read, or cannot be.
    pub fn seen(&self, scope: &Scope, about: Option<Kind>) -> Result<Option<Arc<Seen>>, Arc<Error>> {
        let states = self.states.borrow();
        if let Some(State::Failed(error)) = about.and_then(|kind| states.get(&kind)) {
            return Err(error.clone());
        }
        if let Some(error) = failure(&states) {
            return Err(error.clone());
        }
        if is_opening(&states) {
            return Ok(None);
        }
        let all = self.shown(&states);
        Ok(Some(match scope {
            Scope::Namespace(name) if self.scope == Scope::All => Arc::new(all.within(name)),
            Scope::Namespace(_) | Scope::All => all,
        }))
    }

    /// Whether something has not been read yet that may be.
    pub fn is_opening(&self) -> bool {
        let states = self.states.borrow();
        is_opening(&states) && failure(&states).is_none()
    }

    /// Whether all kinds are there.
    fn is_whole(&self) -> bool {
        self.states.borrow().values().all(|state| matches!(state, State::Warm))
    }

    /// Whether the API server knows who reads.
    fn is_accepted(&self) -> bool {
        let knows = |state: &State| match state {
            State::Opening => false,
            State::Warm => true,
            State::Failed(error) => matches!(**error, Error::Forbidden { .. }),
        };
        self.states.borrow().values().any(knows)
    }

    /// The objects, put in order once for each change and not for each page.
    fn shown(&self, states: &States) -> Arc<Seen> {
        let failed = |kind: Kind| match states.get(&kind) {
            Some(State::Failed(error)) => Some(format!("without {}: {error}", words(kind))),
            _ => None,
        };
        let notes: Vec<String> = states.keys().filter_map(|kind| failed(*kind)).collect();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the objects: a change is in the store before it is counted.
        let number = self.number();
        if let Some((_, seen)) = shown.as_ref().filter(|(of, seen)| *of == number && seen.notes == notes) {
            return seen.clone();
        }
        let (flows, runs) = (read(&self.flows, states), read(&self.runs, states));
        let (clusters, backfills) = (read(&self.clusters, states), read(&self.backfills, states));
        let seen = Arc::new(Seen { notes, ..Seen::new((flows, runs), (clusters, backfills)) });
        *shown = Some((number, seen.clone()));
        seen
    }

    /// Waits until they have been read, or could not be.
    pub async fn opened(&self) {
        let mut states = self.states.clone();
        // Its sender lives as long as the task, which ends with a failure only.
        let _ = states.wait_for(|states| !is_opening(states)).await;
    }

    /// Waits until nothing more is watched.
    pub async fn ended(&self) {
        let mut states = self.states.clone();
        let _ = states.wait_for(|states| failure(states).is_some()).await;
    }

    /// How many changes there were.
    pub fn number(&self) -> u64 {
        self.changes.number.load(Ordering::Relaxed)
    }

    /// The changes from now on; none where it is not known what has changed.
    pub fn changes(&self) -> broadcast::Receiver<Option<Change>> {
        self.changes.sender.subscribe()
    }

    /// Waits until something holds of a run, which is none where it is not there. False: nothing more is
    /// watched, and it is not known.
    pub async fn until(&self, namespace: &str, name: &str, holds: impl Fn(Option<&FlowRun>) -> bool) -> bool {
        let mut changes = self.changes();
        let key = ObjectRef::new(name).within(namespace);
        let met = async {
            // One who is behind looks at what there is now.
            while !holds(self.runs.get(&key).as_deref())
                && !matches!(changes.recv().await, Err(broadcast::error::RecvError::Closed))
            {}
        };
        tokio::select! {
            () = met => holds(self.runs.get(&key).as_deref()),
            () = self.ended() => false,
        }
    }

    /// Whether it has failed so long ago that it is tried again.
    fn is_over(&self) -> bool {
        failure(&self.states.borrow()).is_some() && self.begun.elapsed() >= REST
    }
}

/// Follows the objects of a kind. What does not pass by itself, or has not for a while, is the state of that
/// kind, and tried again with the pauses of kube, up to half a minute. Ends with a failure that is one of all
/// kinds.
async fn follow<K: Ours>(
    reading: &Reading,
    writer: reflector::store::Writer<K>,
    flow: impl Fn(&K) -> Option<String>,
) -> Error
where
    K::DynamicType: Default,
{
    let api: Api<K> = match &reading.scope {
        Scope::Namespace(name) => Api::namespaced(reading.cluster.client.clone(), name),
        Scope::All => Api::all(reading.cluster.client.clone()),
    };
    let action = format!("watch {} in {}", K::plural(&()), reading.scope.place());
    let is_now = |state: State| reading.states.send_modify(|states| drop(states.insert(K::KIND, state)));
    let all = watcher(api, watcher::Config::default()).default_backoff();
    // What is not shown is not kept: it is a third of many objects.
    let all = all.modify(|object: &mut K| object.managed_fields_mut().clear()).reflect(writer);
    let mut all = pin!(all);
    let (mut failures, mut was_shown) = (0, false);
    while let Some(event) = all.next().await {
        match event {
            // That a list is asked for again is no answer.
            Ok(Event::Init) => {}
            Ok(event) => {
                failures = 0;
                match event {
                    Event::Apply(object) | Event::Delete(object) => reading.changes.count(Some(Change {
                        kind: K::KIND,
                        namespace: object.namespace().unwrap_or_default(),
                        name: object.name_any(),
                        flow: flow(&object),
                    })),
                    Event::InitDone => {
                        is_now(State::Warm);
                        // What has changed since the list before is not known.
                        if was_shown {
                            reading.changes.count(None);
                        }
                        was_shown = true;
                    }
                    Event::Init | Event::InitApply(_) => {}
                }
            }
            Err(error) => {
                failures += 1;
                let error = wait::failure(error, K::KIND, &action);
                if matches!(error, Error::Unauthorized { .. } | Error::NotInstalled) {
                    return error;
                }
                if wait::is_lasting(&error) || failures > FAILURES_MAX {
                    was_shown = true;
                    is_now(State::Failed(Arc::new(error)));
                }
            }
        }
    }
    Error::Senseless(format!("cannot {action}: the watch has ended"))
}

/// The objects of a kind, if it may be read.
fn read<K: Ours>(store: &Store<K>, states: &States) -> Vec<Arc<K>> {
    match states.get(&K::KIND) {
        Some(State::Failed(_)) => Vec::new(),
        _ => store.state(),
    }
}

/// What the objects of a kind are called on the pages.
fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Flow => "Flows",
        Kind::FlowRun => "runs",
        Kind::DaskCluster => "clusters",
        Kind::FlowBackfill => "backfills",
    }
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

    /// What has the objects of a scope, and may have more; it is watched from now on.
    ///
    /// # Errors
    /// Too many scopes are looked at.
    pub fn of(&self, scope: &Scope) -> Result<Arc<Watched>, Error> {
        let now = Instant::now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (watched, _)| !watched.is_over());
        // All namespaces have those of each.
        let wider = all.get_mut(&Scope::All).filter(|(watched, _)| watched.is_whole());
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

    /// Whether the API server has answered as to one whom it knows.
    pub fn are_accepted(&self) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().any(|(watched, _)| watched.is_accepted())
    }
}
