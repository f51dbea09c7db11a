//! What people change, and how they wait for it.

use daskflow::api::{FlowRun, Kind, Phase};
use daskflow::client::find::{self, Found, Named, find};
use daskflow::client::{preflight, read, runs, scale, suspend};
use daskflow::plan::facts::phase_of;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::stage::{RUNS, condition, followed, furnished, ours};

fn named(text: &str) -> Named {
    text.parse().unwrap()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_run_is_made_as_it_was_wished() {
    let stage = furnished().await;
    let wish = runs::Wish {
        parameters: object(&json!({"days": 7})),
        logical_time: Some("2025-10-05T00:00:00Z".parse().unwrap()),
        clock: Some("nightly".to_owned()),
        ..runs::Wish::default()
    };
    let run = runs::create(&stage.cluster, "nightly-report", "now", wish).await.unwrap();
    assert!(run.name_any().starts_with("nightly-report-now-"), "{}", run.name_any());
    let wanted = json!({
        "flow": "nightly-report", "parameters": {"days": 7}, "scheduledTime": "2025-10-05T00:00:00Z", "clock": "nightly",
    });
    assert_eq!(serde_json::to_value(&run.spec).unwrap(), wanted);
    let plain = runs::create(&stage.cluster, "nightly-report", "now", runs::Wish::default()).await.unwrap();
    assert_eq!(serde_json::to_value(&plain.spec).unwrap(), json!({"flow": "nightly-report"}));
    // The longest name of a Flow leaves room for all of it.
    let long = "a".repeat(38);
    for word in ["now", "retry"] {
        runs::create(&stage.cluster, &long, word, runs::Wish::default()).await.unwrap();
    }
    let newest = find::flow(&stage.cluster, &named("nightly-report")).await.unwrap();
    let newest = runs::newest(&stage.cluster, &newest).await.unwrap();
    assert!([run.name_any(), plain.name_any()].contains(&newest.name_any()), "{}", newest.name_any());
}

#[tokio::test]
async fn a_retry_has_the_time_and_the_parameters_of_the_earlier_run() {
    let stage = furnished().await;
    let earlier = find::run(&stage.cluster, &named("nightly-report-20251007t000000")).await.unwrap();
    let wish = runs::Wish { parameters: object(&json!({"region": "north"})), ..runs::Wish::default() };
    let again = runs::retry(&stage.cluster, &earlier, wish).await.unwrap();
    assert_eq!(again.metadata.annotations, None, "a command is known by the owner of its fields");
    let wanted = json!({
        "flow": "nightly-report", "parameters": {"days": 1, "region": "north"}, "scheduledTime": "2025-10-07T00:00:00Z",
    });
    assert_eq!(serde_json::to_value(&again.spec).unwrap(), wanted);
    assert!(again.name_any().starts_with("nightly-report-retry-"), "{}", again.name_any());
}

#[tokio::test]
async fn a_cancelled_run_is_waited_for() {
    let stage = furnished().await;
    let name = "nightly-report-now-8kfpz";
    let asked = runs::cancel(&stage.cluster, name).await.unwrap();
    assert!(asked.spec.cancel);
    let status = json!({"phase": "Cancelled", "finishedAt": stage.now});
    let play = stage.set_run(name, &status);
    let mut unseen = |_| {};
    let (ended, ()) = tokio::join!(runs::until_ended(&stage.cluster, name, &mut unseen), play);
    assert_eq!(phase_of(&ended.unwrap()), Phase::Cancelled);
    // Fields of others stay.
    let run: FlowRun = serde_json::from_value(stage.get(&format!("{RUNS}/{name}")).await).unwrap();
    assert_eq!(run.spec.parameters, Some(json!({"days": 7})));
}

#[tokio::test]
async fn every_kind_is_suspended_and_resumed() {
    let stage = furnished().await;
    let spec =
        json!({"flow": "nightly-report", "from": "2025-10-01T00:00:00Z", "to": "2025-10-02T00:00:00Z"});
    stage.put(0, ours("FlowBackfill", "october", &spec, &json!({}))).await;
    for text in
        ["flow/nightly-report", "cluster/analytics", "run/nightly-report-now-w4c2d", "backfill/october"]
    {
        let found = find(&stage.cluster, &named(text), &Kind::ALL).await.unwrap();
        assert!(!suspend::is_set(&found), "{text}");
        let set = suspend::set(&stage.cluster, &found, true).await.unwrap();
        assert!(suspend::is_set(&set), "{text}");
        let set = suspend::set(&stage.cluster, &set, false).await.unwrap();
        assert!(!suspend::is_set(&set), "{text}");
    }
    let flow = find::flow(&stage.cluster, &named("nightly-report")).await.unwrap();
    let all = read::runs_of(&stage.cluster, "nightly-report").await.unwrap();
    assert_eq!(suspend::go_on(&flow, &all), ["nightly-report-now-8kfpz"]);
}

#[tokio::test]
async fn a_cluster_is_suspended_when_its_pods_are_deleted() {
    let stage = furnished().await;
    let path = "/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics";
    let found = find(&stage.cluster, &named("analytics"), &Kind::ALL).await.unwrap();
    let set = suspend::set(&stage.cluster, &found, true).await.unwrap();
    let play = async {
        // Seen, and its pods are still there: the wait goes on.
        stage
            .set_status(path, &json!({"conditions": [condition("Suspended", "False", "Suspending", "")]}))
            .await;
        stage
            .set_status(path, &json!({"conditions": [condition("Suspended", "True", "Suspended", "")]}))
            .await;
    };
    let mut unseen = |_| {};
    let (done, ()) = tokio::join!(suspend::until_done(&stage.cluster, &set, true, &mut unseen), play);
    let Found::Cluster(cluster) = done.unwrap() else { panic!() };
    assert_eq!(cluster.status.unwrap().conditions[0].status, "True");
}

#[tokio::test]
async fn a_group_is_scaled_and_the_others_stay() {
    let stage = furnished().await;
    let at = "/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics";
    let Found::Cluster(before) = find(&stage.cluster, &named("analytics"), &Kind::ALL).await.unwrap() else {
        panic!()
    };
    let change = scale::scale(&stage.cluster, &before, "gpu", 4).await.unwrap();
    assert_eq!((change.before, change.cluster.spec.worker_groups[0].workers.replicas), (1, Some(4)));
    assert_eq!(change.cluster.spec.workers.replicas, Some(2));
    let change = scale::scale(&stage.cluster, &change.cluster, scale::DEFAULT, 0).await.unwrap();
    assert_eq!((change.before, change.cluster.spec.workers.replicas), (2, Some(0)));
    let group = |ready: i32| json!({"workers": {"ready": ready, "desired": 4}, "groups": [{"name": "gpu", "desired": 4, "ready": ready}]});
    let play = async {
        stage.set_status(at, &group(3)).await;
        stage.set_status(at, &group(4)).await;
    };
    let mut states = Vec::new();
    let mut seen = |state| states.push(state);
    let scaled = scale::until_scaled(&stage.cluster, "analytics", "gpu", 4, &mut seen);
    let (done, ()) = tokio::join!(scaled, play);
    assert_eq!(done.unwrap().status.unwrap().groups[0].ready, 4);
    assert!(states.iter().any(|state: &String| state.starts_with("cluster/analytics ")), "{states:?}");
    // Another group took the place meanwhile: it is not touched.
    let mut moved = change.cluster.clone();
    moved.spec.worker_groups[0].name = "cpu".to_owned();
    moved.metadata.managed_fields = None;
    let api: kube::Api<daskflow::api::DaskCluster> = stage.cluster.api();
    moved.metadata.resource_version = None;
    let patch = json!({"spec": {"workerGroups": moved.spec.worker_groups}});
    api.patch("analytics", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch))
        .await
        .unwrap();
    let refused = scale::scale(&stage.cluster, &change.cluster, "gpu", 9).await.unwrap_err().to_string();
    assert!(refused.starts_with("the API server refuses to patch daskclusters"), "{refused}");
}

#[tokio::test]
async fn a_cluster_that_follows_another_one_is_left_as_it_is() {
    let stage = furnished().await;
    let before = stage.put(0, followed("own")).await;
    let found = find(&stage.cluster, &named("own"), &Kind::ALL).await.unwrap();
    for suspend in [true, false] {
        let refused = suspend::set(&stage.cluster, &found, suspend).await.unwrap_err().to_string();
        assert!(refused.contains("of kubernetes.dask.org, which has no suspend"), "{refused}");
    }
    let Found::Cluster(cluster) = found else { panic!() };
    let refused = scale::scale(&stage.cluster, &cluster, scale::DEFAULT, 3).await.unwrap_err().to_string();
    let instead = "`kubectl scale daskworkergroups.kubernetes.dask.org/own-default --replicas=3 -n default`";
    assert!(refused.contains(instead), "{refused}");
    let now = stage.get("/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/own").await;
    assert_eq!(now["metadata"]["generation"], before["metadata"]["generation"]);
}

#[tokio::test]
async fn nothing_stands_in_the_way_of_who_may_do_everything() {
    let stage = furnished().await;
    let found = preflight::check(&stage.cluster).await.unwrap();
    let faults: Vec<_> = found.iter().filter(|one| one.level == preflight::Level::Fault).collect();
    assert!(faults.is_empty(), "{found:?}");
    let has = |word: &str| found.iter().any(|one| one.text.contains(word));
    assert!(
        has("the API server answers") && has("are enough for all commands") && has("no pod of an operator"),
        "{found:?}"
    );
    let elsewhere = preflight::check(&stage.cluster.within("nowhere")).await.unwrap();
    let fault = elsewhere.iter().find(|one| one.level == preflight::Level::Fault).unwrap();
    assert_eq!(fault.text, "there is no namespace nowhere: create it, or name another one with -n");
}

#[tokio::test]
async fn rights_that_cannot_be_asked_for_are_not_said_to_be_enough() {
    let stage = furnished().await.answers("/selfsubjectaccessreviews", Some(500));
    let found = preflight::check(&stage.cluster).await.unwrap();
    let has = |word: &str| found.iter().any(|one| one.text.contains(word));
    assert!(!has("are enough") && has("whether you may get secrets is unknown"), "{found:?}");
}
