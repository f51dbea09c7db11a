//! One kept connection to each scheduler, over which it tells its workers unasked.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::failure::chain;
use super::route::Triggers;
use crate::dask::{Address, Error, MembershipStream, Scheduler, Scheme};
use crate::plan::cluster::SchedulerView;
use crate::plan::pods::COMM_PORT;

/// How long connecting, and each step of subscribing, may take.
const CONNECT: Duration = Duration::from_secs(5);
/// After this much silence the subscription is made anew: another subscriber may have taken our place unseen.
const SILENCE: Duration = Duration::from_secs(60);
/// The first and the longest wait between attempts to connect.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A scheduler that starts is not yet "unreachable" for this long.
const PATIENCE: Duration = Duration::from_secs(20);

type Key = (String, String);
type Shared = Arc<Mutex<SchedulerView>>;

/// The schedulers that are followed.
pub(super) struct Schedulers {
    followed: Mutex<HashMap<Key, Follower>>,
    triggers: Triggers,
}

/// One scheduler's pod, and the task that listens to it.
struct Follower {
    pod_uid: String,
    ip: String,
    view: Shared,
    _task: AbortOnDropHandle<()>,
}

impl Schedulers {
    pub(super) fn new(triggers: Triggers) -> Self {
        Self { followed: Mutex::default(), triggers }
    }

    /// Follows the scheduler in the pod of this uid and address, and gives what it said last.
    pub(super) fn follow(&self, namespace: &str, cluster: &str, pod: (&str, &str)) -> SchedulerView {
        let key = (namespace.to_owned(), cluster.to_owned());
        let mut all = lock(&self.followed);
        let (uid, ip) = pod;
        if let Some(follower) = all.get(&key).filter(|follower| follower.pod_uid == uid && follower.ip == ip)
        {
            return lock(&follower.view).clone();
        }
        let view = Shared::default();
        let task = tokio::spawn(listen(ip.to_owned(), view.clone(), key.clone(), self.triggers.clone()));
        let follower = Follower {
            pod_uid: uid.to_owned(),
            ip: ip.to_owned(),
            view,
            _task: AbortOnDropHandle::new(task),
        };
        all.insert(key, follower);
        SchedulerView::Unknown
    }

    /// Stops following the scheduler of a cluster.
    pub(super) fn forget(&self, namespace: &str, cluster: &str) {
        lock(&self.followed).remove(&(namespace.to_owned(), cluster.to_owned()));
    }

    /// Stops following the schedulers of clusters for which `exists` says no.
    pub(super) fn forget_unless(&self, exists: impl Fn(&str, &str) -> bool) {
        lock(&self.followed).retain(|(namespace, cluster), _| exists(namespace, cluster));
    }

    /// A connection for questions, to the scheduler that is followed.
    pub(super) async fn connect(&self, namespace: &str, cluster: &str) -> Result<Scheduler, Error> {
        let key = (namespace.to_owned(), cluster.to_owned());
        let ip = lock(&self.followed).get(&key).map(|follower| follower.ip.clone());
        let Some(address) = ip.and_then(|ip| address(&ip)) else { return Err(Error::Closed(None)) };
        Scheduler::connect(&address, CONNECT).await
    }
}

fn address(ip: &str) -> Option<Address> {
    Address::new(Scheme::Tcp, ip, u16::try_from(COMM_PORT).ok()?).ok()
}

/// Listens to a scheduler for as long as its pod lives.
async fn listen(ip: String, view: Shared, key: Key, triggers: Triggers) {
    let Some(address) = address(&ip) else { return };
    let mut wait = RETRY_FIRST;
    let mut silent_since = Instant::now();
    loop {
        let error = match MembershipStream::connect(&address, CONNECT).await {
            Ok(stream) => {
                wait = RETRY_FIRST;
                let end = hear(stream, &view, &key, &triggers).await;
                silent_since = Instant::now();
                let Some(error) = end else { continue };
                error
            }
            Err(error) => error,
        };
        let starting = *lock(&view) == SchedulerView::Unknown && silent_since.elapsed() < PATIENCE;
        if !starting {
            tell(&view, SchedulerView::Unreachable(chain(&error)), &key, &triggers);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Hears changes until the stream ends, with an error, or falls silent, without one.
async fn hear(mut stream: MembershipStream, view: &Shared, key: &Key, triggers: &Triggers) -> Option<Error> {
    loop {
        let workers: BTreeSet<String> =
            stream.membership().workers.values().map(|worker| worker.name.to_string()).collect();
        tell(view, SchedulerView::Answering { workers }, key, triggers);
        match stream.next(SILENCE).await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Stores what was heard, and wakes the cluster if it is news.
fn tell(view: &Shared, news: SchedulerView, key: &Key, triggers: &Triggers) {
    let mut current = lock(view);
    if *current != news {
        *current = news;
        drop(current);
        triggers.cluster(&key.0, &key.1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
