//! The way of a run through its phases.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{CLUSTER_TIMEOUT, Work, cluster_name, logical_time, outcome};
use crate::api::flow::Concurrency;
use crate::api::{Flow, Phase, Reason};
use crate::plan::pods::{runner, state};
use crate::plan::schedule::parse_duration;
use crate::plan::{Next, Step, Victim, VictimKind};

/// How soon something that is not watched is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

impl Work<'_> {
    /// One step forward, or none.
    pub(super) fn advance(&mut self) {
        if let Some(job) = self.observed.job.clone() {
            return self.with_job(&job);
        }
        if self.observed.pod.as_deref().is_some_and(|pod| state::is_at_work(pod, runner::CONTAINER)) {
            // The Job is gone and its runner is not, yet: it has its grace period.
            return self.stopping();
        }
        if self.run.spec.cancel {
            let when = if self.status.started_at.is_some() {
                "while the runner was at work"
            } else {
                "before the runner started"
            };
            return self.enter(Phase::Cancelled, Reason::Cancelled, format!("cancelled {when}"));
        }
        if let Some(job) = self.status.job.clone() {
            return self.enter(
                Phase::Failed,
                Reason::JobDeleted,
                format!("the Job {job} of the runner was deleted"),
            );
        }
        let Some(flow) = self.observed.flow.clone() else {
            let message = format!("there is no Flow called {} in this namespace", self.run.spec.flow);
            return self.enter(Phase::Queued, Reason::FlowNotFound, message);
        };
        match self.status.phase {
            Phase::Provisioning => self.provision(&flow),
            _ => self.queue(&flow),
        }
    }

    /// Held until its Flow's concurrency policy and its cluster let it through.
    fn queue(&mut self, flow: &Flow) {
        self.status.cluster = cluster_name(self.run, flow).or_else(|| flow.spec.cluster.address.clone());
        if let Some(reason) = self.held(flow) {
            let deadline = flow.spec.starting_deadline.as_deref().and_then(|text| parse_duration(text).ok());
            if let Some(until) =
                deadline.and_then(|deadline| logical_time(self.run).checked_add(deadline).ok())
            {
                if until <= self.now {
                    let message = format!(
                        "the starting deadline passed at {until} while the run was held: {}",
                        reason.1
                    );
                    return self.enter(Phase::Skipped, Reason::StartingDeadlineExceeded, message);
                }
                self.wake_at(until);
            }
            if let Some(newer) = self.newer_tick(flow) {
                let message = format!(
                    "the newer run {newer} takes its place: of several held ticks only the newest runs"
                );
                return self.enter(Phase::Skipped, Reason::Superseded, message);
            }
            return self.enter(Phase::Queued, reason.0, reason.1);
        }
        self.status.admitted_at = Some(Time(self.now));
        self.status.attempt = Some(1);
        let (reason, message) =
            self.not_ready(flow).unwrap_or((Reason::RunnerStarting, "the cluster is ready".to_owned()));
        self.enter(Phase::Provisioning, reason, message);
    }

    /// Why the run may not start, if so.
    fn held(&self, flow: &Flow) -> Option<(Reason, String)> {
        let name = self.run.name_any();
        let admitted = flow.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
        if flow.spec.concurrency == Concurrency::Forbid && !admitted.contains(&name) {
            let active = admitted
                .first()
                .map_or_else(|| "its turn has not come".to_owned(), |run| format!("run {run} is active"));
            return Some((Reason::ConcurrencyForbidden, format!("{active}, and concurrency is Forbid")));
        }
        let cluster = self.observed.cluster.as_ref().filter(|cluster| cluster.spec.suspend)?;
        Some((Reason::ClusterSuspended, format!("the DaskCluster {} is suspended", cluster.name_any())))
    }

    /// The newer tick that takes the place of this one while both are held, as under a CronJob that forbids overlap.
    fn newer_tick(&self, flow: &Flow) -> Option<String> {
        let tick = self.run.spec.scheduled_time.as_ref()?.0;
        let admitted = flow.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
        let name = self.run.name_any();
        let held_by_policy = flow.spec.concurrency == Concurrency::Forbid && self.run.spec.clock.is_some();
        if !held_by_policy || admitted.contains(&name) {
            return None;
        }
        let newer =
            self.observed.waiting.iter().filter(|(other, time)| *time > tick && !admitted.contains(other));
        newer.max_by_key(|(_, time)| *time).map(|(other, _)| other.clone())
    }

    /// Waits for the cluster, then starts the runner.
    fn provision(&mut self, flow: &Flow) {
        let Some(since) = self.status.admitted_at.clone() else {
            self.status.admitted_at = Some(Time(self.now));
            return;
        };
        self.ensure_own_cluster(flow);
        if let Some((reason, message)) = self.not_ready(flow) {
            self.enter(Phase::Provisioning, reason, message);
            if self.timed_out(flow, since.0) {
                return;
            }
            if flow.spec.cluster.address.is_some() || reason == Reason::CodeNotFound {
                self.next = self.next.sooner(Next::After(ASK_AGAIN), self.now);
            }
            return;
        }
        self.launch(flow);
    }

    /// Ends the run when it has waited too long, with the reason it waited for.
    fn timed_out(&mut self, flow: &Flow, since: Timestamp) -> bool {
        let limit = flow
            .spec
            .cluster_timeout
            .as_deref()
            .and_then(|text| parse_duration(text).ok())
            .unwrap_or(CLUSTER_TIMEOUT);
        let Ok(until) = since.checked_add(limit) else { return false };
        if until > self.now {
            self.wake_at(until);
            return false;
        }
        let last = self.status.message.clone().unwrap_or_default();
        let message = format!("not started within clusterTimeout ({}s); at the end: {last}", limit.as_secs());
        if let Some(job) = &self.observed.job {
            self.steps.push(delete_job(job));
        }
        self.enter(Phase::Failed, Reason::ClusterTimeout, message);
        true
    }

    /// A Job exists: its end is the run's end, and its pod tells where it stands before.
    fn with_job(&mut self, job: &Job) {
        self.status.job = Some(job.name_any());
        self.status.attempt.get_or_insert(1);
        let pod = self.observed.pod.as_deref();
        if let Some(started) = pod.and_then(outcome::started_at) {
            self.status.started_at.get_or_insert(started);
        }
        if let Some(outcome) = outcome::of(job, pod) {
            self.status.exit_code = outcome.exit_code;
            self.status.tasks = outcome.tasks;
            if self.run.spec.cancel && outcome.phase != Phase::Succeeded {
                return self.enter(
                    Phase::Cancelled,
                    Reason::Cancelled,
                    "cancelled while the runner was at work",
                );
            }
            let never_started = outcome.phase == Phase::TimedOut && self.status.started_at.is_none();
            let last = self.status.message.clone().filter(|_| never_started);
            let detail = last.map(|last| format!("; the runner had not started: {last}")).unwrap_or_default();
            return self.enter(outcome.phase, outcome.reason, format!("{}{detail}", outcome.message));
        }
        if self.run.spec.cancel {
            return self.cancel(job);
        }
        if pod.is_some_and(|pod| {
            state::runs(pod, runner::CONTAINER) || state::terminated(pod, runner::CONTAINER).is_some()
        }) {
            if self.status.phase != Phase::Running {
                self.enter(Phase::Running, Reason::RunnerRunning, "the runner is at work");
            }
            return;
        }
        if self.status.started_at.is_some() {
            // The pod has gone; how it ended is for the Job to say.
            return;
        }
        let flow = self.observed.flow.clone();
        let since = self.status.admitted_at.clone();
        let (reason, message) = pod
            .and_then(state::obstacle)
            .unwrap_or((Reason::RunnerStarting, "the runner's container is starting".to_owned()));
        self.enter(Phase::Provisioning, reason, message.clone());
        if state::is_hopeless(reason) {
            self.steps.push(delete_job(job));
            return self.enter(Phase::Failed, reason, message);
        }
        if let (Some(flow), Some(since)) = (flow, since) {
            self.timed_out(&flow, since.0);
        }
    }

    /// The Job goes first; the run is `Cancelled` when its pod has gone, too.
    fn cancel(&mut self, job: &Job) {
        if job.metadata.deletion_timestamp.is_none() {
            self.steps.push(delete_job(job));
        }
        self.stopping();
    }

    fn stopping(&mut self) {
        let reason = if self.run.spec.cancel { Reason::Cancelled } else { Reason::JobDeleted };
        self.status.reason = Some(reason.as_str().to_owned());
        self.status.message = Some("the runner is being stopped".to_owned());
    }
}

fn delete_job(job: &Job) -> Step {
    Step::Delete(Victim { kind: VictimKind::Job, name: job.name_any(), uid: job.metadata.uid.clone() })
}
