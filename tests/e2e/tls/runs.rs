//! What ran on clusters without TLS runs on clusters with it, unedited; and who is no part of one is kept
//! out.

use std::collections::BTreeSet;

use daskflow::api::DaskCluster;
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::{Value, json};

use super::{assert_scheme, make_teller, secured, told_of_the_connection};
use crate::engines::{assert_ran_on_workers, succeed, succeed_on};
use crate::example::{Example, run_now};
use crate::support::manifests::with;
use crate::support::{Load, Namespace, dask_cluster, test};

/// What the operator is asked for where nothing else is said.
fn by_operator() -> Value {
    json!({"tls": {"issuer": "Operator"}})
}

#[tokio::test]
async fn tls_cluster_runs_the_example_flow() {
    test("tls_cluster_runs_the_example_flow", Load::Dask, async |namespace| {
        let example = Example::read().with_cluster(&by_operator());
        run_now(namespace, &example, &namespace.settings.prefect1, |_| {}).await;
        assert_told(namespace, &example.cluster).await;
        assert_only_the_authority_has_its_key(namespace, &example.cluster).await;

        make_teller(namespace, &example.cluster).await;
        let said = told_of_the_connection(namespace).await;
        assert_scheme(&said, "tls://");
        let workers = said["workers"].as_object().unwrap().values();
        for files in workers.chain([&said["schedulerFiles"], &said["runnerFiles"]]) {
            assert_private(files);
        }

        let client =
            namespace.client("plain", &example.cluster, include_str!("../flows/plain_client.py"), &[]);
        let log = client.await.until_done(60).await;
        assert!(log.contains("refused: ") && !log.contains("let in"), "{log}");
        // The same client with a certificate: it is TLS that kept the other one out.
        let script =
            "with Client(address, timeout='30s') as client: print('let in:', client.scheduler_info())";
        let client = namespace.tls_client("with-certificate", &example.cluster, script, &[]).await;
        let log = client.until_done(60).await;
        assert!(log.contains("let in: "), "{log}");

        // A flow that makes its own executor, of the files that its environment names.
        let script = include_str!("../flows/own_executor.py");
        let run = succeed_on(namespace, "own-executor", script, &example.cluster).await;
        assert_ran_on_workers(namespace, &run, &example.cluster).await;
    })
    .await;
}

#[tokio::test]
async fn tls_cluster_runs_the_example_flow_on_prefect_0() {
    test("tls_cluster_runs_the_example_flow_on_prefect_0", Load::Dask, async |namespace| {
        let example = Example::read().with_cluster(&by_operator());
        run_now(namespace, &example, &namespace.settings.prefect0, |_| {}).await;
        assert_told(namespace, &example.cluster).await;
    })
    .await;
}

#[tokio::test]
async fn tls_prefect3() {
    test("tls_prefect3", Load::Dask, async |namespace| {
        // One worker: Prefect 3 costs a core for ten seconds wherever it is imported.
        let cluster = with(dask_cluster("dask", &namespace.settings.prefect3, 1), by_operator());
        namespace.ready_cluster(cluster).await;
        let run = succeed(namespace, "three", include_str!("../flows/where_prefect3.py")).await;
        assert_ran_on_workers(namespace, &run, "dask").await;
        assert_told(namespace, "dask").await;
    })
    .await;
}

#[tokio::test]
async fn tls_plain_dask() {
    test("tls_plain_dask", Load::Dask, async |namespace| {
        namespace.ready_cluster(secured(namespace, 2, &json!({"issuer": "Operator"}))).await;
        for (flow, script) in [
            ("plain", include_str!("../flows/where_dask.py")),
            ("own-security", include_str!("../flows/own_security.py")),
        ] {
            let run = succeed(namespace, flow, script).await;
            assert_ran_on_workers(namespace, &run, "dask").await;
        }
        assert_told(namespace, "dask").await;
    })
    .await;
}

/// The status tells the address and the end of the certificate, and `kubectl get` shows that end.
async fn assert_told(namespace: &Namespace, cluster: &str) {
    let status = namespace.get::<DaskCluster>(cluster).await.status.unwrap();
    let address = status.scheduler_address.as_deref().unwrap_or_default();
    assert!(address.starts_with("tls://"), "{status:?}");
    let ends = serde_json::to_value(&status.tls.as_ref().unwrap().not_after).unwrap();
    assert!(ends.is_string(), "{status:?}");
    let columns = namespace.columns::<DaskCluster>(cluster).await;
    assert_eq!(columns["Certificate"], ends, "{columns:?}");
}

/// The Secret of the authority's key is there, and no pod has it.
async fn assert_only_the_authority_has_its_key(namespace: &Namespace, cluster: &str) {
    let authority = format!("{cluster}-ca");
    let secret: Secret = namespace.get(&authority).await;
    assert!(secret.data.is_some_and(|data| data.contains_key("tls.key")), "{authority} has the key");
    let pods: Vec<Pod> = namespace.list("").await;
    assert!(pods.len() > 3, "scheduler, workers and runner: {}", pods.len());
    for pod in pods {
        let text = serde_json::to_string(&pod.spec).unwrap();
        assert!(!text.contains(&format!("\"{authority}\"")), "{authority} is in a pod: {text}");
        assert!(text.contains(&format!("\"{cluster}-tls-")), "it has a copy of the certificate: {text}");
    }
}

/// The three files are there, and nobody else than the owner and the pod's own group may read them. The
/// kubelet lets the group in where the pod has one, as a process needs it that is not root.
fn assert_private(files: &Value) {
    let files = files.as_object().unwrap();
    let names: BTreeSet<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["ca.crt", "tls.crt", "tls.key"]));
    for (name, mode) in files {
        assert!(["400", "440"].contains(&mode.as_str().unwrap()), "{name} has mode {mode}");
    }
}
