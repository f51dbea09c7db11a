//! One `DaskCluster`: its scheduler, its workers, its status.
//!
//! Invariants: never two schedulers (the pod's fixed name is the lock); no worker is created or deleted on the word of
//! a cache; a worker that is registered is deleted only after the scheduler let it go.

mod admission;
pub mod load;
mod status;
mod violations;
mod workers;

pub use load::Load;
pub use violations::violations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::Value;

use super::conditions::{MESSAGE_BYTES_MAX, cut};
use super::pods::{self, Violation, scheduler, state};
use super::run::{job_of, phase_of};
use super::{Next, Note, Object, Plan, Step, Victim, VictimKind, subset};
use crate::api::{DaskCluster, DaskClusterStatus, FlowRun, Phase, Reason, labels};

/// What was observed of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The scheduler's Service.
    pub service: Option<Arc<Service>>,
    /// All pods of the cluster, runners not among them.
    pub pods: Vec<Arc<Pod>>,
    /// Whether the pods were listed from the API server just now, rather than from a cache.
    pub live: bool,
    /// What the scheduler says.
    pub scheduler: SchedulerView,
    /// The workers in the order in which the scheduler would close them, idle ones and those with least data first.
    /// None when it was not asked or did not answer.
    pub closable: Option<Vec<String>>,
    /// How many tasks lie with each worker. None when it was not asked or did not answer.
    pub busy: Option<BTreeMap<String, u64>>,
    /// What the scheduler told of its load.
    pub load: Load,
    /// The runs on this cluster that have not ended, those that wait for a place on it among them.
    pub runs: Vec<Arc<FlowRun>>,
    /// Runs whose runner's pod has not ended, whatever became of the run itself.
    pub runners: BTreeSet<String>,
    /// When the last of the other runs on this cluster ended.
    pub last_run_end: Option<Timestamp>,
    /// Random bits for new names.
    pub seed: u64,
}

/// What the Dask scheduler says over the native protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SchedulerView {
    /// Nobody is connected to it.
    #[default]
    Unknown,
    /// It could not be reached, or the connection was lost.
    Unreachable(String),
    /// It answers.
    Answering {
        /// The Dask names of the registered workers.
        workers: BTreeSet<String>,
    },
}

impl SchedulerView {
    /// The registered workers, if the scheduler answers.
    pub fn registered(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Answering { workers } => Some(workers),
            _ => None,
        }
    }
}

/// What has to be asked of the scheduler over and over, if anything, for a cluster with these pods.
pub fn questions(_cluster: &DaskCluster, _pods: &[Arc<Pod>]) -> Option<load::Questions> {
    None
}

/// Whether a live look has to ask how many tasks lie with each worker.
pub fn asks_who_is_busy(_cluster: &DaskCluster) -> bool {
    false
}

/// Plans the next steps for `cluster`.
pub fn plan(cluster: &DaskCluster, observed: &Observed, now: Timestamp) -> Plan<DaskClusterStatus> {
    if cluster.metadata.deletion_timestamp.is_some() {
        return Plan::status_only(cluster.status.clone().unwrap_or_default());
    }
    let mut work = Work::new(cluster, observed, now);
    let violation = work.fill().err();
    if let Some(violation) = &violation {
        // What runs goes on running; only the part that cannot be built is left undone.
        work.notes.push(Note::warning(violation.reason, violation.message.clone()));
    }
    let look_again = (work.look_again || !work.steps.is_empty()) && !observed.live;
    let status = status::status(cluster, observed, &work, violation.as_ref(), now);
    let notes = if is_news(cluster, violation.as_ref()) { work.notes } else { Vec::new() };
    Plan { steps: work.steps, status, events: notes, next: work.next, look_again }
}

/// A violation is told once, not at every look.
fn is_news(cluster: &DaskCluster, violation: Option<&Violation>) -> bool {
    let Some(violation) = violation else { return true };
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    super::conditions::find(conditions, crate::api::ConditionType::Stalled)
        .is_none_or(|stalled| stalled.message != cut(&violation.message, MESSAGE_BYTES_MAX))
}

/// A plan under construction.
pub(crate) struct Work<'a> {
    cluster: &'a DaskCluster,
    observed: &'a Observed,
    now: Timestamp,
    steps: Vec<Step>,
    notes: Vec<Note>,
    next: Next,
    /// Who may leave is for the scheduler to say, and it was not asked yet.
    look_again: bool,
    /// Why workers that should go cannot.
    held: Option<(Reason, String)>,
    /// Why something waits to be replaced.
    outdated: Option<String>,
}

impl<'a> Work<'a> {
    fn new(cluster: &'a DaskCluster, observed: &'a Observed, now: Timestamp) -> Self {
        Self {
            cluster,
            observed,
            now,
            steps: Vec::new(),
            notes: Vec::new(),
            next: Next::Change,
            look_again: false,
            held: None,
            outdated: None,
        }
    }

    fn fill(&mut self) -> Result<(), Violation> {
        self.service();
        if self.cluster.spec.suspend {
            self.suspend();
            return Ok(());
        }
        // Both are built before anything is written: a template that is wrong starts no half of a cluster.
        let scheduler = scheduler::pod(self.cluster)?;
        pods::worker::pod(self.cluster, 0)?;
        self.scheduler(scheduler);
        workers::fill(self)
    }

    fn service(&mut self) {
        let wanted = scheduler::service(self.cluster);
        let as_value = |service: &Service| serde_json::to_value(service).unwrap_or(Value::Null);
        let there = self.observed.service.as_deref().map_or(Value::Null, as_value);
        if !subset::is_subset(&as_value(&wanted), &there) {
            self.steps.push(Step::Apply(Box::new(wanted)));
        }
    }

    fn suspend(&mut self) {
        let alive: Vec<_> =
            self.observed.pods.iter().filter(|pod| state::life(pod) != state::PodLife::Leaving).collect();
        if !alive.is_empty() {
            self.notes
                .push(Note::normal(Reason::Suspending, "the cluster is suspended: its pods are deleted"));
        }
        for pod in alive {
            self.steps.push(delete(pod));
        }
    }

    /// Creates the scheduler where there is none, and replaces one that has ended or is outdated.
    fn scheduler(&mut self, wanted: Pod) {
        let mut schedulers =
            self.observed.pods.iter().filter(|pod| state::is_component(pod, labels::SCHEDULER));
        let Some(pod) = schedulers.next() else {
            let before =
                self.cluster.status.as_ref().is_some_and(|status| status.scheduler_address.is_some());
            let (reason, word) = if before {
                (Reason::SchedulerReplaced, "recreated")
            } else {
                (Reason::SchedulerCreated, "created")
            };
            self.notes.push(Note::normal(reason, format!("the scheduler's pod is {word}")));
            self.steps.push(Step::Create(Box::new(Object::Pod(wanted))));
            return;
        };
        match state::life(pod) {
            state::PodLife::Leaving => {}
            state::PodLife::Finished => {
                self.notes.push(Note::warning(
                    Reason::SchedulerLost,
                    "the scheduler's pod has ended and is replaced",
                ));
                self.steps.push(delete(pod));
            }
            state::PodLife::Alive => self.outdated_scheduler(pod, &wanted),
        }
    }

    /// A new scheduler forgets all results, so an outdated one is replaced when no run is at work on it, or when it
    /// does not work anyway.
    fn outdated_scheduler(&mut self, pod: &Arc<Pod>, wanted: &Pod) {
        let hash = state::label(wanted, labels::TEMPLATE_HASH);
        if state::label(pod, labels::TEMPLATE_HASH) == hash {
            return;
        }
        let serves = self.observed.scheduler.registered().is_some();
        let runs = self.observed.runs.iter().filter(|run| is_at_work(run)).count();
        if serves && runs > 0 {
            self.outdated = Some(format!("the scheduler is replaced when no run is active ({runs} now)"));
            return;
        }
        self.notes.push(Note::normal(
            Reason::SchedulerReplaced,
            "the scheduler is replaced because the spec has changed",
        ));
        self.steps.push(delete(pod));
    }
}

/// Whether an attempt of this run has begun and not ended. Between two attempts nobody misses the scheduler.
fn is_at_work(run: &FlowRun) -> bool {
    matches!(phase_of(run), Phase::Provisioning | Phase::Running) && job_of(run).is_some()
}

/// Deletes exactly this pod.
pub(crate) fn delete(pod: &Pod) -> Step {
    Step::Delete(Victim {
        kind: VictimKind::Pod,
        name: state::name(pod).to_owned(),
        uid: pod.metadata.uid.clone(),
    })
}

#[cfg(test)]
mod tests;
