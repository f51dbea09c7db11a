//! The end of the runner's container is the end of the attempt, whatever else is in its pod and whatever
//! comes after it.

use k8s_openapi::api::core::v1::PodCondition;

use super::*;
use crate::api::flow::Retries;
use crate::api::flow_run::Stop;

const JOB: &str = "etl-20261201t090000-1";
const GOOD: &str = r#"{"reason":"Succeeded","message":""}"#;
const BAD: &str = r#"{"reason":"ScriptError","message":"ValueError: no"}"#;

/// So many seconds after the run was created.
fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn running() -> FlowRun {
    let mut run = run(Phase::Running);
    let status = run.status.as_mut().unwrap();
    status.job = Some(JOB.into());
    status.cluster = Some("analytics".into());
    status.scheduler = Some("scheduler-uid/0".into());
    status.started_at = Some(Time(now()));
    run
}

/// A pod whose runner ended ten seconds after the run was created.
fn pod_of(exit_code: i32, message: &str) -> Pod {
    let mut pod = Pod::clone(&ended(exit_code, message));
    let status = pod.status.as_mut().unwrap();
    let statuses = status.container_statuses.as_mut().unwrap();
    let state = statuses[0].state.as_mut().unwrap();
    state.terminated.as_mut().unwrap().finished_at = Some(Time(at(10)));
    pod
}

fn with_sidecar(mut pod: Pod, state: ContainerState) -> Pod {
    let proxy = ContainerStatus { name: "proxy".into(), state: Some(state), ..ContainerStatus::default() };
    pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap().push(proxy);
    pod
}

fn at_work() -> ContainerState {
    ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() }
}

fn never_pulled() -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some("ImagePullBackOff".into()), message: None };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn deleted(mut pod: Pod, asked: i64) -> Pod {
    pod.metadata.deletion_grace_period_seconds = Some(30);
    pod.metadata.deletion_timestamp = Some(Time(at(asked + 30)));
    pod
}

fn disrupted(mut pod: Pod, reason: &str, since: i64) -> Pod {
    pod.status.as_mut().unwrap().conditions = Some(vec![PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some(reason.into()),
        last_transition_time: Some(Time(at(since))),
        ..PodCondition::default()
    }]);
    pod
}

fn seen(pod: Pod, condition: Option<(&str, &str)>) -> Observed {
    Observed {
        job: Some(job(condition)),
        pod: Some(Arc::new(pod)),
        scheduler: Some("scheduler-uid/0".into()),
        ..observed(flow())
    }
}

fn ends_pod(plan: &Plan<FlowRunStatus>) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::EndPod(pod) if pod.uid.as_deref() == Some("pod-uid")))
}

#[rstest]
#[case(0, GOOD, at_work(), (Phase::Succeeded, "Succeeded"))]
#[case(1, BAD, at_work(), (Phase::Failed, "ScriptError"))]
#[case(0, GOOD, never_pulled(), (Phase::Succeeded, "Succeeded"))]
fn a_run_ends_with_its_runner_whatever_else_is_in_the_pod(
    #[case] exit_code: i32,
    #[case] words: &str,
    #[case] sidecar: ContainerState,
    #[case] end: (Phase, &str),
) {
    let pod = with_sidecar(pod_of(exit_code, words), sidecar);
    let first = plan(&running(), &seen(pod.clone(), None), at(11));
    assert_eq!(phase_and_reason(&first), (end.0, end.1.into()));
    assert_eq!(first.status.exit_code, Some(exit_code));
    assert!(ends_pod(&first), "{:?}", first.steps);
    // Until it has been seen to happen, also by the next operator.
    let mut run = running();
    run.status = Some(first.status);
    assert!(ends_pod(&plan(&run, &seen(pod.clone(), None), at(12))));
    let mut asked = pod;
    asked.spec = Some(k8s_openapi::api::core::v1::PodSpec {
        active_deadline_seconds: Some(1),
        ..k8s_openapi::api::core::v1::PodSpec::default()
    });
    assert!(!ends_pod(&plan(&run, &seen(asked, None), at(13))));
}

#[test]
fn a_pod_that_ends_by_itself_is_left_alone() {
    let ended =
        ContainerState { terminated: Some(ContainerStateTerminated::default()), ..ContainerState::default() };
    for pod in [pod_of(0, GOOD), with_sidecar(pod_of(0, GOOD), ended)] {
        let plan = plan(&running(), &seen(pod, None), at(11));
        assert_eq!((plan.status.phase, plan.steps), (Phase::Succeeded, vec![]));
    }
}

#[test]
fn the_pod_of_an_attempt_that_failed_goes_before_the_next_one() {
    let mut flow = flow();
    flow.spec.retries = Some(Retries { limit: 1, ..Retries::default() });
    let pod = with_sidecar(pod_of(1, BAD), at_work());
    let seen = Observed { flow: Some(Arc::new(flow)), ..seen(pod, None) };
    let plan = plan(&running(), &seen, at(11));
    assert_eq!(phase_and_reason(&plan), (Phase::Retrying, "ScriptError".into()));
    assert!(ends_pod(&plan));
}

#[rstest]
#[case::in_time(10, 3600, (Phase::Succeeded, "Succeeded"))]
#[case::by_the_signal(3601, 3600, (Phase::TimedOut, "TimeoutExceeded"))]
fn a_timeout_is_for_a_runner_that_had_not_ended(
    #[case] finished: i64,
    #[case] stopped: i64,
    #[case] end: (Phase, &str),
) {
    let mut pod = deleted(with_sidecar(pod_of(0, GOOD), at_work()), stopped);
    let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    let state = statuses[0].state.as_mut().unwrap();
    state.terminated.as_mut().unwrap().finished_at = Some(Time(at(finished)));
    let plan = plan(&running(), &seen(pod, Some(("Failed", "DeadlineExceeded"))), at(3610));
    assert_eq!(phase_and_reason(&plan), (end.0, end.1.into()));
}

/// What may come in the second after an end.
fn what_comes_after() -> Vec<(&'static str, FlowRun, Observed)> {
    let seen = || seen(pod_of(0, GOOD), None);
    let mut cancelled = running();
    cancelled.spec.cancel = true;
    let mut suspended = running();
    suspended.spec.suspend = true;
    let mut late = flow();
    late.spec.deadline = Some("5s".into());
    let mut replacing = flow();
    replacing.spec.concurrency = Concurrency::Replace;
    let siblings = vec![sibling("etl-20261201t090100", 60)];
    vec![
        ("cancel", cancelled, seen()),
        ("suspend", suspended, seen()),
        ("deadline", running(), Observed { flow: Some(Arc::new(late)), ..seen() }),
        ("replace", running(), Observed { flow: Some(Arc::new(replacing)), siblings, ..seen() }),
        ("scheduler", running(), Observed { scheduler: Some("scheduler-uid/1".into()), ..seen() }),
        ("no scheduler", running(), Observed { scheduler: None, ..seen() }),
        ("no cluster", running(), Observed { scheduler: None, cluster: None, ..seen() }),
        ("no flow", running(), Observed { flow: None, ..seen() }),
        ("no job", running(), Observed { job: None, ..seen() }),
    ]
}

#[test]
fn what_ended_well_is_a_success_whatever_comes_after() {
    for (what, run, seen) in what_comes_after() {
        let plan = plan(&run, &seen, at(11));
        assert_eq!((plan.status.phase, plan.status.stop), (Phase::Succeeded, None), "{what}");
    }
}

#[rstest]
#[case::deleted(|pod, since| deleted(pod, since), "Terminated")]
#[case::evicted(|pod, since| disrupted(pod, "EvictionByEvictionAPI", since), "Evicted")]
#[case::node(|pod, since| disrupted(pod, "DeletionByTaintManager", since), "NodeLost")]
#[case::kubelet(|pod, since| disrupted(pod, "TerminationByKubelet", since), "Evicted")]
#[case::preempted(|pod, since| disrupted(pod, "PreemptionByScheduler", since), "Preempted")]
fn what_takes_the_pod_away_counts_from_when_it_did(#[case] take: fn(Pod, i64) -> Pod, #[case] reason: &str) {
    let failed = Some(("Failed", "BackoffLimitExceeded"));
    let killed = r#"{"reason":"Terminated","message":"SIGTERM"}"#;
    for condition in [None, failed] {
        let after = plan(&running(), &seen(take(pod_of(0, GOOD), 12), condition), at(50));
        assert_eq!(phase_and_reason(&after), (Phase::Succeeded, "Succeeded".into()));
        let after = plan(&running(), &seen(take(pod_of(1, BAD), 12), condition), at(50));
        assert_eq!(phase_and_reason(&after), (Phase::Failed, "ScriptError".into()));
    }
    let before = plan(&running(), &seen(take(pod_of(143, killed), 9), failed), at(50));
    assert_eq!(phase_and_reason(&before), (Phase::Failed, reason.into()));
    // A runner that was stopped and ends with 0 has not done its work: its Job says what it is.
    let before = plan(&running(), &seen(take(pod_of(0, GOOD), 9), failed), at(50));
    assert_eq!(before.status.phase, Phase::Failed, "{:?}", before.status);
}

#[test]
fn a_runner_that_ended_before_its_stop_has_ended_well() {
    let mut run = running();
    run.spec.cancel = true;
    // As an earlier version wrote it.
    let (phase, counts_against, since) = (None, None, Time(at(10)));
    let stop = Stop { reason: "Cancelled".into(), message: "cancelled".into(), phase, counts_against, since };
    run.status.as_mut().unwrap().stop = Some(stop);
    for job in [Some(job(None)), None] {
        let ended = deleted(pod_of(0, GOOD), 11);
        let by_itself = Observed { job: job.clone(), ..seen(ended, None) };
        let well = plan(&run, &by_itself, at(12));
        assert_eq!((well.status.phase, well.status.stop), (Phase::Succeeded, None));
    }
    let stopped = Observed { job: None, ..seen(deleted(pod_of(0, GOOD), 9), None) };
    assert_eq!(plan(&run, &stopped, at(12)).status.phase, Phase::Cancelled);
}

const FIRST_LINE: &str =
    "daskflow: running /daskflow/code/flow.py on tcp://10.0.0.1:8786, run etl, attempt 1\n";

#[rstest]
#[case::a_crash(139, FIRST_LINE, "the runner ended with exit code 139, by SIGSEGV (a crash in native code)")]
#[case::with_words(134, "free(): bad\n", "134, by SIGABRT (native code gave up): free(): bad")]
#[case::for_memory(137, "", "the runner ended with exit code 137, by SIGKILL (often for lack of memory)")]
#[case::no_signal(77, FIRST_LINE, "the runner ended with exit code 77: it left no message")]
#[case::a_code_of_its_own(77, "daskflow: running x on y\nno disk\n", "ended with exit code 77: no disk")]
fn an_end_without_a_verdict_says_what_is_known(#[case] code: i32, #[case] log: &str, #[case] words: &str) {
    let plan = plan(&running(), &seen(pod_of(code, log), Some(("Failed", "BackoffLimitExceeded"))), at(50));
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "RunnerError".into()));
    let message = plan.status.message.unwrap();
    assert!(message.ends_with(words), "{message}");
}

#[rstest]
#[case("ContainerStatusUnknown", 137)]
#[case("Unknown", 255)]
fn a_container_of_which_the_node_knows_nothing_was_lost_with_it(#[case] word: &str, #[case] code: i32) {
    let mut pod = pod_of(code, "");
    let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    let terminated = statuses[0].state.as_mut().unwrap().terminated.as_mut().unwrap();
    (terminated.reason, terminated.message) = (Some(word.into()), None);
    let plan = plan(&running(), &seen(pod, Some(("Failed", "BackoffLimitExceeded"))), at(50));
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "NodeLost".into()));
}

#[test]
fn a_failed_init_container_is_named() {
    let mut pod = pod_of(0, "");
    let status = pod.status.as_mut().unwrap();
    status.container_statuses.as_mut().unwrap()[0].state = Some(never_pulled());
    let terminated =
        ContainerStateTerminated { exit_code: 2, message: Some("no route".into()), ..Default::default() };
    status.init_container_statuses = Some(vec![ContainerStatus {
        name: "fetch".into(),
        state: Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() }),
        ..ContainerStatus::default()
    }]);
    let plan = plan(&run(Phase::Provisioning), &seen(pod, Some(("Failed", "BackoffLimitExceeded"))), at(50));
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "RunnerError".into()));
    assert_eq!(
        plan.status.message.unwrap(),
        "the runner did not start: its init container fetch ended with exit code 2: no route"
    );
}

#[test]
fn a_restart_by_a_neighbour_counts_against_the_infrastructure() {
    let mut flow = flow();
    flow.spec.retries = Some(Retries { limit: 0, infrastructure: 1, ..Retries::default() });
    let words = r#"{"reason":"ClusterRestarted","message":"somebody's client.restart()"}"#;
    let seen = Observed { flow: Some(Arc::new(flow)), ..seen(pod_of(1, words), None) };
    let plan = plan(&running(), &seen, at(11));
    assert_eq!(phase_and_reason(&plan), (Phase::Retrying, "ClusterRestarted".into()));
    assert_eq!(plan.status.failures.unwrap().infrastructure, 1);
}

/// The kubelet says of a command that the image does not have that it was started in 1970.
#[test]
fn a_runner_that_could_not_be_started_has_no_start() {
    let mut run = running();
    run.status.as_mut().unwrap().started_at = None;
    let mut pod = pod_of(128, "");
    let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    let terminated = statuses[0].state.as_mut().unwrap().terminated.as_mut().unwrap();
    (terminated.started_at, terminated.reason) =
        (Some(Time(Timestamp::UNIX_EPOCH)), Some("StartError".into()));
    let plan = plan(&run, &seen(pod, None), at(11));
    assert_eq!((plan.status.phase, plan.status.started_at), (Phase::Failed, None));
}
