//! A cluster that exists, and one that adapts.

use super::*;
use crate::api::gateway::GatewayAdapt;

/// The fields of a gateway whose cluster is named.
fn named() -> Flow {
    flow_of(&json!({"cluster": "c1"}))
}

fn flow_of(size: &Value) -> Flow {
    let mut flow = flow(&json!({}));
    let gateway = flow.spec.cluster.gateway.as_mut().unwrap();
    gateway.workers = None;
    gateway.cluster = size["cluster"].as_str().map(str::to_owned);
    gateway.adapt = serde_json::from_value(size["adapt"].clone()).unwrap();
    flow
}

/// What a run knows of the cluster that its Flow names, with these further fields.
fn joined(more: &Value) -> Value {
    let mut known = asked(&json!({"cluster": "c1", "shared": true}));
    known.as_object_mut().unwrap().remove("by");
    known.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    known
}

/// A run without a finalizer.
fn free(gateway: Option<&Value>) -> FlowRun {
    let mut run = run(gateway);
    run.metadata.finalizers = None;
    run
}

fn looks(run: &FlowRun, view: GatewayView) -> Plan<FlowRunStatus> {
    plan(run, &seen(named(), view), now())
}

fn running(workers: usize) -> GatewayView {
    cluster(ClusterState::Running, Workers::Registered(workers))
}

#[test]
fn a_run_joins_a_cluster_that_exists_and_nothing_is_asked_for() {
    let new = free(None);
    assert_eq!(needs(&new, Some(&named())).gateway, None, "it is asked about a name that the status has");
    let joins = looks(&new, GatewayView::NotAsked);
    let known = joins.status.gateway.clone().unwrap();
    assert_eq!((known.shared, known.cluster.as_deref(), known.by.as_str()), (true, Some("c1"), ""));
    assert_eq!((joins.steps.as_slice(), joins.next), ([].as_slice(), Next::After(AT_ONCE)));

    let known = free(Some(&joined(&json!({}))));
    assert_eq!(needs(&known, Some(&named())).gateway.unwrap().address, ADDRESS);
    let meets = looks(&known, cluster(ClusterState::Running, Workers::NotAsked));
    assert!(matches!(orders(&meets)[..], [GatewayOrder::Certificate { .. }]), "{meets:?}");
    let written = meets.status.gateway.clone().unwrap();
    assert_eq!((written.dashboard.as_deref(), written.workers), (Some("/d"), None));
    assert_eq!((finalizers(&meets), jobs(&meets)), (None, 0));

    // One that adapts has none until there is work.
    let begins = looks(&free(Some(&joined(&json!({"secretName": "s"})))), running(0));
    assert_eq!((jobs(&begins), orders(&begins).len(), finalizers(&begins)), (1, 0, None), "{begins:?}");
}

#[test]
fn a_cluster_that_is_not_there_is_named_with_what_to_do() {
    let known = free(Some(&joined(&json!({}))));
    let ended = |how| ClusterState::Ended(how);
    for (state, part) in [
        (ClusterState::Missing, "has no cluster c1: write one of Gateway(...).list_clusters()"),
        (ended(EndOfCluster::Unknown), "as the user of the Secret login sees it"),
        (ended(EndOfCluster::Stopped), "was ended"),
        (ended(EndOfCluster::Failed), "has failed"),
    ] {
        let plan = looks(&known, cluster(state, Workers::NotAsked));
        assert_eq!((plan.status.phase, told(&plan)), (Phase::Provisioning, vec![Reason::ClusterNotFound]));
        assert!(
            message(&plan).contains(part) && message(&plan).contains("cluster.gateway.cluster"),
            "{plan:?}"
        );
        assert!(plan.status.gateway.is_some() && plan.steps.is_empty(), "it may come: {plan:?}");
        let stalled = plan.status.conditions.iter().find(|one| one.type_ == "Stalled").unwrap();
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "ClusterNotFound"));
    }
    let starts = looks(&known, cluster(ClusterState::Starting, Workers::NotAsked));
    assert_eq!((message(&starts), told(&starts)), ("the gateway's cluster c1 is starting", vec![]));
}

#[rstest]
#[case::own(flow(&json!({})), equipped())]
#[case::shared(named(), joined(&json!({"secretName": "s"})))]
fn a_cluster_that_ends_under_a_run_is_lost_and_one_that_is_out_of_sight_is_not(
    #[case] flow: Flow,
    #[case] known: Value,
) {
    let mut at_work = run(Some(&known));
    let status = at_work.status.as_mut().unwrap();
    (status.phase, status.job) = (Phase::Running, Some("etl-1-1".to_owned()));
    status.started_at = Some(Time(now()));
    let stop = |view| {
        let mut observed = seen(flow.clone(), view);
        let job =
            json!({"metadata": {"name": "etl-1-1", "uid": "j", "creationTimestamp": now().to_string()}});
        observed.job = Some(Arc::new(serde_json::from_value(job).unwrap()));
        plan(&at_work, &observed, now()).status.stop.map(|stop| stop.reason)
    };
    let lost = Some("ClusterLost".to_owned());
    for how in [EndOfCluster::Stopped, EndOfCluster::Failed, EndOfCluster::Unknown] {
        assert_eq!(stop(cluster(ClusterState::Ended(how), Workers::NotAsked)), lost, "{how:?}");
    }
    // A gateway that is away or that was just started.
    assert_eq!(stop(silent(false)), None);
    assert_eq!(stop(cluster(ClusterState::Missing, Workers::NotAsked)), None);
}

#[rstest]
#[case::over(Phase::Succeeded, false)]
#[case::failed(Phase::Failed, false)]
#[case::deleted(Phase::Running, true)]
fn a_cluster_that_exists_outlives_its_runs(#[case] phase: Phase, #[case] is_deleted: bool) {
    let mut over = free(Some(&joined(&json!({"secretName": "s"}))));
    over.status.as_mut().unwrap().phase = phase;
    over.metadata.deletion_timestamp = is_deleted.then(|| Time(now()));
    let plan_of = |run: &FlowRun| looks(run, running(2));
    assert_eq!(plan_of(&over).steps, []);
    // Its Flow had another ground before, and so it is bound.
    over.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let frees = plan_of(&over);
    assert_eq!((orders(&frees).len(), finalizers(&frees)), (0, Some([].as_slice())));
    assert_eq!((frees.status.gateway, frees.events), (None, vec![]));
}

#[test]
fn a_flow_that_names_another_cluster_leaves_the_one_before_as_it_is() {
    let other = flow_of(&json!({"cluster": "c2"}));
    let known = free(Some(&joined(&json!({"secretName": "s"}))));
    let moved = plan(&known, &seen(other.clone(), running(2)), now());
    assert_eq!(moved.status.gateway.as_ref().unwrap().cluster.as_deref(), Some("c2"));
    assert_eq!(
        (moved.steps.as_slice(), message(&moved)),
        ([].as_slice(), "the Flow names another cluster by now")
    );
    // One of its own is ended first.
    let own = run(Some(&equipped()));
    let stops = plan(&own, &seen(other.clone(), running(2)), now());
    assert_eq!(orders(&stops), [&GatewayOrder::Stop { cluster: "c1".to_owned() }]);
    let ended = cluster(ClusterState::Ended(EndOfCluster::Stopped), Workers::NotAsked);
    let joins = plan(&own, &seen(other, ended), now());
    assert!(joins.status.gateway.as_ref().is_some_and(|known| known.shared), "{joins:?}");
    // While its gateway is away that is not waited for longer than clusterTimeout, which is 10 minutes.
    let other = flow_of(&json!({"cluster": "c2"}));
    let waits = plan(&own, &seen(other.clone(), silent(false)), after(599));
    let fails = plan(&own, &seen(other, silent(false)), after(601));
    assert_eq!(waits.status.phase, Phase::Provisioning, "{waits:?}");
    assert_eq!(fails.status.reason.as_deref(), Some("ClusterTimeout"), "{fails:?}");
    assert!(fails.status.gateway.is_some(), "its cluster is still to be ended");
    // And the other way round.
    let makes = plan(&known, &seen(flow(&json!({})), running(2)), now());
    assert_eq!((makes.status.gateway.as_ref(), orders(&makes).len(), jobs(&makes)), (None, 0, 0));
}

#[test]
fn a_cluster_that_adapts_is_asked_for_once_and_waited_for_to_its_minimum() {
    let adapts = |minimum: u32| flow_of(&json!({"adapt": {"minimum": minimum, "maximum": 5}}));
    let bounds = json!({"minimum": 1, "maximum": 5});
    let known = asked(&json!({"cluster": "c1", "secretName": "s"}));
    let runs = cluster(ClusterState::Running, Workers::NotAsked);
    let asks = plan(&run(Some(&known)), &seen(adapts(1), runs.clone()), now());
    let between: GatewayAdapt = serde_json::from_value(bounds.clone()).unwrap();
    assert_eq!(orders(&asks), [&GatewayOrder::Adapt { cluster: "c1".to_owned(), between }]);
    assert_eq!(asks.status.gateway.as_ref().unwrap().adapt, Some(between.into()));

    let known = asked(&json!({"cluster": "c1", "secretName": "s", "adapt": bounds}));
    let with = |flow: Flow, count| plan(&run(Some(&known)), &seen(flow, running(count)), now());
    let (none, one) = (with(adapts(1), 0), with(adapts(1), 1));
    assert_eq!((jobs(&none), orders(&none).len()), (0, 0));
    assert_eq!(message(&none), "0 of 1 workers of the gateway's cluster c1 are registered");
    assert_eq!((jobs(&one), orders(&one).len()), (1, 0));
    // From none: when the scheduler answers. The edited bounds are asked for.
    assert_eq!(jobs(&with(adapts(0), 0)), 1);
    assert_eq!(orders(&with(adapts(0), 0)).len(), 1);
    // So many again.
    let scales = with(flow(&json!({})), 0);
    assert_eq!(orders(&scales), [&GatewayOrder::Scale { cluster: "c1".to_owned(), workers: 2 }]);
    let known = scales.status.gateway.unwrap();
    assert_eq!((known.workers, known.adapt), (Some(2), None));
}

#[test]
fn a_cluster_that_the_gateway_does_not_know_yet_is_waited_for() {
    let known = run(Some(&asked(&json!({"cluster": "c1"}))));
    let waits = planned(&known, cluster(ClusterState::Missing, Workers::NotAsked), now());
    assert_eq!(waits.status.gateway, known.status.as_ref().unwrap().gateway);
    assert_eq!(message(&waits), "the gateway does not know the cluster c1, which may pass");
    let mut over = run(Some(&equipped()));
    over.status.as_mut().unwrap().phase = Phase::Succeeded;
    let stops = planned(&over, cluster(ClusterState::Missing, Workers::NotAsked), now());
    assert_eq!((orders(&stops).len(), finalizers(&stops)), (1, None), "it is ended until that is certain");
}
