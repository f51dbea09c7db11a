mod certificates;
mod earlier;
mod ending;
mod growing;
mod leaving;
mod letting_go;
mod losses;
mod resting;
mod rollout;
mod services;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateWaiting, ContainerStatus, Pod, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::deletion::victim;
use super::idle::ANNOUNCED;
use super::*;
use crate::api::flow_run::WaitsFor;
use crate::api::{DaskClusterSpec, FlowRun, FlowRunSpec, FlowRunStatus, Phase, labels};
use crate::plan::Object;
use crate::plan::conditions::{self, find};
use crate::plan::pods::{scheduler, worker};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn cluster(replicas: i32) -> DaskCluster {
    let mut cluster = DaskCluster::new(
        "analytics",
        DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() },
    );
    cluster.spec.workers.replicas = Some(replicas);
    cluster.metadata.namespace = Some("team".into());
    cluster.metadata.uid = Some("uid-1".into());
    cluster.metadata.generation = Some(1);
    cluster
}

/// What the kubelet makes of a pod: it runs.
fn running(mut pod: Pod) -> Arc<Pod> {
    let name = pod.spec.as_ref().unwrap().containers[0].name.clone();
    let state = ContainerState {
        running: Some(ContainerStateRunning { started_at: None }),
        ..ContainerState::default()
    };
    let status = ContainerStatus { name, state: Some(state), ..ContainerStatus::default() };
    pod.status = Some(PodStatus {
        phase: Some("Running".into()),
        pod_ip: Some("10.0.0.1".into()),
        container_statuses: Some(vec![status]),
        ..PodStatus::default()
    });
    Arc::new(pod)
}

fn workers(cluster: &DaskCluster, count: u64) -> Vec<Arc<Pod>> {
    (0..count)
        .map(|index| {
            running(
                worker::pod(
                    cluster,
                    Site::Kubernetes,
                    None,
                    (worker::DEFAULT_GROUP, &cluster.spec.workers),
                    index + 1,
                )
                .unwrap(),
            )
        })
        .collect()
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|pod| state::name(pod).to_owned()).collect()
}

/// The pods of these workers.
fn victims(observed: &Observed, names: &[String]) -> Vec<Victim> {
    let is_one = |pod: &&Arc<Pod>| names.iter().any(|name| name == state::name(pod));
    observed.pods.iter().filter(is_one).map(|pod| victim(pod)).collect()
}

/// A cluster that is as its spec wants it, with all workers registered.
fn settled(cluster: &DaskCluster, count: u64) -> Observed {
    let mut pods = workers(cluster, count);
    let registered: BTreeSet<String> = names(&pods).into_iter().collect();
    pods.push(running(scheduler::pod(cluster, Site::Kubernetes, None).unwrap()));
    Observed {
        service: Some(Arc::new(scheduler::service(cluster, Site::Kubernetes))),
        pods,
        known: Wants::ALL,
        scheduler: SchedulerView::Answering { workers: registered },
        seed: 7,
        ..Observed::default()
    }
}

fn kinds(plan: &Plan<DaskClusterStatus>) -> Vec<&'static str> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Apply(_) => "apply",
            Step::Try(_) => "try",
            Step::Create(_) => "create",
            Step::Delete(_) => "delete",
            Step::Retire { .. } => "retire",
            Step::CloseToTasks { .. } => "close",
            Step::Replace { .. } => "replace",
            Step::Annotate { .. } => "annotate",
            Step::Issue(_) => "issue",
            Step::Request(_) => "request",
            Step::Copy { .. } => "copy",
            Step::Withdraw(_) => "withdraw",
            Step::Adopt { .. } => "adopt",
            Step::Cancel { .. } => "cancel",
            Step::EndPod(_) => "end",
            Step::Limit { .. } => "limit",
            Step::Gateway(_) => "gateway",
            Step::Finalize { .. } => "finalize",
        })
        .collect()
}

/// The names of the workers that are retired, sorted.
fn retired(plan: &Plan<DaskClusterStatus>) -> Vec<String> {
    let retired = plan.steps.iter().filter_map(|step| match step {
        Step::Retire { workers } => Some(workers.iter().map(|worker| worker.name.clone())),
        _ => None,
    });
    retired.flatten().collect()
}

/// The names of the workers that are closed to new tasks.
fn closed(plan: &Plan<DaskClusterStatus>) -> Vec<String> {
    let closed = plan.steps.iter().filter_map(|step| match step {
        Step::CloseToTasks { workers } => Some(workers.iter().map(|worker| worker.name.clone())),
        _ => None,
    });
    closed.flatten().collect()
}

fn reason(plan: &Plan<DaskClusterStatus>, kind: ConditionType) -> String {
    find(&plan.status.conditions, kind).unwrap().reason.clone()
}

#[test]
fn a_new_cluster_gets_all_its_children_at_once() {
    let plan = plan(&cluster(3), &Observed { known: Wants::ALL, ..Observed::default() }, now());
    assert_eq!(kinds(&plan), ["apply", "create", "create", "create", "create"]);
    let pods: BTreeSet<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Create(object) => match object.as_ref() {
                Object::Pod(pod) => Some(state::name(pod).to_owned()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(pods.len(), 4, "names differ: {pods:?}");
    assert!(pods.contains("analytics-scheduler"));
}

#[test]
fn one_event_tells_of_all_pods_that_are_created() {
    let mut cluster = cluster(2);
    let gpus = crate::api::WorkersSpec { replicas: Some(1), ..Default::default() };
    cluster
        .spec
        .worker_groups
        .push(crate::api::worker_group::WorkerGroup { name: "gpu".into(), workers: gpus });
    let told = |cluster: &DaskCluster, pods: Vec<Arc<Pod>>| {
        let plan = plan(cluster, &Observed { known: Wants::ALL, pods, ..Observed::default() }, now());
        plan.events.into_iter().map(|note| (note.reason, note.message)).collect::<Vec<_>>()
    };
    let workers = "worker pods are created: 2 of the group default, 1 of the group gpu";
    let new = format!("the scheduler's pod is created; {workers}");
    assert_eq!(told(&cluster, Vec::new()), [(Reason::SchedulerCreated, new)]);
    let scheduler = scheduler::pod(&cluster, Site::Kubernetes, None).unwrap();
    let later = told(&cluster, vec![running(scheduler)]);
    assert_eq!(later, [(Reason::WorkersCreated, workers.to_owned())]);
}

#[test]
fn nothing_is_created_or_deleted_on_the_word_of_a_cache() {
    let plan = plan(&cluster(3), &Observed::default(), now());
    assert_eq!(plan.wants, Wants::OBJECT | Wants::PODS | Wants::WORKERS);
}

#[test]
fn a_cluster_that_is_as_wanted_needs_nothing() {
    let cluster = cluster(2);
    let plan = plan(&cluster, &settled(&cluster, 2), now());
    assert_eq!(plan.steps, []);
    assert_eq!(plan.events, []);
    assert_eq!(reason(&plan, ConditionType::Ready), "Ready");
    assert_eq!((plan.status.workers.desired, plan.status.workers.ready, plan.status.replicas), (2, 2, 2));
}

#[test]
fn the_plan_of_its_own_status_changes_nothing() {
    let mut cluster = cluster(2);
    let observed = settled(&cluster, 2);
    let first = plan(&cluster, &observed, now());
    cluster.status = Some(first.status.clone());
    let later = now() + jiff::SignedDuration::from_secs(60);
    assert_eq!(plan(&cluster, &observed, later).status, first.status);
}

#[test]
fn pods_that_exist_are_not_workers_that_are_ready() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 2);
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    let plan = plan(&cluster, &observed, now());
    assert_eq!(plan.status.workers.ready, 0);
    assert_eq!(reason(&plan, ConditionType::Ready), "WorkersStarting");
}

#[test]
fn an_unregistered_worker_goes_before_one_with_data() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 3);
    let newcomer = state::name(&observed.pods[1]).to_owned();
    observed.scheduler = SchedulerView::Answering {
        workers: names(&observed.pods).into_iter().filter(|name| *name != newcomer).collect(),
    };
    let plan = plan(&cluster, &observed, now());
    assert_eq!(kinds(&plan), ["delete"]);
    assert!(matches!(&plan.steps[0], Step::Delete(victim) if victim.name == newcomer));
}

#[test]
fn a_registered_worker_is_retired_in_the_schedulers_order_and_never_deleted() {
    let cluster = cluster(1);
    let mut observed = settled(&cluster, 3);
    let all = names(&observed.pods);
    observed.closable = Some(vec!["somebody-elses".into(), all[2].clone(), all[0].clone(), all[1].clone()]);
    let plan = plan(&cluster, &observed, now());
    assert_eq!(retired(&plan), [all[2].clone(), all[0].clone()]);
}

#[test]
fn a_surplus_seen_in_a_cache_is_looked_at_live() {
    let cluster = cluster(1);
    let observed = Observed { known: Wants::NOTHING, ..settled(&cluster, 3) };
    let plan = plan(&cluster, &observed, now());
    assert_eq!((plan.steps.len(), plan.wants), (0, Wants::OBJECT | Wants::PODS | Wants::WORKERS));
}

#[test]
fn a_scheduler_that_is_away_holds_the_size() {
    let cluster = cluster(1);
    let mut observed = settled(&cluster, 3);
    observed.scheduler =
        SchedulerView::Unreachable { reason: Reason::SchedulerUnreachable, message: "refused".into() };
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
}

#[test]
fn a_scheduler_that_names_nobody_holds_the_size_and_is_asked_again() {
    let cluster = cluster(1);
    let observed = Observed { closable: Some(Vec::new()), ..settled(&cluster, 2) };
    let plan = plan(&cluster, &observed, now());
    assert_eq!(plan.steps, []);
    assert_eq!(reason(&plan, ConditionType::Reconciling), "WorkersHeld");
    assert_eq!(reason(&plan, ConditionType::Ready), "Ready", "there are enough workers");
    assert!(matches!(plan.next, Next::After(_)));
}

#[test]
fn a_retired_worker_that_has_ended_is_removed_and_not_replaced_when_not_wanted() {
    let cluster = cluster(1);
    let mut observed = settled(&cluster, 2);
    let mut ended = observed.pods[0].as_ref().clone();
    ended.status.as_mut().unwrap().phase = Some("Succeeded".into());
    observed.pods[0] = Arc::new(ended);
    assert_eq!(kinds(&plan(&cluster, &observed, now())), ["delete"]);
}

#[test]
fn a_worker_that_ends_at_once_is_not_made_in_a_loop() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 2);
    let mut ended = observed.pods[0].as_ref().clone();
    ended.status.as_mut().unwrap().phase = Some("Succeeded".into());
    ended.metadata.creation_timestamp = Some(Time(now()));
    observed.pods[0] = Arc::new(ended);
    let soon = plan(&cluster, &observed, now() + std::time::Duration::from_secs(1));
    assert_eq!(soon.steps, []);
    let at = now() + std::time::Duration::from_secs(10);
    assert_eq!(soon.next, Next::At(at));
    assert_eq!(kinds(&plan(&cluster, &observed, at)), ["delete", "create"]);
}

#[test]
fn a_worker_on_its_way_out_is_replaced_at_once() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 2);
    let mut leaving = observed.pods[0].as_ref().clone();
    leaving.metadata.deletion_timestamp = Some(Time(now()));
    observed.pods[0] = Arc::new(leaving);
    assert_eq!(kinds(&plan(&cluster, &observed, now())), ["create"]);
}

/// A run whose runner is at work on the cluster.
fn active_run() -> Arc<FlowRun> {
    let mut run = FlowRun::new("etl-1", FlowRunSpec { flow: "etl".into(), ..FlowRunSpec::default() });
    run.status = Some(FlowRunStatus {
        phase: Phase::Running,
        job: Some("etl-1-1".into()),
        ..FlowRunStatus::default()
    });
    Arc::new(run)
}

/// A run that waits for a place on the cluster; it became due at this minute.
fn waiting_run(name: &str, minute: i8) -> Arc<FlowRun> {
    let due = now() + jiff::SignedDuration::from_mins(minute.into());
    let spec = FlowRunSpec {
        flow: name.into(),
        clock: Some("c".into()),
        scheduled_time: Some(Time(due)),
        ..FlowRunSpec::default()
    };
    let mut run = FlowRun::new(name, spec);
    run.status = Some(FlowRunStatus { waits_for: Some(WaitsFor::ClusterPlace), ..FlowRunStatus::default() });
    Arc::new(run)
}

#[test]
fn a_limited_cluster_lets_runs_through_in_the_order_in_which_they_became_due() {
    let mut cluster = cluster(1);
    cluster.spec.max_active_runs = Some(2.into());
    let mut observed = settled(&cluster, 1);
    observed.runs = vec![waiting_run("c", 3), waiting_run("a", 1), active_run(), waiting_run("b", 2)];
    let first = plan(&cluster, &observed, now());
    assert_eq!(first.status.admitted, ["etl-1", "a"]);
    cluster.status = Some(first.status);
    // The first has ended and its runner has not; then that has, too.
    observed.runs.retain(|run| run.metadata.name.as_deref() != Some("etl-1"));
    observed.runners = ["etl-1".to_owned()].into();
    assert_eq!(plan(&cluster, &observed, now()).status.admitted, ["etl-1", "a"]);
    observed.runners.clear();
    // Its runner is in no cache.
    observed.found = ["etl-1".to_owned()].into();
    let found = plan(&cluster, &observed, now());
    assert_eq!(
        (found.status.admitted, found.next),
        (vec!["etl-1".into(), "a".into()], Next::After(ASK_AGAIN))
    );
    observed.found.clear();
    assert_eq!(plan(&cluster, &observed, now()).status.admitted, ["a", "b"]);
    cluster.spec.max_active_runs = None;
    assert_eq!(plan(&cluster, &observed, now()).status.admitted, Vec::<String>::new());
}

#[test]
fn a_run_that_does_not_wait_for_the_cluster_takes_no_place() {
    let mut cluster = cluster(1);
    cluster.spec.max_active_runs = Some(1.into());
    let mut observed = settled(&cluster, 1);
    let change = |name: &str, minute, change: fn(&mut FlowRun)| {
        let mut run = FlowRun::clone(&waiting_run(name, minute));
        change(&mut run);
        Arc::new(run)
    };
    observed.runs = vec![
        change("suspended", 1, |run| run.spec.suspend = true),
        change("cancelled", 2, |run| run.spec.cancel = true),
        change("held", 3, |run| run.status.as_mut().unwrap().waits_for = Some(WaitsFor::FlowPlace)),
        change("new", 5, |run| run.status.as_mut().unwrap().phase = Phase::Provisioning),
        waiting_run("b", 4),
    ];
    let first = plan(&cluster, &observed, now());
    assert_eq!(first.status.admitted, ["b"]);
    cluster.status = Some(first.status);
    // What is held for another reason gives its place back: it may wait for a run that waits for this place.
    observed.runs[4] =
        change("b", 4, |run| run.status.as_mut().unwrap().waits_for = Some(WaitsFor::FlowPlace));
    observed.runs.swap(3, 4);
    assert_eq!(plan(&cluster, &observed, now()).status.admitted, ["new"]);
}

#[test]
fn a_changed_image_adds_one_worker_before_it_retires_one() {
    let before = cluster(4);
    let mut after = before.clone();
    after.spec.image = "flows:2".into();
    let mut observed = settled(&before, 4);
    observed.runs = vec![active_run()];
    let plan = plan(&after, &observed, now());
    assert_eq!(kinds(&plan), ["create"], "a quarter more than wanted, and nobody leaves");
    assert!(find(&plan.status.conditions, ConditionType::Reconciling).unwrap().status == "True");
    assert_eq!(reason(&plan, ConditionType::Ready), "Ready", "the old workers serve");
}

#[test]
fn an_outdated_worker_leaves_when_its_successor_is_registered() {
    let before = cluster(2);
    let mut after = before.clone();
    after.spec.workers.args = vec!["--nanny".into()];
    let mut observed = settled(&before, 2);
    let new = running(
        worker::pod(&after, Site::Kubernetes, None, (worker::DEFAULT_GROUP, &after.spec.workers), 99)
            .unwrap(),
    );
    observed.pods.push(new.clone());
    let mut registered = observed.scheduler.registered().unwrap().clone();
    registered.insert(state::name(&new).to_owned());
    observed.scheduler = SchedulerView::Answering { workers: registered };
    observed.closable = Some(names(&observed.pods));
    let plan = plan(&after, &observed, now());
    assert!(matches!(&plan.steps[..], [Step::Retire { workers }] if workers.len() == 1), "{:?}", plan.steps);
}

#[test]
fn a_suspended_cluster_has_no_pods_and_says_so_only_then() {
    let mut cluster = cluster(2);
    let observed = settled(&cluster, 2);
    cluster.spec.suspend = true;
    let first = plan(&cluster, &observed, now());
    assert_eq!(kinds(&first), ["delete", "delete", "delete"]);
    let of =
        |plan: &Plan<DaskClusterStatus>, kind| find(&plan.status.conditions, kind).unwrap().status.clone();
    assert_eq!(of(&first, ConditionType::Suspended), "False");
    assert_eq!(
        (of(&first, ConditionType::Ready), of(&first, ConditionType::Reconciling)),
        ("False".into(), "True".into())
    );
    let gone = Observed { pods: Vec::new(), ..observed };
    let second = plan(&cluster, &gone, now());
    assert_eq!(second.steps, []);
    assert_eq!(of(&second, ConditionType::Suspended), "True");
    assert_eq!(
        (of(&second, ConditionType::Ready), of(&second, ConditionType::Reconciling)),
        ("True".into(), "False".into())
    );
}

#[test]
fn a_template_that_is_none_stalls_the_cluster_and_builds_no_half_of_it() {
    let mut cluster = cluster(2);
    cluster.spec.workers.template = Some(json!({"spec": {"containers": [{"name": "worker", "imge": "x"}]}}));
    let plan = plan(&cluster, &Observed { known: Wants::ALL, ..Observed::default() }, now());
    assert_eq!(kinds(&plan), ["apply"], "the Service alone");
    let stalled = find(&plan.status.conditions, ConditionType::Stalled).unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "InvalidSpec"));
    assert!(stalled.message.contains("imge"), "{}", stalled.message);
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_in_the_kubelets_words() {
    let mut cluster = cluster(1);
    let mut plan_where = |word: &str| {
        let mut observed = settled(&cluster, 1);
        let mut pod = observed.pods.pop().unwrap().as_ref().clone();
        let waiting = ContainerStateWaiting { reason: Some(word.into()), message: Some("not found".into()) };
        pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].state =
            Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
        observed.pods.push(Arc::new(pod));
        observed.scheduler = SchedulerView::Unknown;
        let plan = plan(&cluster, &observed, now());
        cluster.status = Some(plan.status.clone());
        plan
    };
    let first = plan_where("ErrImagePull");
    assert_eq!(reason(&first, ConditionType::SchedulerReady), "ErrImagePull");
    let ready = find(&first.status.conditions, ConditionType::Ready).unwrap();
    assert!(ready.message.contains("not found"), "{}", ready.message);
    assert_eq!(first.events, [Note::warning(Reason::ErrImagePull, ready.message.clone())]);
    // It tries again and again, and says so in turn.
    for word in ["ImagePullBackOff", "ErrImagePull", "ErrImagePull"] {
        let next = plan_where(word);
        assert_eq!(reason(&next, ConditionType::Ready), word);
        assert_eq!(next.events, [], "{word} is no news");
    }
    assert_eq!(plan_where("CrashLoopBackOff").events.len(), 1, "that is another matter");
}

#[test]
fn a_step_that_fails_again_and_again_tells_no_pod_anew() {
    for over in [Reason::WorkersHeld, Reason::QuotaExceeded] {
        assert!(!conditions::is_news_of_pods(Some(over.as_str()), Reason::Unschedulable), "{over}");
    }
    for before in [None, Some("Ready"), Some("WorkersStarting"), Some("ErrImagePull")] {
        assert!(conditions::is_news_of_pods(before, Reason::Unschedulable), "{before:?}");
    }
}

#[test]
fn a_thousand_workers_come_in_portions() {
    let plan = plan(&cluster(1000), &Observed { known: Wants::ALL, ..Observed::default() }, now());
    assert_eq!(plan.steps.len(), 2 + 50);
    assert_eq!(plan.next, Next::After(std::time::Duration::ZERO));
}
