//! Attempts that fail and are tried again, runs that are stopped before their time, and the order in which
//! that happens.

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::PodCondition;

use super::*;
use crate::api::flow::Retries;
use crate::api::flow_run::Failures;

const JOB: &str = "etl-20261201t090000-1";

fn retrying_flow(limit: i32, infrastructure: i32) -> Flow {
    let mut flow = flow();
    let retries = Retries { limit, infrastructure, delay: "30s".into(), ..Retries::default() };
    flow.spec.retries = Some(retries);
    flow
}

fn running() -> FlowRun {
    let mut run = run(Phase::Running);
    let status = run.status.as_mut().unwrap();
    status.job = Some(JOB.into());
    status.started_at = Some(Time(now()));
    run
}

/// The run after a plan was carried out.
fn after(mut run: FlowRun, plan: &Plan<FlowRunStatus>) -> FlowRun {
    run.status = Some(plan.status.clone());
    run
}

fn at_work() -> Arc<Pod> {
    pod(ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() })
}

fn failed(flow: Flow, exit_code: i32, message: &str) -> Observed {
    let pod = Some(ended(exit_code, message));
    Observed { job: Some(job(Some(("Failed", "BackoffLimitExceeded")))), pod, ..observed(flow) }
}

#[rstest]
#[case(1, "ScriptError", Some((1, 0)))]
#[case(3, "FlowFailed", Some((1, 0)))]
#[case(137, "OOMKilled", Some((0, 1)))]
#[case(143, "Terminated", Some((0, 1)))]
#[case(2, "ParameterError", None)]
#[case(4, "NoFlowRan", None)]
#[case(5, "RanOutsideCluster", None)]
fn a_failure_counts_against_its_own_budget_or_is_final(
    #[case] exit_code: i32,
    #[case] reason: &str,
    #[case] counted: Option<(i32, i32)>,
) {
    let words = format!(r#"{{"reason":"{reason}","message":"so it was"}}"#);
    let plan = plan(&running(), &failed(retrying_flow(1, 1), exit_code, &words), now());
    let phase = if counted.is_some() { Phase::Retrying } else { Phase::Failed };
    assert_eq!(phase_and_reason(&plan), (phase, reason.into()));
    let failures = counted.map(|(flow, infrastructure)| Failures { flow, infrastructure });
    assert_eq!(plan.status.failures, failures);
    assert_eq!(plan.status.finished_at.is_some(), counted.is_none());
    assert_eq!(plan.events.len(), 1, "each failure is told");
}

#[test]
fn the_next_attempt_waits_for_its_time_and_gets_a_job_of_its_own() {
    let flow = retrying_flow(1, 0);
    let failed = failed(flow.clone(), 1, r#"{"reason":"ScriptError","message":"no"}"#);
    let first = plan(&running(), &failed, now());
    let at = first.status.retry_at.as_ref().unwrap().0;
    assert!(at >= now() && at <= now() + Duration::from_secs(30), "{at}");
    assert_eq!(first.status.retry_at, plan(&running(), &failed, now()).status.retry_at, "drawn once");
    assert_eq!(first.next, if at > now() { Next::At(at) } else { first.next });
    let waiting = after(running(), &first);
    if at > now() {
        assert_eq!(plan(&waiting, &failed, now()).status, first.status, "not before its time");
    }
    let again = plan(&waiting, &failed, at);
    assert_eq!((again.status.phase, again.status.attempt), (Phase::Provisioning, Some(2)));
    assert_eq!((again.status.job.as_ref(), again.status.started_at.as_ref()), (None, None));
    assert_eq!(again.status.exit_code, None);
    let ready = after(waiting, &again);
    let launched = plan(&ready, &observed(flow.clone()), at);
    assert!(
        created(&launched)
            .iter()
            .any(|object| matches!(object, Object::Job(job) if job.name_any() == "etl-20261201t090000-2"))
    );
    let held = Observed { another_runner: true, ..observed(flow) };
    assert_eq!(created(&plan(&ready, &held, at)).len(), 0, "two runners of one run never live together");
}

#[test]
fn when_the_budget_is_used_up_the_run_fails() {
    let mut run = running();
    let status = run.status.as_mut().unwrap();
    (status.attempt, status.failures) = (Some(2), Some(Failures { flow: 1, infrastructure: 0 }));
    let last = failed(retrying_flow(1, 5), 1, r#"{"reason":"ScriptError","message":"no"}"#);
    let plan = plan(&run, &last, now());
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "ScriptError".into()));
    assert_eq!(plan.status.message.unwrap(), "no (attempt 2, the last one)");
}

#[test]
fn delays_grow_up_to_their_limit() {
    let mut run = running();
    let mut flow = retrying_flow(100, 0);
    let retries = flow.spec.retries.as_mut().unwrap();
    (retries.delay, retries.factor, retries.max_delay) = ("1h".into(), 10.into(), "100h".into());
    let mut longest = Duration::ZERO;
    for attempt in 1..60 {
        let status = run.status.as_mut().unwrap();
        (status.attempt, status.failures) =
            (Some(attempt), Some(Failures { flow: attempt - 1, infrastructure: 0 }));
        let plan = plan(&run, &failed(flow.clone(), 1, r#"{"reason":"ScriptError","message":"no"}"#), now());
        let wait = plan.status.retry_at.unwrap().0.duration_since(now()).unsigned_abs();
        assert!(attempt > 1 || wait <= Duration::from_secs(3600), "{wait:?}");
        longest = longest.max(wait);
    }
    assert!(longest <= Duration::from_secs(360_000), "{longest:?}");
    assert!(longest >= Duration::from_secs(180_000), "drawn from the whole of it: {longest:?}");
}

#[test]
fn a_delay_that_cannot_be_read_is_none() {
    for unreadable in [("9999999999999h", "1h"), ("1h", "9999999999999h")] {
        let mut flow = retrying_flow(1, 0);
        let retries = flow.spec.retries.as_mut().unwrap();
        (retries.delay, retries.max_delay) = (unreadable.0.into(), unreadable.1.into());
        let plan = plan(&running(), &failed(flow, 1, r#"{"reason":"ScriptError","message":"no"}"#), now());
        assert_eq!(plan.status.retry_at.unwrap().0, now());
    }
}

#[test]
fn what_the_pod_said_is_remembered_when_it_is_gone() {
    let mut evicted = Pod::clone(&at_work());
    evicted.status.as_mut().unwrap().conditions = Some(vec![PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("EvictionByEvictionAPI".into()),
        message: Some("Eviction API: evicting".into()),
        ..PodCondition::default()
    }]);
    let seen = Observed { job: Some(job(None)), pod: Some(Arc::new(evicted)), ..observed(flow()) };
    let first = plan(&running(), &seen, now());
    assert_eq!(phase_and_reason(&first), (Phase::Running, "Evicted".into()));
    let gone = Observed { job: Some(job(Some(("Failed", "BackoffLimitExceeded")))), ..observed(flow()) };
    let second = plan(&after(running(), &first), &gone, now());
    assert_eq!(phase_and_reason(&second), (Phase::Failed, "Evicted".into()));
    assert_eq!(phase_and_reason(&plan(&running(), &gone, now())), (Phase::Failed, "NodeLost".into()));
}

#[test]
fn a_cancelled_run_says_why_then_stops_then_ends() {
    let mut run = running();
    run.spec.cancel = true;
    let seen = Observed { job: Some(job(None)), pod: Some(at_work()), ..observed(flow()) };
    let first = plan(&run, &seen, now());
    assert_eq!(first.steps, [], "the reason is written before the Job goes");
    assert_eq!(first.status.stop.as_ref().unwrap().reason, "Cancelled");
    let run = after(run, &first);
    let second = plan(&run, &seen, now());
    assert!(matches!(&second.steps[..], [Step::Delete(victim)] if victim.kind == VictimKind::Job));
    assert_eq!(second.status.phase, Phase::Running);
    let lingering = Observed { pod: Some(at_work()), ..observed(flow()) };
    assert_eq!(plan(&run, &lingering, now()).status.phase, Phase::Running, "its grace period is not over");
    let last = plan(&run, &observed(flow()), now() + Duration::from_secs(3));
    assert_eq!(phase_and_reason(&last), (Phase::Cancelled, "Cancelled".into()));
    assert_eq!(
        last.status.message.unwrap(),
        "cancelled while the runner was at work: asked to stop at 2026-12-01T09:00:00Z, it had ended by 2026-12-01T09:00:03Z"
    );
}

#[test]
fn a_runner_that_starts_while_it_is_asked_to_stop_was_at_work() {
    let mut run = run(Phase::Provisioning);
    run.spec.cancel = true;
    let starting = Observed { job: Some(job(None)), ..observed(flow()) };
    let run = after(run.clone(), &plan(&run, &starting, now()));
    let started = ContainerState {
        running: Some(ContainerStateRunning { started_at: Some(Time(now())) }),
        ..ContainerState::default()
    };
    let lingering = Observed { pod: Some(pod(started)), ..observed(flow()) };
    let run = after(run.clone(), &plan(&run, &lingering, now()));
    let last = plan(&run, &observed(flow()), now() + Duration::from_secs(3));
    assert_eq!(phase_and_reason(&last), (Phase::Cancelled, "Cancelled".into()));
    let message = last.status.message.unwrap();
    assert!(message.contains("it had ended by 2026-12-01T09:00:03Z"), "{message}");
}

#[test]
fn a_run_that_succeeds_while_it_is_stopped_has_succeeded() {
    let mut run = running();
    run.spec.cancel = true;
    let run = after(run.clone(), &plan(&run, &Observed { job: Some(job(None)), ..observed(flow()) }, now()));
    let done = Observed {
        job: Some(job(Some(("Complete", "CompletionsReached")))),
        pod: Some(ended(0, r#"{"reason":"Succeeded"}"#)),
        ..observed(flow())
    };
    let plan = plan(&run, &done, now());
    assert_eq!((plan.status.phase, plan.status.stop), (Phase::Succeeded, None));
}

#[test]
fn a_cancelled_run_is_not_tried_again() {
    let mut run = run(Phase::Retrying);
    run.spec.cancel = true;
    let failed = failed(retrying_flow(5, 5), 1, "");
    assert_eq!(plan(&run, &failed, now()).status.phase, Phase::Cancelled);
    let mut run = running();
    run.spec.cancel = true;
    assert_eq!(plan(&run, &failed, now()).status.phase, Phase::Cancelled);
}

#[test]
fn the_deadline_covers_waiting_running_and_retrying() {
    let mut flow = retrying_flow(5, 5);
    flow.spec.deadline = Some("1h".into());
    flow.spec.concurrency = Concurrency::Forbid;
    let late = now() + Duration::from_secs(3600);
    for phase in [Phase::Queued, Phase::Provisioning, Phase::Retrying] {
        let plan = plan(&run(phase), &observed(flow.clone()), late);
        assert_eq!(phase_and_reason(&plan), (Phase::TimedOut, "DeadlineExceeded".into()), "{phase:?}");
    }
    let seen = Observed { job: Some(job(None)), pod: Some(at_work()), ..observed(flow) };
    let early = plan(&running(), &seen, now());
    assert_eq!((early.status.phase, early.next), (Phase::Running, Next::At(late)));
    let first = plan(&running(), &seen, late);
    assert_eq!(first.status.stop.as_ref().unwrap().reason, "DeadlineExceeded");
}

#[test]
fn a_suspended_run_gives_all_back_and_starts_from_the_beginning() {
    let mut run = running();
    run.spec.suspend = true;
    let seen = Observed { job: Some(job(None)), pod: Some(at_work()), ..observed(flow()) };
    let run = after(run.clone(), &plan(&run, &seen, now()));
    assert_eq!(run.status.as_ref().unwrap().stop.as_ref().unwrap().reason, "Suspended");
    let held = plan(&run, &observed(flow()), now());
    assert_eq!(phase_and_reason(&held), (Phase::Queued, "Suspended".into()));
    assert_eq!((held.status.attempt, held.status.job.clone()), (Some(2), None));
    let mut run = after(run, &held);
    assert_eq!(plan(&run, &observed(flow()), now()).status.phase, Phase::Queued);
    run.spec.suspend = false;
    let resumed = plan(&run, &observed(flow()), now());
    assert_eq!((resumed.status.phase, resumed.status.attempt), (Phase::Provisioning, Some(2)));
}

#[test]
fn a_run_that_rests_as_its_spec_says_is_nothing_to_wait_for_nor_to_put_right() {
    let progress = |plan: &Plan<FlowRunStatus>| {
        [ConditionType::Reconciling, ConditionType::Stalled]
            .map(|kind| conditions::is_true(&plan.status.conditions, kind))
    };
    let mut held = run(Phase::Queued);
    assert_eq!(progress(&plan(&held, &observed(flow()), now())), [true, false]);
    held.spec.suspend = true;
    assert_eq!(progress(&plan(&held, &observed(flow()), now())), [false, false]);
    let mut cancelled = run(Phase::Queued);
    cancelled.spec.cancel = true;
    let ended = plan(&cancelled, &observed(flow()), now());
    assert_eq!((ended.status.phase, progress(&ended)), (Phase::Cancelled, [false, false]));
    assert!(
        conditions::is_true(&ended.status.conditions, ConditionType::Failed),
        "as a Job that was stopped"
    );
}

#[test]
fn a_suspended_cluster_is_ready_in_its_own_way_and_serves_no_run() {
    let mut asleep = cluster(true);
    let status = asleep.status.as_mut().unwrap();
    let mut list = Conditions::new(&status.conditions, Some(1), now());
    list.set(ConditionType::Ready, true, Reason::Suspended, "no pods run");
    list.set(ConditionType::Suspended, true, Reason::Suspended, "no pods run");
    status.conditions = list.finish();
    let seen = Observed { cluster: Some(Arc::new(asleep)), ..observed(flow()) };
    let waits = plan(&run(Phase::Provisioning), &seen, now());
    assert_eq!(phase_and_reason(&waits), (Phase::Provisioning, "Suspended".into()));
    assert_eq!(waits.steps, []);
}

#[test]
fn under_replace_the_active_run_gives_way_to_a_newer_one() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Replace;
    let seen = Observed {
        job: Some(job(None)),
        pod: Some(at_work()),
        siblings: vec![sibling("etl-20261201t090100", 60)],
        ..observed(flow.clone())
    };
    let run = after(running(), &plan(&running(), &seen, now()));
    assert_eq!(run.status.as_ref().unwrap().stop.as_ref().unwrap().reason, "Replaced");
    // Whatever becomes of the newer one: what was begun is brought to its end.
    let gone = plan(&run, &observed(flow), now());
    assert_eq!(phase_and_reason(&gone), (Phase::Cancelled, "Replaced".into()));
}

#[test]
fn under_forbid_the_active_run_goes_on_whatever_waits() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Forbid;
    flow.status =
        Some(crate::api::FlowStatus { admitted: vec!["etl-20261201t090000".into()], ..Default::default() });
    let seen = Observed {
        job: Some(job(None)),
        pod: Some(at_work()),
        siblings: vec![sibling("etl-20261201t090100", 60)],
        ..observed(flow)
    };
    let plan = plan(&running(), &seen, now());
    assert_eq!((plan.status.phase, plan.status.stop), (Phase::Running, None));
}

#[test]
fn under_replace_a_run_that_waits_for_its_cluster_gives_way_too() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Replace;
    let admitted = vec!["etl-20261201t090000".to_owned()];
    flow.status = Some(crate::api::FlowStatus { admitted, ..Default::default() });
    let mut asleep = cluster(true);
    asleep.spec.suspend = true;
    let mut seen = Observed { cluster: Some(Arc::new(asleep)), ..observed(flow) };
    let held = plan(&run(Phase::Queued), &seen, now());
    assert_eq!(phase_and_reason(&held), (Phase::Queued, "ClusterSuspended".into()));
    let newer = sibling("etl-20261201t090100", 60);
    seen.siblings = vec![newer.clone()];
    let gone = plan(&run(Phase::Queued), &seen, now());
    assert_eq!(phase_and_reason(&gone), (Phase::Skipped, "Superseded".into()));
    // Of the two, the newer one stays.
    seen.siblings = vec![Arc::new(run(Phase::Queued))];
    let stays = plan(&newer, &seen, now());
    assert_eq!(phase_and_reason(&stays), (Phase::Queued, "ConcurrencyForbidden".into()));
}

#[test]
fn a_full_queue_takes_no_more() {
    let mut flow = flow();
    flow.spec.concurrency = Concurrency::Queue;
    flow.spec.max_queued = Some(1.into());
    flow.status = Some(crate::api::FlowStatus { admitted: vec!["etl-active".into()], ..Default::default() });
    let mut active = run(Phase::Running);
    active.metadata.name = Some("etl-active".into());
    let active = Arc::new(active);
    let one = Observed { siblings: vec![sibling("etl-a", -60), active.clone()], ..observed(flow.clone()) };
    assert_eq!(
        phase_and_reason(&plan(&run(Phase::Queued), &one, now())),
        (Phase::Skipped, "QueueFull".into())
    );
    let ended = Observed { siblings: vec![sibling("etl-a", -60)], ..observed(flow.clone()) };
    assert_eq!(
        plan(&run(Phase::Queued), &ended, now()).status.phase,
        Phase::Queued,
        "a place is about to be free"
    );
    let later = Observed { siblings: vec![sibling("etl-b", 60), active], ..observed(flow.clone()) };
    assert_eq!(
        phase_and_reason(&plan(&run(Phase::Queued), &later, now())),
        (Phase::Queued, "MaxActiveReached".into())
    );
    flow.status = None;
    let free = Observed { siblings: vec![sibling("etl-a", -60)], ..observed(flow) };
    assert_eq!(plan(&run(Phase::Queued), &free, now()).status.phase, Phase::Queued, "its turn may come");
}

#[test]
fn a_run_waits_for_a_place_on_a_cluster_that_limits_them() {
    let mut limited = cluster(true);
    limited.spec.max_active_runs = Some(1.into());
    let seen = Observed { cluster: Some(Arc::new(limited.clone())), ..observed(flow()) };
    let held = plan(&run(Phase::Queued), &seen, now());
    assert_eq!(phase_and_reason(&held), (Phase::Queued, "ClusterBusy".into()));
    // A cluster that came after the run was let through has its limit too.
    let late = plan(&run(Phase::Provisioning), &seen, now());
    assert_eq!((phase_and_reason(&late), late.steps.len()), ((Phase::Provisioning, "ClusterBusy".into()), 0));
    limited.status.as_mut().unwrap().admitted = vec!["etl-20261201t090000".into()];
    let seen = Observed { cluster: Some(Arc::new(limited)), ..observed(flow()) };
    assert_eq!(plan(&run(Phase::Queued), &seen, now()).status.phase, Phase::Provisioning);
}

#[rstest]
#[case(Some("scheduler-uid/0"), None)]
#[case(Some("scheduler-uid/1"), Some("started anew"))]
#[case(None, Some("went away"))]
fn a_scheduler_that_was_started_anew_is_a_lost_cluster(
    #[case] now_is: Option<&str>,
    #[case] lost: Option<&str>,
) {
    let mut run = running();
    run.status.as_mut().unwrap().scheduler = Some("scheduler-uid/0".into());
    let at_work = Observed {
        job: Some(job(None)),
        pod: Some(at_work()),
        scheduler: now_is.map(str::to_owned),
        ..observed(retrying_flow(0, 1))
    };
    let stop = plan(&run, &at_work, now()).status.stop;
    assert_eq!(stop.as_ref().map(|stop| stop.reason.as_str()), lost.map(|_| "ClusterLost"));
    assert!(stop.is_none_or(|stop| stop.message.contains(lost.unwrap())));
    // A script that failed because of it is not to blame.
    let script = Observed {
        scheduler: now_is.map(str::to_owned),
        ..failed(retrying_flow(0, 1), 1, "CommClosedError")
    };
    let phase = if lost.is_some() { Phase::Retrying } else { Phase::Failed };
    assert_eq!(plan(&run, &script, now()).status.phase, phase);
}

#[test]
fn a_cluster_is_lost_once_for_each_attempt() {
    let mut run = running();
    let status = run.status.as_mut().unwrap();
    (status.scheduler, status.attempt) = (Some("scheduler-uid/0".into()), Some(1));
    let gone = failed(retrying_flow(0, 1), 143, r#"{"reason":"Terminated"}"#);
    let first = plan(&run, &gone, now());
    assert_eq!(first.status.phase, Phase::Retrying);
    // While the run waits, the scheduler is still gone, then it is another one.
    let waiting = after(run, &first);
    for scheduler in [None, Some("other-uid/0".to_owned())] {
        let seen = Observed { scheduler, ..gone.clone() };
        let plan = plan(&waiting, &seen, now());
        assert_eq!(plan.status.failures, Some(Failures { flow: 0, infrastructure: 1 }));
        assert!(matches!(plan.status.phase, Phase::Retrying | Phase::Provisioning), "{:?}", plan.status);
    }
}

#[test]
fn a_flow_that_gets_another_cluster_does_not_take_that_of_a_run_away() {
    let mut moved = flow();
    moved.spec.cluster = ClusterSource {
        template: Some(DaskClusterSpec { image: "flows:1".into(), ..Default::default() }),
        ..ClusterSource::default()
    };
    let own = names::cluster_name_for_run("etl-20261201t090000");
    let mut begun = running();
    begun.status.as_mut().unwrap().cluster = Some("analytics".into());
    assert_eq!(cluster_to_observe(&begun, Some(&moved)).as_deref(), Some("analytics"));
    assert!(is_usable(&begun, Some(&moved), &cluster(true)), "it began on this one");
    let mut waiting = begun;
    waiting.status.as_mut().unwrap().phase = Phase::Queued;
    assert_eq!(cluster_to_observe(&waiting, Some(&moved)), Some(own.clone()));
    let mut namesake = cluster(true);
    namesake.metadata.name = Some(own);
    assert!(!is_usable(&waiting, Some(&moved), &namesake), "somebody else's");
    namesake.metadata.owner_references = controller_ref(&waiting).map(|owner| vec![owner]);
    assert!(is_usable(&waiting, Some(&moved), &namesake));
}

#[test]
fn an_image_that_is_never_pulled_is_hopeless() {
    let waiting =
        ContainerStateWaiting { reason: Some("ErrImageNeverPull".into()), message: Some("no".into()) };
    let pod = pod(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
    let seen = Observed { job: Some(job(None)), pod: Some(pod), ..observed(retrying_flow(5, 5)) };
    let first = plan(&run(Phase::Provisioning), &seen, now());
    assert_eq!(first.status.stop.as_ref().unwrap().reason, "ErrImageNeverPull");
    assert_eq!(first.events, [], "the end is still to come");
    let last = plan(&after(run(Phase::Provisioning), &first), &observed(retrying_flow(5, 5)), now());
    assert_eq!(phase_and_reason(&last), (Phase::Failed, "ErrImageNeverPull".into()));
}

#[test]
fn what_a_run_waits_for_is_told_once() {
    let seen = |word: &str| {
        let waiting = ContainerStateWaiting { reason: Some(word.into()), message: Some("no".into()) };
        let pod = pod(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
        Observed { job: Some(job(None)), pod: Some(pod), ..observed(flow()) }
    };
    let told = |plan: &Plan<FlowRunStatus>| plan.events.iter().map(|note| note.reason).collect::<Vec<_>>();
    let first = plan(&run(Phase::Provisioning), &seen("ErrImagePull"), now());
    assert_eq!(told(&first), [Reason::ErrImagePull]);
    let waiting = after(run(Phase::Provisioning), &first);
    assert_eq!(told(&plan(&waiting, &seen("ImagePullBackOff"), now())), []);

    let mut flow = flow();
    flow.spec.cluster = ClusterSource { address: Some("tcp://dask:8786".into()), ..ClusterSource::default() };
    let message = "no such host".to_owned();
    let foreign = ForeignScheduler::Unreachable { reason: Reason::SchedulerUnreachable, message };
    let seen = Observed { foreign, cluster: None, ..observed(flow) };
    let first = plan(&run(Phase::Provisioning), &seen, now());
    assert_eq!(told(&first), [Reason::SchedulerUnreachable]);
    assert_eq!(told(&plan(&after(run(Phase::Provisioning), &first), &seen, now())), []);
}

#[test]
fn the_cluster_of_a_failed_run_is_kept_as_long_as_asked() {
    let mut flow = flow();
    flow.spec.cluster = ClusterSource {
        template: Some(DaskClusterSpec { image: "flows:1".into(), ..Default::default() }),
        keep_on_failure: Some("30m".into()),
        ..ClusterSource::default()
    };
    let mut own = cluster(true);
    own.metadata.owner_references = controller_ref(&run(Phase::Failed)).map(|owner| vec![owner]);
    let seen = Observed { cluster: Some(Arc::new(own)), ..observed(flow) };
    let ended = |phase| {
        let mut run = run(phase);
        run.status.as_mut().unwrap().finished_at = Some(Time(now()));
        run
    };
    let over = now() + Duration::from_secs(1800);
    let kept = plan(&ended(Phase::Failed), &seen, now());
    assert_eq!((kept.steps.len(), kept.next), (0, Next::At(over)));
    assert_eq!(plan(&ended(Phase::Failed), &seen, over).steps.len(), 1);
    assert_eq!(
        plan(&ended(Phase::Succeeded), &seen, now()).steps.len(),
        1,
        "success leaves nothing to look at"
    );
}

#[test]
fn a_job_without_a_pod_is_asked_about_and_a_runner_that_starts_is_told_when_it_takes_its_time() {
    let run = run(Phase::Provisioning);
    let job = Job { spec: Some(JobSpec::default()), ..job(None).as_ref().clone() };
    let observed = Observed { job: Some(Arc::new(job)), ..observed(flow()) };
    let at = |seconds| now() + SignedDuration::from_secs(seconds);
    let first = plan(&run, &observed, at(1));
    assert_eq!((first.steps.len(), first.urgency), (0, Urgency::By(at(3))));
    let later = plan(&run, &observed, at(5));
    assert!(matches!(later.steps[..], [Step::Try(_)]), "{:?}", later.steps);
    assert_eq!(later.urgency, Urgency::By(at(3)), "that is over: it is written");
}

#[test]
fn a_tick_is_not_told_that_it_waits_before_its_flow_has_come_to_its_turn() {
    let mut tick = run(Phase::Queued);
    tick.status = None;
    let urgency = |clocks: Value, run: &FlowRun| {
        let mut flow = flow();
        flow.spec.concurrency = Concurrency::Forbid;
        flow.status = serde_json::from_value(json!({"clocks": clocks})).unwrap();
        let plan = plan(run, &observed(flow), now());
        assert_eq!(plan.status.waits_for, Some(WaitsFor::FlowPlace));
        plan.urgency
    };
    let after = |seconds| Urgency::By(now() + SignedDuration::from_secs(seconds));
    let clock = |name: &str, last: &str| json!({"name": name, "hash": "", "since": "2026-12-01T00:00:00Z", "lastTick": last});
    let (before, then) = ("2026-11-30T09:00:00Z", "2026-12-01T09:00:00Z");
    assert_eq!(urgency(json!([clock("c", before)]), &tick), after(60));
    assert_eq!(
        urgency(json!([clock("c", then)]), &tick),
        after(3),
        "its turn has come: another run is active"
    );
    assert_eq!(urgency(json!([clock("d", before)]), &tick), after(3), "its clock is no more");
    tick.spec.clocks = vec!["c".into(), "d".into()];
    assert_eq!(urgency(json!([clock("c", then), clock("d", before)]), &tick), after(60));
    let mut by_hand = tick.clone();
    (by_hand.metadata.name, by_hand.spec.clock, by_hand.spec.clocks) = (Some("now".into()), None, Vec::new());
    assert_eq!(urgency(json!([clock("c", before)]), &by_hand), after(3));
}

#[test]
fn what_a_cluster_with_a_limit_counts_is_written_at_once() {
    let mut limited = cluster(true);
    limited.spec.max_active_runs = Some(1.into());
    let observed = Observed { job: Some(job(None)), cluster: Some(Arc::new(limited)), ..observed(flow()) };
    assert_eq!(plan(&run(Phase::Provisioning), &observed, now()).urgency, Urgency::Now);
}

#[test]
fn a_stop_is_written_before_anything_follows() {
    let mut run = run(Phase::Provisioning);
    run.spec.cancel = true;
    let observed = Observed { job: Some(job(None)), unwritten: true, ..observed(flow()) };
    let plan = plan(&run, &observed, now());
    assert!(plan.status.stop.is_some() && plan.urgency == Urgency::Now, "{plan:?}");
}

#[test]
fn a_refused_pod_does_not_keep_a_run_from_its_end() {
    let mut run = run(Phase::Provisioning);
    run.status.as_mut().unwrap().admitted_at = Some(Time(now()));
    let job = Job { spec: Some(JobSpec::default()), ..job(None).as_ref().clone() };
    let observed = Observed { job: Some(Arc::new(job)), ..observed(flow()) };
    let late = now() + SignedDuration::from_hours(1);
    let plan = plan(&run, &observed, late);
    assert_eq!(plan.status.stop.as_ref().unwrap().reason, "ClusterTimeout");
    assert_eq!(plan.steps, [], "what is refused would end the plan before the stop is written");
}

#[test]
fn what_a_cluster_that_may_close_looks_at_is_written_at_once() {
    let seen = |ready| Observed {
        job: Some(job(None)),
        cluster: Some(Arc::new(cluster(ready))),
        ..observed(flow())
    };
    let urgency = |seen| plan(&run(Phase::Provisioning), &seen, now()).urgency;
    assert_ne!(urgency(seen(true)), Urgency::Now);
    assert_eq!(urgency(seen(false)), Urgency::Now);
}

#[test]
fn clocks_that_differ_delay_no_status() {
    let ahead = |seconds: i64| {
        let mut job = job(None).as_ref().clone();
        job.metadata.creation_timestamp = Some(Time(now() + SignedDuration::from_secs(seconds)));
        let seen = Observed { job: Some(Arc::new(job)), ..observed(flow()) };
        plan(&run(Phase::Provisioning), &seen, now()).urgency
    };
    assert_ne!(ahead(1), Urgency::Now);
    assert_eq!(ahead(60), Urgency::Now);
}
