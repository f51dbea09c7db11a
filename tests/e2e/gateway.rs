//! Runs on clusters that a Dask Gateway makes: the gateway is a real one, in a pod of the test's namespace.

mod server;

use daskflow::api::{DaskCluster, Flow, FlowRun, Phase};
use http::Request;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod, Secret};
use kube::api::{DeleteParams, LogParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::example::{TASKS, assert_once};
use crate::support::logs::{TASK_STARTED, runner_of};
use crate::support::manifests::{abroad, secret};
use crate::support::namespace::{Kind, phase_of};
use crate::support::operator::{Operator, SHORT_LEASE};
use crate::support::{Load, Namespace, poll, test, within};
use server::{ECHO, Gateway, LOGIN, NAME};

/// The password of the gateway's users, and one that it does not take.
const PASSWORD: &str = "of-flows-8c1f5e";
const WRONG: &str = "guessed-77aa03";

/// Computes on the run's cluster, says so, and goes on for ten minutes.
const LONG: &str = "\
import time
from distributed import Client
client = Client()
print('is at work:', client.submit(sum, [1, 2]).result(), flush=True)
time.sleep(600)
";

#[tokio::test]
async fn gateway_runs_the_example_flow() {
    test("gateway_runs_the_example_flow", Load::Dask, async |namespace| {
        let gateway = Gateway::start(namespace, PASSWORD).await;
        let code = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "example-code"},
            "data": {"flow.py": include_str!("../../manifests/samples/example/flow.py")},
        });
        namespace.create::<ConfigMap>(code).await;
        let sample = include_str!("../../manifests/samples/example/flow.yaml");
        let mut flow: Value = serde_yaml::from_str(sample).unwrap();
        let spec = flow["spec"].as_object_mut().unwrap();
        spec.remove("schedule");
        spec.insert("image".to_owned(), json!(namespace.settings.prefect1));
        let fields = json!({"workers": 2, "options": {"worker_cores": 2}});
        spec.insert("cluster".to_owned(), gateway.cluster(&fields));
        namespace.create::<Flow>(flow).await;

        let run = namespace.start_run("example").await;
        let run = namespace.until_phase(&run, Phase::Succeeded, 300).await;
        assert_once(namespace, &run).await;
        let log = namespace.runner_log(&run.name_any()).await;
        assert!(log.contains(" on tls://daskgateway-"), "it goes through the gateway's proxy: {log}");
        poll(within(30, format!("{TASKS} tasks in what the gateway's workers say")), async || {
            let said = gateway.said("clusters").await?;
            let count = said.lines().filter(|line| line.contains(TASK_STARTED)).count();
            if count == TASKS { Ok(()) } else { Err(format!("{count} tasks in:\n{said}")) }
        })
        .await;
        gateway.until_ended(1).await;
        until_free(namespace, &run.name_any()).await;
        assert!(namespace.list::<DaskCluster>("").await.is_empty(), "no cluster of ours was made");
    })
    .await;
}

#[tokio::test]
async fn gateway_cluster_is_stopped_however_the_run_ends() {
    test("gateway_cluster_is_stopped_however_the_run_ends", Load::Crowd, async |namespace| {
        let gateway = Gateway::start(namespace, PASSWORD).await;
        let short = "from distributed import Client\nprint(Client().submit(sum, [1, 2]).result())\n";
        let fails = format!("{short}raise ValueError('no such table')\n");
        let start = async |name: &str, script: &str| {
            let cluster = gateway.cluster(&json!({"workers": 1}));
            let flow = abroad(name, script, &namespace.settings.dask, &cluster);
            namespace.create::<Flow>(flow).await;
            if name == "late" {
                namespace.change::<Flow>(name, json!({"spec": {"timeout": "30s"}})).await;
            }
            namespace.start_run(name).await
        };
        let good = start("good", short).await;
        let bad = start("bad", &fails).await;
        namespace.until_phase(&good, Phase::Succeeded, 300).await;
        let status = namespace.until_phase(&bad, Phase::Failed, 120).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("ScriptError"), "{status:?}");
        gateway.until_ended(2).await;

        let cancelled = start("cancelled", LONG).await;
        let deleted = start("deleted", LONG).await;
        let late = start("late", LONG).await;
        for run in [&cancelled, &deleted] {
            namespace.until_phase(run, Phase::Running, 300).await;
            namespace.until_logged(run, "is at work: 3").await;
        }
        namespace.change::<FlowRun>(&cancelled, json!({"spec": {"cancel": true}})).await;
        namespace.api::<FlowRun>().delete(&deleted, &DeleteParams::default()).await.unwrap();
        namespace.until_phase(&cancelled, Phase::Cancelled, 120).await;
        let status = namespace.until_phase(&late, Phase::TimedOut, 300).await.status.unwrap();
        assert_eq!(status.reason.as_deref(), Some("TimeoutExceeded"), "{status:?}");
        namespace.until_gone::<FlowRun>(&deleted, within(120, "the run that is deleted is away")).await;

        let clusters = gateway.until_ended(5).await;
        for run in [&good, &bad, &cancelled, &late] {
            until_free(namespace, run).await;
            let made = namespace.events(run, "ClusterCreated").await;
            let named = clusters.keys().filter(|name| made.iter().any(|message| message.contains(*name)));
            assert_eq!((made.len(), named.count()), (1, 1), "{run}: {made:?} of {clusters:?}");
        }
    })
    .await;
}

/// Its operator logs all that it can.
#[tokio::test]
async fn gateway_password_is_nowhere() {
    test("gateway_password_is_nowhere", Load::OwnOperator, async |namespace| {
        let log = "daskflow=trace,hyper=trace,hyper_util=trace,tower=debug,info";
        let operator = Operator::of_its_own(namespace, &[&SHORT_LEASE[..], &["--log", log]].concat()).await;
        let gateway = Gateway::start(namespace, PASSWORD).await;
        let wrong = secret("wrong-login", &[("username", "flows"), ("password", WRONG)]);
        namespace.create::<Secret>(wrong).await;
        let shows_all = "import os\nfrom distributed import Client\nprint(Client().submit(sum, [1, 2]).result(), dict(os.environ))\n";
        let create = async |name: &str, further: Value| {
            let mut flow =
                abroad(name, shows_all, &namespace.settings.dask, &gateway.cluster(&json!({"workers": 1})));
            let fields = flow["spec"]["cluster"]["gateway"].as_object_mut().unwrap();
            fields.extend(further.as_object().unwrap().clone());
            flow["spec"]["clusterTimeout"] = json!(if name == "good" { "5m" } else { "10s" });
            namespace.create::<Flow>(flow).await;
            namespace.start_run(name).await
        };
        let good = create("good", json!({})).await;
        let auth = json!({"type": "Basic", "secretName": "wrong-login"});
        let refused = create("refused", json!({"auth": auth})).await;
        let echo = format!("http://{NAME}.{}.svc:{ECHO}", namespace.name);
        let repeated = create("repeated", json!({"address": echo})).await;

        namespace.until_phase(&good, Phase::Succeeded, 300).await;
        for (run, words) in [(&refused, "401"), (&repeated, "***")] {
            let status = namespace.until_phase(run, Phase::Failed, 120).await.status.unwrap();
            assert_eq!(status.reason.as_deref(), Some("ClusterTimeout"), "{status:?}");
            assert!(status.message.clone().unwrap_or_default().contains(words), "{words}: {status:?}");
        }
        for run in [&good, &refused, &repeated] {
            until_free(namespace, run).await;
        }
        let runner = namespace.list::<Pod>(&runner_of(&good)).await;
        let pod = serde_json::to_string(&runner).unwrap();
        assert!(runner.len() == 1 && !pod.contains(LOGIN), "the runner is given no login: {pod}");
        let mut found = all_objects(namespace).await;
        found.push(("the runner's log".to_owned(), namespace.runner_log(&good).await));
        found.extend(of_the_operator(namespace, &operator).await);
        nowhere(&found);
        gateway.until_ended(1).await;
    })
    .await;
}

/// Waits until nothing keeps a run from being deleted.
async fn until_free(namespace: &Namespace, run: &str) {
    let wait = within(120, format!("FlowRun {run} has ended, and nothing keeps it"));
    let is_free = |run: &FlowRun| phase_of(run).is_final() && run.finalizers().is_empty();
    namespace.until(run, wait, is_free).await;
}

/// Each object of the namespace, as the API server has it, but for the gateway's own and the logins.
async fn all_objects(namespace: &Namespace) -> Vec<(String, String)> {
    async fn of<K: Kind>(namespace: &Namespace) -> Vec<(String, String)> {
        let objects: Vec<K> = namespace.list("").await;
        let text = |object: &K| {
            (format!("{} {}", K::kind(&()), object.name_any()), serde_json::to_string(object).unwrap())
        };
        objects.iter().map(text).collect()
    }
    let mut found = of::<Flow>(namespace).await;
    found.extend(of::<FlowRun>(namespace).await);
    found.extend(of::<Event>(namespace).await);
    found.extend(of::<Job>(namespace).await);
    found.extend(of::<Pod>(namespace).await);
    found.extend(of::<ConfigMap>(namespace).await);
    found.extend(of::<Secret>(namespace).await);
    let logins = [format!("Secret {LOGIN}"), "Secret wrong-login".to_owned()];
    found.retain(|(name, _)| !logins.contains(name));
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    for kind in ["Flow good", "FlowRun good-", "Event ", "Job good-", "Pod good-", "Secret good-"] {
        assert!(names.iter().any(|name| name.starts_with(kind)), "{kind} is missing in {names:?}");
    }
    found
}

/// What the operator has logged, and its metrics.
async fn of_the_operator(namespace: &Namespace, operator: &Operator) -> Vec<(String, String)> {
    let pod = operator.ready_pod().await.name_any();
    let log = operator.api::<Pod>().logs(&pod, &LogParams::default()).await.unwrap();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it logs all that it can: {log}");
    let url = format!("{}/{pod}:8080/proxy/metrics", Pod::url_path(&(), Some(&namespace.name)));
    let metrics = namespace.client.request_text(Request::get(url).body(Vec::new()).unwrap()).await.unwrap();
    vec![("the operator's log".to_owned(), log), ("its metrics".to_owned(), metrics)]
}

/// Neither password is in any of these, nor what a request has in its place.
fn nowhere(found: &[(String, String)]) {
    for password in [PASSWORD, WRONG] {
        let forms = [password.to_owned(), base64(password), base64(&format!("flows:{password}"))];
        for (name, text) in found {
            for form in &forms {
                let Some(at) = text.find(form) else { continue };
                let around: String = text.chars().skip(at.saturating_sub(200)).take(600).collect();
                panic!("a password stands in {name} as {form}: …{around}…");
            }
        }
    }
}

/// Kubernetes writes bytes in objects as Base64.
fn base64(text: &str) -> String {
    let written = serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
    written.as_str().unwrap().to_owned()
}
