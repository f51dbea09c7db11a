//! Each question to a ground, for each of them.

use super::*;
use crate::api::common::NameRef;
use crate::plan::pods::mounts::Files;

const RUN: &str = "etl-20261201t090000";
const ADDRESS: &str = "tls://dask:8786";
const GATEWAY: &str = "https://gw";

fn with(cluster: ClusterSource) -> Flow {
    let mut flow = flow();
    flow.spec.cluster = cluster;
    flow
}

fn shared() -> Flow {
    with(ClusterSource { ref_: Some(NameRef { name: "analytics".into() }), ..ClusterSource::default() })
}

fn own() -> Flow {
    let template = DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() };
    with(ClusterSource { template: Some(template), ..ClusterSource::default() })
}

fn foreign() -> Flow {
    let tls = ClientTls { secret_name: "mine".into(), verify_host_name: true };
    with(ClusterSource { address: Some(ADDRESS.into()), tls: Some(tls), ..ClusterSource::default() })
}

fn gateway() -> Flow {
    let gateway = json!({"address": GATEWAY, "auth": {"type": "Basic", "secretName": "login"}, "workers": 2});
    with(ClusterSource { gateway: serde_json::from_value(gateway).unwrap(), ..ClusterSource::default() })
}

fn own_name() -> String {
    names::cluster_name_for_run(RUN)
}

/// The cluster that was made for [`run`].
fn made() -> DaskCluster {
    let mut made = cluster(true);
    made.metadata.name = Some(own_name());
    made.metadata.owner_references = controller_ref(&run(Phase::Provisioning)).map(|owner| vec![owner]);
    made
}

fn answering(workers: usize) -> ForeignScheduler {
    let tls = Files { secret: "mine".into(), own_authority: true, key_in_certificate: false };
    ForeignScheduler::Answering { workers, tls: Some(tls) }
}

fn seen(cluster: Option<DaskCluster>, foreign: ForeignScheduler) -> Observed {
    Observed { cluster: cluster.map(Arc::new), foreign, ..Observed::default() }
}

fn says(reason: Reason, message: &str) -> (Reason, String) {
    (reason, message.to_owned())
}

#[rstest]
#[case::shared(shared(), "analytics".to_owned(), Some("analytics"), None)]
#[case::own(own(), own_name(), None, None)]
#[case::foreign(foreign(), ADDRESS.to_owned(), None, Some(ADDRESS))]
fn a_ground_is_known_by_what_the_flow_names(
    #[case] flow: Flow,
    #[case] name: String,
    #[case] shared: Option<&str>,
    #[case] asked: Option<&str>,
) {
    let (ground, run) = (Ground::of(&flow), run(Phase::Provisioning));
    assert_eq!(ground.name(&run), name);
    assert_eq!(ground.shared(), shared);
    assert_eq!(ground.to_ask().map(|(address, _)| address), asked);
    assert_eq!(ground.to_ask().and_then(|(_, tls)| tls), flow.spec.cluster.tls.as_ref());
    assert_eq!(ground.is_outside(), asked.is_some());
    assert_eq!(needs(&run, Some(&flow)).scheduler, ground.to_ask());
    let to_observe = asked.is_none().then_some(name);
    assert_eq!(cluster_to_observe(&run, Some(&flow)), to_observe);
    let missing = ground.if_missing().map(|violation| (violation.field, violation.reason));
    assert_eq!(missing, shared.map(|_| ("spec.cluster.ref".to_owned(), Reason::ClusterNotFound)));
}

#[rstest]
#[case::shared_there(shared(), seen(Some(cluster(true)), ForeignScheduler::NotAsked), None)]
#[case::shared_starts(
    shared(),
    seen(Some(cluster(false)), ForeignScheduler::NotAsked),
    Some(says(
        Reason::WorkersStarting,
        "the DaskCluster analytics is not ready: 0 of 1 workers are registered"
    ))
)]
#[case::shared_missing(
    shared(),
    Observed::default(),
    Some(says(Reason::ClusterNotFound, "there is no DaskCluster called analytics in this namespace"))
)]
#[case::own_there(own(), seen(Some(made()), ForeignScheduler::NotAsked), None)]
#[case::own_missing(
    own(),
    Observed::default(),
    Some(says(Reason::ClusterNotReady, &format!("the DaskCluster {} of this run is being created", own_name())))
)]
#[case::foreign_there(foreign(), seen(None, answering(1)), None)]
#[case::foreign_empty(
    foreign(),
    seen(None, answering(0)),
    Some(says(Reason::WorkersStarting, "the scheduler at tls://dask:8786 has no workers"))
)]
#[case::foreign_not_asked(
    foreign(),
    Observed::default(),
    Some(says(Reason::ClusterNotReady, "the scheduler at tls://dask:8786 is being asked"))
)]
#[case::foreign_silent(
    foreign(),
    seen(None, ForeignScheduler::Unreachable { reason: Reason::SchedulerUnreachable, message: "no".into() }),
    Some(says(Reason::SchedulerUnreachable, "no"))
)]
fn a_run_waits_for_its_ground(
    #[case] flow: Flow,
    #[case] observed: Observed,
    #[case] expected: Option<(Reason, String)>,
) {
    assert_eq!(Ground::of(&flow).not_ready(&run(Phase::Provisioning), &observed), expected);
}

#[test]
fn a_runner_goes_to_the_scheduler_of_its_ground() {
    let (shared, own, foreign) = (shared(), own(), foreign());
    let there = |cluster| seen(Some(cluster), ForeignScheduler::NotAsked);
    let target = Ground::of(&shared).target(&run(Phase::Provisioning), &there(cluster(true)));
    assert_eq!(target.address, "tcp://analytics-scheduler.team.svc:8786");
    assert_eq!((target.image.as_deref(), target.is_shared), (Some("flows:1"), true));
    let target = Ground::of(&own).target(&run(Phase::Provisioning), &there(made()));
    assert_eq!(target.address, format!("tcp://{}-scheduler.team.svc:8786", own_name()));
    assert!(!target.is_shared, "it ends with the run");
    let target = Ground::of(&foreign).target(&run(Phase::Provisioning), &seen(None, answering(1)));
    assert_eq!((target.address.as_str(), target.image, target.is_shared), (ADDRESS, None, true));
    assert_eq!(target.tls.map(|files| files.secret).as_deref(), Some("mine"));
}

#[test]
fn only_what_is_made_for_the_run_is_made_and_only_once() {
    let (shared, own, foreign) = (shared(), own(), foreign());
    let run = run(Phase::Provisioning);
    let (step, note) = Ground::of(&own).ensure(&run, &Observed::default()).unwrap();
    let Step::Create(object) = step else { panic!("{step:?}") };
    let Object::Cluster(cluster) = *object else { panic!("{object:?}") };
    assert_eq!((cluster.name_any(), note.reason), (own_name(), Reason::ClusterCreated));
    assert_eq!(Some(&cluster.spec), own.spec.cluster.template.as_ref());
    assert_eq!(cluster.owner_references().first().map(|owner| owner.uid.as_str()), Some("run-uid"));
    assert_eq!(cluster.labels()[labels::FLOW], "etl");
    assert_eq!(cluster.labels()[labels::RUN], RUN);
    assert_eq!(Ground::of(&own).ensure(&run, &seen(Some(made()), ForeignScheduler::NotAsked)), None);
    for other in [&shared, &foreign] {
        assert_eq!(Ground::of(other).ensure(&run, &Observed::default()), None);
    }
}

#[test]
fn what_was_made_for_a_run_is_left_behind_on_another_ground() {
    let (shared, own, foreign) = (shared(), own(), foreign());
    let run = run(Phase::Provisioning);
    let observed = Observed { own: Some(Arc::new(made())), ..Observed::default() };
    let release = ground::release(&run, &observed);
    assert!(matches!(&release, Some(Step::Delete(victim)) if victim.name == own_name()));
    assert_eq!(Ground::of(&own).left_behind(&run, &observed), None);
    for other in [&shared, &foreign] {
        assert_eq!(Ground::of(other).left_behind(&run, &observed), release);
    }
    // Neither one that is being deleted, nor one of another owner.
    let mut leaving = made();
    leaving.metadata.deletion_timestamp = Some(Time(now()));
    for own in [leaving, cluster(true)] {
        let observed = Observed { own: Some(Arc::new(own)), ..Observed::default() };
        assert_eq!(ground::release(&run, &observed), None);
    }
}

#[rstest]
#[case::as_it_was(Some("pod/0"), true, Some("pod/0"), None)]
#[case::not_begun(None, false, None, None)]
#[case::cluster(Some("pod/0"), false, None, Some("the DaskCluster analytics went away under the run"))]
#[case::scheduler(Some("pod/0"), true, None, Some("the Dask scheduler of analytics went away under the run"))]
#[case::restart(
    Some("pod/0"),
    true,
    Some("pod/1"),
    Some("the Dask scheduler of analytics was started anew under the run")
)]
fn an_attempt_loses_the_scheduler_that_it_began_on(
    #[case] begun: Option<&str>,
    #[case] is_there: bool,
    #[case] scheduler: Option<&str>,
    #[case] expected: Option<&str>,
) {
    let status = FlowRunStatus {
        cluster: Some("analytics".into()),
        job: Some(names::job_name(RUN, 1)),
        scheduler: begun.map(str::to_owned),
        ..FlowRunStatus::default()
    };
    let observed = Observed {
        scheduler: scheduler.map(str::to_owned),
        ..seen(is_there.then(|| cluster(true)), ForeignScheduler::NotAsked)
    };
    assert_eq!(ground::lost(&status, &observed).as_deref(), expected);
    let not_launched = FlowRunStatus { job: None, ..status };
    assert_eq!(ground::lost(&not_launched, &observed), None);
}

#[test]
fn only_a_template_can_be_wrong_by_itself() {
    assert_eq!(Ground::of(&shared()).violations(), []);
    assert_eq!(Ground::of(&foreign()).violations(), []);
    let mut own = own();
    assert_eq!(Ground::of(&own).violations(), []);
    own.spec.cluster.template.as_mut().unwrap().workers.args = vec!["--nprocs=2".into()];
    let fields: Vec<String> =
        Ground::of(&own).violations().into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["spec.cluster.template.workers.args"]);
}

#[test]
fn a_gateway_is_outside_and_what_it_makes_is_no_object() {
    let flow = gateway();
    let (ground, run) = (Ground::of(&flow), run(Phase::Provisioning));
    assert_eq!((ground.name(&run).as_str(), ground.shared(), ground.to_ask()), (GATEWAY, None, None));
    assert!(ground.is_outside() && ground.if_missing().is_none());
    assert_eq!(cluster_to_observe(&run, Some(&flow)), None);
    assert_eq!(needs(&run, Some(&flow)).gateway.map(|access| access.address).as_deref(), Some(GATEWAY));
    assert_eq!(ground.ensure(&run, &Observed::default()), None);
    let observed = Observed { own: Some(Arc::new(made())), ..Observed::default() };
    assert_eq!(ground.left_behind(&run, &observed), ground::release(&run, &observed));
    let waits = says(Reason::ClusterNotReady, "the gateway at https://gw is being asked");
    assert_eq!(ground.not_ready(&run, &Observed::default()), Some(waits));
    assert_eq!(ground.violations(), []);
    let mut wrong = gateway();
    wrong.spec.cluster.gateway.as_mut().unwrap().proxy_address = Some("gw:99999".into());
    let fields: Vec<String> = Ground::of(&wrong).violations().into_iter().map(|fault| fault.field).collect();
    assert_eq!(fields, ["spec.cluster.gateway.proxyAddress"]);
}
