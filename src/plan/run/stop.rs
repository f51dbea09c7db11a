//! Stopping a runner before its time: why, how, and what becomes of the run.
//!
//! The reason is written into the status first, the Job is deleted after that, and what follows from it happens only
//! when the runner has ended. So an operator that dies in between goes on where it was, and two runners of one run never
//! live together.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{Work, ground, outcome};
use crate::api::flow::Concurrency;
use crate::api::flow_run::Stop;
use crate::api::{Phase, Reason};
use crate::plan::pods::{runner, state};
use crate::plan::{Step, Urgency, Victim, VictimKind};

impl Work<'_> {
    /// A stop for this reason, from now on.
    pub(super) fn stop(&self, reason: Reason, message: impl Into<String>) -> Stop {
        Stop { reason: reason.as_str().to_owned(), message: message.into(), since: Time(self.now) }
    }

    /// Why the run must not go on, if so.
    pub(super) fn reason_to_stop(&mut self) -> Option<Stop> {
        if self.run.spec.cancel {
            return Some(self.stop(Reason::Cancelled, "cancelled"));
        }
        if let Some(until) = self.deadline() {
            if until <= self.now {
                return Some(self.stop(Reason::DeadlineExceeded, format!("the deadline passed at {until}")));
            }
            self.wake_at(until);
        }
        if self.status.phase == Phase::Queued {
            return None;
        }
        if self.run.spec.suspend {
            return Some(self.stop(Reason::Suspended, "the run is suspended: spec.suspend is true"));
        }
        let flow = self.observed.flow.clone().filter(|flow| flow.spec.concurrency == Concurrency::Replace);
        if let Some(newer) = flow.and_then(|flow| self.newer(&flow)) {
            return Some(self.stop(Reason::Replaced, format!("the newer run {newer} takes its place")));
        }
        // An attempt that failed with ClusterLost was counted then; later changes of the cluster do not count again.
        let lost =
            ground::lost(&self.status, self.observed).filter(|_| self.status.phase != Phase::Retrying)?;
        Some(self.stop(Reason::ClusterLost, lost))
    }

    /// When the run has taken too long in all.
    fn deadline(&self) -> Option<Timestamp> {
        let flow = self.observed.flow.as_ref()?;
        let limit = flow.spec.deadline.as_ref()?.get()?;
        self.run.metadata.creation_timestamp.as_ref()?.0.checked_add(limit).ok()
    }

    /// Writes down why, where there is something to stop; else it has happened already.
    pub(super) fn begin_to_stop(&mut self, stop: Stop) {
        let job = self.observed.job.as_ref().is_some_and(|job| outcome::of(Some(job), None).is_none());
        if job || self.runner_is_at_work() {
            return self.is_stopping(stop);
        }
        self.stopped(&stop);
    }

    /// Ends the runner, then draws the consequence.
    pub(super) fn carry_out(&mut self, stop: Stop) {
        // Who cancels does not want to see it tried again.
        let cancelled = self.run.spec.cancel && stop.reason != Reason::Cancelled.as_str();
        let stop = if cancelled {
            Stop { since: stop.since, ..self.stop(Reason::Cancelled, "cancelled") }
        } else {
            stop
        };
        // It may have started while it was asked to stop.
        self.remember_start();
        let job = self.observed.job.clone();
        let outcome = outcome::of(job.as_deref(), self.observed.pod.as_deref());
        if let Some(outcome) = outcome {
            if outcome.phase == Phase::Succeeded {
                self.status.stop = None;
                return self.ended(outcome);
            }
            self.status.exit_code = outcome.exit_code;
            self.status.tasks = outcome.tasks;
        } else if let Some(job) = job {
            if job.metadata.deletion_timestamp.is_none() {
                self.steps.push(Step::Delete(Victim {
                    kind: VictimKind::Job,
                    name: job.name_any(),
                    uid: job.metadata.uid.clone(),
                }));
            }
            return self.is_stopping(stop);
        } else if self.runner_is_at_work() {
            return self.is_stopping(stop);
        }
        self.stopped(&stop);
    }

    fn runner_is_at_work(&self) -> bool {
        self.observed.pod.as_deref().is_some_and(|pod| state::is_at_work(pod, runner::CONTAINER))
    }

    fn is_stopping(&mut self, stop: Stop) {
        self.status.reason = Some(stop.reason.clone());
        self.status.message = Some(format!("the runner is being stopped: {}", stop.message));
        self.status.stop = Some(stop);
        self.urgency = Urgency::Now;
    }

    /// The runner has ended, or never was.
    fn stopped(&mut self, stop: &Stop) {
        self.status.stop = None;
        // A Job that no cache knows yet must not outlive this.
        self.look_again |= self.observed.job.is_none() && !self.observed.live;
        let reason = Reason::from_word(&stop.reason).unwrap_or(Reason::Terminated);
        let when = if self.status.phase == Phase::Retrying {
            "while it waited for its next attempt".to_owned()
        } else if self.status.started_at.is_some() {
            format!(
                "while the runner was at work: asked to stop at {:.0}, it had ended by {:.0}",
                stop.since.0, self.now
            )
        } else {
            "before the runner started".to_owned()
        };
        let message = format!("{} {when}", stop.message);
        match reason {
            Reason::Cancelled | Reason::Replaced => self.enter(Phase::Cancelled, reason, message),
            Reason::DeadlineExceeded => self.enter(Phase::TimedOut, reason, message),
            Reason::Suspended => self.suspended(&stop.message),
            _ => self.attempt_failed(Phase::Failed, reason, stop.message.clone()),
        }
    }

    /// Back into the queue; the next attempt starts from the beginning, and counts against no budget.
    fn suspended(&mut self, message: &str) {
        if self.status.job.is_some() {
            self.status.attempt = Some(self.status.attempt.unwrap_or(1).saturating_add(1));
        }
        self.forget_attempt();
        self.release_own_cluster();
        self.enter(Phase::Queued, Reason::Suspended, message);
    }
}
