//! A plan under construction, and what all parts of it do.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ground;
use super::observed::Observed;
use crate::api::{FlowRun, FlowRunStatus, Phase, Reason, is_seen};
use crate::plan::facts::{attempt_of, job_of, phase_of};
use crate::plan::{Next, Note, Step, Urgency, Wants};

/// A plan under construction.
pub(super) struct Work<'a> {
    pub(super) run: &'a FlowRun,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) status: FlowRunStatus,
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Note>,
    pub(super) next: Next,
    pub(super) wants: Wants,
    pub(super) urgency: Urgency,
}

impl Work<'_> {
    /// A run that is held by `suspend`, or gives its place back, has no cluster of its own.
    pub(super) fn release_own_cluster(&mut self) {
        self.add(ground::release(self.run, self.observed));
        self.leave_gateway();
    }

    /// Takes this step as well, once.
    pub(super) fn add(&mut self, step: Option<Step>) {
        self.steps.extend(step.filter(|step| !self.steps.contains(step)));
    }

    /// The plan rests on this, and on the run as it is now: on its runners where it may have one of which no
    /// Job tells, and in the queue on its Flow and on the runs that it may be skipped for.
    pub(super) fn want(&mut self, more: Wants) {
        self.wants |= Wants::OBJECT | more;
        let is_stopping = self.run.status.as_ref().is_some_and(|status| status.stop.is_some());
        let had_runner = attempt_of(self.run) > 1 || job_of(self.run).is_some() || is_stopping;
        if self.observed.job.is_none() && had_runner {
            self.wants |= Wants::PODS;
        }
        if phase_of(self.run) == Phase::Queued {
            self.wants |= Wants::FLOW | Wants::RUNS;
        }
    }

    /// The plan rests on there being no Job that no cache knows yet.
    pub(super) fn want_job(&mut self) {
        if self.observed.job.is_none() {
            self.want(Wants::JOB);
        }
    }

    /// Moves to `phase`, and notes the moment.
    pub(super) fn enter(&mut self, phase: Phase, reason: Reason, message: impl Into<String>) {
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
            self.want_job();
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
    pub(super) fn is_new(&self) -> bool {
        let seen = self.run.status.as_ref().is_some_and(|status| is_seen(status.observed_generation));
        self.observed.unwritten || !seen
    }

    /// Looks again at this instant at the latest.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.next = self.next.sooner(Next::At(at), self.now);
    }
}
