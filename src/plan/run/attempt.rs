//! The end of an attempt: the end of the run, or another attempt.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::outcome::Outcome;
use super::work::Work;
use super::{gateway, ground};
use crate::api::flow::Retries;
use crate::api::flow_run::{AttemptFailure, Budget, Failures, Foreseen};
use crate::api::{Flow, Phase, Reason};
use crate::plan::conditions::{MESSAGE_BYTES_MAX, cut};
use crate::plan::{Note, names};

/// The last attempt of any run: `<run>-<attempt>` is a label of 63 characters up to here.
const ATTEMPTS_MAX: i32 = 999;

impl Budget {
    /// Nothing where another attempt would end in the same way: the code or the spec has to be changed first.
    pub(super) fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::ScriptError | Reason::FlowFailed | Reason::RunnerError | Reason::TimeoutExceeded => {
                Some(Self::Flow)
            }
            Reason::OOMKilled
            | Reason::Evicted
            | Reason::Preempted
            | Reason::NodeLost
            | Reason::ClusterLost
            | Reason::ClusterRestarted
            | Reason::ClusterTimeout
            | Reason::SchedulerUnreachable
            | Reason::Terminated => Some(Self::Infrastructure),
            _ => None,
        }
    }

    /// So many attempts have failed by it.
    fn count(self, failures: &mut Failures) -> &mut i32 {
        match self {
            Self::Flow => &mut failures.flow,
            Self::Infrastructure => &mut failures.infrastructure,
        }
    }

    /// So many may.
    fn limit(self, retries: &Retries) -> i32 {
        match self {
            Self::Flow => retries.limit,
            Self::Infrastructure => retries.infrastructure,
        }
    }
}

/// How an attempt failed.
pub(super) struct End {
    /// The phase in which the run ends if it is not tried again.
    pub phase: Phase,
    /// What the attempt counts against.
    pub budget: Option<Budget>,
    pub reason: Reason,
    pub message: String,
}

impl End {
    /// An end that is counted as its reason says.
    pub fn new(phase: Phase, reason: Reason, message: String) -> Self {
        Self { phase, budget: Budget::of(reason), reason, message }
    }

    /// The one that its pod foretold.
    fn foreseen(phase: Phase, foreseen: &Foreseen) -> Self {
        let reason = Reason::from_word(&foreseen.reason).unwrap_or(Reason::NodeLost);
        Self { phase, budget: Some(foreseen.counts_against), reason, message: foreseen.message.clone() }
    }
}

impl Work<'_> {
    /// What the pod says of an end that its Job has not come to yet. The pod may no longer exist by then.
    pub(super) fn foresee(&mut self, reason: Reason, message: &str) {
        self.status.foreseen = Budget::of(reason).map(|counts_against| Foreseen {
            reason: reason.as_str().to_owned(),
            message: cut(message, MESSAGE_BYTES_MAX),
            counts_against,
        });
        self.say(reason, message);
    }

    /// The attempt's Job has ended.
    pub(super) fn ended(&mut self, outcome: Outcome) {
        self.status.exit_code = outcome.exit_code.or(self.status.exit_code);
        self.status.tasks = outcome.tasks;
        if outcome.phase == Phase::Succeeded {
            return self.enter(Phase::Succeeded, outcome.reason, outcome.message);
        }
        if self.run.spec.cancel {
            let message = format!("cancelled while the runner was at work; it had ended by {:.0}", self.now);
            return self.enter(Phase::Cancelled, Reason::Cancelled, message);
        }
        // The pod may be gone by now; what it said while it was there stands in the status.
        let mut end = match (outcome.reason, &self.status.foreseen) {
            (Reason::NodeLost, Some(foreseen)) => End::foreseen(outcome.phase, foreseen),
            (reason, _) => End::new(outcome.phase, reason, outcome.message),
        };
        if end.budget == Some(Budget::Flow) {
            let lost = ground::lost(&self.status, self.observed)
                .or_else(|| gateway::lost(&self.status, &self.observed.gateway, true));
            let before_its_words = |what: &str| format!("{what}; the runner said: {}", end.message);
            if let Some(lost) = lost {
                let message = before_its_words(&lost);
                return self.attempt_failed(End::new(Phase::Failed, Reason::ClusterLost, message));
            }
            // What is known is that the script failed.
            if let Some(why) = gateway::unknown(&self.status, &self.observed.gateway) {
                end.message =
                    before_its_words(&format!("it is not known whether the cluster was lost: {why}"));
            }
        }
        let never_started = outcome.phase == Phase::TimedOut && self.status.started_at.is_none();
        if let Some(last) = self.last_words().filter(|_| never_started) {
            end.message = format!("{}; the runner had not started: {last}", end.message);
        }
        self.attempt_failed(end);
    }

    /// Another attempt where a budget has room, else the end of the run in this phase.
    pub(super) fn attempt_failed(&mut self, end: End) {
        let End { phase, budget, reason, message } = end;
        let flow = self.observed.flow.clone();
        let retries = flow.as_ref().and_then(|flow| flow.spec.retries.as_ref());
        let (Some(retries), Some(budget)) = (retries, budget) else {
            return self.enter(phase, reason, message);
        };
        let failures = self.status.failures.get_or_insert_default();
        let count = budget.count(failures);
        *count = count.saturating_add(1);
        let failure = AttemptFailure {
            phase,
            reason: reason.as_str().to_owned(),
            message: cut(&message, MESSAGE_BYTES_MAX),
            counts_against: Some(budget),
            at: Time(self.now),
        };
        self.wait_or_end(&failure, Some(retries));
        if self.status.phase == Phase::Retrying {
            let told = self.last_words().unwrap_or_default().to_owned();
            self.notes.push(Note::warning(reason, told));
        }
    }

    /// Whether the attempt that failed is still to be tried again, and when, as `retries` are now.
    pub(super) fn reconsider(&mut self, flow: &Flow) {
        // A run that began to wait under an earlier version has none, and waits as it did.
        if let Some(failure) = self.status.last_failure.clone() {
            self.wait_or_end(&failure, flow.spec.retries.as_ref());
        }
    }

    /// What follows from a failure that has been counted. The same at every look, as long as `retries` are
    /// the same.
    fn wait_or_end(&mut self, failure: &AttemptFailure, retries: Option<&Retries>) {
        let reason = Reason::from_word(&failure.reason).unwrap_or(Reason::RunnerError);
        let attempt = self.status.attempt.unwrap_or(1);
        let mut failures = self.status.failures.unwrap_or_default();
        // An earlier version wrote the word only.
        let budget = failure.counts_against.or_else(|| Budget::of(reason));
        let room = retries.zip(budget).filter(|(retries, budget)| {
            *budget.count(&mut failures) <= budget.limit(retries) && attempt < ATTEMPTS_MAX
        });
        let message = &failure.message;
        let Some((retries, _)) = room else {
            let last = if attempt > 1 {
                format!("{message} (attempt {attempt}, the last one)")
            } else {
                message.clone()
            };
            (self.status.retry_at, self.status.last_failure) = (None, None);
            return self.enter(failure.phase, reason, last);
        };
        let failed = failures.flow.saturating_add(failures.infrastructure);
        let at = self.retry_at(retries, failure.at.0, (attempt, failed));
        self.status.retry_at = Some(Time(at));
        self.status.last_failure = Some(failure.clone());
        self.wake_at(at);
        let next = attempt.saturating_add(1);
        let text = format!("attempt {attempt} failed: {message}; attempt {next} starts at {at:.0}");
        self.enter(Phase::Retrying, reason, text);
    }

    /// When the next attempt starts: after a wait drawn between nothing and a limit that grows ("full
    /// jitter"), so that runs that failed together do not come back together. Drawn from the run's uid, so
    /// that every look gives the same.
    fn retry_at(&self, retries: &Retries, since: Timestamp, (attempt, failed): (i32, i32)) -> Timestamp {
        // Without limits there is nothing to draw from: the next attempt, at once, fails and names the field.
        let (Some(delay), Some(max_delay)) = (retries.delay.get(), retries.max_delay.get()) else {
            return since;
        };
        let exponent = u32::try_from(failed.saturating_sub(1)).unwrap_or(0);
        let growth = retries.factor.get().saturating_pow(exponent);
        let longest = delay.saturating_mul(growth).min(max_delay);
        let uid = self.run.metadata.uid.as_deref().unwrap_or_default();
        let digits = names::short_hash(&format!("{uid}/{attempt}"), 8);
        let drawn = f64::from(u32::from_str_radix(&digits, 16).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let wait = Duration::from_secs(longest.mul_f64(drawn).as_secs());
        since.checked_add(wait).unwrap_or(since)
    }
}
