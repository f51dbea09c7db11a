//! Statuses that an earlier version wrote, without the fields that later ones decide by.

use super::*;

fn second(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

#[test]
fn a_run_that_does_not_say_what_it_waits_for_neither_gets_nor_loses_a_place() {
    let mut cluster = cluster(1);
    cluster.spec.max_active_runs = Some(2.into());
    let run = |name: &str, seen: bool| {
        let mut run = FlowRun::clone(&waiting_run(name, 1));
        let observed_generation = seen.then_some(1);
        run.status = Some(FlowRunStatus { observed_generation, ..FlowRunStatus::default() });
        Arc::new(run)
    };
    let mut observed = settled(&cluster, 1);
    observed.runs = vec![run("admitted", true), run("new", false), run("waiting", true)];
    let admitted = vec!["admitted".to_owned(), "new".to_owned()];
    cluster.status = Some(DaskClusterStatus { admitted, ..DaskClusterStatus::default() });
    let first = plan(&cluster, &observed, now());
    assert_eq!(first.status.admitted, ["admitted"], "one that is new is another than the one before it");
    // Each says it at its next look.
    observed.runs = vec![waiting_run("admitted", 1), waiting_run("waiting", 1)];
    assert_eq!(plan(&cluster, &observed, now()).status.admitted, ["admitted", "waiting"]);
}

#[test]
fn a_scheduler_of_which_no_time_is_written_has_just_begun_to_serve() {
    let mut cluster = cluster(1);
    let observed = settled(&cluster, 1);
    let mut status = plan(&cluster, &observed, now()).status;
    assert_eq!(status.scheduler_ready_since, Some(Time(now())));
    status.scheduler_ready_since = None;
    cluster.status = Some(status);
    let later = plan(&cluster, &observed, second(60)).status;
    assert_eq!(later.scheduler_ready_since, Some(Time(second(60))));
    cluster.status = Some(later);
    assert_eq!(
        plan(&cluster, &observed, second(90)).status.scheduler_ready_since,
        Some(Time(second(60))),
        "and stays"
    );
    let away = Observed { scheduler: SchedulerView::Unknown, ..observed };
    assert_eq!(plan(&cluster, &away, second(91)).status.scheduler_ready_since, None);
}
