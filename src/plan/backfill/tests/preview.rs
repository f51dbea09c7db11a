//! What is said before is what is done after.

use super::*;

/// What would be done with each tick, by the hour.
fn foreseen(backfill: &FlowBackfill, flow: &Flow, runs: &[FlowRun], now: &str) -> Vec<(String, Does)> {
    let runs = runs.iter().cloned().map(Arc::new).collect();
    let observed = Observed { flow: Some(Arc::new(flow.clone())), runs };
    let all = preview(backfill, &observed, at(now)).unwrap();
    all.into_iter().map(|tick| (tick.run, tick.does)).collect()
}

#[test]
fn what_is_foreseen_is_what_the_first_plan_starts() {
    let (hourly, mut all) = (flow(vec![clock("hourly", "1h")]), backfill("00:00:00", "09:00:00"));
    all.spec.parallelism = 100.into();
    let mut earlier = own(4, Phase::Failed, "another");
    earlier.spec.backfill = Some("september".into());
    earlier.metadata.creation_timestamp = Some(Time(at("2026-10-30T00:00:00Z")));
    let runs =
        [run(1, Phase::Succeeded), run(2, Phase::Failed), run(3, Phase::Running), earlier, cancelled(5)];
    let before = foreseen(&all, &hourly, &runs, NOW);
    let observed =
        Observed { flow: Some(Arc::new(hourly.clone())), runs: runs.iter().cloned().map(Arc::new).collect() };
    let created = plan(&all, &observed, at(NOW)).steps.into_iter().filter_map(|step| match step {
        Step::Create(object) => match *object {
            Object::Run(run) => Some(run.name_any()),
            _ => None,
        },
        _ => None,
    });
    let does_run = |does: &Does| matches!(does, Does::Runs | Does::RunsAnew | Does::RunsUnrecorded);
    let foretold: Vec<_> =
        before.iter().filter(|(_, does)| does_run(does)).map(|(run, _)| run.clone()).collect();
    assert_eq!(created.collect::<Vec<_>>(), foretold);
    let of = |hour: u8| before.iter().find(|(run, _)| *run == name(hour)).unwrap().1;
    assert_eq!((of(0), of(1), of(2)), (Does::Runs, Does::LeavesOut, Does::RunsAnew));
    assert_eq!((of(3), of(4), of(5)), (Does::AwaitsRun, Does::RunsAnew, Does::RunsAnew));
}

#[test]
fn a_backfill_that_does_not_exist_yet_is_younger_than_all_runs() {
    let (hourly, mut new) = (flow(vec![clock("hourly", "1h")]), backfill("00:00:00", "02:00:00"));
    new.metadata.creation_timestamp = None;
    new.metadata.uid = None;
    let mut earlier = own(1, Phase::Failed, "another");
    earlier.spec.backfill = Some("september".into());
    let does: Vec<Does> =
        foreseen(&new, &hourly, &[earlier], NOW).into_iter().map(|(_, does)| does).collect();
    assert_eq!(does, [Does::Runs, Does::RunsAnew, Does::Runs]);
    let ahead: Vec<Does> =
        foreseen(&new, &hourly, &[], "2026-10-01T00:30:00Z").into_iter().map(|(_, does)| does).collect();
    assert_eq!(ahead, [Does::Runs, Does::AwaitsTime, Does::AwaitsTime]);
}

#[test]
fn what_would_start_nothing_says_why() {
    let fault = preview(&backfill("00:00:00", "01:00:00"), &Observed::default(), at(NOW)).unwrap_err();
    assert_eq!(fault.reason, Reason::FlowNotFound);
}
