//! Stopping a runner before its time: why, how, and what becomes of the run.
//!
//! The reason is written into the status first, the Job is deleted after that, and what follows from it
//! happens only when the runner has ended. So an operator that dies in between goes on where it was, and two
//! runners of one run never live together.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::attempt::End;
use super::hold::Hold;
use super::work::Work;
use super::{ground, outcome};
use crate::api::flow::Concurrency;
use crate::api::flow_run::{Budget, Stop, WaitsFor};
use crate::api::{Phase, Reason};
use crate::plan::pods::{runner, state};
use crate::plan::{Step, Urgency, Victim, VictimKind};

/// The phase that follows when a runner has ended that was stopped for this reason.
fn phase_after(reason: Reason) -> Phase {
    match reason {
        Reason::Cancelled | Reason::Replaced => Phase::Cancelled,
        Reason::DeadlineExceeded => Phase::TimedOut,
        Reason::Suspended => Phase::Queued,
        _ => Phase::Failed,
    }
}

impl Work<'_> {
    /// A stop for this reason, from now on.
    pub(super) fn stop(&self, reason: Reason, message: impl Into<String>) -> Stop {
        Stop {
            reason: reason.as_str().to_owned(),
            message: message.into(),
            phase: Some(phase_after(reason)),
            counts_against: Budget::of(reason),
            since: Time(self.now),
        }
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
        // An attempt that failed with ClusterLost was counted then; later changes of the cluster do not count
        // again.
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
        let stop = if self.run.spec.cancel {
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
        self.say(reason_of(&stop), &format!("the runner is being stopped: {}", stop.message));
        self.status.stop = Some(stop);
        self.urgency = Urgency::Now;
    }

    /// The runner has ended, or never was.
    fn stopped(&mut self, stop: &Stop) {
        self.status.stop = None;
        // A Job that no cache knows yet must not outlive this.
        self.want_job();
        let reason = reason_of(stop);
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
        // An earlier version wrote the word only.
        let (phase, budget) = match stop.phase {
            Some(phase) => (phase, stop.counts_against),
            None => (phase_after(reason), Budget::of(reason)),
        };
        match phase {
            Phase::Queued => self.suspended(stop.message.clone()),
            Phase::Failed => {
                self.attempt_failed(End { phase, budget, reason, message: stop.message.clone() });
            }
            _ => self.enter(phase, reason, message),
        }
    }

    /// Back into the queue; the next attempt starts from the beginning, and counts against no budget.
    fn suspended(&mut self, message: String) {
        if self.status.job.is_some() {
            self.status.attempt = Some(self.status.attempt.unwrap_or(1).saturating_add(1));
        }
        self.forget_attempt();
        self.release_own_cluster();
        let (waits_for, reason) = (WaitsFor::Resume, Reason::Suspended);
        self.wait(Phase::Queued, Hold { waits_for, reason, message });
    }
}

/// The word to show for a stop.
fn reason_of(stop: &Stop) -> Reason {
    Reason::from_word(&stop.reason).unwrap_or(Reason::Terminated)
}
