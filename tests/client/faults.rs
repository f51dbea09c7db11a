//! What is said where something cannot be done: each fault names the object and the next step.

use std::convert::Infallible;

use daskflow::api::Kind;
use daskflow::client::find::{self, Found, Named, find};
use daskflow::client::{Cluster, Error, logs, read, runs, scale, suspend};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::stage::{Stage, furnished, ours};

const ALL: [Kind; 4] = [Kind::Flow, Kind::FlowRun, Kind::DaskCluster, Kind::FlowBackfill];

fn named(text: &str) -> Named {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_unknown_name_is_said_with_the_one_that_was_meant() {
    let stage = furnished().await;
    let cluster = &stage.cluster;
    let of =
        async |text: &str, kinds: &[Kind]| find(cluster, &named(text), kinds).await.unwrap_err().to_string();
    let head = "called nightly-rport in the namespace default:";
    assert_eq!(
        of("nightly-rport", &[Kind::Flow]).await,
        format!("there is no Flow {head} did you mean nightly-report?")
    );
    assert_eq!(
        of("nothing-like-it", &[Kind::FlowRun, Kind::Flow]).await,
        "there is no FlowRun or Flow called nothing-like-it in the namespace default: `daskflow status` shows what there is, \
         and -n names another namespace"
    );
    assert_eq!(
        of("analytics", &[Kind::Flow]).await,
        "there is no Flow called analytics in the namespace default: there is a DaskCluster of this name"
    );
    stage.put(0, ours("DaskCluster", "nightly-report", &json!({"image": "dask:1"}), &json!({}))).await;
    assert_eq!(
        of("nightly-report", &ALL).await,
        "nightly-report is the name of a Flow and of a DaskCluster: write which one is meant, such as cluster/nightly-report"
    );
    let found = find(cluster, &named("cluster/nightly-report"), &ALL).await.unwrap();
    assert!(matches!(found, Found::Cluster(_)), "{found:?}");
}

/// A cluster that answers everything so.
fn answering(code: u16, body: &Value) -> Cluster {
    let body = body.to_string();
    let service = tower::service_fn(move |_: Request<Body>| {
        let answer = Response::builder().status(code).body(Body::from(body.clone().into_bytes()));
        futures::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    Cluster { client: Client::new(service, "team-a"), namespace: "team-a".to_owned() }
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// What each thing that people do says of such an answer.
async fn said(cluster: &Cluster) -> Vec<String> {
    let stage = furnished().await;
    let flow = find::flow(&stage.cluster, &named("nightly-report")).await.unwrap();
    let run = find::run(&stage.cluster, &named("nightly-report-20251007t000000")).await.unwrap();
    let Found::Cluster(dask) = find(&stage.cluster, &named("analytics"), &ALL).await.unwrap() else {
        panic!()
    };
    let name = "nightly-report-now-8kfpz";
    let faults = [
        find(cluster, &named("x"), &[Kind::Flow]).await.unwrap_err(),
        read::all(cluster, &read::Scope::default()).await.unwrap_err(),
        read::runs_of(cluster, "x").await.unwrap_err(),
        runs::create(cluster, "x", "now", runs::Wish::default()).await.unwrap_err(),
        runs::retry(cluster, &run, runs::Wish::default()).await.unwrap_err(),
        runs::cancel(cluster, name).await.unwrap_err(),
        runs::until_ended(cluster, name, &mut |_| {}).await.unwrap_err(),
        suspend::set(cluster, &Found::Flow(Box::new(flow)), true).await.unwrap_err(),
        scale::scale(cluster, &dask, "gpu", 3).await.unwrap_err(),
        logs::sources(cluster, &run, logs::Wanted::default()).await.unwrap_err(),
    ];
    faults.iter().map(Error::to_string).collect()
}

#[tokio::test]
async fn who_lacks_a_right_is_told_which() {
    let message = "flows.daskflow.dev is forbidden: User \"jane\" cannot list resource";
    let said = said(&answering(403, &status(403, "Forbidden", message))).await;
    let wanted = [
        ("get flows", "view"),
        ("list flows", "view"),
        ("list flowruns", "view"),
        ("create flowruns", "edit"),
        ("create flowruns", "edit"),
        ("patch flowruns", "edit"),
        ("watch flowruns", "view"),
        ("patch flows", "edit"),
        ("patch daskclusters", "edit"),
        ("list pods", "view"),
    ];
    assert_eq!(said.len(), wanted.len());
    for (said, (action, role)) in said.iter().zip(wanted) {
        let wanted = format!(
            "you may not {action} in the namespace team-a: ask an administrator for the ClusterRole daskflow-{role}, or for \
             {role} of the namespace"
        );
        assert_eq!(*said, wanted);
    }
}

#[tokio::test]
async fn credentials_that_have_expired_are_named_as_such() {
    for text in said(&answering(401, &status(401, "Unauthorized", "Unauthorized"))).await {
        assert_eq!(
            text,
            "the API server does not accept your credentials (Unauthorized): they may have expired; log in again as for \
             kubectl, and try `kubectl auth whoami`"
        );
    }
}

#[tokio::test]
async fn a_cluster_without_daskflow_is_named_as_such() {
    let cluster =
        answering(404, &status(404, "NotFound", "the server could not find the requested resource"));
    let said = said(&cluster).await;
    // That an object is patched that is not there, or a pod's log read, says nothing about the kinds.
    for index in [0, 1, 2, 3, 4, 6] {
        assert_eq!(said[index], Error::NotInstalled.to_string(), "{index}");
    }
}

#[tokio::test]
async fn what_a_webhook_or_a_quota_refuses_is_no_lack_of_rights() {
    for message in
        ["admission webhook \"x\" denied the request: no", "flowruns \"a\" is forbidden: exceeded quota: q"]
    {
        let cluster = answering(403, &status(403, "Forbidden", message));
        let said = runs::create(&cluster, "x", "now", runs::Wish::default()).await.unwrap_err().to_string();
        assert_eq!(
            said,
            format!("the API server refuses to create flowruns in the namespace team-a: {message}")
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_such() {
    let mut config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    config.default_retry = false;
    let cluster = Cluster { client: Client::try_from(config).unwrap(), namespace: "default".to_owned() };
    let said = find(&cluster, &named("x"), &ALL).await.unwrap_err().to_string();
    assert!(said.starts_with("the API server cannot be reached (") && said.contains("--context"), "{said}");
}

#[tokio::test]
async fn a_run_that_was_deleted_is_said_to_be() {
    let stage = furnished().await;
    let name = "nightly-report-now-8kfpz";
    let mut unseen = |_| {};
    let wait = runs::until_ended(&stage.cluster, name, &mut unseen);
    let delete = async {
        let api: kube::Api<daskflow::api::FlowRun> = stage.cluster.api();
        api.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    };
    let (end, ()) = tokio::join!(wait, delete);
    let wanted = "the FlowRun nightly-report-now-8kfpz was deleted meanwhile: `daskflow status` shows what there is, and \
                  flowruns do not come back";
    assert_eq!(end.unwrap_err().to_string(), wanted);
    assert_eq!(runs::cancel(&stage.cluster, name).await.unwrap_err().to_string(), wanted);
}

#[tokio::test]
async fn a_log_that_is_not_there_says_where_to_look() {
    let stage = furnished().await;
    let of = async |name: &str, attempt: Option<u32>| {
        let run = find::run(&stage.cluster, &named(name)).await.unwrap();
        let wanted = logs::Wanted { attempt, ..logs::Wanted::default() };
        logs::sources(&stage.cluster, &run, wanted).await.unwrap_err().to_string()
    };
    let lost = of("nightly-report-20251007t000000", Some(1)).await;
    assert!(
        lost.contains("is no longer there") && lost.contains("the Job nightly-report-20251007t000000-1"),
        "{lost}"
    );
    let none = of("nightly-report-20251007t000000", Some(3)).await;
    assert_eq!(none, "the run nightly-report-20251007t000000 has no attempt 3; its last one is 2");
    let waits = of("nightly-report-now-w4c2d", None).await;
    assert_eq!(
        waits,
        "the run nightly-report-now-w4c2d has no log yet: it is Queued (ConcurrencyForbidden: waits for \
         nightly-report-now-8kfpz, as concurrency is Forbid). Wait, cancel that run, or set concurrency: Allow. \
         `daskflow logs --follow` waits for it"
    );
    let skipped = json!({"phase": "Skipped", "reason": "QueueFull", "message": "100 runs wait"});
    stage.put(0, ours("FlowRun", "never", &json!({"flow": "nightly-report"}), &skipped)).await;
    let never = of("never", None).await;
    assert_eq!(
        never,
        "the run never has no log: it ended before its script began (QueueFull: 100 runs wait)"
    );
}

#[tokio::test]
async fn what_makes_no_sense_says_what_does() {
    let stage: Stage = furnished().await;
    let cluster = &stage.cluster;
    let running = find::run(cluster, &named("nightly-report-now-8kfpz")).await.unwrap();
    assert_eq!(
        runs::retry(cluster, &running, runs::Wish::default()).await.unwrap_err().to_string(),
        "the run nightly-report-now-8kfpz has not ended (Running): wait for it, or cancel it with `daskflow cancel \
         nightly-report-now-8kfpz --wait`"
    );
    let Found::Cluster(dask) = find(cluster, &named("analytics"), &ALL).await.unwrap() else { panic!() };
    assert_eq!(
        scale::scale(cluster, &dask, "gpus", 2).await.unwrap_err().to_string(),
        "the DaskCluster analytics has no group called gpus; it has default, gpu; did you mean gpu?"
    );
    let spec = json!({"image": "dask:1", "workers": {"autoscale": {"minimum": 1, "maximum": 9}}});
    stage.put(0, ours("DaskCluster", "elastic", &spec, &json!({}))).await;
    let Found::Cluster(elastic) = find(cluster, &named("elastic"), &ALL).await.unwrap() else { panic!() };
    assert_eq!(
        scale::scale(cluster, &elastic, scale::DEFAULT, 2).await.unwrap_err().to_string(),
        "the group default of the DaskCluster elastic scales itself between 1 and 9 workers: change minimum and maximum of \
         its autoscale"
    );
    let idle = json!({"cluster": {"ref": {"name": "analytics"}}});
    stage.put(0, ours("Flow", "idle", &idle, &json!({}))).await;
    let flow = find::flow(cluster, &named("idle")).await.unwrap();
    assert_eq!(
        runs::newest(cluster, &flow).await.unwrap_err().to_string(),
        "the Flow idle has no run yet: start one with `daskflow run idle`"
    );
}
