//! Certificates that cert-manager issues. It is not there: the API server knows its kind, and the test does
//! its work.

use daskflow::api::{DaskCluster, Reason};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{assert_scheme, make_teller, secret_of, secured, told_of_the_connection, until_secured};
use crate::certificates::Authority;
use crate::engines::{assert_ran_on_workers, succeed};
use crate::support::certificate_kind::{CertificateKind, certificates};
use crate::support::clock::now;
use crate::support::{Load, Namespace, poll, test, within};

/// The issuer that is asked for. A cert-manager that is there after all leaves issuers of this group to
/// others.
const ISSUER: &str = "e2e.daskflow.dev";

#[tokio::test]
async fn cert_manager_issues_the_certificate() {
    test("cert_manager_issues_the_certificate", Load::Dask, async |namespace| {
        let issuer_ref = json!({"name": "e2e", "group": ISSUER});
        let issuer = json!({"issuer": "CertManager", "issuerRef": issuer_ref, "duration": "24h"});
        let kind = CertificateKind::take(&namespace.client).await;
        namespace.create::<DaskCluster>(secured(namespace, 1, &issuer)).await;
        if !kind.is_there {
            namespace.until_cluster_says("dask", Reason::CertificateNotReady, &["not installed"]).await;
        }
        kind.install().await;

        let request = until_requested(namespace).await;
        assert_request(namespace, &request);
        say(namespace, &json!({"status": "False", "reason": "Pending", "message": "the issuer is at lunch"}))
            .await;
        let words = ["dask-tls", "the issuer is at lunch"];
        namespace.until_cluster_says("dask", Reason::CertificateNotReady, &words).await;

        let stand_in = StandIn::start(namespace);
        until_secured(namespace, 1, |_| true).await;
        make_teller(namespace, "dask").await;
        assert_scheme(&told_of_the_connection(namespace).await, "tls://");
        let run = succeed(namespace, "where", include_str!("../flows/where_dask.py")).await;
        assert_ran_on_workers(namespace, &run, "dask").await;
        assert!(
            namespace.api::<Secret>().get_metadata_opt("dask-ca").await.unwrap().is_none(),
            "no authority of ours"
        );

        // It asked once: nothing of what it wrote was pruned, and so it has nothing to write again.
        let after = until_requested(namespace).await;
        assert_eq!(after.metadata.generation, request.metadata.generation, "{after:?}");
        drop(stand_in);
        kind.remove().await;
    })
    .await;
}

/// Waits until the operator has asked for the cluster's certificate.
async fn until_requested(namespace: &Namespace) -> DynamicObject {
    let api = certificates(namespace);
    poll(within(90, "there is a Certificate for the cluster"), async || {
        api.get("dask-tls").await.map_err(|error| error.to_string())
    })
    .await
}

/// It goes with the cluster, and asks for what all Dask processes need: one certificate for both roles, with
/// the scheduler's names.
fn assert_request(namespace: &Namespace, request: &DynamicObject) {
    let owner = request.owner_references().first().map(|owner| (owner.kind.as_str(), owner.name.as_str()));
    assert_eq!(owner, Some(("DaskCluster", "dask")), "{request:?}");
    let spec = &request.data["spec"];
    assert_eq!(spec["issuerRef"]["name"], "e2e", "{spec}");
    assert_eq!(spec["issuerRef"]["group"], ISSUER, "{spec}");
    assert_eq!(spec["secretName"], "dask-tls", "{spec}");
    let has = |list: &Value, word: &str| list.as_array().unwrap().contains(&json!(word));
    let host = format!("dask-scheduler.{}.svc", namespace.name);
    assert!(["dask-scheduler", &host].iter().all(|name| has(&spec["dnsNames"], name)), "{spec}");
    assert!(["server auth", "client auth"].iter().all(|usage| has(&spec["usages"], usage)), "{spec}");
}

/// Says in the Certificate's condition `Ready` how far it is, as cert-manager does.
async fn say(namespace: &Namespace, ready: &Value) {
    let mut condition = json!({"type": "Ready", "lastTransitionTime": now().strftime("%FT%TZ").to_string()});
    condition.as_object_mut().unwrap().extend(ready.as_object().unwrap().clone());
    let status = Patch::Merge(json!({"status": {"conditions": [condition]}}));
    certificates(namespace).patch_status("dask-tls", &PatchParams::default(), &status).await.unwrap();
}

/// What does cert-manager's work: it watches the Certificates and signs what they ask for.
struct StandIn(JoinHandle<()>);

impl StandIn {
    fn start(namespace: &Namespace) -> Self {
        let api = certificates(namespace);
        let namespace = Namespace::of_others(namespace.client.clone(), namespace.settings, &namespace.name);
        Self(tokio::spawn(async move {
            let authority = Authority::new("stand-in");
            let mut changes =
                Box::pin(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
            while let Some(change) = changes.next().await {
                if let Ok(request) = change {
                    sign(&namespace, &authority, &request).await;
                }
            }
        }))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Signs a certificate with the wanted names, unless there is one.
async fn sign(namespace: &Namespace, authority: &Authority, request: &DynamicObject) {
    let spec = &request.data["spec"];
    let name = spec["secretName"].as_str().unwrap();
    if namespace.api::<Secret>().get_metadata_opt(name).await.unwrap().is_some() {
        return;
    }
    let names: Vec<&str> = spec["dnsNames"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let pair = authority.issue(&names);
    let mut secret = secret_of(name, &pair, &authority.pem);
    secret["metadata"]["annotations"] = json!({"cert-manager.io/certificate-name": request.name_any()});
    namespace.create::<Secret>(secret).await;
    say(namespace, &json!({"status": "True", "reason": "Ready", "message": "it is up to date"})).await;
}
