//! What a user is told who wrote something that cannot work: at once where the API server can know, else in a
//! condition. Nothing here starts a Dask process.

use daskflow::api::{DaskCluster, Flow, FlowRun};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

use crate::support::manifests::inline;
use crate::support::namespace::Kind;
use crate::support::{Load, Namespace, dask_cluster, flow, test, within};

/// An image that nobody has.
const NO_IMAGE: &str = "localhost/daskflow/there-is-no-such-image:1";

#[tokio::test]
async fn bad_input_is_explained() {
    test("bad_input_is_explained", Load::Light, async |namespace| {
        refused_at_once(namespace).await;
        // Suspended: a cluster that flows can name, and that costs nothing.
        let mut cluster = dask_cluster("asleep", &namespace.settings.dask, 1);
        cluster["spec"]["suspend"] = json!(true);
        namespace.create::<DaskCluster>(cluster).await;
        told_in_a_condition(namespace).await;
        missing_image(namespace).await;
    })
    .await;
}

async fn refused_at_once(namespace: &Namespace) {
    let script = || inline("bad", "pass", "asleep");
    let mut both = script();
    both["spec"]["cluster"]["template"] = json!({"image": "flows:1"});
    refuses::<Flow>(namespace, both, "write exactly one of cluster.ref").await;

    let mut long = script();
    long["metadata"]["name"] = json!("a".repeat(39));
    refuses::<Flow>(namespace, long, "the name of a Flow has at most 38 characters").await;
    let long = dask_cluster(&"a".repeat(54), "flows:1", 1);
    refuses::<DaskCluster>(namespace, long, "the name of a DaskCluster has at most 53 characters").await;

    let six = scheduled(json!({"clocks": [{"name": "often", "cron": "0 0 2 * * *"}]}));
    refuses::<Flow>(namespace, six, "write cron with five fields").await;

    let mut imageless = dask_cluster("imageless", "", 1);
    imageless["spec"].as_object_mut().unwrap().remove("image");
    refuses::<DaskCluster>(namespace, imageless, "spec.image: Required value").await;

    let mut typo = script();
    typo["spec"]["concurency"] = json!("Allow");
    refuses::<Flow>(namespace, typo, "unknown field \"spec.concurency\"").await;
}

async fn told_in_a_condition(namespace: &Namespace) {
    let hourly = json!([{"name": "hourly", "interval": "1h"}]);
    let zone = scheduled(json!({"timeZone": "Mars/Olympus_Mons", "clocks": hourly}));
    told(namespace, zone, "InvalidTimeZone", "Mars/Olympus_Mons").await;
    for cron in ["61 * * * *", "0 0 30 2 *", "@sometimes"] {
        let bad = scheduled(json!({"clocks": [{"name": "often", "cron": cron}]}));
        told(namespace, bad, "InvalidSchedule", "often").await;
    }
    told(namespace, inline("bad", "pass", "nowhere"), "ClusterNotFound", "nowhere").await;

    let from_map = |key: &str| {
        let code = json!({"configMap": {"name": "scripts", "key": key}});
        flow("bad", json!({"code": code, "cluster": {"ref": {"name": "asleep"}}}))
    };
    told(namespace, from_map("flow.py"), "CodeNotFound", "scripts").await;
    let scripts = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripts"}, "data": {"flow.py": "pass"}});
    namespace.create::<ConfigMap>(scripts).await;
    told(namespace, from_map("flwo.py"), "CodeNotFound", "flwo.py").await;

    // What is put right is seen without anybody's help.
    namespace.create::<Flow>(inline("early", "pass", "later")).await;
    condition_of::<Flow>(namespace, "early", "Ready", |ready| ready.reason == "ClusterNotFound").await;
    let mut cluster = dask_cluster("later", &namespace.settings.dask, 1);
    cluster["spec"]["suspend"] = json!(true);
    namespace.create::<DaskCluster>(cluster).await;
    condition_of::<Flow>(namespace, "early", "Ready", |ready| ready.status == "True").await;

    // A run of a flow that does not exist.
    let run: FlowRun = namespace.create(crate::support::run_now("nobody", Value::Null)).await;
    let name = kube::ResourceExt::name_any(&run);
    let wait = within(30, "the run says that its flow is missing");
    namespace
        .until(&name, wait, |run: &FlowRun| {
            run.status.as_ref().is_some_and(|status| status.reason.as_deref() == Some("FlowNotFound"))
        })
        .await;
}

/// The kubelet's words reach the cluster's condition.
async fn missing_image(namespace: &Namespace) {
    namespace.create::<DaskCluster>(dask_cluster("pulling", NO_IMAGE, 1)).await;
    let is_told = |condition: &Condition| {
        condition.status == "False"
            && ["ErrImagePull", "ImagePullBackOff"].contains(&condition.reason.as_str())
    };
    let scheduler = condition_of::<DaskCluster>(namespace, "pulling", "SchedulerReady", is_told).await;
    assert!(scheduler.message.contains(NO_IMAGE), "{scheduler:?}");
    let ready = condition_of::<DaskCluster>(namespace, "pulling", "Ready", is_told).await;
    assert!(ready.message.contains(NO_IMAGE), "{ready:?}");
}

fn scheduled(schedule: Value) -> Value {
    let mut flow = inline("bad", "pass", "asleep");
    flow["spec"]["schedule"] = schedule;
    flow
}

async fn refuses<K: Kind>(namespace: &Namespace, object: Value, words: &str) {
    match namespace.judge_new::<K>(object.clone()).await {
        Ok(_) => panic!("this is accepted: {object}"),
        Err(status) => assert!(status.message.contains(words), "{words}: {}", status.message),
    }
}

/// A flow that is accepted, and whose condition `Ready` then says what is wrong. Nothing runs.
async fn told(namespace: &Namespace, object: Value, reason: &str, words: &str) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    namespace.create::<Flow>(object).await;
    let ready = condition_of::<Flow>(namespace, &name, "Ready", |ready| ready.reason == reason).await;
    assert_eq!(ready.status, "False", "{ready:?}");
    assert!(ready.message.contains(words), "{words}: {ready:?}");
    assert!(namespace.runs_of(&name).await.is_empty(), "{name} has no runs");
    namespace.api::<Flow>().delete(&name, &kube::api::DeleteParams::default()).await.unwrap();
    namespace.until_gone::<Flow>(&name, within(30, format!("{name} is deleted"))).await;
}

async fn condition_of<K: Kind>(
    namespace: &Namespace,
    name: &str,
    type_: &str,
    wanted: impl Fn(&Condition) -> bool,
) -> Condition {
    let find = |object: &K| {
        let status = serde_json::to_value(object).ok()?["status"].take();
        let conditions: Vec<Condition> = serde_json::from_value(status["conditions"].clone()).ok()?;
        conditions.into_iter().find(|condition| condition.type_ == type_ && wanted(condition))
    };
    let wait = within(45, format!("{type_} of {name} says what is so"));
    let object = namespace.until(name, wait, |object: &K| find(object).is_some()).await;
    find(&object).unwrap()
}
