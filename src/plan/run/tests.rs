mod anew;
mod clocks;
mod earlier;
mod edits;
mod ends;
mod grounds;
mod life;
mod runner_pod;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::{Value, json};

use super::phase::CLUSTER_TIMEOUT;
use super::*;
use crate::api::flow::{ClusterSource, Code, Concurrency};
use crate::api::flow_run::WaitsFor;
use crate::api::tls::TlsStatus;
use crate::api::{ConditionType, DaskCluster, DaskClusterSpec, FlowRunSpec, FlowSpec, Reason};
use crate::plan::conditions::Conditions;
use crate::plan::{Object, conditions, names};

fn now() -> Timestamp {
    "2026-12-01T09:00:00Z".parse().unwrap()
}

fn named<K: kube::Resource<DynamicType = ()>>(mut object: K, uid: &str) -> K {
    let meta = object.meta_mut();
    meta.namespace = Some("team".into());
    meta.uid = Some(uid.into());
    meta.generation = Some(1);
    meta.creation_timestamp = Some(Time(now()));
    object
}

fn flow() -> Flow {
    let spec = FlowSpec {
        concurrency: Concurrency::Allow,
        code: Some(Code { inline: Some("print(1)".into()), ..Code::default() }),
        cluster: ClusterSource {
            ref_: Some(crate::api::common::NameRef { name: "analytics".into() }),
            ..ClusterSource::default()
        },
        parameters: Some(json!({"x": 1, "y": 2})),
        ..FlowSpec::default()
    };
    named(Flow::new("etl", spec), "flow-uid")
}

fn cluster(ready: bool) -> DaskCluster {
    let mut cluster = named(
        DaskCluster::new(
            "analytics",
            DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() },
        ),
        "dkc-uid",
    );
    let mut list = Conditions::new(&[], Some(1), now());
    list.set(
        ConditionType::Ready,
        ready,
        if ready { Reason::Ready } else { Reason::WorkersStarting },
        "0 of 1 workers are registered",
    );
    cluster.status = Some(crate::api::DaskClusterStatus {
        observed_generation: Some(1),
        conditions: list.finish(),
        ..crate::api::DaskClusterStatus::default()
    });
    cluster
}

fn run(phase: Phase) -> FlowRun {
    let spec = FlowRunSpec {
        flow: "etl".into(),
        scheduled_time: Some(Time(now())),
        clock: Some("c".into()),
        ..FlowRunSpec::default()
    };
    let mut run = named(FlowRun::new("etl-20261201t090000", spec), "run-uid");
    run.metadata.owner_references = controller_ref(&flow()).map(|owner| vec![owner]);
    run.status = Some(FlowRunStatus {
        phase,
        admitted_at: (phase != Phase::Queued).then(|| Time(now())),
        attempt: Some(1),
        ..FlowRunStatus::default()
    });
    run
}

/// A run of the next tick, which waits.
fn sibling(name: &str, seconds_later: i64) -> Arc<FlowRun> {
    let mut other = run(Phase::Queued);
    other.metadata.name = Some(name.into());
    other.spec.scheduled_time = Some(Time(now() + SignedDuration::from_secs(seconds_later)));
    other.metadata.creation_timestamp.clone_from(&other.spec.scheduled_time);
    Arc::new(other)
}

fn observed(flow: Flow) -> Observed {
    Observed { flow: Some(Arc::new(flow)), cluster: Some(Arc::new(cluster(true))), ..Observed::default() }
}

fn job(condition: Option<(&str, &str)>) -> Arc<Job> {
    let mut job = named(Job::default(), "job-uid");
    job.metadata.name = Some("etl-20261201t090000-1".into());
    let condition = condition.map(|(type_, reason)| JobCondition {
        type_: type_.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        ..JobCondition::default()
    });
    job.status = Some(JobStatus { conditions: condition.map(|one| vec![one]), ..JobStatus::default() });
    Arc::new(job)
}

fn pod(state: ContainerState) -> Arc<Pod> {
    let status = ContainerStatus {
        name: "runner".into(),
        image: "flows:1".into(),
        state: Some(state),
        ..ContainerStatus::default()
    };
    let mut pod = named(Pod::default(), "pod-uid");
    pod.metadata.name = Some("etl-20261201t090000-1-abcde".into());
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        container_statuses: Some(vec![status]),
        ..PodStatus::default()
    });
    Arc::new(pod)
}

fn ended(exit_code: i32, message: &str) -> Arc<Pod> {
    let terminated = ContainerStateTerminated {
        exit_code,
        message: Some(message.into()),
        ..ContainerStateTerminated::default()
    };
    pod(ContainerState { terminated: Some(terminated), ..ContainerState::default() })
}

fn phase_and_reason(plan: &Plan<FlowRunStatus>) -> (Phase, String) {
    (plan.status.phase, plan.status.reason.clone().unwrap_or_default())
}

fn created(plan: &Plan<FlowRunStatus>) -> Vec<&Object> {
    plan.steps
        .iter()
        .filter_map(|step| if let Step::Create(object) = step { Some(object.as_ref()) } else { None })
        .collect()
}

#[test]
fn a_run_is_let_through_before_anything_is_created() {
    let plan = plan(&run(Phase::Queued), &observed(flow()), now());
    assert_eq!(plan.status.phase, Phase::Provisioning);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.status.cluster.as_deref(), Some("analytics"));
}

#[test]
fn the_job_is_created_only_for_a_run_that_was_just_read() {
    let plan = plan(&run(Phase::Provisioning), &observed(flow()), now());
    assert_eq!(plan.wants, Wants::OBJECT, "that its Job is there already is what creating it answers");
    assert!(matches!(created(&plan)[..], [Object::ConfigMap(_), Object::Job(_)]));
    assert_eq!(plan.status.phase, Phase::Provisioning, "Running is for a container that runs");
}

#[test]
fn a_run_waits_for_its_cluster_and_says_for_what() {
    let waiting = Observed { cluster: Some(Arc::new(cluster(false))), ..observed(flow()) };
    let plan = plan(&run(Phase::Provisioning), &waiting, now());
    assert_eq!(phase_and_reason(&plan), (Phase::Provisioning, "WorkersStarting".into()));
    assert_eq!(created(&plan).len(), 0);
    assert_eq!(plan.next, Next::At(now() + CLUSTER_TIMEOUT));
}

#[test]
fn a_run_waits_while_the_clusters_status_tells_of_another_scheduler() {
    let begins = |wiring: Wiring, told: Option<&str>| {
        let mut observed = observed(flow());
        let mut cluster = cluster(true);
        let tls = told.map(|secret| TlsStatus { secret_name: Some(secret.into()), ..TlsStatus::default() });
        cluster.status.get_or_insert_default().tls = tls;
        observed.cluster = Some(Arc::new(cluster));
        observed.wiring = wiring;
        let plan = plan(&run(Phase::Provisioning), &observed, now());
        plan.steps.iter().any(|step| matches!(step, Step::Create(_)))
    };
    let tls = |secret: &str| Wiring::Tls(secret.to_owned());
    assert!(begins(Wiring::Unknown, None) && begins(Wiring::Plain, None) && begins(tls("a"), Some("a")));
    assert!(!begins(tls("a"), None), "it would be given tcp://");
    assert!(!begins(Wiring::Plain, Some("a")) && !begins(tls("b"), Some("a")));
}

#[test]
fn a_cluster_that_does_not_come_ends_the_run() {
    let waiting = Observed { cluster: None, ..observed(flow()) };
    let plan = plan(&run(Phase::Provisioning), &waiting, now() + CLUSTER_TIMEOUT);
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "ClusterTimeout".into()));
}

#[test]
fn parameters_of_the_run_win_over_the_clocks_and_the_flows() {
    let mut flow = flow();
    flow.spec.schedule = Some(crate::api::flow::Schedule {
        clocks: vec![crate::api::flow::ClockEntry {
            name: "c".into(),
            parameters: Some(json!({"y": 3, "z": 4})),
            ..Default::default()
        }],
        ..Default::default()
    });
    let mut run = run(Phase::Provisioning);
    run.spec.parameters = Some(json!({"z": "$(PATH)"}));
    let plan = plan(&run, &observed(flow), now());
    let [_, Object::Job(job)] = created(&plan)[..] else { panic!("no Job") };
    let env = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
    let text =
        env.iter().find(|variable| variable.name == "DASKFLOW_PARAMETERS").unwrap().value.clone().unwrap();
    let seen: Value = serde_json::from_str(&text.replace("$$", "$")).unwrap();
    assert_eq!(seen, json!({"x": 1, "y": 3, "z": "$(PATH)"}));
}

#[test]
fn the_address_is_nobodys_to_change_and_the_rest_is_the_users() {
    let mut flow = flow();
    flow.spec.env = vec![
        crate::plan::pods::container::env("DASK_SCHEDULER_ADDRESS", "tcp://elsewhere:1"),
        crate::plan::pods::container::env("PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS", "mine"),
    ];
    let plan = plan(&run(Phase::Provisioning), &observed(flow), now());
    let [_, Object::Job(job)] = created(&plan)[..] else { panic!("no Job") };
    let env = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
    let value =
        |name: &str| env.iter().find(|variable| variable.name == name).unwrap().value.clone().unwrap();
    assert_eq!(value("DASK_SCHEDULER_ADDRESS"), "tcp://analytics-scheduler.team.svc:8786");
    assert_eq!(value("PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS"), "mine");
}

#[test]
fn running_means_that_the_container_runs() {
    let starting = Observed { job: Some(job(None)), ..observed(flow()) };
    assert_eq!(plan(&run(Phase::Provisioning), &starting, now()).status.phase, Phase::Provisioning);
    let running = ContainerState {
        running: Some(ContainerStateRunning { started_at: Some(Time(now())) }),
        ..ContainerState::default()
    };
    let running = Observed { pod: Some(pod(running)), ..starting };
    let plan = plan(&run(Phase::Provisioning), &running, now());
    assert_eq!(plan.status.phase, Phase::Running);
    assert_eq!(plan.status.started_at, Some(Time(now())));
}

#[rstest]
#[case(("Complete", "CompletionsReached"), 0, r#"{"reason":"Succeeded","message":"","tasks":{"total":304,"failed":0}}"#, Phase::Succeeded, "Succeeded")]
#[case(("Failed", "BackoffLimitExceeded"), 1, r#"{"reason":"ScriptError","message":"ValueError"}"#, Phase::Failed, "ScriptError")]
#[case(("Failed", "BackoffLimitExceeded"), 3, r#"{"reason":"FlowFailed","message":"task boom"}"#, Phase::Failed, "FlowFailed")]
#[case(("Failed", "BackoffLimitExceeded"), 5, r#"{"reason":"RanOutsideCluster","message":"LocalExecutor"}"#, Phase::Failed, "RanOutsideCluster")]
#[case(("Failed", "BackoffLimitExceeded"), 7, "a shell's last words", Phase::Failed, "RunnerError")]
#[case(("Failed", "DeadlineExceeded"), 143, "", Phase::TimedOut, "TimeoutExceeded")]
fn the_end_of_the_runner_is_the_end_of_the_run(
    #[case] condition: (&str, &str),
    #[case] exit_code: i32,
    #[case] message: &str,
    #[case] phase: Phase,
    #[case] reason: &str,
) {
    let mut pod = ended(exit_code, message);
    // A Job whose time is over deletes its pod; that is what ends the container.
    Arc::make_mut(&mut pod).metadata.deletion_timestamp =
        (condition.1 == "DeadlineExceeded").then(|| Time(now()));
    let observed = Observed { job: Some(job(Some(condition))), pod: Some(pod), ..observed(flow()) };
    let plan = plan(&run(Phase::Running), &observed, now());
    assert_eq!(phase_and_reason(&plan), (phase, reason.into()));
    assert_eq!(plan.status.exit_code, Some(exit_code));
    assert_eq!(plan.status.tasks.map(|tasks| tasks.total), message.contains("304").then_some(304));
    let complete = conditions::find(&plan.status.conditions, ConditionType::Complete).unwrap();
    assert_eq!(complete.status == "True", phase == Phase::Succeeded);
}

/// An operator that died after it had created the Job has not told the run of it.
#[test]
fn the_job_of_a_runner_at_work_is_asked_for_where_the_run_was_not_told_of_it() {
    let running =
        ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() };
    let observed = Observed { pod: Some(pod(running)), ..observed(flow()) };
    let mut run = run(Phase::Provisioning);
    assert!(plan(&run, &observed, now()).wants.covers(Wants::JOB));
    run.status.as_mut().unwrap().job = Some("etl-20261201t090000-1".into());
    let plan = plan(&run, &observed, now());
    assert_eq!((phase_and_reason(&plan).1.as_str(), plan.wants), ("JobDeleted", Wants::NOTHING));
}

#[test]
fn a_job_that_vanishes_fails_the_run_and_is_not_made_again() {
    let mut run = run(Phase::Running);
    run.status.as_mut().unwrap().job = Some("etl-20261201t090000-1".into());
    let plan = plan(&run, &observed(flow()), now());
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "JobDeleted".into()));
    assert_eq!(plan.steps, []);
}

#[test]
fn what_is_final_is_never_left() {
    for phase in [Phase::Succeeded, Phase::Failed, Phase::Cancelled, Phase::TimedOut, Phase::Skipped] {
        let mut run = run(phase);
        run.status.as_mut().unwrap().observed_generation = run.metadata.generation;
        let plan = plan(&run, &observed(flow()), now());
        assert_eq!(Some(&plan.status), run.status.as_ref());
        assert_eq!(plan.steps, []);
    }
}

#[test]
fn a_held_run_is_skipped_when_its_deadline_passes() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Forbid;
    flow.spec.starting_deadline = Some("1m".into());
    let held = plan(&run(Phase::Queued), &observed(flow.clone()), now());
    assert_eq!(phase_and_reason(&held), (Phase::Queued, "ConcurrencyForbidden".into()));
    assert_eq!(held.next, Next::At(now() + Duration::from_secs(60)));
    let late = plan(&run(Phase::Queued), &observed(flow), now() + Duration::from_secs(60));
    assert_eq!(phase_and_reason(&late), (Phase::Skipped, "StartingDeadlineExceeded".into()));
}

#[test]
fn a_run_of_a_backfill_is_never_late_and_gives_way_to_no_tick() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Forbid;
    flow.spec.starting_deadline = Some("1m".into());
    let mut run = run(Phase::Queued);
    run.spec.backfill = Some("october".into());
    run.spec.scheduled_time = Some(Time("2026-10-01T00:00:00Z".parse().unwrap()));
    run.metadata.creation_timestamp = Some(Time(now()));
    let held = Observed { siblings: vec![sibling("etl-20261201t090100", 60)], ..observed(flow) };
    let waits = plan(&run, &held, now());
    assert_eq!(phase_and_reason(&waits), (Phase::Queued, "ConcurrencyForbidden".into()));
    let later = plan(&run, &held, now() + Duration::from_secs(60));
    assert_eq!(phase_and_reason(&later), (Phase::Queued, "ConcurrencyForbidden".into()));
}

#[test]
fn a_tick_that_starts_late_by_its_jitter_is_held_as_long_as_another() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Forbid;
    flow.spec.starting_deadline = Some("1m".into());
    flow.spec.schedule =
        Some(crate::api::flow::Schedule { jitter: Some("10h".into()), ..Default::default() });
    let start = now() + crate::plan::flow::terms::offset(&flow);
    assert!(start > now() + Duration::from_secs(60), "{start}");
    let held = plan(&run(Phase::Queued), &observed(flow.clone()), start);
    assert_eq!(phase_and_reason(&held), (Phase::Queued, "ConcurrencyForbidden".into()));
    let late = plan(&run(Phase::Queued), &observed(flow), start + Duration::from_secs(60));
    assert_eq!(phase_and_reason(&late), (Phase::Skipped, "StartingDeadlineExceeded".into()));
}

#[test]
fn what_cannot_be_created_ends_with_its_time() {
    let mut flow = flow();
    let late = plan(&run(Phase::Provisioning), &observed(flow.clone()), now() + CLUSTER_TIMEOUT);
    assert_eq!(phase_and_reason(&late), (Phase::Failed, "ClusterTimeout".into()));
    assert_eq!(late.steps, [], "the Job was refused at each look before");
    flow.spec.cluster = ClusterSource {
        template: Some(DaskClusterSpec { image: "flows:1".into(), ..Default::default() }),
        ..ClusterSource::default()
    };
    let none = Observed { cluster: None, ..observed(flow) };
    let late = plan(&run(Phase::Provisioning), &none, now() + CLUSTER_TIMEOUT);
    assert_eq!((late.status.phase, late.steps.len()), (Phase::Failed, 0));
}

#[test]
fn of_held_ticks_only_the_newest_runs() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Forbid;
    let held = Observed { siblings: vec![sibling("etl-20261201t090100", 60)], ..observed(flow) };
    assert_eq!(
        phase_and_reason(&plan(&run(Phase::Queued), &held, now())),
        (Phase::Skipped, "Superseded".into())
    );
}

#[test]
fn a_run_of_its_own_cluster_makes_it_and_removes_it() {
    let mut flow = flow();
    flow.spec.cluster = ClusterSource {
        template: Some(DaskClusterSpec { image: "flows:1".into(), ..Default::default() }),
        ..ClusterSource::default()
    };
    let first = plan(&run(Phase::Provisioning), &Observed { cluster: None, ..observed(flow.clone()) }, now());
    let [Object::Cluster(own)] = created(&first)[..] else { panic!("{:?}", first.steps) };
    assert_eq!(own.metadata.owner_references.as_ref().unwrap()[0].uid, "run-uid");
    let observed = Observed { cluster: Some(Arc::new(own.clone())), ..observed(flow) };
    let last = plan(&run(Phase::Succeeded), &observed, now());
    assert!(matches!(&last.steps[..], [Step::Delete(victim)] if victim.kind == VictimKind::Cluster));
}

#[test]
fn a_run_made_by_hand_is_adopted() {
    let mut run = run(Phase::Queued);
    run.metadata.owner_references = None;
    let plan = plan(&run, &observed(flow()), now());
    assert!(matches!(&plan.steps[..], [Step::Adopt { owners, .. }] if owners[0].uid == "flow-uid"));
}
