mod lost;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::api::{Flow, Phase, Reason};
use crate::plan::run::{Observed, needs, plan};
use crate::plan::{Next, Object, Plan, Wants};

const ADDRESS: &str = "http://gw:8000/x";

fn now() -> Timestamp {
    "2026-12-01T09:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn flow(gateway: &Value) -> Flow {
    let mut all = json!({"address": ADDRESS, "auth": {"type": "Basic", "secretName": "login"}, "workers": 2});
    all.as_object_mut().unwrap().extend(gateway.as_object().unwrap().clone());
    let flow = json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow",
        "metadata": {"name": "etl", "namespace": "team", "uid": "flow-uid", "generation": 1},
        "spec": {
            "image": "flows:1", "code": {"inline": "print(1)"}, "concurrency": "Allow",
            "cluster": {"gateway": all}, "retries": {"infrastructure": 1, "delay": "1s"},
        },
    });
    serde_json::from_value(flow).unwrap()
}

/// A run that is let through to its cluster, and what is known of that.
fn run(gateway: Option<&Value>) -> FlowRun {
    let run = json!({
        "metadata": {
            "name": "etl-1", "namespace": "team", "uid": "run-uid", "resourceVersion": "7", "generation": 1,
            "creationTimestamp": now().to_string(), "finalizers": [FINALIZER],
            "ownerReferences": [{"apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "name": "etl", "uid": "flow-uid"}],
        },
        "spec": {"flow": "etl"},
        "status": {
            "phase": "Provisioning", "attempt": 1, "admittedAt": now().to_string(), "observedGeneration": 1,
            "gateway": gateway,
        },
    });
    serde_json::from_value(run).unwrap()
}

/// What a run knows that has written its intent, with these further fields.
fn asked(more: &Value) -> Value {
    let mut known = json!({
        "access": {"address": ADDRESS, "auth": {"type": "Basic", "secretName": "login"}}, "attempt": 1,
        "askedAt": now().to_string(), "by": "a",
    });
    known.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    known
}

/// What a run knows of a cluster that is equipped.
fn equipped() -> Value {
    asked(&json!({"cluster": "c1", "secretName": "s", "workers": 2}))
}

fn seen(flow: Flow, gateway: GatewayView) -> Observed {
    Observed { flow: Some(Arc::new(flow)), gateway, ..Observed::default() }
}

fn planned(run: &FlowRun, view: GatewayView, at: Timestamp) -> Plan<FlowRunStatus> {
    plan(run, &seen(flow(&json!({})), view), at)
}

fn offer() -> GatewayView {
    let options = BTreeMap::from([("cores".to_owned(), json!(1)), ("size".to_owned(), json!("small"))]);
    GatewayView::Answering(Offer { options, clock: Some(after(-5)), by: "me".to_owned() })
}

fn cluster(state: ClusterState, workers: Workers) -> GatewayView {
    GatewayView::Cluster(ClusterView { state, dashboard: Some("/d".to_owned()), workers, said: None })
}

fn silent(lacks_login: bool) -> GatewayView {
    let (reason, workers) = (Reason::GatewayUnreachable, Workers::NotAsked);
    GatewayView::Silent { reason, message: "away".to_owned(), lacks_login, workers }
}

fn lost(found: Option<&[&str]>) -> GatewayView {
    let found = found.map(|all| all.iter().map(|name| (*name).to_owned()).collect());
    GatewayView::Asked(Creation::Lost { at: now(), found })
}

fn orders(plan: &Plan<FlowRunStatus>) -> Vec<&GatewayOrder> {
    let steps = plan.steps.iter();
    let orders =
        steps.filter_map(|step| if let Step::Gateway(step) = step { Some(&step.order) } else { None });
    orders.collect()
}

fn finalizers(plan: &Plan<FlowRunStatus>) -> Option<&[String]> {
    plan.steps.iter().find_map(|step| match step {
        Step::Finalize { finalizers, .. } => Some(finalizers.as_slice()),
        _ => None,
    })
}

fn jobs(plan: &Plan<FlowRunStatus>) -> usize {
    let is_job = |step: &&Step| matches!(step, Step::Create(object) if matches!(**object, Object::Job(_)));
    plan.steps.iter().filter(is_job).count()
}

fn told(plan: &Plan<FlowRunStatus>) -> Vec<Reason> {
    plan.events.iter().map(|note| note.reason).collect()
}

fn message(plan: &Plan<FlowRunStatus>) -> &str {
    plan.status.message.as_deref().unwrap_or_default()
}

#[test]
fn a_run_is_bound_before_it_intends_and_intends_before_it_asks() {
    let mut free = run(None);
    free.metadata.finalizers = None;
    let bound = planned(&free, offer(), now());
    assert_eq!(finalizers(&bound), Some([FINALIZER.to_owned()].as_slice()));
    assert_eq!((bound.status.gateway.as_ref(), orders(&bound).len()), (None, 0));

    let intends = planned(&run(None), offer(), now());
    let intent = intends.status.gateway.clone().unwrap();
    assert_eq!((intent.by.as_str(), intent.asked_at.0, intent.cluster), ("me", now(), None));
    assert_eq!(intent.since.map(|time| time.0), Some(after(-5)), "by the gateway's clock");
    assert_eq!(orders(&intends).len(), 0, "it is not written yet");
    assert!(intends.wants.covers(Wants::OBJECT));

    let asks = planned(&run(Some(&asked(&json!({})))), GatewayView::Asked(Creation::Untried), now());
    let intent = Intent { asked_at: now(), run: "run-uid".to_owned() };
    assert_eq!(orders(&asks), [&GatewayOrder::Create { intent, options: serde_json::Map::new() }]);
    assert!(asks.wants.covers(Wants::OBJECT), "the intent stands in the API server");

    let mut unwritten = seen(flow(&json!({})), GatewayView::Asked(Creation::Untried));
    unwritten.unwritten = true;
    assert_eq!(orders(&plan(&run(Some(&asked(&json!({})))), &unwritten, now())).len(), 0);
}

#[test]
fn while_another_run_asks_a_run_waits() {
    let waits = GatewayView::Asked(Creation::Waits { run: "other".to_owned() });
    let plan = planned(&run(Some(&asked(&json!({})))), waits, now());
    assert_eq!((orders(&plan).len(), plan.next), (0, Next::After(TURN)));
    assert!(message(&plan).starts_with("run other asks the gateway"), "{}", message(&plan));
}

#[test]
fn a_cluster_that_was_made_is_written_down_and_then_equipped() {
    let made = GatewayView::Asked(Creation::Made("c1".to_owned()));
    let plan = planned(&run(Some(&asked(&json!({})))), made, now());
    assert_eq!(plan.status.gateway.as_ref().unwrap().cluster.as_deref(), Some("c1"));
    assert_eq!((told(&plan), orders(&plan).len()), (vec![Reason::ClusterCreated], 0));

    let known = asked(&json!({"cluster": "c1"}));
    let starts = planned(&run(Some(&known)), cluster(ClusterState::Starting, Workers::NotAsked), now());
    assert_eq!((message(&starts), orders(&starts).len()), ("the gateway's cluster c1 is starting", 0));

    let runs = planned(&run(Some(&known)), cluster(ClusterState::Running, Workers::NotAsked), now());
    let [GatewayOrder::Certificate { cluster: of, secret }, GatewayOrder::Scale { workers: 2, .. }] =
        orders(&runs)[..]
    else {
        panic!("{runs:?}")
    };
    assert_eq!(
        (of.as_str(), secret.metadata.owner_references.as_ref().unwrap()[0].uid.as_str()),
        ("c1", "run-uid")
    );
    let written = runs.status.gateway.clone().unwrap();
    assert_eq!(
        (written.secret_name, written.workers, written.dashboard.as_deref()),
        (secret.metadata.name.clone(), Some(2), Some("/d"))
    );
    for (length, is_written) in [(512, true), (513, false)] {
        let mut view = cluster(ClusterState::Running, Workers::NotAsked);
        let GatewayView::Cluster(ClusterView { dashboard, .. }) = &mut view else { panic!("{view:?}") };
        *dashboard = Some("/".repeat(length));
        let written = planned(&run(Some(&known)), view, now()).status.gateway.unwrap().dashboard;
        assert_eq!(written.map(|path| path.len()), is_written.then_some(length));
    }
}

#[test]
fn the_runner_starts_when_all_workers_are_registered() {
    let mut known = equipped();
    known["dashboard"] = json!("/d{}$x");
    let with = |count| {
        planned(&run(Some(&known)), cluster(ClusterState::Running, Workers::Registered(count)), now())
    };
    let (few, all) = (with(1), with(2));
    assert_eq!((jobs(&few), message(&few)), (0, "1 of 2 workers of the gateway's cluster c1 are registered"));
    assert_eq!(jobs(&all), 1, "{all:?}");
    let job = all.steps.iter().find_map(|step| match step {
        Step::Create(object) => match object.as_ref() {
            Object::Job(job) => Some(serde_json::to_value(job).unwrap()),
            _ => None,
        },
        _ => None,
    });
    let pod = &job.unwrap()["spec"]["template"]["spec"];
    let env: BTreeMap<&str, &str> = pod["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(env["DASK_SCHEDULER_ADDRESS"], "tls://daskgateway-c1:8000");
    assert_eq!((env["DASKFLOW_SCHEDULER_PROXY"], env["DASKFLOW_CLUSTER_SHARED"]), ("gw", "true"));
    assert_eq!(env["DASK_DISTRIBUTED__DASHBOARD__LINK"], "http://gw:8000/x/d{{}}$$x");
    let secrets: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["secret"]["secretName"]).collect();
    assert!(secrets.contains(&&json!("s")), "{secrets:?}");
    assert!(!pod.to_string().contains("login"), "the runner has no login: {pod}");
}

#[test]
fn an_option_that_the_gateway_lacks_is_named_with_those_that_it_has() {
    let observed = seen(flow(&json!({"options": {"size": "large", "gpus": 1}})), offer());
    let plan = plan(&run(None), &observed, now());
    assert_eq!(plan.status.gateway, None, "it is not asked for that");
    assert_eq!(plan.status.reason.as_deref(), Some("GatewayRefused"));
    assert_eq!(message(&plan), "the gateway at http://gw:8000/x has no option gpus: it has cores, size");
}

#[test]
fn what_a_gateway_says_is_told_and_ends_as_a_timeout() {
    let refused = Creation::Refused {
        reason: Reason::GatewayRefused,
        message: "user limit".to_owned(),
        until: after(30),
    };
    let known = run(Some(&asked(&json!({}))));
    let waits = planned(&known, GatewayView::Asked(refused.clone()), now());
    assert_eq!((message(&waits), told(&waits)), ("user limit", vec![Reason::GatewayRefused]));
    assert!(
        waits.status.gateway.is_some() && waits.next == Next::After(Duration::from_secs(2)),
        "{:?}",
        waits.next
    );
    let again = planned(&known, GatewayView::Asked(refused.clone()), after(30));
    assert_eq!(again.status.gateway, None, "a new intent follows");
    let late = planned(&known, GatewayView::Asked(refused), after(601));
    assert_eq!(late.status.reason.as_deref(), Some("ClusterTimeout"));
    assert!(message(&late).contains("at the end: user limit"), "{}", message(&late));
    let away = planned(&run(None), silent(false), now());
    assert_eq!((away.status.reason.as_deref(), message(&away)), (Some("GatewayUnreachable"), "away"));
}

#[rstest]
#[case::one(Some(["c1"].as_slice()), Some("c1"), vec![Reason::ClusterCreated])]
#[case::none(Some([].as_slice()), None, vec![Reason::GatewayClusterUnknown])]
#[case::two(Some(["c1", "c2"].as_slice()), None, vec![Reason::GatewayClusterUnknown])]
fn a_cluster_is_adopted_only_if_it_can_be_no_others(
    #[case] found: Option<&[&str]>,
    #[case] adopted: Option<&str>,
    #[case] notes: Vec<Reason>,
) {
    let known = run(Some(&asked(&json!({}))));
    let early = planned(&known, lost(found), after(14));
    assert!(
        early.status.gateway.as_ref().is_some_and(|known| known.cluster.is_none()),
        "another one may come"
    );
    let settled = planned(&known, lost(found), after(15));
    assert_eq!(settled.status.gateway.as_ref().and_then(|known| known.cluster.as_deref()), adopted);
    assert_eq!((told(&settled), orders(&settled).len()), (notes, 0), "what is uncertain is not ended");
    let busy = planned(&known, lost(None), after(60));
    assert!(busy.status.gateway.is_some(), "another run's request is under way");
}

#[test]
fn a_cluster_that_fails_fails_its_attempt_and_the_next_one_gets_another() {
    let failed = cluster(ClusterState::Ended(EndOfCluster::Failed), Workers::NotAsked);
    let known = asked(&json!({"cluster": "c1"}));
    let plan = planned(&run(Some(&known)), failed.clone(), now());
    assert_eq!((plan.status.phase, plan.status.gateway.as_ref()), (Phase::Retrying, None));
    assert!(
        message(&plan).contains("c1 has failed: the cause is in the gateway's own log"),
        "{}",
        message(&plan)
    );

    let mut second = run(Some(&known));
    second.status.as_mut().unwrap().attempt = Some(2);
    let plan = planned(&second, failed, now());
    assert_eq!((plan.status.phase, plan.status.gateway.as_ref()), (Phase::Provisioning, None), "{plan:?}");
}

#[test]
fn a_cluster_that_ends_under_a_run_is_lost() {
    let mut at_work = run(Some(&equipped()));
    let status = at_work.status.as_mut().unwrap();
    (status.phase, status.job) = (Phase::Running, Some("etl-1-1".to_owned()));
    status.started_at = Some(Time(now()));
    let looks = |view| {
        let mut observed = seen(flow(&json!({})), view);
        let job =
            json!({"metadata": {"name": "etl-1-1", "uid": "j", "creationTimestamp": now().to_string()}});
        observed.job = Some(Arc::new(serde_json::from_value(job).unwrap()));
        plan(&at_work, &observed, now())
    };
    let stopped = looks(cluster(ClusterState::Ended(EndOfCluster::Stopped), Workers::NotAsked));
    assert_eq!(stopped.status.stop.as_ref().map(|stop| stop.reason.as_str()), Some("ClusterLost"));
    for goes_on in [silent(false), cluster(ClusterState::Running, Workers::NotAsked)] {
        let plan = looks(goes_on);
        assert_eq!((plan.status.stop.as_ref(), plan.next), (None, Next::After(WATCHED_EVERY)));
    }
}

#[rstest]
#[case::succeeded(Phase::Succeeded)]
#[case::failed(Phase::Failed)]
#[case::cancelled(Phase::Cancelled)]
#[case::timed_out(Phase::TimedOut)]
fn however_a_run_ends_its_cluster_is_ended_and_then_it_is_free(#[case] phase: Phase) {
    let mut over = run(Some(&equipped()));
    over.status.as_mut().unwrap().phase = phase;
    let stops = planned(&over, cluster(ClusterState::Running, Workers::NotAsked), now());
    assert_eq!(orders(&stops), [&GatewayOrder::Stop { cluster: "c1".to_owned() }]);
    assert_eq!((finalizers(&stops), stops.status.gateway.is_some()), (None, true));
    let away = planned(&over, silent(false), now());
    assert_eq!((orders(&away).len(), finalizers(&away), away.next), (0, None, Next::After(TRY_AGAIN)));
    let free = planned(&over, cluster(ClusterState::Ended(EndOfCluster::Stopped), Workers::NotAsked), now());
    assert_eq!((finalizers(&free), &free.status.gateway), (Some([].as_slice()), &None));
}

#[test]
fn a_cluster_is_kept_after_a_failure_where_the_flow_says_so() {
    let mut over = run(Some(&equipped()));
    let status = over.status.as_mut().unwrap();
    (status.phase, status.finished_at) = (Phase::Failed, Some(Time(now())));
    let mut keeps = flow(&json!({}));
    keeps.spec.cluster.keep_on_failure = serde_json::from_value(json!("30m")).unwrap();
    let running = cluster(ClusterState::Running, Workers::NotAsked);
    let kept = plan(&over, &seen(keeps.clone(), running.clone()), after(60));
    assert_eq!((orders(&kept).len(), finalizers(&kept), kept.next), (0, None, Next::At(after(1800))));
    assert_eq!(orders(&plan(&over, &seen(keeps, running), after(1800))).len(), 1);
}

#[test]
fn a_run_that_is_deleted_waits_for_the_end_of_its_cluster_but_not_for_ever() {
    let mut deleted = run(Some(&equipped()));
    deleted.metadata.deletion_timestamp = Some(Time(now()));
    let running = || cluster(ClusterState::Running, Workers::NotAsked);
    let stops = planned(&deleted, running(), after(1));
    assert_eq!((orders(&stops).len(), finalizers(&stops)), (1, None));
    let free =
        planned(&deleted, cluster(ClusterState::Ended(EndOfCluster::Unknown), Workers::NotAsked), after(1));
    assert_eq!((finalizers(&free), told(&free)), (Some([].as_slice()), vec![]));
    for (view, at) in [(running(), after(300)), (silent(false), after(300)), (silent(true), after(1))] {
        let plan = planned(&deleted, view, at);
        assert_eq!(
            (finalizers(&plan), told(&plan)),
            (Some([].as_slice()), vec![Reason::GatewayClusterUnknown])
        );
    }
    assert_eq!(finalizers(&planned(&deleted, silent(false), after(299))), None);
    deleted.metadata.finalizers = None;
    assert_eq!(planned(&deleted, running(), after(1)).steps, []);
}

#[test]
fn an_intent_that_may_have_been_carried_out_is_followed_to_its_end() {
    let mut over = run(Some(&asked(&json!({}))));
    over.status.as_mut().unwrap().phase = Phase::Cancelled;
    let untried = planned(&over, GatewayView::Asked(Creation::Untried), now());
    assert_eq!((untried.status.gateway.as_ref(), orders(&untried).len()), (None, 0));
    for view in [GatewayView::Asked(Creation::Made("c1".to_owned())), lost(Some(&["c1"]))] {
        let found = planned(&over, view, after(15));
        assert_eq!(found.status.gateway.as_ref().and_then(|known| known.cluster.as_deref()), Some("c1"));
        assert_eq!(finalizers(&found), None, "it is ended first");
    }
    let uncertain = planned(&over, lost(Some(&["c1", "c2"])), after(15));
    assert_eq!((told(&uncertain), orders(&uncertain).len()), (vec![Reason::GatewayClusterUnknown], 0));
}

#[test]
fn a_suspended_run_has_no_cluster() {
    let mut held = run(Some(&equipped()));
    held.status.as_mut().unwrap().phase = Phase::Queued;
    held.spec.suspend = true;
    let plan = planned(&held, cluster(ClusterState::Running, Workers::NotAsked), now());
    assert_eq!((orders(&plan).len(), plan.status.phase), (1, Phase::Queued));
}

#[test]
fn a_flow_that_names_another_gateway_gets_its_cluster_there() {
    let other = flow(&json!({"address": "http://other"}));
    let known = run(Some(&equipped()));
    assert_eq!(needs(&known, Some(&other)).gateway.unwrap().address, ADDRESS);
    let stops =
        plan(&known, &seen(other.clone(), cluster(ClusterState::Running, Workers::Registered(2))), now());
    assert_eq!((orders(&stops).len(), jobs(&stops)), (1, 0), "{stops:?}");
    let ended = cluster(ClusterState::Ended(EndOfCluster::Stopped), Workers::NotAsked);
    assert_eq!(plan(&known, &seen(other, ended), now()).status.gateway, None);
}
