//! The API itself, but for what it answers.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::{Value, json};

use super::disk::Disk;
use super::log_source::LogSource;
use super::names::Names;
use super::state::{News, Shared, State};
use super::store::{Key, Store};
use super::value::{seconds, set};
use super::writer::Writer;
use super::{built_in, collect, kinds};
use crate::api::dask_kubernetes;
use crate::manifest::admission::Defined;

/// The API. Clones are the same one.
#[derive(Clone)]
pub struct ClusterApi {
    pub(super) shared: Arc<Shared>,
}

impl ClusterApi {
    /// An API with the namespace `default`, the definitions of our kinds, and nothing else.
    ///
    /// `clock` says what time it is; uids and generated names follow from `seed`.
    pub fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static, seed: u64) -> Self {
        Self::begin(clock, State::new(Store::default(), Names::new(seed)), None)
    }

    /// An API with these objects and what is there from the start, which may be kept on a disk.
    pub(super) fn begin(
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        mut state: State,
        disk: Option<Disk>,
    ) -> Self {
        install(&mut state, clock());
        let news = Arc::new(News::new(state.store.version()));
        let state = Arc::new(Mutex::new(state));
        let writer = disk.map(|disk| Writer::start(disk, state.clone(), news.clone()));
        let shared = Shared {
            state,
            news,
            clock: Box::new(clock),
            logs: OnceLock::new(),
            pods: OnceLock::new(),
            writer,
        };
        Self { shared: Arc::new(shared) }
    }

    /// A client of it, which must be made inside of a tokio runtime.
    pub fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Says who has what the containers of pods write. The first that is given stays; without one, logs are
    /// refused.
    pub fn set_log_source(&self, source: Arc<dyn LogSource>) {
        let _ = self.shared.logs.set(source);
    }

    /// Says where the ports of all pods are reached. The first that is given stays; without one, none are
    /// forwarded.
    pub fn reach_pods_at(&self, address: IpAddr) {
        let _ = self.shared.pods.set(address);
    }

    /// Serves the kinds of dask-kubernetes too, from now on. Objects of theirs that were kept are there
    /// again.
    pub fn serve_dask_kubernetes(&self) {
        let now = self.now();
        let mut state = self.lock();
        state.dask_kubernetes = true;
        define(&mut state, &DASK_KUBERNETES, now);
        drop(state);
        self.tell();
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.lock().store.version()
    }

    /// Whether there is an object of a kind that definitions name: by namespace and name.
    pub fn has(&self, kind: Defined, namespace: &str, name: &str) -> bool {
        let found = kinds::all().iter().find(|one| one.defined == Some(kind));
        found.is_some_and(|kind| self.lock().store.get(kind.stored, &Key::new(namespace, name)).is_some())
    }

    /// Forgets all versions before the present one: watches and pages that begin there get 410.
    pub fn compact(&self) {
        self.lock().store.compact();
    }

    /// Sets how many changes are known at the most. A watch that is further behind is told to list again.
    pub fn keep_changes(&self, most: usize) {
        self.lock().store.keep_changes(most);
    }

    /// Ends all watches that there are, as an API server does that is started anew.
    pub fn break_watches(&self) {
        self.shared.news.break_all();
    }

    /// Follows the owners and namespaces that have gone, one step; gives how many objects it changed.
    pub fn collect(&self) -> usize {
        let now = self.now();
        let count = collect::collect(&mut self.lock(), now);
        self.tell();
        count
    }

    /// Collects after every change, for as long as it is polled.
    pub async fn collect_always(&self) {
        let mut news = self.shared.news.any.subscribe();
        let mut seen = None;
        loop {
            news.borrow_and_update();
            let version = self.version();
            if seen.is_none_or(|seen| collect::is_due(&self.lock(), seen)) {
                // Others on this thread have their turn between two passes.
                while self.collect() > 0 {
                    tokio::task::yield_now().await;
                }
            }
            seen = Some(version);
            // The sender lives as long as this does.
            let _ = news.changed().await;
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the watches how far the store is. Where objects are kept, that is done once they are on the
    /// disk.
    pub(super) fn tell(&self) {
        if let Some(writer) = &self.shared.writer {
            return writer.wake();
        }
        let mut state = self.lock();
        let (changed, version) = (state.store.take_changed(), state.store.version());
        drop(state);
        self.shared.news.tell(&changed, version);
    }
}

/// Puts in what is there from the start.
fn install(state: &mut State, now: Timestamp) {
    let created = seconds(now);
    let default = Key::new("", "default");
    if let Some(namespaces) = kinds::find("", "v1", "namespaces")
        && state.store.get(namespaces.stored, &default).is_none()
    {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "default", "uid": state.names.uid(), "creationTimestamp": created},
        });
        built_in::fill_in(namespaces, &mut object, 0);
        state.store.put(namespaces.stored, default, object);
    }
    define(state, &DEFINITIONS, now);
}

/// Puts definitions in, as ones that are served.
fn define(state: &mut State, definitions: &[(String, Value)], now: Timestamp) {
    let created = seconds(now);
    let Some(kind) = kinds::find("apiextensions.k8s.io", "v1", "customresourcedefinitions") else { return };
    for (name, crd) in definitions {
        let mut object = crd.clone();
        let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": created});
        let status = json!({
            "acceptedNames": object.pointer("/spec/names"),
            "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
            "storedVersions": [object.pointer("/spec/versions/0/name")],
        });
        set(&mut object, "status", status);
        let metadata = json!({
            "name": name, "uid": state.names.uid(), "creationTimestamp": created, "generation": 1,
        });
        set(&mut object, "metadata", metadata);
        state.store.put(kind.stored, Key::new("", name), object);
    }
}

/// The definitions of our kinds by their names. To write them takes longer than anything else at a start.
static DEFINITIONS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| named(crate::api::crds()));

/// The same of those of dask-kubernetes.
static DASK_KUBERNETES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| named(dask_kubernetes::crds()));

fn named(crds: Vec<CustomResourceDefinition>) -> Vec<(String, Value)> {
    let named = |crd: CustomResourceDefinition| {
        let name = format!("{}.{}", crd.spec.names.plural, crd.spec.group);
        Some((name, serde_json::to_value(crd).ok()?))
    };
    crds.into_iter().filter_map(named).collect()
}
