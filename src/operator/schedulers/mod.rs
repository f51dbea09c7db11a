//! What is kept of each scheduler: a connection over which it tells its workers unasked, and one over which it is
//! asked, for as long as there is something to ask over and over.
//!
//! Nothing here makes a request to the API server, and a cluster is woken only by news.

mod ask;
mod follow;
mod line;
mod poll;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::route::Triggers;
use crate::dask::{Address, Error, Scheduler, Scheme};
use crate::plan::cluster::load::Questions;
use crate::plan::cluster::{Load, SchedulerView};
use crate::plan::pods::COMM_PORT;

pub(super) use ask::{Look, look};
use line::Line;

/// How long connecting, and each step of subscribing, may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Namespace and name of a cluster.
type Key = (String, String);
type Shared<T> = Arc<Mutex<T>>;

/// The schedulers that are followed.
pub(super) struct Schedulers {
    followed: Mutex<HashMap<Key, Followed>>,
    triggers: Triggers,
    port: Option<u16>,
}

/// One scheduler's pod, and what is kept of it.
struct Followed {
    pod_uid: String,
    ip: String,
    view: Shared<SchedulerView>,
    line: Arc<Line>,
    load: Shared<Load>,
    poller: Option<Poller>,
    _follower: AbortOnDropHandle<()>,
}

/// The task that asks a scheduler over and over.
struct Poller {
    questions: Questions,
    _task: AbortOnDropHandle<()>,
}

impl Schedulers {
    pub(super) fn new(triggers: Triggers) -> Self {
        Self { followed: Mutex::default(), triggers, port: u16::try_from(COMM_PORT).ok() }
    }

    /// With schedulers that listen on this port.
    #[cfg(test)]
    pub(super) fn on_port(triggers: Triggers, port: u16) -> Self {
        Self { port: Some(port), ..Self::new(triggers) }
    }

    /// Follows the scheduler in the pod of this uid and address, and gives what it said last. Another pod begins with
    /// nothing known.
    pub(super) fn follow(&self, namespace: &str, cluster: &str, pod: (&str, &str)) -> SchedulerView {
        let key = (namespace.to_owned(), cluster.to_owned());
        let mut all = lock(&self.followed);
        let (uid, ip) = pod;
        if let Some(followed) = all.get(&key).filter(|followed| followed.pod_uid == uid && followed.ip == ip)
        {
            return lock(&followed.view).clone();
        }
        let Some(address) = self.address(ip) else {
            all.remove(&key);
            return SchedulerView::Unknown;
        };
        let view = Shared::default();
        let listen = follow::listen(address.clone(), view.clone(), key.clone(), self.triggers.clone());
        let followed = Followed {
            pod_uid: uid.to_owned(),
            ip: ip.to_owned(),
            view,
            line: Arc::new(Line::to(address)),
            load: Shared::default(),
            poller: None,
            _follower: AbortOnDropHandle::new(tokio::spawn(listen)),
        };
        all.insert(key, followed);
        SchedulerView::Unknown
    }

    /// Asks the scheduler that is followed these questions from now on, or none, and gives what it answered so far.
    pub(super) fn poll(&self, namespace: &str, cluster: &str, questions: Option<&Questions>) -> Load {
        let key = (namespace.to_owned(), cluster.to_owned());
        let mut all = lock(&self.followed);
        let Some(followed) = all.get_mut(&key) else { return Load::default() };
        let Some(questions) = questions else {
            if followed.poller.take().is_some() {
                followed.line.hang_up();
            }
            // What is heard no longer is not known to be so.
            let mut load = lock(&followed.load);
            *load = Load { last_client: load.last_client, ..Load::default() };
            return load.clone();
        };
        if followed.poller.as_ref().is_none_or(|poller| poller.questions != *questions) {
            poll::forget_what_is_not_asked(&mut lock(&followed.load), questions);
            let task = poll::poll(
                followed.line.clone(),
                questions.clone(),
                followed.load.clone(),
                key,
                self.triggers.clone(),
            );
            let task = AbortOnDropHandle::new(tokio::spawn(task));
            followed.poller = Some(Poller { questions: questions.clone(), _task: task });
        }
        lock(&followed.load).clone()
    }

    /// Stops following the scheduler of a cluster.
    pub(super) fn forget(&self, namespace: &str, cluster: &str) {
        lock(&self.followed).remove(&(namespace.to_owned(), cluster.to_owned()));
    }

    /// Stops following the schedulers of clusters for which `exists` says no.
    pub(super) fn forget_unless(&self, exists: impl Fn(&str, &str) -> bool) {
        lock(&self.followed).retain(|(namespace, cluster), _| exists(namespace, cluster));
    }

    /// The kept connection to the scheduler that is followed.
    pub(super) fn line(&self, namespace: &str, cluster: &str) -> Option<Arc<Line>> {
        let key = (namespace.to_owned(), cluster.to_owned());
        lock(&self.followed).get(&key).map(|followed| followed.line.clone())
    }

    /// Hangs up the kept connection, unless the scheduler is asked over and over.
    pub(super) fn hang_up_if_idle(&self, namespace: &str, cluster: &str) {
        let key = (namespace.to_owned(), cluster.to_owned());
        if let Some(followed) = lock(&self.followed).get(&key).filter(|followed| followed.poller.is_none()) {
            followed.line.hang_up();
        }
    }

    /// A connection of its own to the scheduler that is followed, for a question that may take long.
    pub(super) async fn connect(&self, namespace: &str, cluster: &str) -> Result<Scheduler, Error> {
        let Some(line) = self.line(namespace, cluster) else { return Err(Error::Closed(None)) };
        Scheduler::connect(line.address(), CONNECT).await
    }

    fn address(&self, ip: &str) -> Option<Address> {
        Address::new(Scheme::Tcp, ip, self.port?).ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
