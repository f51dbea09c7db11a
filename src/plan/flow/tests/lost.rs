//! What must not be lost: ticks of other clocks, ticks around an edit, what is known of the last run, users'
//! own runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use rstest::rstest;

use super::*;
use crate::api::flow_run::WaitsFor;

/// A run of a tick of this clock, which overrides parameters.
fn tick_of(clock: &str, tick: &str, phase: Phase) -> FlowRun {
    let name = crate::plan::names::run_name("etl", at(tick), Some(clock));
    let mut run = run(&name, Some(tick), phase);
    run.spec.clock = Some(clock.into());
    run.metadata.creation_timestamp = Some(Time(at(tick)));
    run
}

fn deleted(plan: &Plan<FlowStatus>) -> Vec<String> {
    let victim = |step: &Step| match step {
        Step::Delete(victim) if victim.kind == VictimKind::Run => Some(victim.name.clone()),
        _ => None,
    };
    plan.steps.iter().filter_map(victim).collect()
}

/// The flow after looks at these runs until nothing changes, and the runs that are left.
fn settled(mut flow: Flow, runs: &[FlowRun], now: Timestamp) -> (Flow, Vec<FlowRun>) {
    let mut left = runs.to_vec();
    for _ in 0..5 {
        let plan = plan(&flow, &observed(left.clone()), now);
        let gone = deleted(&plan);
        left.retain(|run| !gone.contains(&run.name_any()));
        flow = after(flow, &plan);
    }
    (flow, left)
}

#[rstest]
#[case(Concurrency::Forbid)]
#[case(Concurrency::Replace)]
fn of_clocks_at_one_instant_each_gets_its_turn(#[case] policy: Concurrency) {
    let clocks = ["asia", "eu", "us"];
    let mut flow = flow(vec![]);
    flow.spec.concurrency = policy;
    let mut waiting: Vec<FlowRun> =
        clocks.iter().map(|name| tick_of(name, "10:00:00", Phase::Queued)).collect();
    let mut ran = Vec::new();
    while !waiting.is_empty() {
        let plan = plan(&flow, &observed(waiting.clone()), at("10:00:01"));
        let [next] = &plan.status.admitted[..] else { panic!("{:?}", plan.status.admitted) };
        ran.push(next.clone());
        waiting.retain(|run| run.name_any() != *next);
    }
    assert_eq!(ran.len(), 3, "{ran:?}");
}

#[test]
fn a_frequent_clock_does_not_starve_a_rare_one() {
    let flow = flow(vec![]);
    let runs = vec![
        tick_of("nightly", "10:00:00", Phase::Queued),
        tick_of("hourly", "11:00:00", Phase::Queued),
        tick_of("hourly", "12:00:00", Phase::Queued),
    ];
    let first = plan(&flow, &observed(runs.clone()), at("12:00:01"));
    assert_eq!(first.status.admitted, [runs[0].name_any()]);
    let second = plan(&flow, &observed(runs[1..].to_vec()), at("12:00:01"));
    assert_eq!(second.status.admitted, [runs[2].name_any()], "of its own ticks the newest");
}

#[test]
fn the_last_run_never_goes_back_and_its_reason_stays() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 0.into(), failed: 0.into(), older_than: None };
    let mut failed = run("etl-1", Some("09:01:00"), Phase::Failed);
    failed.status.as_mut().unwrap().reason = Some("ScriptError".into());
    let condition = |flow: &Flow| {
        let conditions = &flow.status.as_ref().unwrap().conditions;
        let told = find(conditions, ConditionType::LastRunSucceeded).unwrap();
        (told.status.clone(), told.reason.clone(), told.message.clone())
    };
    let (flow, left) = settled(flow, &[failed.clone()], at("09:02:00"));
    assert_eq!(left, [], "history keeps none");
    assert_eq!(condition(&flow), ("False".into(), "ScriptError".into(), "etl-1 Failed".into()));
    // A run that succeeded later, and is forgotten as well; the older one is still there.
    let mut flow = flow;
    flow.spec.history = History { succeeded: 0.into(), failed: 3.into(), older_than: None };
    let good = run("etl-2", Some("09:03:00"), Phase::Succeeded);
    let (flow, left) = settled(flow, &[failed.clone(), good], at("09:04:00"));
    assert_eq!(left.len(), 1);
    assert_eq!(flow.status.as_ref().unwrap().last_run.as_ref().unwrap().name, "etl-2");
    assert_eq!(condition(&flow).0, "True");
}

#[rstest]
#[case::argo_cd(&[], &[("argocd.argoproj.io/tracking-id", "etl:daskflow.dev/FlowRun:team/now")])]
#[case::argo_cd_by_label(&[("app.kubernetes.io/instance", "etl")], &[])]
#[case::flux(&[("kustomize.toolkit.fluxcd.io/name", "etl")], &[])]
#[case::helm_by_flux(&[("helm.toolkit.fluxcd.io/name", "etl")], &[])]
#[case::helm(&[("app.kubernetes.io/managed-by", "Helm")], &[])]
#[case::helm_release(&[], &[("meta.helm.sh/release-name", "etl")])]
#[case::kubectl_apply(&[], &[("kubectl.kubernetes.io/last-applied-configuration", "{}")])]
fn a_run_that_somebody_applies_is_not_deleted_to_run_again(
    #[case] labels: &[(&str, &str)],
    #[case] annotations: &[(&str, &str)],
) {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 0.into(), failed: 0.into(), older_than: Some("1h".into()) };
    let mut own = run("etl-now", None, Phase::Succeeded);
    own.status.as_mut().unwrap().finished_at = Some(Time(at("09:01:00")));
    let mut applied = own.clone();
    applied.metadata.name = Some("etl-kept".into());
    let texts = |all: &[(&str, &str)]| all.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    applied.metadata.labels = Some(texts(labels));
    applied.metadata.annotations = Some(texts(annotations));
    let (_, left) = settled(flow, &[own, applied], at("20:00:00"));
    let names: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["etl-kept"]);
}

#[test]
fn a_suspended_flow_starts_no_tick_that_waits() {
    let mut flow = flow(vec![clock("c", "1m")]);
    flow.spec.suspend = true;
    let tick = run("etl-20261201t090200", Some("09:02:00"), Phase::Queued);
    let by_hand = run("etl-now", None, Phase::Queued);
    let first = plan(&flow, &observed(vec![tick.clone(), by_hand]), at("09:03:00"));
    assert_eq!(first.status.admitted, ["etl-now"]);
    assert_eq!(plan(&flow, &observed(vec![tick]), at("09:03:00")).status.admitted, Vec::<String>::new());
}

/// Somebody wrote the spec at this time.
fn written(flow: &mut Flow, time: &str) {
    flow.metadata.managed_fields = Some(vec![ManagedFieldsEntry {
        manager: Some("kubectl".into()),
        operation: Some("Update".into()),
        time: Some(Time(at(time))),
        ..ManagedFieldsEntry::default()
    }]);
}

#[test]
fn an_edit_counts_from_when_it_was_made() {
    let mut edited = flow(vec![clock("c", "1h")]);
    edited = after(edited.clone(), &plan(&edited, &observed(vec![]), at("09:00:31")));
    edited.spec.schedule = Some(Schedule { clocks: vec![clock("c", "10m")], ..Schedule::default() });
    // The operator was away until after a tick of the new schedule.
    written(&mut edited, "09:31:00");
    let first = plan(&edited, &observed(vec![]), at("10:01:00"));
    assert_eq!(created(&first), ["etl-20261201t100000"]);
    assert_eq!(first.status.missed, 2, "09:40 and 09:50");
    // An edit a moment before the tick that is seen a moment after it.
    written(&mut edited, "09:59:59");
    assert_eq!(created(&plan(&edited, &observed(vec![]), at("10:00:00"))).len(), 1);
}

#[test]
fn an_edit_between_a_tick_and_its_start_loses_nothing() {
    let mut flow = flow(vec![clock("c", "1h")]);
    flow.spec.schedule.as_mut().unwrap().jitter = Some("59m".into());
    let before = plan(&flow, &observed(vec![]), at("09:30:00"));
    let Next::At(start) = before.next else { panic!("no tick") };
    assert!(start > at("10:00:10") && start < at("11:00:00"), "{start}");
    let mut edited = after(flow, &before);
    edited.spec.schedule.as_mut().unwrap().clocks[0].end_at = Some(Time(at("23:00:00")));
    written(&mut edited, "10:00:02");
    let seen = plan(&edited, &observed(vec![]), at("10:00:03"));
    assert_eq!((seen.next, seen.status.missed), (Next::At(start), 0));
    let started = plan(&after(edited, &seen), &observed(vec![]), start);
    assert_eq!(created(&started), ["etl-20261201t100000"]);
}

#[test]
fn a_tick_whose_clock_is_edited_before_it_is_looked_at_is_counted() {
    let mut flow = flow(vec![clock("c", "1h")]);
    let before = plan(&flow, &observed(vec![]), at("09:30:00"));
    flow = after(flow, &before);
    flow.spec.schedule = Some(Schedule { clocks: vec![clock("c", "7m")], ..Schedule::default() });
    written(&mut flow, "10:00:00");
    let seen = plan(&flow, &observed(vec![]), at("10:00:01"));
    assert_eq!((created(&seen).len(), seen.status.missed), (0, 1));
    assert_eq!(plan(&after(flow, &seen), &observed(vec![]), at("10:00:02")).status.missed, 1, "once");
}

#[test]
fn code_of_a_flow_that_is_always_busy_is_collected() {
    let flow = flow(vec![]);
    let mut seen = observed(vec![run("etl-1", Some("09:01:00"), Phase::Running)]);
    seen.runs = seen
        .runs
        .iter()
        .map(|run| {
            let mut run = run.as_ref().clone();
            run.status.as_mut().unwrap().job = Some("etl-1-1".into());
            Arc::new(run)
        })
        .collect();
    let map = |name: &str, created: &str, in_use: bool| CodeMap {
        name: name.into(),
        uid: None,
        created: at(created),
        in_use,
    };
    seen.code_maps =
        vec![map("old", "01:00:00", false), map("used", "02:00:00", true), map("newest", "03:00:00", false)];
    let victims = |seen: &Observed| -> Vec<String> {
        let plan = plan(&flow, seen, at("09:02:00"));
        let victim = |step: &Step| match step {
            Step::Delete(victim) if victim.kind == VictimKind::ConfigMap => Some(victim.name.clone()),
            _ => None,
        };
        plan.steps.iter().filter_map(victim).collect()
    };
    assert_eq!(victims(&seen), ["old"]);
    // A run that is about to get its Job may be about to mount any of it.
    seen.runs.push(Arc::new(run("etl-2", Some("09:02:00"), Phase::Provisioning)));
    assert_eq!(victims(&seen), Vec::<String>::new());
}

/// What version 0.1.0 would have left of an object: none of the fields that came later.
fn of_0_1_0<T: serde::Serialize + serde::de::DeserializeOwned>(object: &T) -> T {
    let mut value = serde_json::to_value(object).unwrap();
    for part in ["spec", "status"] {
        let Some(fields) = value.get_mut(part).and_then(serde_json::Value::as_object_mut) else { continue };
        for new in ["clocks", "mergedParameters", "specWrittenAt", "skipped", "skippedRuns", "program"] {
            if !(part == "status" && new == "clocks") {
                fields.remove(new);
            }
        }
        for clock in fields.get_mut("clocks").and_then(serde_json::Value::as_array_mut).into_iter().flatten()
        {
            for new in ["nextTick", "succeeded", "recordedSince"] {
                clock.as_object_mut().unwrap().remove(new);
            }
        }
    }
    serde_json::from_value(value).unwrap()
}

fn made(plan: &Plan<FlowStatus>) -> Vec<FlowRun> {
    let run = |step: &Step| match step {
        Step::Create(object) => match object.as_ref() {
            Object::Run(run) => Some(run.clone()),
            _ => None,
        },
        _ => None,
    };
    plan.steps.iter().filter_map(run).collect()
}

#[test]
fn upgrade_across_a_tick_doubles_none() {
    let mut overriding = clock("b", "1m");
    overriding.parameters = Some(json!({"full": true}));
    let mut flow = flow(vec![clock("a", "1m"), overriding]);
    flow = after(flow.clone(), &plan(&flow, &observed(vec![]), at("09:00:40")));
    let flow: Flow = of_0_1_0(&flow);
    let both = made(&plan(&flow, &observed(vec![]), at("09:01:00")));
    assert_eq!(both.len(), 2);
    // The old release died after each of its two writes, before it wrote the status.
    for there in 0..=2 {
        let runs: Vec<FlowRun> = both.iter().take(there).map(of_0_1_0).collect();
        let next = plan(&flow, &observed(runs.clone()), at("09:01:10"));
        let names: Vec<String> = both.iter().skip(there).map(ResourceExt::name_any).collect();
        assert_eq!((created(&next), next.status.missed), (names, 0), "{there} were there");
        // What they end as, and that they are forgotten, starts nothing again.
        let mut ended = runs;
        ended.extend(made(&next));
        for run in &mut ended {
            run.metadata.uid = Some(run.name_any());
            let finished_at = Some(Time(at("09:01:20")));
            run.status = Some(FlowRunStatus { phase: Phase::Succeeded, finished_at, ..Default::default() });
        }
        let mut upgraded = after(flow.clone(), &next);
        upgraded.spec.history = History { succeeded: 0.into(), failed: 0.into(), older_than: None };
        let (upgraded, left) = settled(upgraded, &ended, at("09:01:30"));
        assert_eq!(left, []);
        let quiet = plan(&upgraded, &observed(vec![]), at("09:01:40"));
        assert_eq!((created(&quiet).len(), quiet.status.missed), (0, 0));
    }
}

#[test]
fn clocks_that_share_a_run_are_all_told_in_it() {
    let flow = flow(vec![clock("a", "1m"), clock("b", "60s"), clock("c", "1h")]);
    let runs = made(&plan(&flow, &observed(vec![]), at("09:01:00")));
    assert_eq!(
        (runs[0].spec.clock.as_deref(), runs[0].spec.clocks.clone()),
        (Some("a"), vec!["a".into(), "b".into()])
    );
}

#[test]
fn what_was_given_up_is_counted_once_and_forgotten_after_that() {
    let mut flow = flow(vec![]);
    flow.spec.history = History { succeeded: 0.into(), failed: 0.into(), older_than: None };
    let runs = vec![
        tick_of("eu", "09:01:00", Phase::Skipped),
        tick_of("us", "09:01:00", Phase::Skipped),
        tick_of("us", "09:02:00", Phase::Running),
    ];
    let (flow, left) = settled(flow, &runs, at("09:03:00"));
    let status = flow.status.as_ref().unwrap();
    assert_eq!((status.skipped, left.len()), (2, 1));
    // With the next one the names of those that were deleted are dropped.
    let (flow, left) = settled(flow, &[tick_of("eu", "09:02:00", Phase::Skipped)], at("09:04:00"));
    let status = flow.status.as_ref().unwrap();
    assert_eq!((status.skipped, left.len(), status.skipped_runs.len()), (3, 0, 1));
}

#[test]
fn a_cache_of_before_does_not_have_what_was_given_up_counted_again() {
    let skipped = tick_of("eu", "09:01:00", Phase::Skipped);
    let look = |flow: &Flow, runs: &[FlowRun]| plan(flow, &observed(runs.to_vec()), at("09:03:00"));
    let first = look(&flow(vec![]), std::slice::from_ref(&skipped));
    assert_eq!(first.wants, Wants::OBJECT | Wants::RUNS, "it is counted from live runs");
    let mut flow = after(flow(vec![]), &first);
    for cached in [vec![tick_of("eu", "09:01:00", Phase::Queued)], vec![], vec![skipped]] {
        let plan = look(&flow, &cached);
        assert_eq!(plan.wants, Wants::NOTHING, "{cached:?}");
        flow = after(flow, &plan);
    }
    assert_eq!(flow.status.unwrap().skipped, 1);
}

#[test]
fn a_success_is_remembered_before_its_run_is_forgotten() {
    let mut flow = flow(vec![clock("c", "1m")]);
    flow.spec.history = History { succeeded: 0.into(), failed: 0.into(), older_than: None };
    let mut good = run("etl-20261201t090100", Some("09:01:00"), Phase::Succeeded);
    good.spec.backfill = Some("october".into());
    let (flow, left) = settled(flow, &[good], at("09:01:30"));
    assert_eq!(left, []);
    let clock = &flow.status.as_ref().unwrap().clocks[0];
    assert_eq!(clock.succeeded.as_deref(), Some("2026-12-01T09:01:00Z"));
}

#[test]
fn with_fewer_places_those_that_have_started_keep_theirs() {
    let mut flow = flow(vec![]);
    let mut started = tick_of("us", "09:02:00", Phase::Provisioning);
    started.status.as_mut().unwrap().job = Some("etl-1".into());
    let waiting = tick_of("eu", "09:01:00", Phase::Provisioning);
    let admitted = vec![waiting.name_any(), started.name_any()];
    flow.status = Some(FlowStatus { admitted, ..FlowStatus::default() });
    let first = plan(&flow, &observed(vec![started.clone(), waiting.clone()]), at("09:03:00"));
    assert_eq!(first.status.admitted, [started.name_any(), waiting.name_any()]);
    // The other one has written that it gives its place back.
    let mut back = waiting;
    let status = back.status.as_mut().unwrap();
    (status.phase, status.waits_for) = (Phase::Queued, Some(WaitsFor::AnotherPlace));
    let second = plan(&after(flow, &first), &observed(vec![started.clone(), back]), at("09:03:00"));
    assert_eq!(second.status.admitted, [started.name_any()]);
}

#[test]
fn a_run_that_does_not_say_what_it_waits_for_keeps_its_place() {
    let mut flow = flow(vec![]);
    let mut earlier = tick_of("us", "09:02:00", Phase::Queued);
    let status = earlier.status.as_mut().unwrap();
    // As an earlier version wrote it: the run says at its next look whether it has given its place back.
    (status.observed_generation, status.reason) = (Some(1), Some("Suspended".into()));
    flow.status = Some(FlowStatus { admitted: vec![earlier.name_any()], ..FlowStatus::default() });
    let first = plan(&flow, &observed(vec![earlier.clone()]), at("09:03:00"));
    assert_eq!(first.status.admitted, [earlier.name_any()]);
    (earlier.spec.suspend, earlier.status.as_mut().unwrap().waits_for) = (true, Some(WaitsFor::Resume));
    let second = plan(&after(flow, &first), &observed(vec![earlier]), at("09:03:00"));
    assert_eq!(second.status.admitted, Vec::<String>::new());
}

#[test]
fn what_keeps_every_run_from_its_work_is_told_before_the_first_tick() {
    let mut flow = flow(vec![clock("c", "1h")]);
    flow.spec.parameters = Some(json!({"files": vec!["x".repeat(50); 4_000]}));
    let told = plan(&flow, &observed(vec![]), at("09:01:00")).status;
    let ready = find(&told.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "InvalidSpec"));
    assert!(ready.message.starts_with("spec.parameters: "), "{}", ready.message);
}
