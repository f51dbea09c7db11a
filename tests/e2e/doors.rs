//! What comes in from outside: objects that nobody can read, and schedulers that are none.

use daskflow::api::{ConditionType, DaskCluster, Flow, Reason};
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::api::LogParams;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds};
use crate::support::manifests::inline;
use crate::support::operator::{Operator, SHORT_LEASE};
use crate::support::{Load, Namespace, poll, small_cluster, test, within};

/// The API server takes ten thousand levels, and the parser of JSON here gives up at 128.
const LEVELS: usize = 600;
/// What no log may show.
const SECRET: &str = "never-in-a-log";
/// The most that an operator may use, whatever is sent to it: half of the chart's limit.
const MEMORY_MAX: f64 = 128e6;

#[tokio::test]
async fn deep_objects_do_not_stop_the_operator() {
    test("deep_objects_do_not_stop_the_operator", Load::OwnOperator, async |namespace| {
        let operator = Operator::of_its_own(namespace, &SHORT_LEASE).await;
        let deep = format!("{}\"{SECRET}\"{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
        let objects = [
            ("Flow", "flows", format!(r#"{{"cluster":{{"ref":{{"name":"dask"}}}},"code":{{"inline":"1"}},"parameters":{deep}}}"#)),
            ("FlowRun", "flowruns", format!(r#"{{"flow":"etl","parameters":{deep}}}"#)),
            ("DaskCluster", "daskclusters", format!(r#"{{"image":"x","workers":{{"template":{deep}}}}}"#)),
        ];
        for (kind, plural, spec) in &objects {
            let object = format!(
                r#"{{"apiVersion":"daskflow.dev/v1alpha1","kind":"{kind}","metadata":{{"name":"deep"}},"spec":{spec}}}"#
            );
            ask(namespace, Request::post(path(namespace, plural, "")).header("Content-Type", "application/json"), object)
                .await
                .unwrap();
        }
        for (kind, plural, _) in &objects {
            is_told(namespace, kind, plural).await;
        }
        let pod = operator.ready_pod().await;
        let log = operator.api::<Pod>().logs(&pod.name_any(), &LogParams::default()).await.unwrap();
        assert!(log.contains("deep") && !log.contains(SECRET), "{log}");

        // The next operator reads them in lists, and works.
        operator.delete_now(&pod.name_any()).await;
        operator.until_ready(1).await;
        let pod = operator.ready_pod().await;
        namespace.create::<Flow>(inline("plain", "print(1)\n", "dask")).await;
        let wait = within(60, "a Flow beside them is looked at");
        namespace.until("plain", wait, |flow: &Flow| flow.status.is_some()).await;
        let ready = readiness(namespace, &pod).await;
        for (kind, ..) in &objects {
            assert!(ready.starts_with("ok: leader") && ready.contains(&format!("{kind} {}/deep", namespace.name)), "{ready}");
        }
        for (_, plural, _) in &objects {
            ask(namespace, Request::delete(path(namespace, plural, "/deep")), String::new()).await.unwrap();
        }
        poll(within(30, "none is left that cannot be read"), async || {
            let ready = readiness(namespace, &pod).await;
            if ready == "ok: leader" { Ok(()) } else { Err(ready) }
        })
        .await;
    })
    .await;
}

fn path(namespace: &Namespace, plural: &str, rest: &str) -> String {
    format!("/apis/daskflow.dev/v1alpha1/namespaces/{}/{plural}{rest}", namespace.name)
}

/// Asks the API server, and reads its answer as text: what is in it is too deep to be anything else here.
async fn ask(
    namespace: &Namespace,
    request: http::request::Builder,
    body: String,
) -> Result<String, kube::Error> {
    namespace.client.request_text(request.body(body.into_bytes()).unwrap()).await
}

/// Its conditions and an event say that the object cannot be read.
async fn is_told(namespace: &Namespace, kind: &str, plural: &str) {
    poll(within(60, format!("the {kind} that is too deep is told so")), async || {
        let text = ask(namespace, Request::get(path(namespace, plural, "/deep")), String::new()).await;
        let told = text.map_err(|error| error.to_string())?;
        let at = told.find(r#""conditions""#).ok_or("no condition yet")?;
        let status = told.get(at..).unwrap_or_default();
        if status.contains(r#""reason":"Unreadable""#) { Ok(()) } else { Err(status.to_owned()) }
    })
    .await;
    poll(within(30, format!("an event tells of the {kind}")), async || {
        let events: Vec<Event> = namespace.list("").await;
        let told = events.iter().any(|event| {
            event.involved_object.kind.as_deref() == Some(kind)
                && event.reason.as_deref() == Some("Unreadable")
        });
        if told { Ok(()) } else { Err(format!("{} events", events.len())) }
    })
    .await;
}

/// What the operator's readiness probe is answered.
async fn readiness(namespace: &Namespace, pod: &Pod) -> String {
    let url = format!("{}/{}:8080/proxy/readyz", Pod::url_path(&(), Some(&namespace.name)), pod.name_any());
    namespace.client.request_text(Request::get(url).body(Vec::new()).unwrap()).await.unwrap_or_default()
}

#[tokio::test]
async fn hostile_scheduler_stays_within_memory() {
    test("hostile_scheduler_stays_within_memory", Load::OwnOperator, async |namespace| {
        let operator = Operator::of_its_own(namespace, &SHORT_LEASE).await;
        let before = operator.ready_pod().await;
        let module = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hostile"},
            "data": {"sitecustomize.py": include_str!("doors/hostile.py")}});
        namespace.create::<ConfigMap>(module).await;
        for kind in ["large", "many", "deep", "slow"] {
            namespace.create::<DaskCluster>(hostile(namespace, kind)).await;
        }
        for kind in ["large", "many"] {
            namespace.until_cluster_says(kind, Reason::AnswerTooLarge, &["accepted"]).await;
        }
        for kind in ["deep", "slow"] {
            let wait = within(90, format!("the scheduler {kind} is no scheduler"));
            namespace
                .until(kind, wait, |cluster: &DaskCluster| {
                    let told = cluster.status.iter().flat_map(|status| &status.conditions);
                    let mut scheduler =
                        told.filter(|told| told.type_ == ConditionType::SchedulerReady.as_str());
                    scheduler.any(|told| {
                        told.status == "False" && told.reason == Reason::SchedulerUnreachable.as_str()
                    })
                })
                .await;
        }
        // While all of them go on, somebody else is served, and the operator stays what it is.
        let asked = now();
        namespace.create::<Flow>(inline("plain", "print(1)\n", "dask")).await;
        let wait = within(20, "a Flow beside them is looked at");
        namespace.until("plain", wait, |flow: &Flow| flow.status.is_some()).await;
        figure_seconds("beside_hostile_schedulers", seconds(asked, now()));
        let bytes = operator.memory_of(&before).await;
        figure("operator_memory_beside_hostile_schedulers", format!("{:.1}", bytes / 1e6), "MB");
        assert!(bytes < MEMORY_MAX, "{bytes} bytes");
        let after = operator.ready_pod().await;
        let restarts = |pod: &Pod| -> i32 {
            let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            containers.map(|container| container.restart_count).sum()
        };
        assert_eq!((after.uid(), restarts(&after)), (before.uid(), 0), "the operator goes on");
    })
    .await;
}

/// A cluster whose scheduler's Python runs another program first.
fn hostile(namespace: &Namespace, kind: &str) -> Value {
    let mut cluster = small_cluster(kind, &namespace.settings.dask, 0);
    cluster["spec"]["scheduler"] = json!({"template": {"spec": {
        "volumes": [{"name": "hostile", "configMap": {"name": "hostile"}}],
        "containers": [{
            "name": "scheduler",
            "env": [{"name": "PYTHONPATH", "value": "/hostile"}, {"name": "HOSTILE", "value": kind}],
            "volumeMounts": [{"name": "hostile", "mountPath": "/hostile"}],
        }],
    }}});
    cluster
}
