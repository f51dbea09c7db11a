mod lost;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::api::common::NameRef;
use crate::api::flow::{CatchUp, CatchUpPolicy, ClockEntry, ClusterSource, Concurrency, History, Schedule};
use crate::api::{ConditionType, FlowRun, FlowRunSpec, FlowRunStatus, FlowSpec, Phase};
use crate::plan::conditions::find;
use crate::plan::{Object, VictimKind};
use kube::ResourceExt;

fn at(text: &str) -> Timestamp {
    format!("2026-12-01T{text}Z").parse().unwrap()
}

fn clock(name: &str, interval: &str) -> ClockEntry {
    ClockEntry { name: name.into(), interval: Some(interval.into()), ..ClockEntry::default() }
}

fn flow(clocks: Vec<ClockEntry>) -> Flow {
    let spec = FlowSpec {
        cluster: ClusterSource {
            ref_: Some(NameRef { name: "analytics".into() }),
            ..ClusterSource::default()
        },
        schedule: Some(Schedule { clocks, ..Schedule::default() }),
        ..FlowSpec::default()
    };
    let mut flow = Flow::new("etl", spec);
    flow.metadata.namespace = Some("team".into());
    flow.metadata.uid = Some("flow-uid".into());
    flow.metadata.generation = Some(1);
    flow.metadata.creation_timestamp = Some(Time(at("09:00:30")));
    flow
}

fn observed(runs: Vec<FlowRun>) -> Observed {
    Observed { runs: runs.into_iter().map(Arc::new).collect(), cluster_exists: true, ..Observed::default() }
}

/// A run in a phase; one of a clock if its name ends in a time.
fn run(name: &str, tick: Option<&str>, phase: Phase) -> FlowRun {
    let spec = FlowRunSpec {
        flow: "etl".into(),
        scheduled_time: tick.map(|tick| Time(at(tick))),
        clock: tick.map(|_| "c".into()),
        ..FlowRunSpec::default()
    };
    let mut run = FlowRun::new(name, spec);
    run.metadata.creation_timestamp = Some(Time(at("09:00:00")));
    run.status = Some(FlowRunStatus {
        phase,
        finished_at: tick.map(|tick| Time(at(tick))),
        ..FlowRunStatus::default()
    });
    run
}

fn created(plan: &Plan<FlowStatus>) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Create(object) => match object.as_ref() {
            Object::Run(run) => Some(run.name_any()),
            _ => None,
        },
        _ => None,
    };
    plan.steps.iter().filter_map(name).collect()
}

/// The flow once it has been told of these runs: none is forgotten before.
fn told(flow: Flow, runs: &[FlowRun], now: Timestamp) -> Flow {
    let plan = plan(&flow, &observed(runs.to_vec()), now);
    assert_eq!(plan.steps, [], "nothing goes before it is told");
    after(flow, &plan)
}

/// Carries a plan over to the next look.
fn after(mut flow: Flow, plan: &Plan<FlowStatus>) -> Flow {
    flow.status = Some(plan.status.clone());
    flow
}

#[test]
fn a_tick_becomes_one_run_however_often_it_is_looked_at() {
    let flow = flow(vec![clock("c", "1m")]);
    let before = plan(&flow, &observed(vec![]), at("09:00:40"));
    assert_eq!(created(&before), Vec::<String>::new());
    assert_eq!(before.next, Next::At(at("09:01:00")));
    let due = plan(&flow, &observed(vec![]), at("09:01:00"));
    assert_eq!(created(&due), ["etl-20261201t090100"]);
    // The status was lost, or the run is not in the cache yet: the name is the same.
    assert_eq!(created(&plan(&flow, &observed(vec![]), at("09:01:01"))), ["etl-20261201t090100"]);
    assert_eq!(created(&plan(&after(flow, &due), &observed(vec![]), at("09:01:01"))), Vec::<String>::new());
}

#[test]
fn nothing_before_the_creation_counts() {
    let plan = plan(&flow(vec![clock("c", "1m")]), &observed(vec![]), at("09:00:59"));
    assert_eq!((created(&plan).len(), plan.status.missed), (0, 0));
}

#[test]
fn after_an_outage_the_newest_tick_runs_and_the_others_are_counted_once() {
    let mut flow = flow(vec![clock("c", "1m")]);
    let first = plan(&flow, &observed(vec![]), at("09:10:05"));
    assert_eq!(created(&first), ["etl-20261201t091000"]);
    // The status that the API server gives to what nobody has seen.
    flow.status = Some(FlowStatus { observed_generation: Some(crate::api::UNSEEN), ..FlowStatus::default() });
    assert_eq!(plan(&flow, &observed(vec![]), at("09:10:05")), first);
    assert_eq!(first.status.missed, 9);
    let second = plan(&after(flow, &first), &observed(vec![]), at("09:10:06"));
    assert_eq!(second.status.missed, 9);
    assert_eq!(second.events, []);
}

#[test]
fn a_tick_that_is_too_late_is_missed() {
    let mut flow = flow(vec![clock("c", "1h")]);
    flow.spec.starting_deadline = Some("5m".into());
    let plan = plan(&flow, &observed(vec![]), at("10:06:00"));
    assert_eq!((created(&plan).len(), plan.status.missed), (0, 1));
    assert_eq!(plan.status.clocks[0].last_tick, Some(Time(at("10:00:00"))));
}

#[test]
fn an_edit_and_a_resumption_start_nothing_retroactively() {
    let mut edited = flow(vec![clock("c", "1h")]);
    edited = after(edited.clone(), &plan(&edited, &observed(vec![]), at("09:00:31")));
    edited.spec.schedule = Some(Schedule { clocks: vec![clock("c", "1m")], ..Schedule::default() });
    edited.metadata.generation = Some(2);
    let first = plan(&edited, &observed(vec![]), at("09:30:30"));
    assert_eq!((created(&first).len(), first.status.missed), (0, 0));

    let mut suspended = after(edited, &first);
    suspended.spec.suspend = true;
    suspended = after(suspended.clone(), &plan(&suspended, &observed(vec![]), at("09:30:50")));
    assert_eq!(created(&plan(&suspended, &observed(vec![]), at("10:31:10"))), Vec::<String>::new());
    suspended.spec.suspend = false;
    let resumed = plan(&suspended, &observed(vec![]), at("11:00:30"));
    assert_eq!((created(&resumed).len(), resumed.status.missed), (0, 0));
    assert_eq!(resumed.next, Next::At(at("11:01:00")));
}

#[test]
fn a_lost_status_is_read_back_from_the_runs() {
    let flow = flow(vec![clock("c", "1m")]);
    let runs = observed(vec![run("etl-20261201t090300", Some("09:03:00"), Phase::Succeeded)]);
    let plan = plan(&flow, &runs, at("09:03:30"));
    assert_eq!((created(&plan).len(), plan.status.missed), (0, 0));
}

#[test]
fn clocks_that_agree_make_one_run_and_clocks_that_differ_make_two() {
    let same = flow(vec![clock("a", "1m"), clock("b", "60s")]);
    assert_eq!(created(&plan(&same, &observed(vec![]), at("09:01:00"))), ["etl-20261201t090100"]);
    let mut other = clock("b", "1m");
    other.parameters = Some(json!({"full": true}));
    let differ = flow(vec![clock("a", "1m"), other]);
    let names = created(&plan(&differ, &observed(vec![]), at("09:01:00")));
    assert_eq!(names.len(), 2);
    assert!(names[1].starts_with("etl-20261201t090100-"), "{names:?}");
}

#[test]
fn under_forbid_one_run_holds_the_place_until_it_is_over() {
    let mut flow = flow(vec![clock("c", "1m")]);
    let first = run("etl-20261201t090100", Some("09:01:00"), Phase::Running);
    flow.status = Some(FlowStatus {
        admitted: vec![first.name_any()],
        observed_generation: Some(1),
        ..FlowStatus::default()
    });
    let second = run("etl-20261201t090200", Some("09:02:00"), Phase::Queued);
    let held = plan(&flow, &observed(vec![first.clone(), second.clone()]), at("09:02:01"));
    assert_eq!(held.status.admitted, [first.name_any()]);
    let over = run("etl-20261201t090100", Some("09:01:00"), Phase::Failed);
    let free = plan(&flow, &observed(vec![over, second.clone()]), at("09:02:02"));
    assert_eq!(free.status.admitted, [second.name_any()]);
}

#[test]
fn a_run_by_hand_waits_its_turn_and_is_not_overtaken() {
    let by_hand = run("etl-now", None, Phase::Queued);
    let tick = run("etl-20261201t090200", Some("09:02:00"), Phase::Queued);
    let plan = plan(&flow(vec![]), &observed(vec![tick, by_hand]), at("09:02:02"));
    assert_eq!(plan.status.admitted, ["etl-now"]);
}

#[test]
fn an_admitted_run_that_is_gone_frees_its_place_unless_it_is_only_new() {
    let mut flow = flow(vec![]);
    flow.status = Some(FlowStatus { admitted: vec!["etl-a".into()], ..FlowStatus::default() });
    let waiting = run("etl-b", None, Phase::Queued);
    let mut seen = observed(vec![waiting]);
    assert_eq!(plan(&flow, &seen, at("09:02:02")).status.admitted, ["etl-b"]);
    seen.found = ["etl-a".to_owned()].into();
    let found = plan(&flow, &seen, at("09:02:02"));
    assert_eq!(found.status.admitted, ["etl-a"]);
    assert_eq!(found.next, Next::After(status::ASK_AGAIN), "no watch tells of it");
}

#[test]
fn a_runner_that_has_not_ended_holds_the_place_of_a_run_that_is_gone() {
    let mut seen = observed(vec![run("etl-b", None, Phase::Queued)]);
    seen.runners = ["etl-gone".to_owned()].into();
    assert_eq!(plan(&flow(vec![]), &seen, at("09:02:02")).status.admitted, ["etl-gone"]);
}

#[test]
fn skipped_runs_do_not_push_out_failed_ones() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 1.into(), failed: 1.into(), older_than: None };
    let runs = vec![
        run("etl-1", Some("09:01:00"), Phase::Failed),
        run("etl-2", Some("09:02:00"), Phase::Skipped),
        run("etl-3", Some("09:03:00"), Phase::Skipped),
    ];
    let flow = told(flow, &runs, at("09:06:00"));
    let plan = plan(&flow, &observed(runs), at("09:06:00"));
    assert!(matches!(&plan.steps[..], [Step::Delete(victim)] if victim.name == "etl-2"), "{:?}", plan.steps);
}

#[test]
fn code_is_looked_for_until_the_flow_is_ready() {
    let mut flow = flow(vec![]);
    let key = ConfigMapKey { name: "code".into(), key: "flow.py".into() };
    flow.spec.code = Some(crate::api::flow::Code { config_map: Some(key.clone()), ..Default::default() });
    assert_eq!(code_to_look_for(&flow), Some(&key));
    let missing = Observed { code_missing: Some("no key".into()), ..observed(vec![]) };
    let waiting = after(flow.clone(), &plan(&flow, &missing, at("09:01:00")));
    assert_eq!(code_to_look_for(&waiting), Some(&key));
    let mut ready = after(flow.clone(), &plan(&flow, &observed(vec![]), at("09:01:00")));
    assert_eq!(code_to_look_for(&ready), None);
    ready.metadata.generation = Some(2);
    assert_eq!(code_to_look_for(&ready), Some(&key));
}

#[test]
fn under_allow_nothing_is_held() {
    let mut flow = flow(vec![clock("c", "1m")]);
    flow.spec.concurrency = Concurrency::Allow;
    assert_eq!(plan(&flow, &observed(vec![]), at("09:01:00")).status.admitted, Vec::<String>::new());
}

#[test]
fn history_keeps_the_newest_and_never_touches_what_is_not_over() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 1.into(), failed: 0.into(), older_than: None };
    let runs = vec![
        run("etl-1", Some("09:01:00"), Phase::Succeeded),
        run("etl-2", Some("09:02:00"), Phase::Succeeded),
        run("etl-3", Some("09:03:00"), Phase::Failed),
        run("etl-4", Some("09:04:00"), Phase::Running),
        run("etl-5", Some("09:05:00"), Phase::Queued),
    ];
    let flow = told(flow, &runs, at("09:06:00"));
    let plan = plan(&flow, &observed(runs), at("09:06:00"));
    let deleted: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Delete(victim) if victim.kind == VictimKind::Run => Some(victim.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, ["etl-1", "etl-3"]);
    assert_eq!(plan.status.last_run.unwrap().name, "etl-3");
    assert_eq!(plan.status.active, 1);
}

#[test]
fn a_tick_is_a_run_before_its_flow_is_written_and_nothing_is_deleted_until_then() {
    let mut flow = flow(vec![clock("c", "1m")]);
    flow.spec.history.succeeded = 0.into();
    let due = plan(&flow, &observed(vec![]), at("09:01:00"));
    assert_eq!((created(&due).len(), due.urgency), (1, Urgency::InTurn));
    let ended = vec![run("etl-20261201t090100", Some("09:01:00"), Phase::Succeeded)];
    let flow = told(after(flow, &due), &ended, at("09:01:10"));
    let look = |unwritten| plan(&flow, &Observed { unwritten, ..observed(ended.clone()) }, at("09:01:20"));
    assert_eq!((look(true).steps, look(true).urgency), (vec![], Urgency::Now));
    assert!(matches!(&look(false).steps[..], [Step::Delete(victim)] if victim.kind == VictimKind::Run));
}

#[test]
fn that_a_flow_was_seen_is_told_after_the_ticks_of_others() {
    let mut flow = flow(vec![clock("c", "1m")]);
    let urgency = |flow: &Flow| plan(flow, &observed(vec![]), at("09:00:40")).urgency;
    assert_eq!(urgency(&flow), Urgency::InTurn);
    flow.status = Some(FlowStatus { observed_generation: Some(crate::api::UNSEEN), ..FlowStatus::default() });
    assert_eq!(urgency(&flow), Urgency::InTurn);
    let seen = plan(&flow, &observed(vec![]), at("09:00:40"));
    assert_eq!(urgency(&after(flow, &seen)), Urgency::Now);
}

#[test]
fn history_spares_what_an_unfinished_backfill_counts_on() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 1.into(), failed: 0.into(), older_than: None };
    let mut own = run("etl-2", Some("09:02:00"), Phase::Failed);
    own.spec.backfill = Some("october".into());
    let runs = [
        run("etl-1", Some("09:01:00"), Phase::Succeeded),
        own,
        run("etl-3", Some("09:03:00"), Phase::Succeeded),
        run("etl-4", Some("09:04:00"), Phase::Succeeded),
    ];
    let flow = told(flow, &runs, at("09:06:00"));
    let deleted = |observed: &Observed| -> Vec<String> {
        let victim = |step: &Step| match step {
            Step::Delete(victim) => Some(victim.name.clone()),
            _ => None,
        };
        plan(&flow, observed, at("09:06:00")).steps.iter().filter_map(victim).collect()
    };
    let mut observed = observed(runs.to_vec());
    assert_eq!(deleted(&observed), ["etl-3", "etl-1", "etl-2"], "without a backfill");
    // One that has ended is there as well; nobody counts on the runs of its ticks any more.
    observed.backfills = ["october".to_owned()].into();
    assert_eq!(deleted(&observed), ["etl-3", "etl-1"]);
    observed.backfills = ["october".to_owned()].into();
    observed.backfilled = ["etl-1".to_owned(), "etl-2".to_owned()].into();
    assert_eq!(deleted(&observed), ["etl-3"]);
}

#[test]
fn an_unknown_zone_is_told_where_users_look_and_starts_nothing() {
    let mut flow = flow(vec![clock("c", "1m")]);
    flow.spec.schedule.as_mut().unwrap().time_zone = Some("Europe/Pariss".into());
    let first = plan(&flow, &observed(vec![]), at("09:01:00"));
    assert_eq!(first.steps, []);
    let ready = find(&first.status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(ready.reason, "InvalidTimeZone");
    assert!(ready.message.contains("Europe/Pariss"), "{}", ready.message);
    assert_eq!(first.events.len(), 1);
    assert_eq!(plan(&after(flow, &first), &observed(vec![]), at("09:02:00")).events, [], "told once");
}

#[test]
fn a_missing_cluster_is_told_at_once() {
    let plan = plan(&flow(vec![]), &Observed::default(), at("09:01:00"));
    assert_eq!(find(&plan.status.conditions, ConditionType::Ready).unwrap().reason, "ClusterNotFound");
}

#[test]
fn the_plan_of_its_own_status_changes_nothing() {
    let flow = flow(vec![clock("c", "1m")]);
    let done = observed(vec![run("etl-20261201t090100", Some("09:01:00"), Phase::Succeeded)]);
    let first = plan(&flow, &done, at("09:01:10"));
    let settled = after(flow, &first);
    let second = plan(&settled, &done, at("09:01:40"));
    assert_eq!(second.status, first.status);
    assert_eq!(second.steps, []);
    assert_eq!(second.events, []);
}

#[test]
fn the_past_is_written_with_what_is_written_anyway_and_outlives_the_runs() {
    let flow = flow(vec![clock("c", "1m")]);
    let failed = run("etl-20261201t090100", Some("09:01:00"), Phase::Failed);
    let first = after(flow.clone(), &plan(&flow, &observed(vec![failed.clone()]), at("09:01:20")));
    let recent = |flow: &Flow| flow.status.as_ref().unwrap().recent.clone();
    assert_eq!(recent(&first).len(), 1);
    // Of an operator that did not write it: alone it is not worth a write.
    let mut without = first.clone();
    without.status.as_mut().unwrap().recent.clear();
    let again = plan(&without, &observed(vec![failed.clone()]), at("09:01:30"));
    assert_eq!(Some(again.status), without.status);
    let other = run("etl-by-hand", Some("09:01:40"), Phase::Succeeded);
    let both = after(without.clone(), &plan(&without, &observed(vec![failed, other]), at("09:01:50")));
    let deleted = after(both.clone(), &plan(&both, &observed(vec![]), at("09:02:10")));
    assert_eq!((recent(&both).len(), recent(&deleted)), (2, recent(&both)));
}

#[test]
fn history_forgets_what_is_too_old_and_wakes_for_it() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 3.into(), failed: 3.into(), older_than: Some("1d2h".into()) };
    let runs = vec![
        run("etl-1", Some("09:01:00"), Phase::Succeeded),
        run("etl-2", Some("10:00:00"), Phase::Failed),
        run("etl-3", Some("09:00:00"), Phase::Running),
    ];
    let flow = told(flow, &runs, at("10:00:00"));
    let tomorrow = |text: &str| at(text) + jiff::SignedDuration::from_hours(24);
    let early = plan(&flow, &observed(runs.clone()), tomorrow("11:00:59"));
    assert_eq!((early.steps.len(), early.next), (0, Next::At(tomorrow("11:01:00"))));
    let then = plan(&flow, &observed(runs), tomorrow("11:01:00"));
    assert!(matches!(&then.steps[..], [Step::Delete(victim)] if victim.name == "etl-1"), "{:?}", then.steps);
    assert_eq!(then.next, Next::At(tomorrow("12:00:00")));
}

#[test]
fn catching_up_with_all_starts_the_newest_up_to_the_limit_and_counts_the_others() {
    let mut flow = flow(vec![clock("c", "1m")]);
    flow.spec.catch_up = CatchUp { policy: CatchUpPolicy::All, limit: 3.into() };
    let first = plan(&flow, &observed(vec![]), at("09:10:05"));
    assert_eq!(created(&first), ["etl-20261201t090800", "etl-20261201t090900", "etl-20261201t091000"]);
    assert_eq!((first.status.missed, first.status.last_tick.clone()), (7, Some(Time(at("09:10:00")))));
    // They wait for each other, oldest first, rather than giving way to the newest.
    assert_eq!(first.status.admitted, ["etl-20261201t090800"]);
}

#[test]
fn without_catching_up_only_a_tick_on_time_runs() {
    let mut flow = flow(vec![clock("c", "1h")]);
    flow.spec.catch_up.policy = CatchUpPolicy::None;
    assert_eq!(created(&plan(&flow, &observed(vec![]), at("10:00:30"))).len(), 1);
    let late = plan(&flow, &observed(vec![]), at("10:00:31"));
    assert_eq!((created(&late).len(), late.status.missed), (0, 1));
    flow.spec.starting_deadline = Some("5m".into());
    assert_eq!(created(&plan(&flow, &observed(vec![]), at("10:05:00"))).len(), 1);
}

#[test]
fn a_queue_has_as_many_places_as_it_says_first_come_first_served() {
    let mut flow = flow(vec![]);
    flow.spec.concurrency = Concurrency::Queue;
    flow.spec.max_active = Some(2.into());
    let mut suspended = run("etl-0", Some("09:00:00"), Phase::Queued);
    suspended.spec.suspend = true;
    let runs = vec![
        run("etl-3", Some("09:03:00"), Phase::Queued),
        run("etl-1", Some("09:01:00"), Phase::Queued),
        run("etl-2", Some("09:02:00"), Phase::Queued),
        suspended,
    ];
    let first = plan(&flow, &observed(runs.clone()), at("09:04:00"));
    assert_eq!(first.status.admitted, ["etl-1", "etl-2"]);
    // With fewer places nobody who has one loses it.
    let mut narrower = after(flow, &first);
    narrower.spec.max_active = Some(1.into());
    assert_eq!(plan(&narrower, &observed(runs), at("09:05:00")).status.admitted, ["etl-1", "etl-2"]);
}

#[test]
fn under_replace_the_newest_comes_next_when_the_active_one_has_ended() {
    let mut flow = flow(vec![]);
    flow.spec.concurrency = Concurrency::Replace;
    let newer =
        [run("etl-2", Some("09:02:00"), Phase::Queued), run("etl-3", Some("09:03:00"), Phase::Queued)];
    let mut runs = vec![run("etl-1", Some("09:01:00"), Phase::Running)];
    runs.extend(newer.clone());
    assert_eq!(plan(&flow, &observed(runs), at("09:04:00")).status.admitted, ["etl-1"]);
    assert_eq!(plan(&flow, &observed(newer.into()), at("09:04:00")).status.admitted, ["etl-3"]);
}

#[test]
fn a_run_knows_the_ticks_around_its_own() {
    let plan = plan(&flow(vec![clock("c", "1m")]), &observed(vec![]), at("09:01:00"));
    let Some(Step::Create(object)) = plan.steps.first() else { panic!("no run") };
    let Object::Run(run) = object.as_ref() else { panic!("no run") };
    let told: Vec<&str> = run.annotations().values().map(String::as_str).collect();
    assert_eq!(told, ["2026-12-01T09:02:00Z", "2026-12-01T09:00:00Z", "2026-12-01T09:01:00Z"]);
}

#[test]
fn a_clock_starts_no_more_runs_than_it_may_and_an_edit_counts_anew() {
    let mut flow = flow(vec![ClockEntry { max_runs: Some(2.into()), ..clock("c", "1m") }]);
    flow.spec.catch_up = CatchUp { policy: CatchUpPolicy::All, limit: 10.into() };
    let first = plan(&flow, &observed(vec![]), at("09:01:00"));
    assert_eq!((created(&first).len(), first.status.clocks[0].runs), (1, 1));
    let flow = after(flow, &first);
    let second = plan(&flow, &observed(vec![]), at("09:05:00"));
    assert_eq!(created(&second), ["etl-20261201t090500"], "one is left, and the newest gets it");
    assert_eq!((second.status.next_tick.clone(), second.next), (None, Next::Change));
    let mut flow = after(flow, &second);
    assert_eq!(created(&plan(&flow, &observed(vec![]), at("09:06:00"))).len(), 0);
    flow.spec.schedule.as_mut().unwrap().clocks[0].interval = Some("2m".into());
    let edited = after(flow.clone(), &plan(&flow, &observed(vec![]), at("09:07:00")));
    assert_eq!(created(&plan(&edited, &observed(vec![]), at("09:08:00"))).len(), 1);
}

#[test]
fn jitter_starts_later_and_leaves_the_logical_time() {
    let mut spread = std::collections::BTreeSet::new();
    for index in 0..40 {
        let mut flow = flow(vec![clock("c", "1h")]);
        flow.metadata.name = Some(format!("etl-{index}"));
        flow.spec.schedule.as_mut().unwrap().jitter = Some("5m".into());
        let Next::At(start) = plan(&flow, &observed(vec![]), at("09:59:00")).next else { panic!("no tick") };
        assert!(start >= at("10:00:00") && start <= at("10:05:00"), "{start}");
        let due = plan(&flow, &observed(vec![]), start);
        assert_eq!(created(&due), [format!("etl-{index}-20261201t100000")]);
        assert!(
            created(&plan(&flow, &observed(vec![]), start - jiff::SignedDuration::from_secs(1))).is_empty()
        );
        spread.insert(start);
    }
    assert!(spread.len() > 25, "they are spread: {spread:?}");
}

#[test]
fn more_room_starts_nothing_retroactively_and_a_pause_gives_none() {
    let mut flow = flow(vec![ClockEntry { max_runs: Some(1.into()), ..clock("c", "1m") }]);
    flow = after(flow.clone(), &plan(&flow, &observed(vec![]), at("09:01:00")));
    flow = after(flow.clone(), &plan(&flow, &observed(vec![]), at("09:05:30")));
    flow.spec.suspend = true;
    flow = after(flow.clone(), &plan(&flow, &observed(vec![]), at("09:05:40")));
    flow.spec.suspend = false;
    let paused = plan(&flow, &observed(vec![]), at("09:07:00"));
    assert_eq!((created(&paused).len(), paused.status.clocks[0].runs), (0, 1));
    let reason =
        |plan: &Plan<FlowStatus>| find(&plan.status.conditions, ConditionType::Ready).unwrap().reason.clone();
    assert_eq!(reason(&paused), "NoTicksAhead");
    let mut flow = after(flow, &paused);
    flow.spec.schedule.as_mut().unwrap().clocks[0].max_runs = Some(2.into());
    let more = plan(&flow, &observed(vec![]), at("09:07:30"));
    assert_eq!((created(&more).len(), more.status.missed), (0, 0));
    assert_eq!(created(&plan(&after(flow, &more), &observed(vec![]), at("09:08:00"))).len(), 1);
}

#[test]
fn a_run_that_was_suspended_while_it_worked_stands_in_the_line_again() {
    let mut resumed = run("etl-20261201t090100", Some("09:01:00"), Phase::Queued);
    resumed.status.as_mut().unwrap().admitted_at = Some(Time(at("09:01:00")));
    let runs = vec![resumed, run("etl-20261201t090200", Some("09:02:00"), Phase::Queued)];
    let plan = plan(&flow(vec![]), &observed(runs), at("09:03:00"));
    assert_eq!(plan.status.admitted, ["etl-20261201t090100"], "it gives way to no newer tick");
}

#[test]
fn a_cluster_that_is_kept_for_a_look_keeps_its_run() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 0.into(), failed: 0.into(), older_than: None };
    flow.spec.cluster.keep_on_failure = Some("30m".into());
    let runs = vec![run("etl-1", Some("09:01:00"), Phase::Failed)];
    let flow = told(flow, &runs, at("09:02:00"));
    let failed = observed(runs);
    let kept = plan(&flow, &failed, at("09:30:59"));
    assert_eq!((kept.steps.len(), kept.next), (0, Next::At(at("09:31:00"))));
    assert_eq!(plan(&flow, &failed, at("09:31:00")).steps.len(), 1);
}
