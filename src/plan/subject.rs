//! What all kinds that plans are made for have in common, so that whoever executes, checks or counts knows
//! none of them by its name. Of a kind that comes later, the implementation is in its own planner.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{Failure, cut, failing, is_true, told};
use super::facts::phase_of;
use super::flow::parameters::violation_of_own;
use super::violation::Violation;
use super::{cluster, flow};
use crate::api::{
    ConditionType, DaskCluster, DaskClusterStatus, Flow, FlowBackfill, FlowBackfillStatus, FlowRun,
    FlowStatus, Ours, Phase, Reason,
};

/// The longest message of a run, in bytes.
const RUN_MESSAGE_BYTES_MAX: usize = 1_000;

/// An object that plans are made for.
pub trait Subject: Ours {
    /// All that [`Subject::state`] may give. Metrics have each from the start.
    const STATES: &'static [&'static str];

    /// What it is, in one word, for metrics.
    fn state(&self) -> &'static str;

    /// The conditions that were written last.
    fn conditions(&self) -> &[Condition];

    /// What of its spec cannot be carried out though the schema lets it pass.
    fn violations(&self) -> Vec<Violation>;

    /// Its status when its plan failed: a step was refused or did not get an answer, or the object could not
    /// be observed. `planned` is what it would have been. What was observed is true whatever became of the
    /// steps, and stays; what the steps were to bring about is not said.
    fn failing(&self, planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status;

    /// What the last status, of this generation, says with this reason. For what is news, and for nothing
    /// else.
    fn told(&self, reason: Reason) -> Option<&str> {
        told(self.conditions(), self.meta().generation, reason)
    }
}

/// The states of objects that have no phase and no end.
pub const STATES: &[&str] = &["Ready", "Progressing", "Stalled", "Suspended"];

/// Which of [`STATES`] these conditions say; none were written yet where the object is new.
pub fn state_of(conditions: &[Condition]) -> &'static str {
    let is = |condition| is_true(conditions, condition);
    if is(ConditionType::Suspended) {
        "Suspended"
    } else if is(ConditionType::Stalled) {
        "Stalled"
    } else if is(ConditionType::Ready) {
        "Ready"
    } else {
        "Progressing"
    }
}

impl Subject for DaskCluster {
    const STATES: &'static [&'static str] = STATES;

    fn state(&self) -> &'static str {
        state_of(self.conditions())
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn violations(&self) -> Vec<Violation> {
        cluster::violations(self)
    }

    /// All of its status is observed.
    fn failing(&self, planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        let status = planned.or_else(|| self.status.clone()).unwrap_or_default();
        let (observed_generation, refusal) = (self.metadata.generation, failure.refusal());
        let conditions = failing((self.conditions(), &status.conditions), observed_generation, now, failure);
        DaskClusterStatus { observed_generation, refusal, conditions, ..status }
    }
}

impl Subject for Flow {
    const STATES: &'static [&'static str] = STATES;

    fn state(&self) -> &'static str {
        if self.spec.suspend { "Suspended" } else { state_of(self.conditions()) }
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn violations(&self) -> Vec<Violation> {
        flow::violations(self)
    }

    /// A run that could not be created stays due, so the clocks' memory is kept. The other runs get their
    /// places all the same.
    fn failing(&self, planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        let old = self.status.clone().unwrap_or_default();
        let conditions = failing((&old.conditions, &old.conditions), self.metadata.generation, now, failure);
        let planned = planned.unwrap_or_else(|| old.clone());
        let (admitted, active, last_run) = (planned.admitted, planned.active, planned.last_run);
        FlowStatus { active, admitted, last_run, conditions, ..old }
    }
}

impl Subject for FlowRun {
    const STATES: &'static [&'static str] = &[
        Phase::Queued.as_str(),
        Phase::Provisioning.as_str(),
        Phase::Running.as_str(),
        Phase::Retrying.as_str(),
        Phase::Succeeded.as_str(),
        Phase::Failed.as_str(),
        Phase::Cancelled.as_str(),
        Phase::TimedOut.as_str(),
        Phase::Skipped.as_str(),
    ];

    fn state(&self) -> &'static str {
        phase_of(self).as_str()
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    fn violations(&self) -> Vec<Violation> {
        violation_of_own(self.spec.parameters.as_ref()).into_iter().collect()
    }

    /// A run stays where it is. One that has ended keeps its last word.
    fn failing(&self, _planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        let mut status = self.status.clone().unwrap_or_default();
        if status.phase.is_final() {
            return status;
        }
        status.reason = Some(failure.reason.as_str().to_owned());
        status.message = Some(cut(&failure.message, RUN_MESSAGE_BYTES_MAX));
        status.conditions =
            failing((&status.conditions, &status.conditions), self.metadata.generation, now, failure);
        status.conditions.retain(|condition| condition.type_ != ConditionType::Ready.as_str());
        status
    }
}

impl Subject for FlowBackfill {
    const STATES: &'static [&'static str] = &["Progressing", "Stalled", "Suspended", "Complete", "Failed"];

    fn state(&self) -> &'static str {
        let is = |condition| is_true(self.conditions(), condition);
        if is(ConditionType::Complete) {
            "Complete"
        } else if is(ConditionType::Failed) {
            "Failed"
        } else if self.spec.suspend {
            "Suspended"
        } else {
            state_of(self.conditions())
        }
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    /// Whether its clocks exist is for its Flow to say.
    fn violations(&self) -> Vec<Violation> {
        violation_of_own(self.spec.parameters.as_ref()).into_iter().collect()
    }

    /// Ticks whose runs could not be created are still to come.
    fn failing(&self, _planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        let old = self.status.clone().unwrap_or_default();
        let conditions = failing((&old.conditions, &old.conditions), self.metadata.generation, now, failure);
        FlowBackfillStatus { conditions, ..old }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::FlowRunStatus;
    use crate::plan::conditions::find;

    fn refused() -> Failure {
        Failure {
            reason: Reason::Rejected,
            message: "no".to_owned(),
            lasting: true,
            spares_what_serves: true,
        }
    }

    #[test]
    fn a_spec_that_was_refused_is_observed_and_stalled() {
        let mut cluster = DaskCluster::new("demo", serde_json::from_value(json!({"image": "a"})).unwrap());
        cluster.metadata.generation = Some(2);
        cluster.status = Some(DaskClusterStatus { observed_generation: Some(1), ..Default::default() });
        let status = cluster.failing(None, &refused(), Timestamp::UNIX_EPOCH);
        assert_eq!(status.observed_generation, Some(2));
        assert_eq!(told(&status.conditions, Some(2), Reason::Rejected), Some("no"));
    }

    #[test]
    fn a_flow_keeps_the_memory_of_its_clocks_and_gives_places() {
        let mut flow =
            Flow::new("etl", serde_json::from_value(json!({"image": "a", "cluster": {}})).unwrap());
        flow.status = Some(FlowStatus { missed: 1, ..FlowStatus::default() });
        let planned =
            FlowStatus { missed: 5, active: 1, admitted: vec!["etl-1".to_owned()], ..FlowStatus::default() };
        let status = flow.failing(Some(planned), &refused(), Timestamp::UNIX_EPOCH);
        assert_eq!((status.missed, status.active, status.admitted), (1, 1, vec!["etl-1".to_owned()]));
        assert!(find(&status.conditions, ConditionType::Stalled).is_some());
    }

    #[test]
    fn a_run_that_has_ended_keeps_its_last_word() {
        let mut run = FlowRun::new("etl-1", serde_json::from_value(json!({"flow": "etl"})).unwrap());
        run.status = Some(FlowRunStatus { phase: Phase::Running, ..FlowRunStatus::default() });
        let status = run.failing(None, &refused(), Timestamp::UNIX_EPOCH);
        assert_eq!((status.phase, status.reason.as_deref()), (Phase::Running, Some("Rejected")));
        assert!(find(&status.conditions, ConditionType::Ready).is_none(), "a run is not ready, it ends");
        let ended = FlowRunStatus { phase: Phase::Failed, ..FlowRunStatus::default() };
        run.status = Some(ended.clone());
        assert_eq!(run.failing(None, &refused(), Timestamp::UNIX_EPOCH), ended);
    }
}
