//! The words of a run's status: its reason, its message, its conditions. They are shown, quoted in the next
//! message, and compared to see what is news. Nothing else is decided by them: what the next plan goes on
//! from has a field of its own.

use super::gateway::GatewayView;
use super::observed::ForeignScheduler;
use super::work::Work;
use crate::api::flow_run::WaitsFor;
use crate::api::{ConditionType, FlowRunStatus, Phase, Reason};
use crate::plan::conditions::{Conditions, MESSAGE_BYTES_MAX, Progress, cut, is_news_of_pods};
use crate::plan::pods::state;

/// The reason to show, or this one where there is none, or none of ours.
pub(super) fn reason_or(status: &FlowRunStatus, otherwise: Reason) -> Reason {
    status.reason.as_deref().and_then(Reason::from_word).unwrap_or(otherwise)
}

impl Work<'_> {
    /// Says this from now on.
    pub(super) fn say(&mut self, reason: Reason, message: &str) {
        self.status.reason = Some(reason.as_str().to_owned());
        self.status.message = (!message.is_empty()).then(|| cut(message, MESSAGE_BYTES_MAX));
    }

    /// What is said now, for a sentence that quotes it.
    pub(super) fn last_words(&self) -> Option<&str> {
        self.status.message.as_deref()
    }

    /// Whether a run that goes on waits for something new that somebody has to put right.
    pub(super) fn is_news(&self, reason: Reason) -> bool {
        let told = self.run.status.as_ref().and_then(|status| status.reason.as_deref());
        let foreign = self.observed.foreign != ForeignScheduler::NotAsked;
        let of_gateway = matches!(reason, Reason::GatewayUnreachable | Reason::GatewayRefused)
            || (reason == Reason::ClusterNotFound && self.observed.gateway != GatewayView::NotAsked);
        let is_lasting =
            reason.is_of_tls() || of_gateway || (foreign && reason == Reason::SchedulerUnreachable);
        // What keeps a cluster from starting is an event of the cluster; a hopeless reason ends the run,
        // which is an event.
        let is_of_runner =
            self.observed.job.is_some() && is_news_of_pods(told, reason) && !state::is_hopeless(reason);
        is_of_runner || (is_lasting && told != Some(reason.as_str()))
    }

    /// The conditions that say the same as the phase, the reason and the message.
    pub(super) fn conclude(&mut self) {
        let before = self.run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let mut conditions = Conditions::new(before, self.run.metadata.generation, self.now);
        let phase = self.status.phase;
        let reason = reason_or(&self.status, Reason::Progressing);
        let message = self.last_words().unwrap_or_default().to_owned();
        let stalled = reason.is_of_tls()
            || matches!(
                reason,
                Reason::FlowNotFound
                    | Reason::ClusterNotFound
                    | Reason::CodeNotFound
                    | Reason::InvalidSpec
                    | Reason::GatewayRefused
            );
        // Cancelled or suspended as its spec says: nobody has to wait for it, nor to put anything right
        // (kstatus).
        let at_rest = phase == Phase::Cancelled || self.status.waits_for == Some(WaitsFor::Resume);
        let progress = match phase {
            Phase::Succeeded => Progress::Done,
            _ if at_rest => Progress::Done,
            _ if stalled || phase.is_final() => Progress::Stalled,
            _ => Progress::UnderWay,
        };
        conditions.set_progress(progress, reason, &message);
        conditions.set(ConditionType::Complete, phase == Phase::Succeeded, reason, message.clone());
        conditions.set(ConditionType::Failed, phase.is_final() && phase != Phase::Succeeded, reason, message);
        self.status.conditions = conditions.finish();
    }
}
