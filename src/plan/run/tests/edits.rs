//! An edit counts as soon as it can, whatever the run is doing.

use super::*;
use crate::api::common::NameRef;
use crate::api::flow::Retries;

const JOB: &str = "etl-20261201t090000-1";

fn on(name: &str) -> ClusterSource {
    ClusterSource { ref_: Some(NameRef { name: name.into() }), ..ClusterSource::default() }
}

fn own() -> ClusterSource {
    ClusterSource {
        template: Some(DaskClusterSpec { image: "flows:1".into(), ..Default::default() }),
        ..ClusterSource::default()
    }
}

fn after(mut run: FlowRun, plan: &Plan<FlowRunStatus>) -> FlowRun {
    run.status = Some(plan.status.clone());
    run
}

fn at_work() -> Arc<Pod> {
    pod(ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() })
}

fn running() -> FlowRun {
    let mut run = run(Phase::Running);
    let status = run.status.as_mut().unwrap();
    (status.job, status.started_at) = (Some(JOB.into()), Some(Time(now())));
    run
}

#[test]
fn a_corrected_cluster_reaches_a_run_that_waits_for_it() {
    for (before, was) in [("gone", None), ("tcp://nowhere:8786", Some("tcp://nowhere:8786"))] {
        let mut waiting = run(Phase::Provisioning);
        waiting.status.as_mut().unwrap().cluster = Some(before.into());
        let mut flow = flow();
        assert_eq!(cluster_to_observe(&waiting, Some(&flow)).as_deref(), Some("analytics"), "{was:?}");
        let launched = plan(&waiting, &observed(flow.clone()), now());
        assert_eq!(created(&launched).len(), 2);
        assert_eq!(launched.status.cluster.as_deref(), Some("analytics"));
        // And the message names what is looked for.
        flow.spec.cluster = on("other");
        let none = Observed { cluster: None, ..observed(flow) };
        let still = plan(&waiting, &none, now());
        assert_eq!(phase_and_reason(&still), (Phase::Provisioning, "ClusterNotFound".into()));
        assert_eq!(still.status.cluster.as_deref(), Some("other"));
    }
    let mut address = flow();
    address.spec.cluster =
        ClusterSource { address: Some("tcp://new:8786".into()), ..ClusterSource::default() };
    let none = Observed { cluster: None, ..observed(address) };
    let asked = plan(&run(Phase::Provisioning), &none, now());
    assert_eq!(asked.status.cluster.as_deref(), Some("tcp://new:8786"));
    // A run that has begun stays where it began.
    let mut begun = running();
    begun.status.as_mut().unwrap().cluster = Some("before".into());
    assert_eq!(cluster_to_observe(&begun, Some(&flow())).as_deref(), Some("before"));
}

#[test]
fn a_cluster_that_is_the_runs_own_goes_when_the_flow_names_another() {
    let mut made = cluster(true);
    made.metadata.name = Some(names::cluster_name_for_run("etl-20261201t090000"));
    made.metadata.uid = Some("own-uid".into());
    made.metadata.owner_references = controller_ref(&run(Phase::Provisioning)).map(|owner| vec![owner]);
    let made = Some(Arc::new(made));
    let goes = |plan: &Plan<FlowRunStatus>| {
        plan.steps.iter().any(|step| {
            matches!(step, Step::Delete(victim)
                if victim.kind == VictimKind::Cluster && victim.uid.as_deref() == Some("own-uid"))
        })
    };
    // The Flow had a template, and names a DaskCluster by now.
    for phase in [Phase::Queued, Phase::Provisioning, Phase::Succeeded, Phase::Cancelled] {
        let seen = Observed { own: made.clone(), ..observed(flow()) };
        assert!(goes(&plan(&run(phase), &seen, now())), "{phase:?}");
    }
    let mut moved = flow();
    moved.spec.cluster = own();
    let seen = Observed { own: made.clone(), cluster: made.clone(), ..observed(moved) };
    assert!(!goes(&plan(&run(Phase::Provisioning), &seen, now())), "it is on it");
    let seen = Observed { own: made, job: Some(job(None)), pod: Some(at_work()), ..observed(flow()) };
    assert!(!goes(&plan(&running(), &seen, now())), "its runner may be on it");
}

#[test]
fn a_run_that_waits_for_a_cluster_that_is_suspended_goes_back_to_the_queue() {
    let mut asleep = cluster(true);
    asleep.spec.suspend = true;
    asleep.spec.workers.replicas = Some(0);
    let seen = Observed { cluster: Some(Arc::new(asleep)), ..observed(flow()) };
    let mut waiting = run(Phase::Provisioning);
    waiting.status.as_mut().unwrap().attempt = Some(2);
    let held = plan(&waiting, &seen, now() + CLUSTER_TIMEOUT + CLUSTER_TIMEOUT);
    assert_eq!(phase_and_reason(&held), (Phase::Queued, "ClusterSuspended".into()));
    assert_eq!((held.status.attempt, held.status.failures), (Some(2), None), "no budget is used");
    let waiting = after(waiting, &held);
    let later = plan(&waiting, &seen, now() + CLUSTER_TIMEOUT * 10);
    assert_eq!(phase_and_reason(&later), (Phase::Queued, "ClusterSuspended".into()));
    let resumed = plan(&waiting, &observed(flow()), now() + CLUSTER_TIMEOUT * 10);
    assert_eq!((resumed.status.phase, resumed.status.attempt), (Phase::Provisioning, Some(2)));
}

fn retrying(retries: Option<Retries>) -> Flow {
    let mut flow = flow();
    flow.spec.retries = retries;
    flow
}

fn slow() -> Retries {
    Retries {
        limit: 3,
        infrastructure: 3,
        delay: "700h".into(),
        max_delay: "700h".into(),
        ..Retries::default()
    }
}

fn failed(flow: Flow, reason: &str) -> Observed {
    let words = format!(r#"{{"reason":"{reason}","message":"so it was"}}"#);
    let pod = Some(ended(1, &words));
    Observed { job: Some(job(Some(("Failed", "BackoffLimitExceeded")))), pod, ..observed(flow) }
}

#[rstest]
#[case::shorter(Some(Retries { delay: "0s".into(), max_delay: "0s".into(), ..slow() }), Phase::Provisioning)]
#[case::none(None, Phase::Failed)]
#[case::fewer(Some(Retries { limit: 0, ..slow() }), Phase::Failed)]
#[case::others(Some(Retries { infrastructure: 0, ..slow() }), Phase::Retrying)]
fn retries_are_as_they_are_written_now(#[case] now_is: Option<Retries>, #[case] phase: Phase) {
    let first = plan(&running(), &failed(retrying(Some(slow())), "ScriptError"), now());
    assert_eq!(phase_and_reason(&first), (Phase::Retrying, "ScriptError".into()));
    let waiting = after(running(), &first);
    let same = failed(retrying(Some(slow())), "ScriptError");
    let at = first.status.retry_at.as_ref().unwrap().0;
    assert!(at > now() + Duration::from_secs(3600), "{at}");
    let again = plan(&waiting, &same, now() + Duration::from_secs(60));
    assert_eq!((&again.status, again.events.len()), (&first.status, 0), "nothing is written at rest");
    let edited = plan(&waiting, &failed(retrying(now_is), "ScriptError"), now() + Duration::from_secs(60));
    assert_eq!(edited.status.phase, phase);
    if phase == Phase::Failed {
        assert_eq!(edited.status.reason.as_deref(), Some("ScriptError"));
        assert_eq!(edited.status.message.as_deref(), Some("so it was"));
        assert_eq!(edited.status.last_failure, None);
    }
}

#[test]
fn a_retry_that_is_withdrawn_ends_the_run_as_the_attempt_ended() {
    let timed_out =
        Observed { job: Some(job(Some(("Failed", "DeadlineExceeded")))), ..observed(retrying(Some(slow()))) };
    let waiting = after(running(), &plan(&running(), &timed_out, now()));
    assert_eq!(waiting.status.as_ref().unwrap().phase, Phase::Retrying);
    let ended = plan(&waiting, &observed(retrying(None)), now());
    assert_eq!(phase_and_reason(&ended), (Phase::TimedOut, "TimeoutExceeded".into()));
}

#[test]
fn a_timeout_that_is_changed_reaches_the_attempt_at_work() {
    let limited = |limit: Option<i64>| {
        let mut job = Job::clone(&job(None));
        job.spec = Some(k8s_openapi::api::batch::v1::JobSpec {
            active_deadline_seconds: limit,
            ..k8s_openapi::api::batch::v1::JobSpec::default()
        });
        Arc::new(job)
    };
    let steps = |limit: Option<i64>, timeout: Option<&str>, pod: Option<Arc<Pod>>| {
        let mut flow = flow();
        flow.spec.timeout = timeout.map(Into::into);
        let seen = Observed { job: Some(limited(limit)), pod, ..observed(flow) };
        plan(&running(), &seen, now()).steps
    };
    let set = |seconds: Option<i64>| {
        vec![Step::Limit {
            job: Victim {
                kind: VictimKind::Job,
                name: "etl-20261201t090000-1".into(),
                uid: Some("job-uid".into()),
            },
            seconds,
        }]
    };
    assert_eq!(steps(None, Some("2s"), Some(at_work())), set(Some(2)));
    assert_eq!(steps(Some(2), Some("1h"), Some(at_work())), set(Some(3600)));
    assert_eq!(steps(Some(2), None, Some(at_work())), set(None));
    assert_eq!(steps(Some(2), Some("2s"), Some(at_work())), []);
    assert_eq!(steps(None, None, Some(at_work())), []);
    assert_eq!(steps(None, Some("2s"), None), set(Some(2)), "also before its container runs");
    assert_eq!(steps(None, Some("2s"), Some(ended(0, ""))), [], "it has ended");
    assert_eq!(
        steps(Some(2), Some("99999999999999999999h"), Some(at_work())),
        [],
        "what is no duration changes nothing"
    );
}

#[rstest]
#[case("timeout", json!("9999999999999999999h"), "spec.timeout")]
#[case("retries", json!({"limit": 1, "delay": "9999999999999999999h"}), "spec.retries.delay")]
#[case("retries", json!({"limit": 1, "delay": "1s", "maxDelay": "876000h"}), "spec.retries.maxDelay")]
#[case("resources", json!({"limits": {"cpu": "lots"}}), "spec.resources.limits[cpu]")]
#[case("template", json!({"spec": {"nosuch": 1}}), "spec.template.spec.nosuch")]
#[case("clusterTimeout", json!("9999999999999999999h"), "spec.clusterTimeout")]
fn what_the_flow_cannot_mean_is_no_silent_default(
    #[case] field: &str,
    #[case] value: Value,
    #[case] named: &str,
) {
    let mut object = serde_json::to_value(flow()).unwrap();
    object["spec"][field] = value;
    let flow: Flow = serde_json::from_value(object).unwrap();
    for cluster in [None, Some(Arc::new(cluster(true)))] {
        let plan = plan(&run(Phase::Provisioning), &Observed { cluster, ..observed(flow.clone()) }, now());
        assert_eq!(phase_and_reason(&plan), (Phase::Failed, "InvalidSpec".into()));
        let message = plan.status.message.unwrap();
        assert!(message.starts_with(named), "{message}");
        assert_eq!(plan.steps, []);
    }
}
