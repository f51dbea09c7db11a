//! Makes the operator use each of its rights: objects whose life takes all that it can do.

use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Phase, Reason};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::certificate_kind::{CertificateKind, certificates};
use crate::support::manifests::{backfill, inline, named_run, secret, with};
use crate::support::workers::nowhere;
use crate::support::{Namespace, dask_cluster, flow, poll, run_now, small_cluster, within};

/// Everything but the lease, which needs no help.
pub async fn everything(namespace: &Namespace) {
    name_is_taken(namespace).await;
    cert_manager_is_asked(namespace).await;
    let issuer = json!({"issuer": "Operator"});
    let more = json!({"tls": issuer, "networkPolicy": {"enabled": true}});
    let mut cluster = with(small_cluster("dask", &namespace.settings.dask, 2), more);
    cluster["spec"]["workers"]["drain"] = json!("Wait");
    namespace.ready_cluster(cluster).await;
    runs_come_and_go(namespace).await;
    worker_drains(namespace).await;
    certificate_is_made_anew(namespace).await;
    namespace.change::<DaskCluster>("dask", json!({"spec": {"networkPolicy": null}})).await;
    namespace.until_gone::<NetworkPolicy>("dask", within(30, "the policy is deleted")).await;
    cluster_of_its_own(namespace).await;
}

/// A pod of somebody else's has the name of a scheduler: the operator looks whose it is.
async fn name_is_taken(namespace: &Namespace) {
    let mut spec = nowhere()["spec"].clone();
    spec["containers"] = json!([{"name": "other", "image": namespace.settings.dask}]);
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taken-scheduler"}, "spec": spec});
    namespace.create::<Pod>(pod).await;
    namespace.create::<DaskCluster>(small_cluster("taken", &namespace.settings.dask, 0)).await;
    namespace.until_cluster_says("taken", Reason::NameTaken, &["taken-scheduler"]).await;
    namespace.api::<DaskCluster>().delete("taken", &DeleteParams::default()).await.unwrap();
}

/// A cluster asks cert-manager, of which only the kind is there, and then asks no more.
async fn cert_manager_is_asked(namespace: &Namespace) {
    let kind = CertificateKind::take(&namespace.client).await;
    kind.install().await;
    let issuer =
        json!({"tls": {"issuer": "CertManager", "issuerRef": {"name": "e2e", "group": "e2e.daskflow.dev"}}});
    namespace.create::<DaskCluster>(with(small_cluster("asks", &namespace.settings.dask, 0), issuer)).await;
    let requests = certificates(namespace);
    poll(within(90, "cert-manager is asked for a certificate"), async || {
        requests.get("asks-tls").await.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;

    // What cert-manager would have written, were it there; that it is no certificate matters to nobody here.
    let mut written = secret("asks-tls", &[("tls.crt", "none")]);
    written["metadata"]["annotations"] = json!({"cert-manager.io/certificate-name": "asks-tls"});
    namespace.create::<Secret>(written).await;
    let other = json!({"spec": {"tls": {"issuer": "Operator", "issuerRef": null}}});
    namespace.change::<DaskCluster>("asks", other).await;
    poll(within(90, "cert-manager is asked no more"), async || {
        match requests.get_metadata_opt("asks-tls").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    namespace.api::<DaskCluster>().delete("asks", &DeleteParams::default()).await.unwrap();
    kind.remove().await;
}

/// Runs by hand, of a tick and of a backfill; one is cancelled, and of the others history leaves one.
async fn runs_come_and_go(namespace: &Namespace) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "scripts"}, "data": {"flow.py": "pass"}});
    namespace.create::<ConfigMap>(map).await;
    let spec = json!({
        "command": ["true"],
        "cluster": {"ref": {"name": "dask"}},
        "schedule": {"clocks": [{"name": "hourly", "interval": "1h"}]},
        "history": {"succeeded": 1},
        "suspend": true,
    });
    namespace.observed_flow(flow("hourly", spec)).await;
    let range = json!({"flow": "hourly", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:59:59Z", "parallelism": 1});
    namespace.create::<FlowBackfill>(backfill("two", range)).await;
    let wait = within(180, "the backfill has ended");
    namespace
        .until("two", wait, |backfill: &FlowBackfill| {
            backfill.status.as_ref().is_some_and(|status| status.finished_at.is_some())
        })
        .await;
    // Its runs stay as long as it does.
    namespace.api::<FlowBackfill>().delete("two", &DeleteParams::default()).await.unwrap();
    poll(within(60, "history leaves one run"), async || {
        let left = namespace.runs_of("hourly").await.len();
        if left == 1 { Ok(()) } else { Err(format!("{left} runs")) }
    })
    .await;

    let often = json!({"schedule": {"clocks": [{"name": "often", "interval": "5s"}]}});
    let ticking = with(inline("ticking", "pass", "dask"), often);
    namespace.create::<Flow>(ticking).await;
    poll(within(60, "a tick has a run"), async || {
        let runs = namespace.runs_of("ticking").await.len();
        if runs > 0 { Ok(()) } else { Err("no run".to_owned()) }
    })
    .await;
    namespace.change::<Flow>("ticking", json!({"spec": {"suspend": true}})).await;

    let code = json!({"configMap": {"name": "scripts", "key": "flow.py"}});
    namespace
        .create::<Flow>(flow("by-hand", json!({"code": code, "cluster": {"ref": {"name": "dask"}}})))
        .await;
    let run: FlowRun = namespace.create(run_now("by-hand", Value::Null)).await;
    namespace.until_ended(&run.name_any(), 120).await;

    namespace.create::<Flow>(inline("long", include_str!("../flows/sleeping.py"), "dask")).await;
    namespace.create::<FlowRun>(named_run("long", "long-1", Value::Null)).await;
    namespace.until_phase("long-1", Phase::Running, 120).await;
    namespace.until_logged("long-1", "sleeping").await;
    namespace.change::<Flow>("long", json!({"spec": {"timeout": "1h"}})).await;
    let limit = within(60, "the Job at work has the time limit that the Flow got");
    namespace
        .until("long-1-1", limit, |job: &Job| {
            job.spec.as_ref().is_some_and(|spec| spec.active_deadline_seconds.is_some())
        })
        .await;
    namespace.change::<FlowRun>("long-1", json!({"spec": {"cancel": true}})).await;
    namespace.until_phase("long-1", Phase::Cancelled, 90).await;
    namespace.until_gone::<Job>("long-1-1", within(60, "the Job of the cancelled run is gone")).await;
}

/// A worker that is to leave works on.
async fn worker_drains(namespace: &Namespace) {
    let script = include_str!("../flows/working.py");
    let client = namespace.tls_client("worker", "dask", script, &["2", "120"]).await;
    client.until_said("all begun").await;
    namespace.scale("dask", 1).await;
    namespace.until_cluster_says("dask", Reason::WorkersDraining, &["1"]).await;
    client.stop().await;
    namespace.until_workers("dask", 1).await;
    namespace.until_ready("dask", 1).await;
}

/// Somebody has spoilt the certificate: it is replaced, and the copy of the one before goes with the last pod
/// that has it.
async fn certificate_is_made_anew(namespace: &Namespace) {
    let copies = async || {
        let secrets: Vec<Secret> = namespace.list("").await;
        let names = secrets.iter().map(ResourceExt::name_any);
        names.filter(|name| name.starts_with("dask-tls-")).collect::<Vec<_>>()
    };
    let before = copies().await;
    let secrets = namespace.api::<Secret>();
    let spoilt = Patch::Merge(json!({"stringData": {"tls.crt": "none"}}));
    secrets.patch("dask-tls", &PatchParams::default(), &spoilt).await.unwrap();
    // The spec is another one, and so the Secrets are looked at.
    namespace.scale("dask", 2).await;
    poll(within(180, "the copy of the old certificate is deleted"), async || {
        let now = copies().await;
        if now.iter().any(|name| before.contains(name)) { Err(now.join(", ")) } else { Ok(()) }
    })
    .await;
    namespace.until_ready("dask", 2).await;
}

/// A run has a cluster of its own, which goes with it.
async fn cluster_of_its_own(namespace: &Namespace) {
    let template = dask_cluster("any", &namespace.settings.dask, 1)["spec"].clone();
    let spec = json!({"command": ["true"], "cluster": {"template": template}});
    namespace.create::<Flow>(flow("own", spec)).await;
    namespace.create::<FlowRun>(named_run("own", "own-1", Value::Null)).await;
    namespace.until_ended("own-1", 180).await;
    poll(within(60, "the run's cluster is gone"), async || {
        let clusters: Vec<DaskCluster> = namespace.list("daskflow.dev/run=own-1").await;
        if clusters.is_empty() { Ok(()) } else { Err(format!("{} clusters", clusters.len())) }
    })
    .await;
}
