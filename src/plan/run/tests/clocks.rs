//! Runs of a Flow that has several clocks, and what a run is made of.

use rstest::rstest;

use super::*;
use crate::api::flow::{CatchUp, CatchUpPolicy, ClockEntry, Schedule};
use crate::plan::names;

/// A run of a tick of a clock that overrides parameters, so many seconds after `now()`.
fn tick_of(clock: &str, seconds_later: i64, phase: Phase) -> FlowRun {
    let tick = now() + SignedDuration::from_secs(seconds_later);
    let mut run = run(phase);
    run.metadata.name = Some(names::run_name("etl", tick, Some(clock)));
    run.metadata.creation_timestamp = Some(Time(tick));
    run.spec.scheduled_time = Some(Time(tick));
    run.spec.clock = Some(clock.into());
    run
}

fn after(mut run: FlowRun, plan: &Plan<FlowRunStatus>) -> FlowRun {
    run.status = Some(plan.status.clone());
    run
}

fn of(policy: Concurrency, admitted: &[&FlowRun]) -> Flow {
    let mut flow = flow();
    flow.spec.concurrency = policy;
    let clock = |name: &str| ClockEntry { name: name.into(), ..ClockEntry::default() };
    let clocks = ["eu", "us", "hourly", "nightly"].map(clock).into();
    flow.spec.schedule = Some(Schedule { clocks, ..Schedule::default() });
    let admitted = admitted.iter().map(|run| run.name_any()).collect();
    flow.status = Some(crate::api::FlowStatus { admitted, ..Default::default() });
    flow
}

fn with_siblings(flow: Flow, siblings: &[&FlowRun]) -> Observed {
    let siblings = siblings.iter().map(|run| Arc::new((*run).clone())).collect();
    Observed { siblings, ..observed(flow) }
}

#[rstest]
#[case(Concurrency::Forbid)]
#[case(Concurrency::Replace)]
fn a_tick_gives_way_only_to_a_newer_tick_of_its_own_clock(#[case] policy: Concurrency) {
    let (eu, us) = (tick_of("eu", 0, Phase::Queued), tick_of("us", 0, Phase::Queued));
    let newer = tick_of("eu", 60, Phase::Queued);
    let seen = |siblings: &[&FlowRun]| with_siblings(of(policy, &[]), siblings);
    let at_once = plan(&eu, &seen(&[&us]), now());
    assert_eq!(phase_and_reason(&at_once), (Phase::Queued, "ConcurrencyForbidden".into()));
    let at_once = plan(&us, &seen(&[&eu, &newer]), now());
    assert_eq!(phase_and_reason(&at_once), (Phase::Queued, "ConcurrencyForbidden".into()));
    let superseded = plan(&eu, &seen(&[&us, &newer]), now());
    assert_eq!(phase_and_reason(&superseded), (Phase::Skipped, "Superseded".into()));
}

#[test]
fn under_replace_a_tick_of_another_clock_stops_nothing() {
    let mut nightly = tick_of("nightly", 0, Phase::Running);
    nightly.status.as_mut().unwrap().job = Some(names::job_name(&nightly.name_any(), 1));
    let (hourly, next) = (tick_of("hourly", 60, Phase::Queued), tick_of("nightly", 120, Phase::Queued));
    let at_work = |siblings: &[&FlowRun]| Observed {
        job: Some(job(None)),
        pod: Some(pod(ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(Time(now())) }),
            ..ContainerState::default()
        })),
        ..with_siblings(of(Concurrency::Replace, &[&nightly]), siblings)
    };
    assert_eq!(plan(&nightly, &at_work(&[&hourly]), now()).status.stop, None);
    let stop = plan(&nightly, &at_work(&[&hourly, &next]), now()).status.stop;
    assert_eq!(stop.unwrap().reason, "Replaced");
}

#[test]
fn a_run_by_hand_with_a_clock_is_no_tick() {
    let mut by_hand = tick_of("nightly", -60, Phase::Queued);
    by_hand.metadata.name = Some("nightly-now".into());
    // A time in the future would make it the newest of all for ever.
    by_hand.spec.scheduled_time = Some(Time("2099-01-01T00:00:00Z".parse().unwrap()));
    let tick = tick_of("nightly", 0, Phase::Queued);
    let forbid = || of(Concurrency::Forbid, &[]);
    let told = plan(&tick, &with_siblings(forbid(), &[&by_hand]), now());
    assert_eq!(phase_and_reason(&told), (Phase::Queued, "ConcurrencyForbidden".into()));
    let told = plan(&by_hand, &with_siblings(forbid(), &[&tick]), now());
    assert_eq!(phase_and_reason(&told), (Phase::Queued, "ConcurrencyForbidden".into()));
}

#[test]
fn of_all_missed_ticks_those_of_another_clock_fill_no_queue() {
    let mut flow = of(Concurrency::Forbid, &[]);
    flow.spec.catch_up = CatchUp { policy: CatchUpPolicy::All, limit: 2.into() };
    let active = tick_of("eu", -300, Phase::Running);
    flow.status.as_mut().unwrap().admitted = vec![active.name_any()];
    let others = [tick_of("us", -120, Phase::Queued), tick_of("us", -60, Phase::Queued)];
    let seen = with_siblings(flow, &[&active, &others[0], &others[1]]);
    let told = plan(&tick_of("eu", 0, Phase::Queued), &seen, now());
    assert_eq!(phase_and_reason(&told), (Phase::Queued, "ConcurrencyForbidden".into()));
}

#[test]
fn a_suspended_flow_holds_ticks_and_lets_runs_by_hand_go() {
    let tick = tick_of("eu", 0, Phase::Queued);
    let mut by_hand = run(Phase::Queued);
    by_hand.metadata.name = Some("etl-now".into());
    (by_hand.spec.clock, by_hand.spec.scheduled_time) = (None, None);
    for policy in [Concurrency::Allow, Concurrency::Queue] {
        let mut flow = of(policy, &[&tick, &by_hand]);
        flow.spec.suspend = true;
        flow.spec.max_active = (policy == Concurrency::Queue).then_some(2.into());
        let held = plan(&tick, &observed(flow.clone()), now());
        assert_eq!(phase_and_reason(&held), (Phase::Queued, "Suspended".into()), "{policy:?}");
        assert_eq!(plan(&by_hand, &observed(flow), now()).status.phase, Phase::Provisioning);
    }
}

/// The parameters that the Job of a plan hands over.
fn parameters(plan: &Plan<FlowRunStatus>) -> Value {
    let [.., Object::Job(job)] = created(plan)[..] else { panic!("no Job: {:?}", plan.status) };
    let env = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
    let text = env.into_iter().find(|variable| variable.name == "DASKFLOW_PARAMETERS").unwrap().value;
    serde_json::from_str(&text.unwrap()).unwrap()
}

#[test]
fn a_tick_has_the_parameters_of_its_tick_whatever_becomes_of_its_clock() {
    let mut flow = flow();
    let entry = ClockEntry {
        name: "eu".into(),
        interval: Some("1m".into()),
        parameters: Some(json!({"region": "eu"})),
        ..ClockEntry::default()
    };
    flow.spec.schedule = Some(Schedule { clocks: vec![entry], ..Schedule::default() });
    flow.spec.concurrency = Concurrency::Allow;
    let ticks = crate::plan::flow::Observed { cluster_exists: true, ..Default::default() };
    let due = crate::plan::flow::plan(&flow, &ticks, now() + SignedDuration::from_secs(60));
    let Some(Step::Create(object)) = due.steps.first() else { panic!("no run") };
    let Object::Run(made) = object.as_ref() else { panic!("no run") };
    let mut tick = named(made.clone(), "tick-uid");
    tick.status = run(Phase::Provisioning).status;
    // The clock is renamed, and the Flow's own parameters are changed.
    flow.spec.schedule.as_mut().unwrap().clocks[0].name = "europe".into();
    flow.spec.parameters = Some(json!({"x": 10}));
    let started = plan(&tick, &observed(flow), now());
    assert_eq!(parameters(&started), json!({"x": 1, "y": 2, "region": "eu"}));
}

#[test]
fn a_run_of_a_flow_that_was_made_anew_is_not_adopted() {
    let mut old = run(Phase::Queued);
    let mut before = flow();
    before.metadata.uid = Some("the-flow-before".into());
    old.metadata.owner_references = controller_ref(&before).map(|owner| vec![owner]);
    let adopts = |run: &FlowRun| {
        let plan = plan(run, &observed(flow()), now());
        plan.steps.iter().any(|step| matches!(step, Step::Adopt { .. }))
    };
    assert!(!adopts(&old), "the collector is about to take it");
    old.metadata.owner_references = None;
    assert!(adopts(&old));
}

#[test]
fn a_cluster_of_its_own_goes_when_the_flow_leaves_its_template_while_the_run_is_retrying() {
    let mut retrying = run(Phase::Retrying);
    let own = names::cluster_name_for_run(&retrying.name_any());
    retrying.status.as_mut().unwrap().cluster = Some(own.clone());
    let mut cluster = cluster(true);
    cluster.metadata.name = Some(own.clone());
    cluster.metadata.owner_references = controller_ref(&retrying).map(|owner| vec![owner]);
    let seen = Observed { cluster: Some(Arc::new(cluster)), ..observed(flow()) };
    let next = plan(&retrying, &seen, now());
    let released = next.steps.iter().any(
        |step| matches!(step, Step::Delete(victim) if victim.kind == VictimKind::Cluster && victim.name == own),
    );
    assert!(released, "{:?}", next.steps);
    assert_eq!(next.status.cluster.as_deref(), Some("analytics"));
}

#[test]
fn places_that_became_fewer_are_given_back_before_anything_starts() {
    let (older, newer) = (tick_of("eu", 0, Phase::Provisioning), tick_of("us", 60, Phase::Provisioning));
    let mut flow = of(Concurrency::Forbid, &[&older, &newer]);
    flow.status.as_mut().unwrap().observed_generation = Some(1);
    let back = plan(&newer, &with_siblings(flow.clone(), &[&older]), now());
    assert_eq!((phase_and_reason(&back), back.steps.len()), ((Phase::Queued, "PlaceGivenBack".into()), 0));
    assert_eq!(back.wants, Wants::OBJECT | Wants::JOB, "a Job that no cache knows yet may be at work");
    let starts = plan(&older, &with_siblings(flow.clone(), &[&newer]), now());
    assert!(matches!(created(&starts)[..], [.., Object::Job(_)]), "{:?}", starts.status);
    // From then on it looks live before it begins.
    let waits = after(newer.clone(), &back);
    let seen = with_siblings(of(Concurrency::Forbid, &[&newer]), &[]);
    assert!(plan(&waits, &seen, now()).wants.covers(Wants::OBJECT | Wants::FLOW | Wants::RUNS));
    // Right after the policy was changed nobody knows who keeps its place, and from `Allow` nobody had one.
    flow.status.as_mut().unwrap().observed_generation = Some(0);
    let nobody = of(Concurrency::Forbid, &[]);
    for flow in [flow, nobody] {
        let waits = plan(&newer, &with_siblings(flow, &[&older]), now());
        assert_eq!((waits.status.phase, waits.steps.len()), (Phase::Provisioning, 0));
    }
}

#[test]
fn places_on_a_cluster_that_became_fewer_are_given_back_too() {
    let (older, newer) = (tick_of("eu", 0, Phase::Provisioning), tick_of("us", 60, Phase::Provisioning));
    let mut limited = cluster(true);
    limited.spec.max_active_runs = Some(1.into());
    limited.status.as_mut().unwrap().admitted = vec![older.name_any(), newer.name_any()];
    let seen = Observed { cluster: Some(Arc::new(limited)), ..observed(flow()) };
    assert_eq!(phase_and_reason(&plan(&newer, &seen, now())), (Phase::Queued, "PlaceGivenBack".into()));
    assert!(matches!(created(&plan(&older, &seen, now()))[..], [.., Object::Job(_)]));
}

#[test]
fn all_attempts_of_a_run_are_made_from_the_same() {
    let mut flow = flow();
    flow.spec.image = Some("flows:1".into());
    flow.spec.args = vec!["--fast".into()];
    let first = plan(&run(Phase::Provisioning), &observed(flow.clone()), now());
    let [Object::ConfigMap(code), Object::Job(before)] = created(&first)[..] else { panic!("no Job") };
    let mut retrying = after(run(Phase::Provisioning), &first);
    let status = retrying.status.as_mut().unwrap();
    (status.job, status.attempt) = (None, Some(2));
    // Everything is edited meanwhile.
    flow.spec.image = Some("flows:2".into());
    flow.spec.code = Some(Code { path: Some("/flows/other.py".into()), ..Code::default() });
    flow.spec.args = Vec::new();
    flow.spec.parameters = Some(json!({"x": 100}));
    let needs = needs(&retrying, Some(&flow));
    let key = needs.script.unwrap();
    assert_eq!(Some(&key.name), code.metadata.name.as_ref());
    let script = ScriptView::Found(crate::plan::pods::script::Script::of(code.clone(), &key).unwrap());
    let second = plan(&retrying, &Observed { script, ..observed(flow) }, now());
    let [Object::ConfigMap(again), Object::Job(after)] = created(&second)[..] else { panic!("no Job") };
    assert_eq!(again.metadata.name, code.metadata.name);
    let container =
        |job: &Job| job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].clone();
    let (before, after) = (container(before), container(after));
    assert_eq!((after.image, after.command, after.args), (before.image, before.command, before.args));
    assert_eq!(parameters(&second), json!({"x": 1, "y": 2}));
}

#[test]
fn a_run_by_hand_gets_the_parameters_of_the_clock_that_it_names_or_is_refused() {
    let mut flow = flow();
    let entry =
        ClockEntry { name: "eu".into(), parameters: Some(json!({"region": "eu"})), ..ClockEntry::default() };
    flow.spec.schedule = Some(Schedule { clocks: vec![entry], ..Schedule::default() });
    let mut by_hand = run(Phase::Queued);
    by_hand.metadata.name = Some("eu-now".into());
    (by_hand.spec.clock, by_hand.spec.scheduled_time) = (Some("eu".into()), None);
    let begun = plan(&by_hand, &observed(flow.clone()), now());
    assert_eq!(begun.status.merged_parameters, Some(json!({"x": 1, "y": 2, "region": "eu"})));
    by_hand.spec.clock = Some("ue".into());
    let refused = plan(&by_hand, &observed(flow), now());
    assert_eq!(phase_and_reason(&refused), (Phase::Failed, "InvalidSpec".into()));
    let message = refused.status.message.unwrap();
    assert!(message.contains("no clock called ue: it has eu"), "{message}");
}
