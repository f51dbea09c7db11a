//! Objects as the operator leaves them, each in a state that a user can meet: specs as users write them,
//! statuses by the planner itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use daskflow::api::common::NameRef;
use daskflow::api::flow::{ClockEntry, ClusterSource, Code, Schedule};
use daskflow::api::{
    DaskCluster, DaskClusterSpec, Flow, FlowBackfill, FlowBackfillSpec, FlowRun, FlowRunSpec, FlowRunStatus,
    FlowSpec, Phase,
};
use daskflow::plan::cluster::{Observed as ClusterObserved, SchedulerView};
use daskflow::plan::pods::worker::DEFAULT_GROUP;
use daskflow::plan::pods::{scheduler, worker};
use daskflow::plan::site::Site;
use daskflow::plan::{Wants, backfill, cluster, flow, run};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::kstatus::Status::{self, Current, Failed, InProgress, Terminating};

/// An object in one state.
pub struct Scenario {
    /// Its kind.
    pub kind: &'static str,
    /// The state, as a file name.
    pub name: &'static str,
    /// The object, as the API server gives it.
    pub object: Value,
    /// What someone who has applied it and waits for it should be told.
    pub wanted: Status,
}

pub fn now() -> Timestamp {
    "2026-12-01T09:00:00Z".parse().unwrap()
}

/// What the API server adds, and what a GitOps tool does.
pub fn stored<K: kube::Resource<DynamicType = ()>>(mut object: K, uid: &str) -> K {
    let meta = object.meta_mut();
    meta.namespace = Some("team-a".into());
    meta.uid = Some(uid.into());
    meta.generation = Some(1);
    meta.creation_timestamp = Some(Time("2026-12-01T08:00:00Z".parse().unwrap()));
    meta.labels = Some([("app.kubernetes.io/instance".into(), "pipelines".into())].into());
    object
}

/// The object with its status, and whatever is to be changed in it after that.
fn scenario<K: serde::Serialize>(
    (kind, name, wanted): (&'static str, &'static str, Status),
    object: &K,
) -> Scenario {
    Scenario { kind, name, object: serde_json::to_value(object).unwrap(), wanted }
}

fn with(mut scenario: Scenario, pointer: &str, value: Value) -> Scenario {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    scenario.object.pointer_mut(parent).unwrap()[key] = value;
    scenario
}

/// Every scenario there is.
pub fn all() -> Vec<Scenario> {
    [clusters(), flows(), runs(), backfills()].into_iter().flatten().collect()
}

/// As the API server stores an object that no operator has seen: the CRD's default of `status`.
fn unseen(scenario: Scenario) -> Scenario {
    with(scenario, "/status", json!({"observedGeneration": -1}))
}

fn new_cluster() -> DaskCluster {
    let mut cluster = stored(
        DaskCluster::new(
            "analytics",
            DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() },
        ),
        "cluster-uid",
    );
    cluster.spec.workers.replicas = Some(2);
    cluster
}

/// A pod in which the one container is in this state.
fn pod(mut pod: Pod, state: &Value) -> Arc<Pod> {
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let status = json!({
        "phase": "Running", "podIP": "10.0.0.1",
        "containerStatuses": [{"name": container.name, "image": "flows:1", "imageID": "", "ready": true, "restartCount": 0, "state": state}],
    });
    pod.status = Some(serde_json::from_value(status).unwrap());
    Arc::new(pod)
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-12-01T08:59:00Z"}})
}

/// The scheduler and so many workers, all at work.
fn serving(cluster: &DaskCluster, workers: u64) -> ClusterObserved {
    let worker = |seed| {
        worker::pod(cluster, Site::Kubernetes, None, (DEFAULT_GROUP, &cluster.spec.workers), seed + 1)
            .unwrap()
    };
    let mut pods: Vec<Arc<Pod>> = (0..workers).map(|seed| pod(worker(seed), &running())).collect();
    let registered: BTreeSet<String> = pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    pods.push(pod(scheduler::pod(cluster, Site::Kubernetes, None).unwrap(), &running()));
    ClusterObserved {
        service: Some(Arc::new(scheduler::service(cluster, Site::Kubernetes))),
        pods,
        known: Wants::ALL,
        scheduler: SchedulerView::Answering { workers: registered },
        ..ClusterObserved::default()
    }
}

fn looked_at(mut cluster: DaskCluster, observed: &ClusterObserved) -> DaskCluster {
    cluster.status = Some(cluster::plan(&cluster, observed, now()).status);
    cluster
}

fn clusters() -> Vec<Scenario> {
    let of = |name, wanted, cluster: &DaskCluster| scenario(("DaskCluster", name, wanted), cluster);
    let nothing = ClusterObserved { known: Wants::ALL, ..ClusterObserved::default() };
    let new = new_cluster();
    let ready = looked_at(new.clone(), &serving(&new, 2));
    let mut grown = ready.clone();
    grown.spec.workers.replicas = Some(3);
    grown.metadata.generation = Some(2);
    let growing = looked_at(grown.clone(), &serving(&new, 2));
    let mut waiting = serving(&new, 0);
    waiting.scheduler = SchedulerView::Unknown;
    let message = "Back-off pulling image \"flows:1\": not found";
    let state = json!({"waiting": {"reason": "ImagePullBackOff", "message": message}});
    waiting.pods = vec![pod(scheduler::pod(&new, Site::Kubernetes, None).unwrap(), &state)];
    let mut suspended = ready.clone();
    suspended.spec.suspend = true;
    suspended.metadata.generation = Some(2);
    let mut broken = new.clone();
    broken.spec.workers.template =
        Some(json!({"spec": {"containers": [{"name": "worker", "imge": "flows:2"}]}}));
    let mut asleep = ready.clone();
    asleep.spec.idle = Some(serde_json::from_value(json!({"after": "10m", "action": "Suspend"})).unwrap());
    let idle = json!({"asleep": true, "since": "2026-12-01T08:30:00Z", "generation": 1});
    asleep.status.as_mut().unwrap().idle = Some(serde_json::from_value(idle).unwrap());
    let deleted = with(
        of("deleted", Terminating, &ready),
        "/metadata/deletionTimestamp",
        json!("2026-12-01T09:00:00Z"),
    );
    vec![
        unseen(of("unseen", InProgress, &new)),
        of("starting", InProgress, &looked_at(new.clone(), &nothing)),
        of("ready", Current, &ready),
        of("edited", InProgress, &grown),
        of("growing", InProgress, &growing),
        of("wrongImage", InProgress, &looked_at(new.clone(), &waiting)),
        of("invalid", Failed, &looked_at(broken, &nothing)),
        of("suspending", InProgress, &looked_at(suspended.clone(), &serving(&new, 2))),
        of("suspended", Current, &looked_at(suspended, &nothing)),
        of("asleep", Current, &looked_at(asleep, &nothing)),
        deleted,
    ]
}

fn new_flow() -> Flow {
    let every_hour =
        ClockEntry { name: "hourly".into(), cron: Some("0 * * * *".into()), ..ClockEntry::default() };
    let spec = FlowSpec {
        code: Some(Code { path: Some("/flows/etl.py".into()), ..Code::default() }),
        cluster: ClusterSource {
            ref_: Some(NameRef { name: "analytics".into() }),
            ..ClusterSource::default()
        },
        schedule: Some(Schedule { clocks: vec![every_hour], ..Schedule::default() }),
        ..FlowSpec::default()
    };
    stored(Flow::new("etl", spec), "flow-uid")
}

/// A run of the Flow that has ended so.
fn ended(phase: Phase, reason: &str, message: &str) -> FlowRun {
    let mut run = new_run();
    run.metadata.name = Some("etl-20261201t080000".into());
    run.spec.scheduled_time = Some(Time("2026-12-01T08:00:00Z".parse().unwrap()));
    run.status = Some(FlowRunStatus {
        phase,
        reason: Some(reason.into()),
        message: Some(message.into()),
        finished_at: Some(Time("2026-12-01T08:10:00Z".parse().unwrap())),
        ..FlowRunStatus::default()
    });
    run
}

fn flow_with(mut flow: Flow, runs: Vec<FlowRun>) -> Flow {
    let runs = runs.into_iter().map(Arc::new).collect();
    let observed = flow::Observed { runs, cluster_exists: true, ..flow::Observed::default() };
    flow.status = Some(flow::plan(&flow, &observed, "2026-12-01T08:30:00Z".parse().unwrap()).status);
    flow
}

fn flows() -> Vec<Scenario> {
    let of = |name, wanted, flow: &Flow| scenario(("Flow", name, wanted), flow);
    let new = new_flow();
    let waiting = flow_with(new.clone(), vec![]);
    let mut on_demand = new.clone();
    on_demand.spec.schedule = None;
    let mut invalid = new.clone();
    invalid.spec.schedule.as_mut().unwrap().time_zone = Some("Mars/Olympus".into());
    let mut without_cluster = new.clone();
    let alone = flow::Observed::default();
    without_cluster.status = Some(flow::plan(&new, &alone, now()).status);
    let mut suspended = new.clone();
    suspended.spec.suspend = true;
    let mut edited = waiting.clone();
    edited.metadata.generation = Some(2);
    let failed = ended(Phase::Failed, "FlowFailed", "task load: the disk is full");
    let active = {
        let mut run = ended(Phase::Running, "RunnerRunning", "the runner is at work");
        run.status.as_mut().unwrap().finished_at = None;
        run
    };
    let deleted = with(
        of("deleted", Terminating, &waiting),
        "/metadata/deletionTimestamp",
        json!("2026-12-01T09:00:00Z"),
    );
    vec![
        unseen(of("unseen", InProgress, &new)),
        of("waiting", Current, &waiting),
        of("onDemand", Current, &flow_with(on_demand, vec![])),
        of("active", Current, &flow_with(new.clone(), vec![active])),
        of("succeeded", Current, &flow_with(new.clone(), vec![ended(Phase::Succeeded, "Succeeded", "")])),
        of("failed", Current, &flow_with(new.clone(), vec![failed.clone()])),
        of(
            "timedOut",
            Current,
            &flow_with(
                new.clone(),
                vec![ended(Phase::TimedOut, "TimeoutExceeded", "the attempt took longer than 1h")],
            ),
        ),
        of(
            "cancelled",
            Current,
            &flow_with(new.clone(), vec![ended(Phase::Cancelled, "Cancelled", "cancelled")]),
        ),
        of("invalid", Failed, &flow_with(invalid, vec![])),
        of("withoutCluster", Failed, &without_cluster),
        of("suspended", Current, &flow_with(suspended.clone(), vec![])),
        of("suspendedAfterFailure", Current, &flow_with(suspended, vec![failed])),
        of("edited", InProgress, &edited),
        deleted,
    ]
}

fn new_run() -> FlowRun {
    let spec = FlowRunSpec { flow: "etl".into(), ..FlowRunSpec::default() };
    let mut run = stored(FlowRun::new("etl-now", spec), "run-uid");
    run.metadata.owner_references =
        daskflow::plan::pods::controller_ref(&new_flow()).map(|owner| vec![owner]);
    run
}

/// What a run on a cluster that serves sees.
fn seen_by_run() -> run::Observed {
    let cluster = new_cluster();
    let serving = serving(&cluster, 2);
    run::Observed {
        flow: Some(Arc::new(Flow {
            spec: FlowSpec { concurrency: daskflow::api::flow::Concurrency::Allow, ..new_flow().spec },
            ..new_flow()
        })),
        cluster: Some(Arc::new(looked_at(cluster, &serving))),
        ..run::Observed::default()
    }
}

fn run_after(mut run: FlowRun, observed: &run::Observed) -> FlowRun {
    run.status = Some(run::plan(&run, observed, now()).status);
    run
}

fn job(condition: Option<&str>) -> Arc<Job> {
    let conditions: Vec<Value> = condition
        .map(|type_| json!({"type": type_, "status": "True", "reason": "BackoffLimitExceeded"}))
        .into_iter()
        .collect();
    let job = json!({"metadata": {"name": "etl-now-1"}, "status": {"conditions": conditions}});
    Arc::new(serde_json::from_value(job).unwrap())
}

fn runner(state: &Value) -> Arc<Pod> {
    let bare = json!({"metadata": {"name": "etl-now-1-abcde"}, "spec": {"containers": [{"name": "runner"}]}});
    pod(serde_json::from_value(bare).unwrap(), state)
}

fn runs() -> Vec<Scenario> {
    let of = |name, wanted, run: &FlowRun| scenario(("FlowRun", name, wanted), run);
    let seen = seen_by_run();
    let alone = run::Observed::default();
    let provisioning = run_after(new_run(), &seen);
    let at_work = run::Observed { job: Some(job(None)), pod: Some(runner(&running())), ..seen.clone() };
    let running = run_after(provisioning.clone(), &at_work);
    let end = |code: i32, message: &str| json!({"terminated": {"exitCode": code, "reason": "Error", "message": message, "finishedAt": "2026-12-01T08:59:30Z"}});
    let of_job = |condition: &str, state: &Value| run::Observed {
        job: Some(job(Some(condition))),
        pod: Some(runner(state)),
        ..seen.clone()
    };
    let succeeded = run_after(running.clone(), &of_job("Complete", &end(0, "")));
    let why = r#"{"reason":"FlowFailed","message":"task load: the disk is full"}"#;
    let failed = run_after(running.clone(), &of_job("Failed", &end(3, why)));
    let mut patient = seen.clone();
    let mut flow = patient.flow.as_deref().unwrap().clone();
    flow.spec.retries = Some(serde_json::from_value(json!({"limit": 2})).unwrap());
    patient.flow = Some(Arc::new(flow));
    let retrying = run_after(
        running.clone(),
        &run::Observed { job: Some(job(Some("Failed"))), pod: Some(runner(&end(3, why))), ..patient },
    );
    let mut cancelled = new_run();
    cancelled.spec.cancel = true;
    let mut suspended = new_run();
    suspended.spec.suspend = true;
    let mut suspended_cluster = seen.cluster.as_deref().unwrap().clone();
    suspended_cluster.spec.suspend = true;
    let held = run::Observed { cluster: Some(Arc::new(suspended_cluster)), ..seen.clone() };
    let mut late = held.clone();
    let mut strict = late.flow.as_deref().unwrap().clone();
    strict.spec.starting_deadline = Some("5m".into());
    late.flow = Some(Arc::new(strict));
    let mut hurried = held.clone();
    let mut flow = hurried.flow.as_deref().unwrap().clone();
    flow.spec.deadline = Some("30m".into());
    hurried.flow = Some(Arc::new(flow));
    vec![
        unseen(of("unseen", InProgress, &new_run())),
        of("queued", InProgress, &run_after(new_run(), &held)),
        of("suspended", Current, &run_after(suspended, &seen)),
        of("provisioning", InProgress, &provisioning),
        of("running", InProgress, &running),
        of("retrying", InProgress, &retrying),
        of("succeeded", Current, &succeeded),
        of("failed", Failed, &failed),
        of("timedOut", Failed, &run_after(new_run(), &hurried)),
        of("skipped", Failed, &run_after(new_run(), &late)),
        of("cancelled", Current, &run_after(cancelled, &seen)),
        of("withoutFlow", Failed, &run_after(new_run(), &alone)),
    ]
}

fn new_backfill() -> FlowBackfill {
    let at = |hour: u8| Time(format!("2026-11-01T{hour:02}:00:00Z").parse().unwrap());
    stored(FlowBackfill::new("november", FlowBackfillSpec::new("etl", at(0), at(2))), "backfill-uid")
}

/// Its runs of the hours from 0 on, in these phases.
fn backfill_with(mut backfill: FlowBackfill, phases: &[Phase]) -> FlowBackfill {
    let run = |(hour, phase): (usize, &Phase)| {
        let mut run = ended(*phase, "Succeeded", "");
        run.metadata.name = Some(format!("etl-20261101t{hour:02}0000"));
        run.metadata.creation_timestamp = Some(Time(now()));
        run.metadata.annotations =
            Some([(daskflow::api::labels::BACKFILL_UID.into(), "backfill-uid".into())].into());
        run.spec.scheduled_time = Some(Time(format!("2026-11-01T{hour:02}:00:00Z").parse().unwrap()));
        run.spec.backfill = Some("november".into());
        Arc::new(run)
    };
    let runs = phases.iter().enumerate().map(run).collect();
    let observed = backfill::Observed { flow: Some(Arc::new(new_flow())), runs };
    backfill.status = Some(backfill::plan(&backfill, &observed, now()).status);
    backfill
}

fn backfills() -> Vec<Scenario> {
    use Phase::{Running, Succeeded};
    let of = |name, wanted, backfill: &FlowBackfill| scenario(("FlowBackfill", name, wanted), backfill);
    let new = new_backfill();
    let mut suspended = new.clone();
    suspended.spec.suspend = true;
    let mut cancelled = new.clone();
    cancelled.spec.cancel = true;
    let mut alone = new.clone();
    let observed = backfill::Observed::default();
    alone.status = Some(backfill::plan(&new, &observed, now()).status);
    vec![
        unseen(of("unseen", InProgress, &new)),
        of("running", InProgress, &backfill_with(new.clone(), &[Succeeded, Running])),
        of("succeeded", Current, &backfill_with(new.clone(), &[Succeeded; 3])),
        of("failed", Failed, &backfill_with(new.clone(), &[Succeeded, Phase::Failed, Succeeded])),
        of("suspending", InProgress, &backfill_with(suspended.clone(), &[Succeeded, Running])),
        of("suspended", Current, &backfill_with(suspended, &[Succeeded])),
        of("cancelled", Current, &backfill_with(cancelled, &[Succeeded])),
        of("withoutFlow", Failed, &alone),
    ]
}
