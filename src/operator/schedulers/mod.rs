//! What is kept of each scheduler: a connection over which it tells its workers, unless something else hears
//! them so, and one over which it is asked, for as long as there is something to ask over and over.
//!
//! Nothing here makes a request to the API server, and a cluster is woken only by news.

mod ask;
mod closed;
mod follow;
mod line;
mod poll;
mod retire;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::certificates::credentials::Keeper;
use super::surroundings::{Sites, Surroundings};
use super::wakes::Triggers;
use crate::daemon::clock::Clock;
#[cfg(test)]
use crate::dask::Reach;
use crate::dask::{Address, Connector, Error, Scheme};
use crate::plan::Victim;
use crate::plan::cluster::load::Questions;
use crate::plan::cluster::{Load, Retirements, SchedulerView, Wish};
#[cfg(test)]
use crate::plan::site::Site;

pub(super) use ask::{Asks, Look, look};
pub(super) use follow::Membership;
use line::{Line, Whereabouts};
use shared::{Key, Shared, lock};

/// The schedulers that are followed.
pub(super) struct Schedulers {
    followed: Mutex<HashMap<Key, Followed>>,
    client: Client,
    triggers: Triggers,
    clock: Clock,
    connector: Connector,
    sites: Sites,
}

/// Numbers of schedulers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connections {
    /// They tell their workers.
    pub answering: i64,
    /// They could not be reached, or the connection was lost.
    pub unreachable: i64,
    /// They have never answered yet.
    pub connecting: i64,
}

/// One start of a scheduler, and what is kept of it.
struct Followed {
    start: String,
    ip: String,
    secret: Option<(String, Option<String>)>,
    membership: Membership,
    view: Shared<SchedulerView>,
    line: Arc<Line>,
    load: Shared<Load>,
    poller: Option<Poller>,
    retirements: Shared<Retirements>,
    /// The requests to let workers go or to close them that are under way. They end with what is kept of the
    /// scheduler.
    calls: JoinSet<()>,
    _follower: AbortOnDropHandle<()>,
}

/// The task that asks a scheduler over and over.
struct Poller {
    questions: Questions,
    _task: AbortOnDropHandle<()>,
}

impl Followed {
    /// Whether it is this start of a scheduler, shown the same.
    fn is(&self, (start, ip): (&str, &str), secret: Option<&(String, Option<String>)>) -> bool {
        self.start == start && self.ip == ip && self.secret.as_ref() == secret
    }

    /// Whether nothing is asked over and over.
    fn is_idle(&self) -> bool {
        self.poller.is_none() && self.membership == Membership::Subscribed
    }
}

impl Schedulers {
    /// None are followed yet.
    pub(super) fn new(client: Client, triggers: Triggers, surroundings: &Surroundings) -> Self {
        Self {
            followed: Mutex::default(),
            client,
            triggers,
            clock: surroundings.clock.clone(),
            connector: surroundings.schedulers.clone(),
            sites: surroundings.sites.clone(),
        }
    }

    /// With schedulers that listen on this port.
    #[cfg(test)]
    pub(super) fn on_port(client: Client, triggers: Triggers, port: u16) -> Self {
        let sites = Sites::all(Site::Machine { comm: port, dashboard: 0 });
        Self { sites, ..Self::new(client, triggers, &Surroundings::of_machine(Reach::All)) }
    }

    /// Follows one start of a scheduler and returns what it last reported. A new pod, a restarted container
    /// or another expected host name starts from `Unknown`. With TLS, `secret` is what the pod was made with,
    /// and `host` the name that its certificate must have.
    pub(super) fn follow(
        &self,
        (namespace, cluster): (&str, &str),
        (start, ip): (&str, &str),
        secret: Option<(&str, Option<String>)>,
        membership: Membership,
    ) -> SchedulerView {
        let key = (namespace.to_owned(), cluster.to_owned());
        let secret = secret.map(|(secret, host)| (secret.to_owned(), host));
        let mut all = lock(&self.followed);
        if let Some(followed) = all.get(&key).filter(|followed| followed.is((start, ip), secret.as_ref())) {
            return lock(&followed.view).clone();
        }
        let scheme = if secret.is_some() { Scheme::Tls } else { Scheme::Tcp };
        let Some(address) = self.address((namespace, cluster), scheme, ip) else {
            all.remove(&key);
            return SchedulerView::Unknown;
        };
        let keeper =
            secret.clone().map(|(secret, host)| Keeper::new(self.client.clone(), namespace, &secret, host));
        let view = Shared::default();
        let line = Arc::new(Line::to(Whereabouts::of(address, keeper, self.connector.clone())));
        let listening =
            follow::follow(line.clone(), membership, view.clone(), key.clone(), self.triggers.clone());
        let followed = Followed {
            start: start.to_owned(),
            ip: ip.to_owned(),
            secret,
            membership,
            view,
            line,
            load: Shared::default(),
            poller: None,
            retirements: Shared::default(),
            calls: JoinSet::new(),
            _follower: AbortOnDropHandle::new(tokio::spawn(listening)),
        };
        all.insert(key, followed);
        SchedulerView::Unknown
    }

    /// What was heard of this start of a scheduler, as far as these questions ask for it; none if another one
    /// is followed. Nothing begins or ends by it.
    pub(super) fn heard(
        &self,
        (namespace, cluster): (&str, &str),
        (start, ip): (&str, &str),
        secret: Option<(&str, Option<String>)>,
        questions: Option<&Questions>,
    ) -> Option<(SchedulerView, Load)> {
        let secret = secret.map(|(secret, host)| (secret.to_owned(), host));
        let all = lock(&self.followed);
        let followed = all.get(&(namespace.to_owned(), cluster.to_owned()))?;
        if !followed.is((start, ip), secret.as_ref()) {
            return None;
        }
        let mut load = lock(&followed.load).clone();
        load.keep_asked(questions);
        let view = lock(&followed.view).clone();
        Some((view, load))
    }

    /// Asks the scheduler that is followed these questions from now on, or none, and gives what it answered
    /// so far.
    pub(super) fn poll(&self, namespace: &str, cluster: &str, questions: Option<&Questions>) -> Load {
        let key = (namespace.to_owned(), cluster.to_owned());
        let mut all = lock(&self.followed);
        let Some(followed) = all.get_mut(&key) else { return Load::default() };
        let Some(questions) = questions else {
            if followed.poller.take().is_some() && followed.is_idle() {
                followed.line.hang_up();
            }
            let mut load = lock(&followed.load);
            load.keep_asked(None);
            return load.clone();
        };
        if followed.poller.as_ref().is_none_or(|poller| poller.questions != *questions) {
            lock(&followed.load).keep_asked(Some(questions));
            let task = poll::poll(
                followed.line.clone(),
                questions.clone(),
                (followed.load.clone(), self.clock.clone()),
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
        if let Some(followed) = lock(&self.followed).get(&key).filter(|followed| followed.is_idle()) {
            followed.line.hang_up();
        }
    }

    /// Begins to ask the scheduler that is followed to let these workers go or to close them, over a
    /// connection of its own. Its answer goes into the record of this start of it, and wakes the cluster.
    /// Workers that it is being asked about are not asked about again.
    ///
    /// # Errors
    ///
    /// No scheduler is followed.
    pub(super) fn begin(
        &self,
        (namespace, cluster): (&str, &str),
        (wish, workers): (Wish, &[Victim]),
    ) -> Result<(), Error> {
        let key = (namespace.to_owned(), cluster.to_owned());
        let mut all = lock(&self.followed);
        let Some(followed) = all.get_mut(&key) else { return Err(Error::Closed(None)) };
        let asked = lock(&followed.retirements).begin(workers, self.clock.now());
        // What has ended is of no use.
        while followed.calls.try_join_next().is_some() {}
        if !asked.is_empty() {
            let whereabouts = followed.line.whereabouts().clone();
            let record = followed.retirements.clone();
            followed.calls.spawn(retire::call(
                whereabouts,
                (wish, asked),
                (record, self.clock.clone()),
                (key, self.triggers.clone()),
            ));
        }
        Ok(())
    }

    /// What the scheduler that is followed was asked to do with workers that are to leave, and what it
    /// answered.
    pub(super) fn retirements(&self, namespace: &str, cluster: &str) -> Retirements {
        let key = (namespace.to_owned(), cluster.to_owned());
        let all = lock(&self.followed);
        all.get(&key).map(|followed| lock(&followed.retirements).clone()).unwrap_or_default()
    }

    /// Takes in what a live look at the cluster found that began at `began`: [`Retirements::see`].
    pub(super) fn see(
        &self,
        (namespace, cluster): (&str, &str),
        pods: &[Arc<Pod>],
        registered: &BTreeSet<String>,
        began: Timestamp,
    ) {
        let key = (namespace.to_owned(), cluster.to_owned());
        if let Some(followed) = lock(&self.followed).get(&key) {
            lock(&followed.retirements).see(pods, registered, began);
        }
    }

    /// How the schedulers that are followed stand.
    pub(super) fn connections(&self) -> Connections {
        let mut connections = Connections::default();
        for followed in lock(&self.followed).values() {
            *match &*lock(&followed.view) {
                SchedulerView::Answering { .. } => &mut connections.answering,
                SchedulerView::Unreachable { .. } => &mut connections.unreachable,
                SchedulerView::Unknown => &mut connections.connecting,
            } += 1;
        }
        connections
    }

    fn address(&self, cluster: (&str, &str), scheme: Scheme, ip: &str) -> Option<Address> {
        Address::new(scheme, ip, self.sites.of(Some(cluster)).comm_port()).ok()
    }
}
