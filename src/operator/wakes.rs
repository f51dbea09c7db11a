//! The queues of the controllers, one for each of our kinds: the names of objects that are to be looked at.
//! `route` decides which.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::select_all;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::api::Kind;
use crate::plan::turns::Key;

/// An object that is to be looked at.
#[derive(Clone, Debug)]
pub struct Wake {
    /// Its namespace and name.
    pub key: Key,
    /// Whether somebody waits for what comes of it, rather than a clock.
    pub urgent: bool,
}

impl Wake {
    /// An object that nobody waits for.
    pub fn of(namespace: &str, name: &str) -> Self {
        Self { key: (Arc::from(namespace), Arc::from(name)), urgent: false }
    }
}

/// What of dask-kubernetes is to be looked at, as something of ours has changed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WakeTheirs {
    /// Everything.
    All,
    /// The `DaskCluster` of this namespace and name, if there is one.
    Cluster(String, String),
    /// The `DaskJob` of this namespace and name.
    Job(String, String),
}

/// The sending sides of the controllers' queues.
#[derive(Clone)]
pub struct Triggers {
    ours: Arc<BTreeMap<Kind, UnboundedSender<Wake>>>,
    theirs: UnboundedSender<WakeTheirs>,
}

/// The receiving sides. The queues hold names only, and a controller keeps each name once.
pub struct Wakes {
    ours: BTreeMap<Kind, UnboundedReceiver<Wake>>,
    theirs: Option<UnboundedReceiver<WakeTheirs>>,
}

/// The queues of all controllers.
pub fn channels() -> (Triggers, Wakes) {
    let (mut triggers, mut wakes) = (BTreeMap::new(), BTreeMap::new());
    for kind in Kind::ALL {
        let (sender, receiver) = mpsc::unbounded_channel();
        triggers.insert(kind, sender);
        wakes.insert(kind, receiver);
    }
    let (theirs, waking) = mpsc::unbounded_channel();
    (Triggers { ours: Arc::new(triggers), theirs }, Wakes { ours: wakes, theirs: Some(waking) })
}

impl Wakes {
    /// Throws all wake-ups away for as long as it is polled: nobody works, and queues must not grow.
    pub(super) async fn discard(&mut self) {
        if let Some(theirs) = &mut self.theirs {
            let theirs = async { while theirs.recv().await.is_some() {} };
            let ours = Self::discard_ours(&mut self.ours);
            futures::future::join(theirs, ours).await;
        } else {
            Self::discard_ours(&mut self.ours).await;
        }
    }

    async fn discard_ours(queues: &mut BTreeMap<Kind, UnboundedReceiver<Wake>>) {
        let queues =
            queues.values_mut().map(|queue| Box::pin(async { while queue.recv().await.is_some() {} }));
        // The context holds the senders: that one ends is the end of the process.
        select_all(queues).await;
    }

    /// The queue of one kind, for its controller, which is the only one.
    pub(super) fn take(&mut self, kind: Kind) -> Option<UnboundedReceiver<Wake>> {
        self.ours.remove(&kind)
    }

    /// The queue of what is of dask-kubernetes. Without a receiver nothing is kept in it.
    pub(super) fn take_theirs(&mut self) -> Option<UnboundedReceiver<WakeTheirs>> {
        self.theirs.take()
    }

    /// The next object of a kind; nothing: none waits now.
    #[cfg(test)]
    pub(super) fn try_recv(&mut self, kind: Kind) -> Option<Wake> {
        self.ours.get_mut(&kind).unwrap().try_recv().ok()
    }

    /// Waits for the next object of a kind.
    #[cfg(test)]
    pub(super) async fn recv(&mut self, kind: Kind) -> Option<Wake> {
        self.ours.get_mut(&kind).unwrap().recv().await
    }
}

impl Triggers {
    /// Wakes an object.
    pub fn wake(&self, kind: Kind, namespace: &str, name: &str) {
        self.send(kind, Wake::of(namespace, name));
    }

    /// Wakes an object before the others of its namespace: somebody waits for what comes of it.
    pub(super) fn wake_now(&self, kind: Kind, namespace: &str, name: &str) {
        self.send(kind, Wake { urgent: true, ..Wake::of(namespace, name) });
    }

    /// Wakes what is of dask-kubernetes, where that is served.
    pub(super) fn wake_theirs(&self, wake: WakeTheirs) {
        // Where it is not, there is no receiver.
        let _ = self.theirs.send(wake);
    }

    fn send(&self, kind: Kind, wake: Wake) {
        if let Some(queue) = self.ours.get(&kind) {
            // The receiver is gone only when the operator stops.
            let _ = queue.send(wake);
        }
    }
}
