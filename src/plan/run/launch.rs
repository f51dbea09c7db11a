//! What a run needs before its runner starts, and the runner itself.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Map, Value};

use super::ground::Ground;
use super::ground::cluster_not_ready;
use super::observed::ScriptView;
use super::phase::ASK_AGAIN;
use super::work::Work;
use crate::api::duration::Written;
use crate::api::{DaskCluster, Flow, Phase, Reason, labels};
use crate::plan::facts::{attempt_of, is_first_of_its_name, logical_time};
use crate::plan::flow::parameters;
use crate::plan::pods::runner::{self, Attempt, LogicalTime};
use crate::plan::{Next, Note, Object, Step, Urgency, Wants};

/// How long what passes by itself is not told.
pub(super) const SETTLE: SignedDuration = SignedDuration::from_secs(3);
/// How long a tick is not told that it waits for its Flow, where that has not come to its turn: of a thousand
/// Flows that are due at one instant the last one comes after some 25 s (docs/benchmarks.md), and each of
/// these statuses would make it later.
pub(super) const TURN: SignedDuration = SignedDuration::from_secs(60);
/// So far the API server's clock may be ahead of ours and nobody notice.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(1);

impl Work<'_> {
    /// A runner was asked for at `since`: that it starts is told when it takes its time. Not where the
    /// cluster counts its runs by what is told of them, nor while it may close or replace its scheduler under
    /// those of which nothing is told.
    pub(super) fn starts_soon(&mut self, since: Timestamp) {
        let counts = |cluster: &Arc<DaskCluster>| {
            cluster.spec.max_active_runs.is_some()
                || cluster.spec.suspend
                || cluster_not_ready(cluster).is_some()
        };
        if !self.observed.cluster.as_ref().is_some_and(counts) {
            self.urgency = self.settling(since, SETTLE);
        }
    }

    /// How soon to write what began at `since` and is not told for so long. That may be an instant of the API
    /// server's clock: where it is ahead of ours, nothing would be written for as long as they differ.
    pub(super) fn settling(&self, since: Timestamp, untold: SignedDuration) -> Urgency {
        if since.duration_since(self.now) > AHEAD_MAX {
            return Urgency::Now;
        }
        since.checked_add(untold).map_or(Urgency::Now, Urgency::By)
    }

    /// What the run still waits for.
    pub(super) fn not_ready(&self, flow: &Flow) -> Option<(Reason, String)> {
        match &self.observed.script {
            ScriptView::Missing(message) => Some((Reason::CodeNotFound, message.clone())),
            ScriptView::NotNeeded | ScriptView::Found(_) => {
                Ground::of(flow).not_ready(self.run, self.observed)
            }
        }
    }

    /// Creates the code's ConfigMap and the Job, for a run that was just read live.
    pub(super) fn launch(&mut self, flow: &Flow) {
        if self.observed.another_runner {
            // A pod on a node that does not answer is stopped when Kubernetes says so, and not before.
            self.next = self.next.sooner(Next::After(ASK_AGAIN), self.now);
            let message = "the runner of an earlier attempt has not ended yet";
            return self.enter(Phase::Provisioning, Reason::RunnerStarting, message);
        }
        let (flow, script) = self.to_be_run(flow);
        let (flow, script) = (&flow, script.as_ref());
        self.remember_parameters(flow);
        let target = Ground::of(flow).target(self.run, self.observed);
        let parameters = self.parameters(flow);
        if let Some(violation) = parameters::violation(&parameters, "spec.parameters") {
            return self.enter(Phase::Failed, violation.reason, violation.message);
        }
        let attempt = Attempt {
            site: self.observed.site,
            flow,
            run: self.run,
            number: attempt_of(self.run),
            target: &target,
            script,
            parameters,
            time: self.time(),
            timeout: flow.spec.timeout.as_ref().and_then(Written::get),
        };
        let job = match runner::job(&attempt) {
            Ok(job) => job,
            Err(violation) => return self.enter(Phase::Failed, violation.reason, violation.message),
        };
        let name = job.name_any();
        self.remember_program(flow, script, &job);
        // That its Job is there already is what creating it answers. The runner of an earlier run of the name
        // may outlive its Job, and whoever deletes a run and makes it anew is quicker than that.
        self.want(if is_first_of_its_name(self.run) { Wants::OBJECT } else { Wants::PODS });
        self.steps
            .extend(runner::code(flow, script).map(|code| Step::Create(Box::new(Object::ConfigMap(code)))));
        self.steps.push(Step::Create(Box::new(Object::Job(job))));
        self.status.job = Some(name.clone());
        self.status.scheduler.clone_from(&self.observed.scheduler);
        if let Some(left_out) = script.map(|script| script.left_out).filter(|left_out| *left_out > 0) {
            let message = format!(
                "the Job {name} is created; {left_out} more keys of the ConfigMap with its script are not beside it, because they are too large together"
            );
            self.notes.push(Note::normal(Reason::RunnerCreated, message).after_steps());
        }
        self.enter(Phase::Provisioning, Reason::RunnerStarting, "the runner's container is starting");
        self.starts_soon(self.now);
    }

    fn time(&self) -> LogicalTime {
        let neighbour = |key: &str| self.run.annotations().get(key).cloned();
        LogicalTime {
            scheduled: logical_time(self.run).to_string(),
            previous: neighbour(labels::PREVIOUS_TICK),
            next: neighbour(labels::NEXT_TICK),
        }
    }

    /// Those of the run's tick, or of its first attempt.
    fn parameters(&self, flow: &Flow) -> Map<String, Value> {
        match self.status.merged_parameters.as_ref().and_then(Value::as_object) {
            Some(begun) if self.run.spec.merged_parameters.is_none() => begun.clone(),
            _ => parameters::of_run(flow, self.run),
        }
    }
}
