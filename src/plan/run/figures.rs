//! What is counted of a run: each change of its status once.

use jiff::Timestamp;

use super::words::reason_or;
use crate::api::{Flow, FlowRun, FlowRunStatus, Reason, UNSEEN};
use crate::plan::Figure;
use crate::plan::facts::{is_tick, logical_time};
use crate::plan::figure::between;
use crate::plan::flow::terms::start_of;

/// What has happened between the status that `run` has and `new`, which is written at `now`.
pub(super) fn of(run: &FlowRun, flow: Option<&Flow>, new: &FlowRunStatus, now: Timestamp) -> Vec<Figure> {
    let nothing = FlowRunStatus::default();
    let old = run.status.as_ref().unwrap_or(&nothing);
    let mut figures = Vec::new();
    if is_tick(run) {
        let tick = logical_time(run);
        let start = flow.map_or(tick, |flow| start_of(flow, tick));
        let late = between(start, now);
        let is_new = run.status.as_ref().is_none_or(|status| status.observed_generation == Some(UNSEEN));
        figures.extend(is_new.then_some(Figure::TickStarted { late }));
        let is_admitted = old.admitted_at.is_none() && new.admitted_at.is_some();
        figures.extend(is_admitted.then_some(Figure::TickAdmitted { late }));
        let is_first =
            old.job.is_none() && new.job.is_some() && new.attempt.is_none_or(|attempt| attempt <= 1);
        figures.extend((is_first && !new.phase.is_final()).then_some(Figure::JobCreated { start }));
    }
    if let (None, Some(started), Some(admitted)) = (&old.started_at, &new.started_at, &new.admitted_at) {
        figures.push(Figure::RunnerStarted { waited: between(admitted.0, started.0) });
    }
    if new.phase.is_final() && !old.phase.is_final() {
        let reason = reason_or(new, Reason::RunnerError);
        let end = new.finished_at.as_ref().map_or(now, |time| time.0);
        let took = new.started_at.as_ref().map(|started| between(started.0, end));
        figures.push(Figure::RunEnded { phase: new.phase, reason, took });
    }
    figures
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::Phase;

    const TICK: &str = "2026-12-01T09:00:00Z";

    fn at(seconds: i64) -> Timestamp {
        TICK.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn run(status: Option<FlowRunStatus>) -> FlowRun {
        let mut run: FlowRun = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": "etl-20261201t090000"},
            "spec": {"flow": "etl", "clock": "c", "scheduledTime": TICK},
        }))
        .unwrap();
        run.status = status;
        run
    }

    fn provisioning() -> FlowRunStatus {
        FlowRunStatus {
            phase: Phase::Provisioning,
            admitted_at: Some(Time(at(4))),
            ..FlowRunStatus::default()
        }
    }

    fn seconds(count: u64) -> std::time::Duration {
        std::time::Duration::from_secs(count)
    }

    #[test]
    fn a_run_is_counted_at_each_step_and_at_none_twice() {
        let queued = FlowRunStatus::default();
        assert_eq!(of(&run(None), None, &queued, at(2)), [Figure::TickStarted { late: seconds(2) }]);
        let unseen = FlowRunStatus { observed_generation: Some(UNSEEN), ..FlowRunStatus::default() };
        assert_eq!(of(&run(Some(unseen)), None, &queued, at(2)), [Figure::TickStarted { late: seconds(2) }]);
        let admitted = of(&run(Some(queued)), None, &provisioning(), at(4));
        assert_eq!(admitted, [Figure::TickAdmitted { late: seconds(4) }]);
        assert_eq!(of(&run(Some(provisioning())), None, &provisioning(), at(5)), []);

        let running =
            FlowRunStatus { started_at: Some(Time(at(10))), phase: Phase::Running, ..provisioning() };
        let started = of(&run(Some(provisioning())), None, &running, at(11));
        assert_eq!(started, [Figure::RunnerStarted { waited: seconds(6) }]);

        let failed = FlowRunStatus {
            phase: Phase::Failed,
            reason: Some("OOMKilled".to_owned()),
            finished_at: Some(Time(at(70))),
            ..running.clone()
        };
        let ended = of(&run(Some(running)), None, &failed, at(71));
        let (phase, reason) = (Phase::Failed, Reason::OOMKilled);
        assert_eq!(ended, [Figure::RunEnded { phase, reason, took: Some(seconds(60)) }]);
        assert_eq!(of(&run(Some(failed.clone())), None, &failed, at(80)), []);
    }

    #[test]
    fn the_job_of_a_tick_is_counted_from_its_time_and_those_of_later_attempts_are_not() {
        let with_job = |attempt| FlowRunStatus {
            job: Some("etl-1".to_owned()),
            attempt: Some(attempt),
            ..provisioning()
        };
        let first = of(&run(Some(provisioning())), None, &with_job(1), at(5));
        assert_eq!(first, [Figure::JobCreated { start: at(0) }]);
        assert_eq!(of(&run(Some(with_job(1))), None, &with_job(1), at(6)), []);
        assert_eq!(of(&run(Some(provisioning())), None, &with_job(2), at(90)), []);
    }

    #[test]
    fn a_run_that_never_starts_has_no_duration() {
        let skipped = FlowRunStatus {
            phase: Phase::Skipped,
            reason: Some("QueueFull".to_owned()),
            finished_at: Some(Time(at(3))),
            ..FlowRunStatus::default()
        };
        let (phase, reason) = (Phase::Skipped, Reason::QueueFull);
        let ended = of(&run(Some(FlowRunStatus::default())), None, &skipped, at(3));
        assert_eq!(ended, [Figure::RunEnded { phase, reason, took: None }]);
    }

    #[test]
    fn only_ticks_can_be_late() {
        let mut run = run(None);
        run.spec.clock = None;
        assert_eq!(of(&run, None, &provisioning(), at(4)), []);
    }

    #[test]
    fn jitter_does_not_count_as_late() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl", "namespace": "team"},
            "spec": {"cluster": {}, "schedule": {"jitter": "1h", "clocks": [{"name": "c", "interval": "1d"}]}},
        }))
        .unwrap();
        let tick = at(0);
        let start = start_of(&flow, tick);
        assert!(start > tick, "the name draws some: {start}");
        let now = start + SignedDuration::from_secs(1);
        let figures = of(&run(None), Some(&flow), &FlowRunStatus::default(), now);
        assert_eq!(figures, [Figure::TickStarted { late: seconds(1) }]);
    }
}
