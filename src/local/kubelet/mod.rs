//! Makes processes of pods: what a node's kubelet does, as far as a machine can.
//!
//! Each pod is one process, that of the container it is for, with the Python of this machine in the place of
//! its image. What else a template asks for and a machine cannot do is said once, and ignored.

mod container;
mod environment;
mod events;
mod expand;
mod health;
mod logs;
mod lost;
mod old_logs;
mod owner;
pub mod paths;
mod pod;
mod probe;
mod process;
mod sources;
mod status;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join_all, join3};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::log_copy;
use super::machine::Machine;
use crate::api::labels;
use crate::cluster_api::LogSource;
use crate::daemon::clock::Clock;
use crate::plan::pods::state;
use logs::Logs;
pub use lost::give_up;
use owner::Owner;
use pod::{Life, Order};

/// Which pods end one after the other when all end, and how long each kind may take: ten seconds in all.
const ENDS: [(&str, Duration); 3] = [
    (labels::RUNNER, Duration::from_secs(4)),
    (labels::WORKER, Duration::from_secs(3)),
    (labels::SCHEDULER, Duration::from_secs(2)),
];
/// How long processes that are killed are waited for.
const KILLED: Duration = Duration::from_secs(1);

/// A pod that lives here. Its order has a receiver for as long as it lives.
struct Entry {
    component: String,
    order: watch::Sender<Order>,
}

/// The pods of this machine.
pub struct Kubelet {
    client: Client,
    clock: Clock,
    machine: Arc<Machine>,
    logs: Logs,
    /// By uid.
    entries: Mutex<HashMap<String, Entry>>,
    /// Everything ends: no pod is taken any more.
    is_closed: AtomicBool,
}

impl Kubelet {
    /// No pod lives here yet.
    pub fn new(client: Client, clock: Clock, machine: Arc<Machine>) -> Self {
        let logs = Logs::new(clock.clone());
        Self { client, clock, machine, logs, entries: Mutex::default(), is_closed: AtomicBool::new(false) }
    }

    /// What its pods write.
    pub fn logs(&self) -> Arc<dyn LogSource> {
        Arc::new(self.logs.clone())
    }

    /// Takes all pods, and looks after them for as long as it is polled.
    pub async fn serve(&self) {
        let old_logs = old_logs::delete_always(&self.client, &self.clock, &self.machine);
        join3(self.take_all(), self.logs.look_always(), old_logs).await;
    }

    async fn take_all(&self) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let mut events = pin!(watcher::watcher(pods, watcher::Config::default()));
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod)) => self.look(&pod),
                Ok(Event::Delete(pod)) => self.forget(&pod),
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(pod)) => {
                    listed.insert(pod.uid().unwrap_or_default());
                    self.look(&pod);
                }
                Ok(Event::InitDone) => self.forget_unless(&listed),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the watch of pods failed");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new pod, or ends one that is to end.
    fn look(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        let mut entries = self.lock();
        let ends = pod.metadata.deletion_timestamp.is_some();
        if let Some(entry) = entries.get(&uid) {
            if ends {
                let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
                let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
                set(entry, Order::End(grace));
            }
        } else if !ends
            && state::life(pod) == state::PodLife::Alive
            && !self.is_closed.load(Ordering::Relaxed)
        {
            entries.insert(uid, self.take(pod));
        } else if state::life(pod) != state::PodLife::Alive
            && let Some(container) = status::own_container(pod)
        {
            let log = self.machine.log(&pod.namespace().unwrap_or_default(), &pod.name_any());
            self.logs.take_over(&uid, &container.name, &log);
        }
    }

    fn take(&self, pod: &Pod) -> Entry {
        let ignored = status::ignored(pod);
        if !ignored.is_empty() {
            let (owner, what) = (Owner::of(pod), ignored.join(", "));
            self.machine.news.say_once(&format!("{owner}: ignored on this machine: {what}"));
            let (client, now) = (self.client.clone(), self.clock.now());
            tokio::spawn(async move { owner.note_ignored(&client, &what, now).await });
        }
        let component = state::label(pod, labels::COMPONENT).unwrap_or(labels::RUNNER).to_owned();
        let (order, orders) = watch::channel(Order::Live);
        let life = Life {
            client: self.client.clone(),
            clock: self.clock.clone(),
            machine: self.machine.clone(),
            logs: self.logs.clone(),
            pod: pod.clone(),
            orders,
        };
        let log = self.machine.log(&pod.namespace().unwrap_or_default(), &pod.name_any());
        let shown = self.machine.shows_runs && component == labels::RUNNER;
        // It counts as living until all of its log is shown.
        let (lives, machine) = (life.orders.clone(), self.machine.clone());
        tokio::spawn(async move {
            let life = Box::pin(life.live());
            if shown {
                log_copy::show(&log, life, &machine.news).await;
            } else {
                life.await;
            }
            drop(lives);
        });
        Entry { component, order }
    }

    /// A pod is there no more. Its log stays: that of a run whose time was over is the one that is wanted.
    fn forget(&self, pod: &Pod) {
        let uid = pod.uid().unwrap_or_default();
        self.logs.forget(&uid);
        let entry = self.lock().remove(&uid);
        if let Some(entry) = entry {
            set(&entry, Order::Die);
        }
    }

    /// Pods that a new list does not have were deleted while nobody watched.
    fn forget_unless(&self, listed: &HashSet<String>) {
        for (uid, entry) in self.lock().extract_if(|uid, _| !listed.contains(uid)) {
            self.logs.forget(&uid);
            set(&entry, Order::Die);
        }
    }

    /// Takes no more pods, and ends all: runners, then workers, then schedulers. Each kind has its time, and
    /// is killed then.
    pub async fn end(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        for (component, grace) in ENDS {
            self.order(Some(component), Order::Leave(grace), grace + KILLED / 2).await;
        }
        self.kill().await;
    }

    /// Takes no more pods, and kills all that there are.
    pub async fn kill(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.order(None, Order::Die, KILLED).await;
    }

    /// Gives an order to all pods of a component, or to all, and waits for their end.
    async fn order(&self, component: Option<&str>, order: Order, limit: Duration) {
        let all: Vec<watch::Sender<Order>> = self
            .lock()
            .values()
            .filter(|entry| component.is_none_or(|component| entry.component == component))
            .map(|entry| {
                set(entry, order);
                entry.order.clone()
            })
            .collect();
        // Those that are late are killed as their guard sees the end of daskflow.
        let _ = timeout(limit, join_all(all.iter().map(watch::Sender::closed))).await;
    }
}

/// Gives an order, if it is another one than before.
fn set(entry: &Entry, order: Order) {
    entry.order.send_if_modified(|before| std::mem::replace(before, order) != order);
}
