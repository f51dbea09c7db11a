mod preview;
mod record;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::json;

use super::*;
use crate::api::flow::{ClockEntry, Schedule};
use crate::api::flow_backfill::SkippedTicks;
use crate::api::{ConditionType, FlowBackfillSpec, FlowRunSpec, FlowRunStatus, FlowSpec, Phase};
use crate::plan::conditions::find;

/// Long after all ticks of these tests.
const NOW: &str = "2026-12-01T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn clock(name: &str, interval: &str) -> ClockEntry {
    ClockEntry { name: name.into(), interval: Some(interval.into()), ..ClockEntry::default() }
}

fn flow(clocks: Vec<ClockEntry>) -> Flow {
    let schedule = Some(Schedule { clocks, ..Schedule::default() });
    let mut flow = Flow::new("etl", FlowSpec { schedule, ..FlowSpec::default() });
    flow.metadata.uid = Some("flow".into());
    flow
}

/// Of the hours from `from` to `to` of one day, three at once.
fn backfill(from: &str, to: &str) -> FlowBackfill {
    let instant = |time: &str| Time(at(&format!("2026-10-01T{time}Z")));
    let spec = FlowBackfillSpec {
        parallelism: 3.into(),
        ..FlowBackfillSpec::new("etl", instant(from), instant(to))
    };
    let mut backfill = FlowBackfill::new("october", spec);
    backfill.metadata.uid = Some("october-1".into());
    backfill.metadata.generation = Some(1);
    backfill.metadata.creation_timestamp = Some(Time(at("2026-11-01T00:00:00Z")));
    backfill
}

/// A run of an hour of that day, in this phase, as the Flow's own clock leaves one.
fn run(hour: u8, phase: Phase) -> FlowRun {
    let tick = at(&format!("2026-10-01T{hour:02}:00:00Z"));
    let spec = FlowRunSpec { flow: "etl".into(), scheduled_time: Some(Time(tick)), ..FlowRunSpec::default() };
    let mut run = FlowRun::new(&name(hour), spec);
    run.metadata.uid = Some(format!("uid-{hour}"));
    run.metadata.creation_timestamp = Some(Time(tick));
    run.status = Some(FlowRunStatus { phase, ..FlowRunStatus::default() });
    run
}

/// The same, made by a backfill of this uid.
fn own(hour: u8, phase: Phase, uid: &str) -> FlowRun {
    let mut run = run(hour, phase);
    run.spec.backfill = Some("october".into());
    run.annotations_mut().insert(labels::BACKFILL_UID.into(), uid.into());
    run.metadata.creation_timestamp = Some(Time(at("2026-11-01T00:01:00Z")));
    run
}

fn cancelled(hour: u8) -> FlowRun {
    let mut run = own(hour, Phase::Cancelled, "october-1");
    run.annotations_mut().insert(labels::CANCELLED_BY.into(), "october".into());
    run
}

fn name(hour: u8) -> String {
    format!("etl-20261001t{hour:02}0000")
}

fn names(hours: &[u8]) -> Vec<String> {
    hours.iter().map(|hour| name(*hour)).collect()
}

fn look(backfill: &FlowBackfill, runs: Vec<FlowRun>) -> Plan<FlowBackfillStatus> {
    look_at(backfill, &flow(vec![clock("hourly", "1h")]), runs)
}

fn look_at(backfill: &FlowBackfill, flow: &Flow, runs: Vec<FlowRun>) -> Plan<FlowBackfillStatus> {
    let runs = runs.into_iter().map(Arc::new).collect();
    plan(backfill, &Observed { flow: Some(Arc::new(flow.clone())), runs }, at(NOW))
}

fn made(plan: &Plan<FlowBackfillStatus>) -> Vec<&FlowRun> {
    let mut runs = Vec::new();
    for step in &plan.steps {
        if let Step::Create(object) = step
            && let Object::Run(run) = object.as_ref()
        {
            runs.push(run);
        }
    }
    runs
}

fn created(plan: &Plan<FlowBackfillStatus>) -> Vec<String> {
    made(plan).into_iter().map(ResourceExt::name_any).collect()
}

fn deleted(plan: &Plan<FlowBackfillStatus>) -> Vec<(String, Option<String>)> {
    let victim = |step: &Step| match step {
        Step::Delete(victim) => Some((victim.name.clone(), victim.uid.clone())),
        _ => None,
    };
    plan.steps.iter().filter_map(victim).collect()
}

fn condition(status: &FlowBackfillStatus, kind: ConditionType) -> &Condition {
    find(&status.conditions, kind).unwrap()
}

fn reason(plan: &Plan<FlowBackfillStatus>) -> &str {
    &condition(&plan.status, ConditionType::Ready).reason
}

/// Succeeded, failed, active, skipped, remaining.
fn counts(plan: &Plan<FlowBackfillStatus>) -> [i32; 5] {
    let status = &plan.status;
    [status.succeeded, status.failed, status.active, status.skipped, status.remaining]
}

#[test]
fn so_many_ticks_are_run_at_once_in_the_order_that_was_asked_for() {
    let mut backfill = backfill("00:00:00", "05:00:00");
    let first = look(&backfill, vec![]);
    assert_eq!(created(&first), names(&[0, 1, 2]));
    assert_eq!((counts(&first), first.status.done.as_deref()), ([0, 0, 3, 0, 3], Some("0/6")));
    let second =
        look(&backfill, vec![own(0, Phase::Succeeded, "october-1"), own(1, Phase::Running, "october-1")]);
    assert_eq!(created(&second), names(&[2, 3]));
    assert_eq!((counts(&second), second.status.done.as_deref()), ([1, 0, 3, 0, 2], Some("1/6")));
    backfill.spec.order = BackfillOrder::NewestFirst;
    assert_eq!(created(&look(&backfill, vec![])), names(&[5, 4, 3]));
    backfill.spec.parallelism = 1.into();
    assert_eq!(created(&look(&backfill, vec![own(4, Phase::Queued, "october-1")])), names(&[]));
}

#[test]
fn both_ends_of_the_range_count_and_a_fraction_of_a_second_does_not_widen_it() {
    for (from, to, hours) in [
        ("01:00:00", "02:00:00", &[1, 2][..]),
        ("01:00:00", "01:00:00", &[1]),
        ("01:00:00.5", "02:59:59.9", &[2]),
        ("00:59:59.5", "01:59:59.9", &[1]),
        ("01:00:01", "01:59:59", &[]),
    ] {
        assert_eq!(created(&look(&backfill(from, to), vec![])), names(hours), "{from} to {to}");
    }
}

#[test]
fn a_run_says_what_it_is() {
    let mut backfill = backfill("00:00:00", "00:00:00");
    backfill.spec.parameters = Some(json!({"full": true}));
    let plan = look(&backfill, vec![]);
    let run = made(&plan)[0];
    assert_eq!(run.spec.backfill.as_deref(), Some("october"));
    assert_eq!(run.spec.clock.as_deref(), Some("hourly"));
    assert_eq!(run.spec.scheduled_time, Some(Time(at("2026-10-01T00:00:00Z"))));
    assert_eq!(run.spec.parameters, Some(json!({"full": true})));
    assert_eq!(run.labels()["daskflow.dev/backfill"], "october");
    assert_eq!(run.labels()["daskflow.dev/flow"], "etl");
    let owners: Vec<_> = run.owner_references().iter().map(|owner| owner.uid.as_str()).collect();
    assert_eq!(owners, ["flow"], "the run stays when the backfill goes");
}

#[test]
fn clocks_are_taken_as_the_flow_has_them() {
    let mut late = clock("late", "1h");
    late.start_at = Some(Time(at("2026-10-01T02:00:00Z")));
    let mut asleep = clock("asleep", "30m");
    asleep.suspend = true;
    let mut full = clock("full", "2h");
    full.parameters = Some(json!({"full": true}));
    let all = flow(vec![late, asleep, clock("same", "60m"), full]);
    let cases: [(&[&str], &[&str]); 5] = [
        (&["late"], &["t020000", "t030000"]),
        (&["asleep"], &["t010000", "t013000", "t020000", "t023000", "t030000"]),
        (&["same"], &["t010000", "t020000", "t030000"]),
        (&["late", "same"], &["t010000", "t020000", "t030000"]),
        (&["full"], &["t020000-"]),
    ];
    for (clocks, expected) in cases {
        let mut backfill = backfill("01:00:00", "03:00:00");
        backfill.spec.parallelism = 100.into();
        backfill.spec.clocks = clocks.iter().map(|&name| name.into()).collect();
        let made = created(&look_at(&backfill, &all, vec![]));
        assert_eq!(made.len(), expected.len(), "{clocks:?}: {made:?}");
        for (name, expected) in made.iter().zip(expected) {
            assert!(name.contains(expected), "{clocks:?}: {made:?}");
        }
    }
    let mut backfill = backfill("01:00:00", "03:00:00");
    backfill.spec.parallelism = 100.into();
    assert_eq!(created(&look_at(&backfill, &all, vec![])).len(), 6, "five instants, one of them twice");
}

#[test]
fn what_a_run_that_is_there_means() {
    use Phase::{Cancelled, Failed, Queued, Running, Skipped, Succeeded, TimedOut};
    let leaving = |mut run: FlowRun| {
        run.metadata.deletion_timestamp = Some(Time(at(NOW)));
        run
    };
    let of_another = |mut run: FlowRun| {
        run.spec.backfill = Some("november".into());
        run
    };
    let ours = |phase| own(0, phase, "october-1");
    // The run, what is counted, and whether it is replaced, under Succeeded and under Ran.
    let (succeeded, failed, active, skipped, waits) =
        ([1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]);
    let anew = active;
    let cases = vec![
        ("ours succeeded", ours(Succeeded), (succeeded, false), (succeeded, false)),
        ("ours failed", ours(Failed), (failed, false), (failed, false)),
        ("ours cancelled by a user", ours(Cancelled), (failed, false), (failed, false)),
        ("ours skipped", ours(Skipped), (failed, false), (failed, false)),
        ("ours cancelled by us", cancelled(0), (anew, true), (anew, true)),
        ("ours queued", ours(Queued), (active, false), (active, false)),
        ("ours leaving", leaving(ours(Running)), (active, false), (active, false)),
        ("ours leaving after its end", leaving(ours(Failed)), (waits, false), (waits, false)),
        ("succeeded", run(0, Succeeded), (skipped, false), (skipped, false)),
        ("failed", run(0, Failed), (anew, true), (skipped, false)),
        ("timed out", run(0, TimedOut), (anew, true), (skipped, false)),
        ("skipped", run(0, Skipped), (anew, true), (skipped, false)),
        ("running", run(0, Running), (waits, false), (skipped, false)),
        ("leaving", leaving(run(0, Failed)), (waits, false), (waits, false)),
        ("an earlier namesake's", own(0, Succeeded, "october-0"), (skipped, false), (skipped, false)),
        ("an earlier backfill's", of_another(run(0, Failed)), (anew, true), (skipped, false)),
        ("a later backfill's", of_another(ours(Failed)), (failed, false), (skipped, false)),
    ];
    for (what, run, succeeded, ran) in cases {
        for (skip, (counted, replaced)) in [(SkippedTicks::Succeeded, succeeded), (SkippedTicks::Ran, ran)] {
            let mut backfill = backfill("00:00:00", "00:00:00");
            backfill.spec.skip = skip;
            let plan = look(&backfill, vec![run.clone()]);
            assert_eq!(counts(&plan), counted, "{what}, skip {skip:?}");
            let (gone, new) = if replaced {
                (vec![(name(0), Some("uid-0".to_owned()))], names(&[0]))
            } else {
                (vec![], vec![])
            };
            assert_eq!((deleted(&plan), created(&plan)), (gone, new), "{what}, skip {skip:?}");
            let ended = counted != active && counted != waits;
            assert_eq!(plan.status.finished_at.is_some(), ended, "{what}, skip {skip:?}");
        }
    }
}

#[test]
fn the_end_says_how_it_was_and_is_kept() {
    let two = backfill("00:00:00", "01:00:00");
    let ok = own(1, Phase::Succeeded, "october-1");
    for (runs, word, complete, failed, warns) in [
        (vec![run(0, Phase::Succeeded), ok.clone()], "Succeeded", "True", "False", false),
        (vec![own(0, Phase::Failed, "october-1"), ok.clone()], "RunsFailed", "False", "True", true),
    ] {
        let plan = look(&two, runs.clone());
        assert_eq!((reason(&plan), plan.status.done.as_deref()), (word, Some("2/2")));
        assert_eq!(condition(&plan.status, ConditionType::Complete).status, complete);
        assert_eq!(condition(&plan.status, ConditionType::Failed).status, failed);
        assert_eq!(plan.events.iter().map(|note| note.warning).collect::<Vec<_>>(), [warns]);
        let mut ended = two.clone();
        ended.status = Some(plan.status.clone());
        // History has forgotten the runs since, and somebody changed the spec.
        ended.spec.cancel = true;
        ended.metadata.generation = Some(2);
        let later = look(&ended, vec![]);
        assert_eq!((later.steps.len(), later.events.len()), (0, 0));
        assert_eq!(later.status.finished_at, plan.status.finished_at);
        assert_eq!((reason(&later), later.status.observed_generation), (word, Some(2)));
        assert!(!is_unfinished(&ended));
    }
}

#[test]
fn an_empty_range_is_complete() {
    let plan = look(&backfill("00:10:00", "00:20:00"), vec![]);
    assert_eq!((reason(&plan), plan.status.done.as_deref()), ("NoTicks", Some("0/0")));
    assert_eq!(condition(&plan.status, ConditionType::Complete).status, "True");
    assert!(condition(&plan.status, ConditionType::Ready).message.contains("etl"));
}

#[test]
fn what_cannot_be_run_is_told_and_nothing_is_started() {
    let mut unknown = backfill("00:00:00", "01:00:00");
    unknown.spec.clocks = vec!["daily".into()];
    let hourly = flow(vec![clock("hourly", "1h")]);
    let hours = backfill("00:00:00", "01:00:00");
    let mut bare = hourly.clone();
    bare.spec.schedule = None;
    let mut leaving = hourly.clone();
    leaving.metadata.deletion_timestamp = Some(Time(at(NOW)));
    let cases = [
        (&unknown, Some(hourly.clone()), "InvalidSpec", "no clock called daily; it has hourly"),
        (&hours, None, "FlowNotFound", "no Flow called etl"),
        (&hours, Some(leaving), "FlowNotFound", "no Flow called etl"),
        (&hours, Some(bare), "NoSchedule", "no schedule"),
        (&hours, Some(flow(vec![clock("hourly", "often")])), "InvalidSchedule", "hourly"),
        (&hours, Some(flow(vec![clock("often", "1s")])), "TooManyTicks", "narrower"),
    ];
    for (backfill, flow, word, words) in cases {
        let observed = Observed { flow: flow.map(Arc::new), ..Observed::default() };
        let plan = plan(backfill, &observed, at(NOW));
        assert_eq!((reason(&plan), plan.steps.len()), (word, 0));
        let stalled = condition(&plan.status, ConditionType::Stalled);
        assert!(stalled.status == "True" && stalled.message.contains(words), "{stalled:?}");
        assert_eq!(plan.events.len(), 1, "it is told");
        let mut told = backfill.clone();
        told.status = Some(plan.status.clone());
        assert!(is_unfinished(&told), "{word} can be put right");
        let again = super::plan(&told, &observed, at(NOW));
        assert_eq!((again.events.len(), again.status), (0, plan.status), "it is told once");
    }
}

#[test]
fn a_thousand_ticks_are_the_most() {
    for (to, word) in [("00:16:39", "Progressing"), ("00:16:40", "TooManyTicks")] {
        let plan = look_at(&backfill("00:00:00", to), &flow(vec![clock("often", "1s")]), vec![]);
        assert_eq!(reason(&plan), word, "up to {to}");
    }
    let mut wide = backfill("00:00:00", "00:00:00");
    wide.spec.to = Time(Timestamp::MAX);
    assert_eq!(reason(&look_at(&wide, &flow(vec![clock("often", "1s")]), vec![])), "TooManyTicks");
}

#[test]
fn suspended_it_starts_nothing_and_cancels_nothing() {
    let mut backfill = backfill("00:00:00", "05:00:00");
    backfill.spec.suspend = true;
    let plan = look(&backfill, vec![own(0, Phase::Running, "october-1"), run(1, Phase::Failed)]);
    assert_eq!((plan.steps.len(), reason(&plan)), (0, "Suspended"));
    assert_eq!(counts(&plan), [0, 0, 1, 0, 5]);
    assert_eq!(condition(&plan.status, ConditionType::Ready).status, "False", "a run is active");
    let at_rest = look(&backfill, vec![own(0, Phase::Succeeded, "october-1")]);
    for (kind, status) in [(ConditionType::Ready, "True"), (ConditionType::Complete, "False")] {
        assert_eq!(condition(&at_rest.status, kind).status, status);
    }
}

#[test]
fn cancelled_it_cancels_what_it_started_and_goes_on_with_it_later() {
    let mut backfill = backfill("00:00:00", "03:00:00");
    backfill.spec.cancel = true;
    let mut asked = own(1, Phase::Running, "october-1");
    asked.spec.cancel = true;
    let runs = vec![
        own(0, Phase::Running, "october-1"),
        asked,
        own(2, Phase::Succeeded, "october-1"),
        run(3, Phase::Running),
    ];
    let plan = look(&backfill, runs);
    let annotations: BTreeMap<_, _> = [(labels::CANCELLED_BY.to_owned(), "october".to_owned())].into();
    let cancel = Step::Cancel { run: name(0), uid: Some("uid-0".into()), annotations };
    assert_eq!(plan.steps, [cancel]);
    assert_eq!((reason(&plan), plan.status.finished_at.is_some()), ("Cancelled", false));

    backfill.spec.cancel = false;
    let mut going = own(0, Phase::Running, "october-1");
    going.spec.cancel = true;
    let resumed = look(&backfill, vec![going, cancelled(1), own(2, Phase::Succeeded, "october-1")]);
    assert_eq!(created(&resumed), names(&[1, 3]), "one that has not ended yet keeps its place");
    assert_eq!(deleted(&resumed), [(name(1), Some("uid-1".to_owned()))]);
}

#[test]
fn without_its_flow_it_still_cancels() {
    let mut backfill = backfill("00:00:00", "03:00:00");
    backfill.spec.cancel = true;
    let runs = vec![Arc::new(own(0, Phase::Running, "october-1"))];
    let plan = plan(&backfill, &Observed { flow: None, runs }, at(NOW));
    assert!(matches!(&plan.steps[..], [Step::Cancel { .. }]), "{:?}", plan.steps);
}

#[test]
fn a_tick_that_lies_ahead_waits_for_its_time() {
    let backfill = backfill("00:00:00", "02:00:00");
    let observed =
        Observed { flow: Some(Arc::new(flow(vec![clock("hourly", "1h")]))), ..Observed::default() };
    let plan = plan(&backfill, &observed, at("2026-10-01T00:30:00Z"));
    assert_eq!(created(&plan), names(&[0]));
    assert_eq!((counts(&plan), plan.next), ([0, 0, 1, 0, 2], Next::At(at("2026-10-01T01:00:00Z"))));
}

#[test]
fn a_cache_alone_creates_deletes_cancels_and_ends_nothing() {
    let midnight = backfill("00:00:00", "00:00:00");
    let mut stopped = midnight.clone();
    stopped.spec.cancel = true;
    let live = Wants::OBJECT | Wants::RUNS | Wants::FLOW;
    for (what, backfill, runs, wants) in [
        ("to create", &midnight, vec![], live),
        ("to replace", &midnight, vec![run(0, Phase::Failed)], live),
        ("to cancel", &stopped, vec![own(0, Phase::Running, "october-1")], live),
        ("to end", &midnight, vec![own(0, Phase::Succeeded, "october-1")], live),
        ("to wait", &midnight, vec![own(0, Phase::Running, "october-1")], Wants::NOTHING),
    ] {
        assert_eq!(look(backfill, runs).wants, wants, "{what}");
    }
}

#[test]
fn the_plan_of_its_own_status_changes_nothing() {
    let mut backfill = backfill("00:00:00", "05:00:00");
    let runs = || (0..3).map(|hour| own(hour, Phase::Running, "october-1")).collect::<Vec<_>>();
    let first = look(&backfill, runs());
    backfill.status = Some(first.status.clone());
    let second = look(&backfill, runs());
    assert_eq!((second.status, second.steps.len(), second.events.len()), (first.status, 0, 0));
}

#[test]
fn the_runs_that_history_must_keep_are_those_of_the_ticks() {
    let hourly = flow(vec![clock("hourly", "1h")]);
    let mut backfill = backfill("00:00:00", "02:00:00");
    assert_eq!(runs_counted_on(&backfill, &hourly), names(&[0, 1, 2]));
    assert_eq!(runs_counted_on(&backfill, &flow(vec![clock("often", "1s")])), names(&[]));
    backfill.status =
        Some(FlowBackfillStatus { finished_at: Some(Time(at(NOW))), ..FlowBackfillStatus::default() });
    assert_eq!(runs_counted_on(&backfill, &hourly), names(&[]));
}
