use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::api::network_policy::NetworkPolicySpec as Wish;
use crate::api::{DaskClusterSpec, Flow, FlowRun};
use crate::plan::Wants;
use crate::plan::cluster::{Observed, plan};
use crate::plan::pods::runner::{self, Attempt, LogicalTime, Target};
use crate::plan::pods::worker;

const COMM_PORT: i32 = 8786;
const DASHBOARD_PORT: i32 = 8787;
const WORKER_HTTP_PORT: i32 = 8788;

const INSTALLED: &str = include_str!("../../../../manifests/install.yaml");

type Labels = BTreeMap<String, String>;

fn cluster(name: &str) -> DaskCluster {
    let spec = DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() };
    let mut cluster = DaskCluster::new(name, spec);
    cluster.metadata.namespace = Some("team".into());
    cluster.metadata.uid = Some("uid-1".into());
    cluster.spec.network_policy = Some(Wish { enabled: true });
    cluster
}

fn scheduler_of(cluster: &DaskCluster) -> Labels {
    scheduler::pod(cluster, Site::Kubernetes, None).unwrap().metadata.labels.unwrap()
}

fn worker_of(cluster: &DaskCluster) -> Labels {
    let group = (worker::DEFAULT_GROUP, &cluster.spec.workers);
    worker::pod(cluster, Site::Kubernetes, None, group, 1).unwrap().metadata.labels.unwrap()
}

fn labels_of(template: PodTemplateSpec) -> Labels {
    template.metadata.unwrap().labels.unwrap()
}

/// The labels of a runner, whose user gave it a label of a cluster's pods.
fn runner_pod() -> Labels {
    let template = json!({"metadata": {"labels": {labels::CLUSTER_NAME: "analytics"}}});
    let spec = json!({"image": "flows:1", "code": {"inline": "pass"}, "cluster": {"ref": {"name": "analytics"}},
        "template": template});
    let flow = Flow::new("etl", serde_json::from_value(spec).unwrap());
    let run = FlowRun::new("etl-1", serde_json::from_value(json!({"flow": "etl"})).unwrap());
    let attempt = Attempt {
        site: Site::Kubernetes,
        flow: &flow,
        run: &run,
        number: 1,
        target: &Target::default(),
        script: None,
        parameters: serde_json::Map::new(),
        time: LogicalTime::default(),
        timeout: None,
    };
    labels_of(runner::job(&attempt).unwrap().spec.unwrap().template)
}

/// The labels of the operator's pods, as it is installed.
fn operator_pod() -> Labels {
    let documents = serde_yaml::Deserializer::from_str(INSTALLED);
    let values = documents.map(|document| serde_yaml::Value::deserialize(document).unwrap());
    let mut deployments = values.filter(|value| value["kind"] == "Deployment");
    let deployment: Deployment = serde_yaml::from_value(deployments.next().unwrap()).unwrap();
    assert!(deployments.next().is_none(), "there is one operator");
    labels_of(deployment.spec.unwrap().template)
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let mut expressions = selector.match_expressions.iter().flatten();
    equal
        && expressions.all(|expression| {
            assert_eq!(expression.operator, "In");
            let values = expression.values.as_ref().unwrap();
            labels.get(&expression.key).is_some_and(|value| values.contains(value))
        })
}

/// Whether a pod with the labels `from`, in its namespace, may open a connection to a port of the pod `to` of
/// the namespace "team", as Kubernetes reads the policy.
fn may_reach(policy: &NetworkPolicy, (namespace, from): (&str, &Labels), (to, port): (&Labels, i32)) -> bool {
    let home = policy.metadata.namespace.as_deref().unwrap();
    let spec = policy.spec.as_ref().unwrap();
    assert_eq!(spec.policy_types.as_deref(), Some(&["Ingress".to_owned()][..]));
    if home != "team" || !selects(spec.pod_selector.as_ref().unwrap(), to) {
        return true;
    }
    let is_peer = |peer: &NetworkPolicyPeer| {
        assert!(peer.ip_block.is_none());
        let is_there = match &peer.namespace_selector {
            None => namespace == home,
            Some(all) => *all == LabelSelector::default(),
        };
        is_there && peer.pod_selector.as_ref().is_none_or(|pods| selects(pods, from))
    };
    let is_port = |wanted: &NetworkPolicyPort| {
        wanted.protocol.as_deref() == Some("TCP") && wanted.port == Some(IntOrString::Int(port))
    };
    spec.ingress.iter().flatten().any(|rule| {
        rule.from.as_ref().is_none_or(|peers| peers.iter().any(is_peer))
            && rule.ports.as_ref().is_none_or(|ports| ports.iter().any(is_port))
    })
}

#[test]
fn its_own_pods_reach_each_other_on_all_ports() {
    let cluster = cluster("analytics");
    let policy = network_policy(&cluster, Site::Kubernetes);
    let (scheduler, worker) = (scheduler_of(&cluster), worker_of(&cluster));
    for (from, to) in [(&worker, &scheduler), (&scheduler, &worker), (&worker, &worker)] {
        for port in [COMM_PORT, DASHBOARD_PORT, WORKER_HTTP_PORT, 40_123] {
            assert!(may_reach(&policy, ("team", from), (to, port)), "{port}");
        }
        assert!(!may_reach(&policy, ("other", from), (to, COMM_PORT)), "of another namespace");
    }
}

#[test]
fn runners_of_the_namespace_reach_scheduler_and_workers() {
    let cluster = cluster("analytics");
    let (policy, runner) = (network_policy(&cluster, Site::Kubernetes), runner_pod());
    for to in [scheduler_of(&cluster), worker_of(&cluster)] {
        assert!(may_reach(&policy, ("team", &runner), (&to, COMM_PORT)));
        assert!(may_reach(&policy, ("team", &runner), (&to, 40_123)));
        assert!(!may_reach(&policy, ("other", &runner), (&to, COMM_PORT)));
    }
}

#[test]
fn the_operator_reaches_the_comm_port_alone_from_wherever_it_is() {
    let cluster = cluster("analytics");
    let (policy, operator) = (network_policy(&cluster, Site::Kubernetes), operator_pod());
    let scheduler = scheduler_of(&cluster);
    for namespace in ["daskflow-system", "team"] {
        assert!(may_reach(&policy, (namespace, &operator), (&scheduler, COMM_PORT)));
        assert!(!may_reach(&policy, (namespace, &operator), (&scheduler, DASHBOARD_PORT)));
    }
}

#[test]
fn nobody_else_reaches_it() {
    let cluster = cluster("analytics");
    let policy = network_policy(&cluster, Site::Kubernetes);
    let another = self::cluster("analytics-2");
    let of_dask_kubernetes: Labels =
        [(labels::CLUSTER_NAME, "analytics"), (labels::COMPONENT, labels::WORKER)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    let strangers = [scheduler_of(&another), worker_of(&another), Labels::new(), of_dask_kubernetes];
    for to in [scheduler_of(&cluster), worker_of(&cluster)] {
        for from in &strangers {
            for (namespace, port) in [("team", COMM_PORT), ("team", DASHBOARD_PORT), ("other", COMM_PORT)] {
                assert!(!may_reach(&policy, (namespace, from), (&to, port)), "{from:?} on {port}");
            }
        }
    }
}

#[test]
fn pods_that_are_not_the_clusters_are_left_as_they_are() {
    let policy = network_policy(&cluster("analytics"), Site::Kubernetes);
    let another = scheduler_of(&cluster("analytics-2"));
    for to in [another, runner_pod(), operator_pod(), Labels::new()] {
        assert!(may_reach(&policy, ("anywhere", &Labels::new()), (&to, COMM_PORT)), "{to:?}");
    }
}

/// The policy as it comes back from the API server.
fn stored(cluster: &DaskCluster) -> NetworkPolicy {
    let mut policy = network_policy(cluster, Site::Kubernetes);
    policy.metadata.uid = Some("uid-2".into());
    policy.metadata.resource_version = Some("7".into());
    serde_json::from_value(serde_json::to_value(policy).unwrap()).unwrap()
}

fn rules(policy: &mut NetworkPolicy) -> &mut Vec<NetworkPolicyIngressRule> {
    policy.spec.as_mut().unwrap().ingress.as_mut().unwrap()
}

/// The steps that are about the policy.
fn steps(cluster: &DaskCluster, there: Option<NetworkPolicy>) -> Vec<Step> {
    let observed = Observed { network_policy: there.map(Arc::new), known: Wants::ALL, ..Observed::default() };
    let mut steps = plan(cluster, &observed, jiff::Timestamp::UNIX_EPOCH).steps;
    steps.retain(|step| match step {
        Step::Apply(object) => matches!(object.as_ref(), Applied::NetworkPolicy(_)),
        Step::Delete(victim) => victim.kind == VictimKind::NetworkPolicy,
        _ => false,
    });
    steps
}

#[test]
fn it_is_written_where_it_is_missing_and_left_where_it_is_right() {
    let mut cluster = cluster("analytics");
    let wanted = [Step::Apply(Box::new(Applied::NetworkPolicy(network_policy(&cluster, Site::Kubernetes))))];
    assert_eq!(steps(&cluster, None), wanted);
    assert_eq!(steps(&cluster, Some(stored(&cluster))), []);
    cluster.spec.suspend = true;
    assert_eq!(steps(&cluster, None), wanted, "before its first pod");
    assert_eq!(steps(&cluster, Some(stored(&cluster))), []);
}

#[test]
fn a_policy_that_was_changed_by_hand_is_written_again() {
    let cluster = cluster("analytics");
    let change = |change: fn(&mut NetworkPolicy)| {
        let mut policy = stored(&cluster);
        change(&mut policy);
        steps(&cluster, Some(policy)).len()
    };
    assert_eq!(change(|policy| policy.metadata.labels = None), 1);
    assert_eq!(change(|policy| policy.metadata.owner_references = None), 1);
    assert_eq!(change(|policy| policy.spec = None), 1);
    assert_eq!(change(|policy| rules(policy).clear()), 1);
    // What a rule leaves out is "any": one that says less, or more, is another one.
    assert_eq!(change(|policy| rules(policy)[1].ports = None), 1);
    assert_eq!(change(|policy| rules(policy)[1].from = None), 1);
    assert_eq!(change(|policy| rules(policy)[0].ports = Some(vec![comm_port(Site::Kubernetes)])), 1);
    let fewer_pods = |policy: &mut NetworkPolicy| {
        let selector = policy.spec.as_mut().unwrap().pod_selector.as_mut().unwrap();
        selector.match_labels.as_mut().unwrap().insert("a".into(), "b".into());
    };
    assert_eq!(change(fewer_pods), 1);
    // What others add beside ours is theirs.
    assert_eq!(change(|policy| policy.metadata.annotations = Some([("a".into(), "b".into())].into())), 0);
    assert_eq!(change(|policy| policy.spec.as_mut().unwrap().egress = Some(Vec::new())), 0);
}

#[test]
fn it_goes_where_it_is_no_longer_wanted_if_it_is_ours() {
    for wish in [None, Some(Wish { enabled: false })] {
        let mut cluster = cluster("analytics");
        let policy = stored(&cluster);
        cluster.spec.network_policy = wish;
        let victim =
            Victim { kind: VictimKind::NetworkPolicy, name: "analytics".into(), uid: Some("uid-2".into()) };
        assert_eq!(steps(&cluster, Some(policy.clone())), [Step::Delete(victim)]);
        assert_eq!(steps(&cluster, None), []);

        let mut another = policy.clone();
        another.metadata.owner_references.as_mut().unwrap()[0].uid = "uid-0".into();
        assert_eq!(steps(&cluster, Some(another)), [], "of an earlier cluster of the name");
        let users = NetworkPolicy {
            metadata: ObjectMeta { owner_references: None, ..policy.metadata.clone() },
            ..policy
        };
        assert_eq!(steps(&cluster, Some(users)), [], "of a user");
    }
}
