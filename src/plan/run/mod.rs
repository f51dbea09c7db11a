//! One `FlowRun`: from held, over its cluster and its runner's Jobs, one for each attempt, to an end that is
//! never left.
//!
//! Invariants. Each status is written over the version it was read with, so a final phase cannot be
//! overwritten. A Job is created only for a run that was just read live, that has not ended and has its
//! place, and its name is the lock against a second runner of the attempt; the next attempt begins when the
//! one before has ended. A phase tells what is, not which object exists: `Running` means that the runner's
//! container runs.

mod attempt;
mod figures;
pub mod gateway;
mod ground;
mod hold;
mod launch;
mod observed;
mod outcome;
mod phase;
mod program;
mod runners;
mod stop;
mod words;
mod work;

pub use gateway::GatewayView;
pub use ground::{Ground, cluster_to_observe, is_usable};
pub use observed::{ForeignScheduler, Observed, ScriptView, Wiring};
pub use runners::Runners;

use jiff::Timestamp;
use kube::ResourceExt;

use work::Work;

use super::facts::{is_let_through, job_of, kept_until, phase_of};
use super::objects::has_same_name;
use super::pods::{controller_ref, runner, state};
use super::{Next, Plan, Step, Urgency, Victim, VictimKind, Wants};
use crate::api::common::ConfigMapKey;
use crate::api::gateway::GatewayAccess;
use crate::api::tls::ClientTls;
use crate::api::{Flow, FlowRun, FlowRunStatus, Phase, labels};

/// What has to be observed besides the objects that are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// Ask the scheduler at this address, and show it this.
    pub scheduler: Option<(&'a str, Option<&'a ClientTls>)>,
    /// Read this key of this ConfigMap.
    pub script: Option<ConfigMapKey>,
    /// Ask this gateway: about the cluster that the run's status knows of, else what it offers.
    pub gateway: Option<GatewayAccess>,
}

/// Says what has to be observed for `run`.
pub fn needs<'a>(run: &FlowRun, flow: Option<&'a Flow>) -> Needs<'a> {
    let waits = phase_of(run) == Phase::Provisioning && job_of(run).is_none();
    let gateway = gateway::to_ask(run, flow.filter(|_| waits).and_then(|flow| Ground::of(flow).gateway()));
    let Some(flow) = flow.filter(|_| waits) else { return Needs { gateway, ..Needs::default() } };
    let of_flow = || flow.spec.code.as_ref().and_then(|code| code.config_map.clone());
    Needs {
        scheduler: Ground::of(flow).to_ask(),
        script: match run.status.as_ref().and_then(|status| status.program.as_ref()) {
            Some(program) => program::script_to_read(program),
            None => of_flow(),
        },
        gateway,
    }
}

/// Plans the next steps for `run`.
pub fn plan(run: &FlowRun, observed: &Observed, now: Timestamp) -> Plan<FlowRunStatus> {
    let old = run.status.clone().unwrap_or_default();
    if run.metadata.deletion_timestamp.is_some() {
        return gateway::deletion(run, observed, old, now);
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
        wants: Wants::NOTHING,
        urgency: Urgency::Now,
    };
    work.adopt();
    work.advance();
    work.finish()
}

/// A finished run keeps its Job, for its logs; a cluster of its own is deleted, at once or, after a failure,
/// when `keepOnFailure` is over.
fn clean_up(
    run: &FlowRun,
    observed: &Observed,
    status: FlowRunStatus,
    now: Timestamp,
) -> Plan<FlowRunStatus> {
    let kept_until = kept_until(&status, observed.flow.as_deref()).filter(|until| *until > now);
    let mut plan = Plan::status_only(answering(run, status));
    plan.steps.extend(end_of_pod(observed));
    let release = ground::release(run, observed);
    if release.is_some() || plan.status.gateway.is_some() {
        plan.next = kept_until.map_or(Next::Change, Next::At);
    }
    plan.steps.extend(release.filter(|_| kept_until.is_none()));
    gateway::clean_up(&mut plan, run, observed, (now, kept_until.is_some()));
    plan
}

/// The status of a run that has ended, as the answer to its spec, also where that was changed since: nothing
/// comes of it any more, and nobody has to wait for that.
fn answering(run: &FlowRun, mut status: FlowRunStatus) -> FlowRunStatus {
    status.observed_generation = run.metadata.generation;
    for condition in &mut status.conditions {
        condition.observed_generation = run.metadata.generation;
    }
    status
}

/// What is left of a pod whose runner has ended is to end, too; its logs stay.
fn end_of_pod(observed: &Observed) -> Option<Step> {
    let pod = observed.pod.as_deref().filter(|pod| state::is_outlived(pod, runner::CONTAINER))?;
    let asked = pod.spec.as_ref().is_some_and(|spec| spec.active_deadline_seconds == Some(1));
    (!asked).then(|| {
        Step::EndPod(Victim { kind: VictimKind::Pod, name: pod.name_any(), uid: pod.metadata.uid.clone() })
    })
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
        if owners.iter().any(|other| has_same_name(other, &owner)) {
            return;
        }
        // Who made the run may own it already, an Argo Workflow for one; an object has one controller at the
        // most.
        let free = owners.iter().all(|reference| reference.controller != Some(true));
        owner.controller = Some(free);
        owners.push(owner);
        let label = (labels::FLOW.to_owned(), flow.name_any());
        self.steps.push(Step::Adopt { run: self.run.name_any(), owners, labels: [label].into() });
    }

    fn finish(mut self) -> Plan<FlowRunStatus> {
        self.status.observed_generation = self.run.metadata.generation;
        if self.status.phase != Phase::Queued && !is_let_through(&self.status) {
            self.status.waits_for = None;
        }
        if !matches!(self.status.phase, Phase::Provisioning | Phase::Running) {
            self.status.foreseen = None;
        }
        if self.status.gateway.is_some() && self.status.job.is_some() {
            self.next = self.next.sooner(Next::After(gateway::WATCHED_EVERY), self.now);
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
            wants: self.wants,
            urgency: self.urgency,
        }
    }
}

#[cfg(test)]
mod tests;
