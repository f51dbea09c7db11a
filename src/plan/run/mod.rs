//! One `FlowRun`: from held, over its cluster and its runner's Jobs, one for each attempt, to an end that is never left.
//!
//! Invariants. Each status is written over the version it was read with, so a final phase cannot be overwritten. A Job is
//! created only for a run that was just read live, that has not ended and has its place, and its name is the lock against a second runner of the attempt; the next attempt begins when the one before has ended. A phase tells what is, not which object exists: `Running` means
//! that the runner's container runs.

mod attempt;
mod figures;
mod ground;
mod hold;
mod launch;
mod outcome;
mod phase;
mod program;
mod stop;
mod tick;
mod words;

pub use ground::{ForeignScheduler, Ground, Wiring, cluster_to_observe, is_usable};
pub use tick::{Newest, clocks_of, is_run_now, is_tick, made_for};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::pods::runner::Script;
use super::pods::{controller_ref, runner, state};
use super::site::Site;
use super::{Next, Note, Object, Plan, Step, Urgency, Victim, VictimKind};
use crate::api::flow_run::WaitsFor;
use crate::api::tls::ClientTls;
use crate::api::{DaskCluster, Flow, FlowRun, FlowRunStatus, Phase, Reason, is_seen, labels};

/// How long a run waits for its cluster where the Flow does not say.
pub const CLUSTER_TIMEOUT: Duration = Duration::from_secs(600);

/// What was observed of a run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Where it runs.
    pub site: Site,
    /// Its Flow.
    pub flow: Option<Arc<Flow>>,
    /// The `DaskCluster` that it runs on, whether referenced or its own.
    pub cluster: Option<Arc<DaskCluster>>,
    /// The `DaskCluster` that was made for the run, also where it is on another one by now.
    pub own: Option<Arc<DaskCluster>>,
    /// What the scheduler of `cluster.address` says.
    pub foreign: ForeignScheduler,
    /// The script of `code.configMap`.
    pub script: ScriptView,
    /// The Job of its attempt.
    pub job: Option<Arc<Job>>,
    /// The newest pod of that Job.
    pub pod: Option<Arc<Pod>>,
    /// Whether the runner of another attempt is at work. Looked for when `live`.
    pub another_runner: bool,
    /// Which start of the cluster's Dask scheduler is at work: the pod's uid and how often its container was restarted.
    pub scheduler: Option<String>,
    /// What the pod of the cluster's Dask scheduler was made with.
    pub wiring: Wiring,
    /// The other unfinished runs of the Flow.
    pub siblings: Vec<Arc<FlowRun>>,
    /// Whether the status that the run has here is not written yet.
    pub unwritten: bool,
    /// Whether the run itself was read from the API server just now, rather than from a cache; its siblings and its
    /// Flow as well while it is queued.
    pub live: bool,
}

/// What is known of a script in a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScriptView {
    /// The Flow has none, or it is not needed now.
    #[default]
    NotNeeded,
    /// This is it.
    Found(Script),
    /// The ConfigMap or its key is missing.
    Missing(String),
}

/// What has to be observed besides the objects that are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// Ask the scheduler at this address, and show it this.
    pub scheduler: Option<(&'a str, Option<&'a ClientTls>)>,
    /// Read this key of this ConfigMap.
    pub script: Option<crate::api::common::ConfigMapKey>,
}

/// Says what has to be observed for `run`.
pub fn needs<'a>(run: &FlowRun, flow: Option<&'a Flow>) -> Needs<'a> {
    let waits = phase_of(run) == Phase::Provisioning && job_of(run).is_none();
    let Some(flow) = flow.filter(|_| waits) else { return Needs::default() };
    let of_flow = || flow.spec.code.as_ref().and_then(|code| code.config_map.clone());
    Needs {
        scheduler: Ground::of(flow).to_ask(),
        script: match run.status.as_ref().and_then(|status| status.program.as_ref()) {
            Some(program) => program::script_to_read(program),
            None => of_flow(),
        },
    }
}

/// The phase that was last written.
pub fn phase_of(run: &FlowRun) -> Phase {
    run.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// The Job that was last written.
pub fn job_of(run: &FlowRun) -> Option<&str> {
    run.status.as_ref()?.job.as_deref()
}

/// What the run waits for, as it was last written.
pub fn waits_for(run: &FlowRun) -> Option<WaitsFor> {
    run.status.as_ref()?.waits_for
}

/// Whether a run stands in the queue and its status does not say what it waits for, as one of a version that
/// did not write that. At its next look, which is soon after the start of the operator, it says so; until
/// then it neither gets a place nor loses one.
pub(in crate::plan) fn is_unsaid(run: &FlowRun) -> bool {
    let status = run.status.as_ref().filter(|status| is_seen(status.observed_generation));
    status.is_some_and(|status| status.phase == Phase::Queued && status.waits_for.is_none())
}

/// The logical time of a run: the tick, else the second of its creation.
pub fn logical_time(run: &FlowRun) -> Timestamp {
    let created = run.metadata.creation_timestamp.as_ref();
    run.spec.scheduled_time.as_ref().or(created).map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// When a run came into the line: a tick at its time, another run when it was created.
pub fn due_at(run: &FlowRun) -> Timestamp {
    if is_tick(run) {
        return logical_time(run);
    }
    run.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |time| time.0)
}

/// Whether the run has started: its runner's Job is there, or was.
pub fn has_started(run: &FlowRun) -> bool {
    match phase_of(run) {
        Phase::Queued => false,
        Phase::Provisioning => job_of(run).is_some(),
        _ => true,
    }
}

/// Whether a run with this status is let through to its cluster, and its Job, which is created after that, is not there yet.
pub fn is_let_through(status: &FlowRunStatus) -> bool {
    status.phase == Phase::Provisioning && status.job.is_none()
}

/// Whether a `FlowBackfill` started the run.
pub fn is_backfill(run: &FlowRun) -> bool {
    run.spec.backfill.is_some()
}

/// The number of the attempt whose Job is to be observed, from 1.
pub fn attempt_of(run: &FlowRun) -> u32 {
    let attempt = run.status.as_ref().and_then(|status| status.attempt);
    attempt.and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(1)
}

/// Plans the next steps for `run`.
pub fn plan(run: &FlowRun, observed: &Observed, now: Timestamp) -> Plan<FlowRunStatus> {
    let old = run.status.clone().unwrap_or_default();
    if run.metadata.deletion_timestamp.is_some() {
        return Plan::status_only(old);
    }
    if old.phase.is_final() {
        return clean_up(run, observed, old, now);
    }
    let mut work = Work {
        run,
        observed,
        now,
        status: old,
        steps: Vec::new(),
        notes: Vec::new(),
        next: Next::Change,
        look_again: false,
        urgency: Urgency::Now,
    };
    work.adopt();
    work.advance();
    work.finish()
}

/// Whether the plan starts a runner.
pub fn starts_a_runner(plan: &Plan<FlowRunStatus>) -> bool {
    let is_job = |step: &Step| matches!(step, Step::Create(object) if matches!(**object, Object::Job(_)));
    plan.steps.iter().any(is_job)
}

/// A finished run keeps its Job, for its logs; a cluster of its own is deleted, at once or, after a failure, when
/// `keepOnFailure` is over.
fn clean_up(
    run: &FlowRun,
    observed: &Observed,
    status: FlowRunStatus,
    now: Timestamp,
) -> Plan<FlowRunStatus> {
    let kept_until = kept_until(&status, observed.flow.as_deref()).filter(|until| *until > now);
    let mut plan = Plan::status_only(answering(run, status));
    plan.steps.extend(end_of_pod(observed));
    let Some(release) = ground::release(run, observed) else { return plan };
    match kept_until {
        Some(until) => plan.next = Next::At(until),
        None => plan.steps.push(release),
    }
    plan
}

/// The status of a run that has ended, as the answer to its spec, also where that was changed since: nothing comes of it
/// any more, and nobody has to wait for that.
fn answering(run: &FlowRun, mut status: FlowRunStatus) -> FlowRunStatus {
    status.observed_generation = run.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = run.metadata.generation;
    }
    status
}

/// Until when the cluster of a run that ended without success is kept.
pub(in crate::plan) fn kept_until(status: &FlowRunStatus, flow: Option<&Flow>) -> Option<Timestamp> {
    let keep = flow?.spec.cluster.keep_on_failure.as_ref()?.get()?;
    let failed = matches!(status.phase, Phase::Failed | Phase::TimedOut);
    let since = status.finished_at.as_ref().filter(|_| failed)?.0;
    since.checked_add(keep).ok()
}

/// What is left of a pod whose runner has ended is to end, too; its logs stay.
fn end_of_pod(observed: &Observed) -> Option<Step> {
    let pod = observed.pod.as_deref().filter(|pod| state::is_outlived(pod, runner::CONTAINER))?;
    let asked = pod.spec.as_ref().is_some_and(|spec| spec.active_deadline_seconds == Some(1));
    (!asked).then(|| {
        Step::EndPod(Victim { kind: VictimKind::Pod, name: pod.name_any(), uid: pod.metadata.uid.clone() })
    })
}

/// A plan under construction.
struct Work<'a> {
    run: &'a FlowRun,
    observed: &'a Observed,
    now: Timestamp,
    status: FlowRunStatus,
    steps: Vec<Step>,
    notes: Vec<Note>,
    next: Next,
    look_again: bool,
    urgency: Urgency,
}

impl Work<'_> {
    /// A run that a user created becomes the Flow's, so that it goes with it and counts in its history.
    fn adopt(&mut self) {
        let Some(flow) = &self.observed.flow else { return };
        let Some(mut owner) = controller_ref(flow.as_ref()) else { return };
        let mut owners = self.run.owner_references().to_vec();
        if owners.iter().any(|reference| reference.uid == owner.uid) {
            return;
        }
        // It is of a Flow of this name that was deleted, and the collector is about to take it.
        if owners.iter().any(|reference| reference.kind == owner.kind && reference.name == owner.name) {
            return;
        }
        // Who made the run may own it already, an Argo Workflow for one; an object has one controller at the most.
        let free = owners.iter().all(|reference| reference.controller != Some(true));
        owner.controller = Some(free);
        owners.push(owner);
        let label = (labels::FLOW.to_owned(), flow.name_any());
        self.steps.push(Step::Adopt { run: self.run.name_any(), owners, labels: [label].into() });
    }

    /// A run that is held by `suspend`, or gives its place back, has no cluster of its own.
    fn release_own_cluster(&mut self) {
        self.add(ground::release(self.run, self.observed));
    }

    /// Takes this step as well, once.
    fn add(&mut self, step: Option<Step>) {
        self.steps.extend(step.filter(|step| !self.steps.contains(step)));
    }

    /// Moves to `phase`, and notes the moment.
    fn enter(&mut self, phase: Phase, reason: Reason, message: impl Into<String>) {
        let message = message.into();
        if !phase.is_final() && self.is_news(reason) {
            self.notes.push(Note::warning(reason, message.clone()));
        }
        self.urgency = Urgency::Now;
        self.status.phase = phase;
        self.status.waits_for = None;
        self.say(reason, &message);
        let goes_back = phase == Phase::Queued && phase_of(self.run) != Phase::Queued;
        if phase.is_final() || goes_back {
            // A Job that no cache knows yet must not outlive its run, nor be at work while that waits.
            self.look_again |= self.observed.job.is_none() && !self.observed.live;
        }
        if phase.is_final() {
            self.status.finished_at.get_or_insert(Time(self.now));
            self.next = Next::Change;
            let otherwise = || format!("the run ended as {}", phase.as_str());
            let text = self.last_words().map_or_else(otherwise, str::to_owned);
            let good = matches!(phase, Phase::Succeeded | Phase::Cancelled);
            self.notes.push(if good { Note::normal(reason, text) } else { Note::warning(reason, text) });
        }
    }

    /// Whether nothing was written of the run yet.
    fn is_new(&self) -> bool {
        let seen = self.run.status.as_ref().is_some_and(|status| is_seen(status.observed_generation));
        self.observed.unwritten || !seen
    }

    /// Looks again at this instant at the latest.
    fn wake_at(&mut self, at: Timestamp) {
        self.next = self.next.sooner(Next::At(at), self.now);
    }

    fn finish(mut self) -> Plan<FlowRunStatus> {
        self.status.observed_generation = self.run.metadata.generation;
        if self.status.phase != Phase::Queued && !is_let_through(&self.status) {
            self.status.waits_for = None;
        }
        if !matches!(self.status.phase, Phase::Provisioning | Phase::Running) {
            self.status.foreseen = None;
        }
        self.conclude();
        self.steps.extend(end_of_pod(self.observed));
        let figures = figures::of(self.run, self.observed.flow.as_deref(), &self.status, self.now);
        Plan {
            steps: self.steps,
            status: self.status,
            events: self.notes,
            figures,
            next: self.next,
            look_again: self.look_again,
            urgency: self.urgency,
        }
    }
}

#[cfg(test)]
mod tests;
