//! What GitOps tools write on an object stays on that object: a child that carries the mark of an application
//! would be taken for a part of it, and pruned.

use std::sync::Arc;

use daskflow::api::run_policy::Concurrency;
use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Phase};
use daskflow::plan::cluster::Observed as ClusterObserved;
use daskflow::plan::{Wants, backfill, cluster, flow, run};
use kube::Resource;

use super::scenarios;

/// What Argo CD, Flux, Helm and kubectl put on the objects that they apply; each value tells where it was
/// found.
const MARKS: [(&str, &str); 4] = [
    ("app.kubernetes.io/instance", "an-application"),
    ("argocd.argoproj.io/instance", "an-application"),
    ("kustomize.toolkit.fluxcd.io/name", "an-application"),
    ("helm.toolkit.fluxcd.io/name", "an-application"),
];
const NOTES: [(&str, &str); 5] = [
    ("argocd.argoproj.io/tracking-id", "an-application:daskflow.dev/Flow:team-a/etl"),
    ("argocd.argoproj.io/sync-wave", "an-application"),
    ("kustomize.toolkit.fluxcd.io/prune", "an-application"),
    ("meta.helm.sh/release-name", "an-application"),
    ("kubectl.kubernetes.io/last-applied-configuration", "an-application"),
];

fn marked<K: Resource<DynamicType = ()>>(mut object: K) -> K {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    object.meta_mut().labels = Some(owned(&MARKS));
    object.meta_mut().annotations = Some(owned(&NOTES));
    object
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str) -> K {
    let all = scenarios::all();
    let found = all.into_iter().find(|one| one.kind == kind && one.name == name).unwrap();
    serde_json::from_value(found.object).unwrap()
}

/// Fails if a step carries a mark, or if there is no step at all.
fn assert_clean(what: &str, steps: &[daskflow::plan::Step]) {
    assert!(!steps.is_empty(), "{what} makes nothing");
    let text = format!("{steps:?}");
    for forbidden in ["an-application", "argoproj", "fluxcd", "helm.sh", "last-applied"] {
        assert!(!text.contains(forbidden), "{what} copies {forbidden}: {text}");
    }
}

#[test]
fn children_of_a_cluster_carry_no_mark_of_it() {
    let mut cluster: DaskCluster = marked(object("DaskCluster", "unseen"));
    cluster.spec.network_policy = Some(serde_json::from_value(serde_json::json!({"enabled": true})).unwrap());
    let observed = ClusterObserved { known: Wants::ALL, ..ClusterObserved::default() };
    assert_clean("a cluster", &cluster::plan(&cluster, &observed, scenarios::now()).steps);
    cluster.spec.tls = Some(serde_json::from_value(serde_json::json!({"issuer": "Operator"})).unwrap());
    assert_clean("a cluster with TLS", &cluster::plan(&cluster, &observed, scenarios::now()).steps);
}

#[test]
fn runs_of_ticks_and_backfills_carry_no_mark_of_their_flow() {
    let waiting: Flow = marked(object("Flow", "waiting"));
    let observed = flow::Observed { cluster_exists: true, ..flow::Observed::default() };
    assert_clean("a tick", &flow::plan(&waiting, &observed, scenarios::now()).steps);
    let backfill: FlowBackfill = marked(object("FlowBackfill", "unseen"));
    let observed = backfill::Observed { flow: Some(Arc::new(waiting)), runs: Vec::new() };
    assert_clean("a backfill", &backfill::plan(&backfill, &observed, scenarios::now()).steps);
}

#[test]
fn what_a_run_makes_carries_no_mark_of_it_nor_of_its_flow_nor_of_its_cluster() {
    let mut flow: Flow = marked(object("Flow", "waiting"));
    flow.spec.code =
        Some(daskflow::api::flow::Code { inline: Some("print(1)".into()), ..Default::default() });
    // Under another policy the run would need a place first.
    flow.spec.concurrency = Concurrency::Allow;
    let started: FlowRun = marked(object("FlowRun", "provisioning"));
    let cluster: DaskCluster = marked(object("DaskCluster", "ready"));
    let observed = run::Observed {
        flow: Some(Arc::new(flow.clone())),
        cluster: Some(Arc::new(cluster)),
        ..run::Observed::default()
    };
    let plan = run::plan(&started, &observed, scenarios::now());
    assert_eq!(plan.status.phase, Phase::Provisioning);
    assert_clean("a runner", &plan.steps);

    flow.spec.cluster =
        serde_json::from_value(serde_json::json!({"template": {"image": "flows:1"}})).unwrap();
    let observed = run::Observed { flow: Some(Arc::new(flow)), ..run::Observed::default() };
    assert_clean("a cluster of a run", &run::plan(&started, &observed, scenarios::now()).steps);
}
