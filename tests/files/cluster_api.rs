//! The rules of the API, asked of the API in this process (`daskflow::cluster_api`), as `tests/e2e/rules.rs`
//! asks them of a real API server.

use std::fmt::Debug;
use std::fs::File;
use std::pin::pin;
use std::time::Duration;

use daskflow::api::{self, Flow, FlowRun};
use daskflow::cluster_api::{ClusterApi, jobs};
use daskflow::daemon::clock::Clock;
use daskflow::plan::served::{Difference, compare};
use futures::StreamExt;
use http::{Method, Request};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::DeleteParams;
use kube::core::{NamespaceResourceScope, Status};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::cases::{self, Case};
use super::program;

/// Sends an object to be judged; nothing is kept of it unless it is created for good.
async fn ask(client: &Client, method: Method, query: &str, object: &Value) -> Result<Value, Box<Status>> {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let name = if method == Method::PUT { object["metadata"]["name"].as_str().unwrap() } else { "" };
    let path = format!(
        "/apis/daskflow.dev/v1alpha1/namespaces/default/{plural}/{name}?fieldValidation=Strict{query}"
    );
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    match client.request(request.body(object.to_string().into_bytes()).unwrap()).await {
        Err(kube::Error::Api(status)) => Err(status),
        other => Ok(other.unwrap()),
    }
}

async fn judge(case: &Case) -> Result<(), Box<Status>> {
    let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
    let Some(before) = &case.before else {
        return ask(&client, Method::POST, "&dryRun=All", &case.object).await.map(drop);
    };
    let before = ask(&client, Method::POST, "", before).await.unwrap();
    let mut after = case.object.clone();
    after["metadata"]["resourceVersion"] = json!(before["metadata"]["resourceVersion"]);
    ask(&client, Method::PUT, "&dryRun=All", &after).await.map(drop)
}

/// The check that the operator makes at its start finds nothing missing.
#[tokio::test]
async fn our_kinds_are_served_as_the_operator_knows_them() {
    let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
    let request = Request::get("/openapi/v3/apis/daskflow.dev/v1alpha1").body(Vec::new()).unwrap();
    let document: Value = client.request(request).await.unwrap();
    assert_eq!(compare(&api::crds(), &document), Difference::default());
}

#[tokio::test]
async fn rules_hold_on_the_api_in_this_process() {
    let mut faults = Vec::new();
    for case in cases::good() {
        if let Err(status) = judge(&case).await {
            faults.push(format!("good/{} is refused: {}", case.name, status.message));
        }
    }
    for case in cases::bad() {
        match judge(&case).await {
            Ok(()) => faults.push(format!("bad/{} is accepted", case.name)),
            Err(status) if case.refusal.as_ref().unwrap().is_said(&status.message) => {}
            Err(status) => faults.push(format!("bad/{} is refused otherwise: {}", case.name, status.message)),
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The first object of a kind that fits.
async fn first<K>(client: &Client, fits: impl Fn(&K) -> bool) -> K
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), "default");
    let mut objects = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    let found = async {
        loop {
            let object = objects.next().await.unwrap();
            if let Some(object) = object.ok().filter(&fits) {
                return object;
            }
        }
    };
    let kind = K::kind(&());
    timeout(Duration::from_secs(120), found).await.unwrap_or_else(|_| panic!("no {kind} as it should be"))
}

/// The program, with the API in this process for its cluster: it leads, reports, counts the tick that it was
/// too late for among the runs that the API lists, and makes what a run needs; and what it made goes with the
/// Flow, the run first.
#[tokio::test]
async fn the_operator_runs_on_the_api_in_this_process() {
    let clock = Clock::of_machine();
    // Objects are created three minutes ago, so that two ticks of the Flow have passed when it is looked at.
    let now = clock.now();
    let ago = |seconds: i64| jiff::Timestamp::from_second(now.as_second() - seconds).unwrap();
    let served = ClusterApi::new(move || clock.now() - jiff::SignedDuration::from_secs(180), 1);
    let listening = served.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": format!("http://{}", listening.address())}}],
        "users": [{"name": "me", "user": {}}],
    });
    let folder = program::folder("cluster_api_operator", &[("config", &config.to_string())]);
    let _operator = Command::new(env!("CARGO_BIN_EXE_daskflow"))
        .args(["operator", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .env("KUBECONFIG", folder.join("config"))
        .env("POD_NAMESPACE", "default")
        .stdout(File::create(folder.join("log")).unwrap())
        .stderr(File::create(folder.join("errors")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let controllers = tokio::spawn({
        let served = served.clone();
        async move { futures::future::join(served.collect_always(), jobs::always(&served)).await }
    });
    let client = served.client();
    let of = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let cluster = json!({"template": {"image": "flows:1", "workers": {"replicas": 1}}});
    let ticks = json!({"clocks": [{"name": "two", "dates": [ago(90), ago(60)]}]});
    let code = json!({"inline": "print(1)\n"});
    let flow = of("Flow", "etl", json!({"code": code, "cluster": cluster, "schedule": ticks}));
    ask(&client, Method::POST, "", &flow).await.unwrap();
    ask(&client, Method::POST, "", &of("FlowRun", "etl-now", json!({"flow": "etl"}))).await.unwrap();
    first::<Lease>(&client, |lease| lease.spec.as_ref().is_some_and(|spec| spec.holder_identity.is_some()))
        .await;
    first::<Flow>(&client, |flow| {
        flow.status.as_ref().is_some_and(|status| {
            status.observed_generation == flow.metadata.generation && status.missed == 1
        })
    })
    .await;
    let pod = first::<Pod>(&client, |pod| pod.name_any().contains("scheduler")).await;
    first::<Service>(&client, |service| service.owner_references() == pod.owner_references()).await;
    first::<Event>(&client, |event| event.regarding.as_ref().is_some_and(|about| about.name.is_some())).await;
    first::<FlowRun>(&client, |run| {
        let status = run.status.as_ref();
        run.name_any() == "etl-now"
            && status.is_some_and(|status| status.observed_generation == run.metadata.generation)
    })
    .await;
    let flows: Api<Flow> = Api::namespaced(client.clone(), "default");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    flows.delete("etl", &DeleteParams::background()).await.unwrap();
    let (name, uid) = (pod.name_any(), pod.uid().unwrap());
    let ended = await_condition(pods, &name, conditions::is_deleted(&uid));
    timeout(Duration::from_secs(60), ended).await.unwrap().unwrap();
    controllers.abort();
}
