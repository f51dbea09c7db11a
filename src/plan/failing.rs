//! The statuses of objects whose plan failed: a step was refused or did not get an answer, or the object
//! could not be observed.
//!
//! What was observed is true whatever became of the steps, and stays; what the steps were to bring about is
//! not said.

use jiff::Timestamp;

use super::conditions::{Failure, cut, failing};
use crate::api::{
    ConditionType, DaskCluster, DaskClusterStatus, Flow, FlowBackfill, FlowBackfillStatus, FlowRun,
    FlowRunStatus, FlowStatus,
};

/// The longest message of a run, in bytes.
const RUN_MESSAGE_BYTES_MAX: usize = 1_000;

/// A cluster: all of its status is observed.
pub fn cluster(
    cluster: &DaskCluster,
    planned: Option<DaskClusterStatus>,
    failure: &Failure,
    now: Timestamp,
) -> DaskClusterStatus {
    let status = planned.or_else(|| cluster.status.clone()).unwrap_or_default();
    let old = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let conditions = failing((old, &status.conditions), cluster.metadata.generation, now, failure);
    let (observed_generation, refusal) = (cluster.metadata.generation, failure.refusal());
    DaskClusterStatus { observed_generation, refusal, conditions, ..status }
}

/// A Flow. A run that could not be created stays due, so the clocks' memory is kept. The other runs get their
/// places all the same.
pub fn flow(flow: &Flow, planned: Option<FlowStatus>, failure: &Failure, now: Timestamp) -> FlowStatus {
    let old = flow.status.clone().unwrap_or_default();
    let conditions = failing((&old.conditions, &old.conditions), flow.metadata.generation, now, failure);
    let planned = planned.unwrap_or_else(|| old.clone());
    let (admitted, active, last_run) = (planned.admitted, planned.active, planned.last_run);
    FlowStatus { active, admitted, last_run, conditions, ..old }
}

/// A run stays where it is. One that has ended keeps its last word.
pub fn run(run: &FlowRun, failure: &Failure, now: Timestamp) -> FlowRunStatus {
    let mut status = run.status.clone().unwrap_or_default();
    if status.phase.is_final() {
        return status;
    }
    status.reason = Some(failure.reason.as_str().to_owned());
    status.message = Some(cut(&failure.message, RUN_MESSAGE_BYTES_MAX));
    status.conditions =
        failing((&status.conditions, &status.conditions), run.metadata.generation, now, failure);
    status.conditions.retain(|condition| condition.type_ != ConditionType::Ready.as_str());
    status
}

/// A backfill: ticks whose runs could not be created are still to come.
pub fn backfill(backfill: &FlowBackfill, failure: &Failure, now: Timestamp) -> FlowBackfillStatus {
    let old = backfill.status.clone().unwrap_or_default();
    let conditions = failing((&old.conditions, &old.conditions), backfill.metadata.generation, now, failure);
    FlowBackfillStatus { conditions, ..old }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{Phase, Reason};
    use crate::plan::conditions::{find, told};

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
        let status = super::cluster(&cluster, None, &refused(), Timestamp::UNIX_EPOCH);
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
        let status = super::flow(&flow, Some(planned), &refused(), Timestamp::UNIX_EPOCH);
        assert_eq!((status.missed, status.active, status.admitted), (1, 1, vec!["etl-1".to_owned()]));
        assert!(find(&status.conditions, ConditionType::Stalled).is_some());
    }

    #[test]
    fn a_run_that_has_ended_keeps_its_last_word() {
        let mut run = FlowRun::new("etl-1", serde_json::from_value(json!({"flow": "etl"})).unwrap());
        run.status = Some(FlowRunStatus { phase: Phase::Running, ..FlowRunStatus::default() });
        let status = super::run(&run, &refused(), Timestamp::UNIX_EPOCH);
        assert_eq!((status.phase, status.reason.as_deref()), (Phase::Running, Some("Rejected")));
        assert!(find(&status.conditions, ConditionType::Ready).is_none(), "a run is not ready, it ends");
        let ended = FlowRunStatus { phase: Phase::Failed, ..FlowRunStatus::default() };
        run.status = Some(ended.clone());
        assert_eq!(super::run(&run, &refused(), Timestamp::UNIX_EPOCH), ended);
    }
}
