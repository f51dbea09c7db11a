//! Clusters that tests share which only need one to run on: each saves its test a scheduler and a worker.

use std::sync::{Mutex as Lock, PoisonError};

use kube::Client;
use tokio::sync::Mutex;

use super::manifests::dask_cluster;
use super::namespace::Namespace;
use super::settings::Settings;

/// A `DaskCluster` called `dask`, in a namespace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Two workers of two threads, of the image without a flow engine.
    Dask,
    /// One worker of two threads, with Prefect 1.
    Prefect1,
}

/// The tests that use a cluster or will, and whether one of them has failed.
#[derive(Clone, Copy, Debug, Default)]
struct Users {
    count: usize,
    has_failed: bool,
}

struct State {
    users: Lock<Users>,
    /// The namespace, once it is made; locked while it is.
    namespace: Mutex<Option<String>>,
}

impl State {
    const fn new() -> Self {
        Self { users: Lock::new(Users { count: 0, has_failed: false }), namespace: Mutex::const_new(None) }
    }
}

static DASK: State = State::new();
static PREFECT1: State = State::new();

impl Shared {
    fn state(self) -> &'static State {
        match self {
            Self::Dask => &DASK,
            Self::Prefect1 => &PREFECT1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Dask => "shared_dask",
            Self::Prefect1 => "shared_prefect1",
        }
    }

    fn cluster(self, settings: &Settings) -> serde_json::Value {
        match self {
            Self::Dask => dask_cluster("dask", &settings.dask, 2),
            Self::Prefect1 => dask_cluster("dask", &settings.prefect1, 1),
        }
    }
}

/// One test that uses a cluster, from its registration to its end.
pub struct User {
    shared: Shared,
}

impl User {
    /// Counts one more, before anything is made: as long as there are users, the cluster stays.
    pub fn of(shared: Shared) -> Self {
        shared.state().users.lock().unwrap_or_else(PoisonError::into_inner).count += 1;
        Self { shared }
    }

    /// The namespace with the cluster, which is ready. Whoever is first makes it, and the others wait.
    pub async fn namespace(&self, client: Client, settings: &'static Settings) -> Namespace {
        let mut made = self.shared.state().namespace.lock().await;
        if let Some(name) = &*made {
            return Namespace::of_others(client, settings, name);
        }
        let namespace = Namespace::make(client, settings, self.shared.name()).await;
        namespace.ready_cluster(self.shared.cluster(settings)).await;
        *made = Some(namespace.name.clone());
        namespace
    }

    /// The end of its use. The last one deletes the namespace, if no test in there has failed.
    pub async fn leave(self, namespace: &Namespace, succeeded: bool) {
        namespace.gives_turn_back();
        let users = {
            let mut users = self.shared.state().users.lock().unwrap_or_else(PoisonError::into_inner);
            users.has_failed |= !succeeded;
            users.count -= 1;
            *users
        };
        if users.count == 0 {
            let made = self.shared.state().namespace.lock().await.take();
            if made.is_some() && !users.has_failed {
                namespace.delete().await;
            }
        }
    }
}
