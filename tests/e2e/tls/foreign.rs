//! Clusters that somebody else runs, and that speak TLS with one pair for everything.

use daskflow::api::{DaskCluster, Flow, Phase};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::certificates::{Pair, openssl, self_signed_plain};
use crate::clusters::{foreign_scheduler, foreign_worker};
use crate::engines::assert_ran_on;
use crate::support::manifests::{abroad, secret};
use crate::support::{Load, Namespace, test};

/// What Dask's `Security.temporary()` and Dask Gateway make: it does not say that it is a CA.
#[tokio::test]
async fn foreign_tls_cluster_with_self_signed_pair() {
    test("foreign_tls_cluster_with_self_signed_pair", Load::Dask, async |namespace| {
        let host = format!("foreign.{}.svc", namespace.name);
        run_on_a_cluster_of(namespace, &self_signed_plain(&[&host]), true).await;
    })
    .await;
}

/// What `openssl req -x509` makes without more words: a CA, and no host name.
#[tokio::test]
async fn foreign_tls_cluster_with_openssl_req_x509() {
    test("foreign_tls_cluster_with_openssl_req_x509", Load::Dask, async |namespace| {
        let command = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=dask", "-days", "1"];
        let output = ["-keyout", "/dev/stdout", "-out", "/dev/stdout"];
        let both = openssl(&[&command[..], &output].concat(), "");
        let (key, certificate) = both.split_at(both.find("-----BEGIN CERTIFICATE").unwrap());
        let about = openssl(&["x509", "-noout", "-text"], certificate);
        assert!(about.contains("CA:TRUE"), "{about}");
        let pair = Pair { certificate: certificate.to_owned(), key: key.to_owned() };
        run_on_a_cluster_of(namespace, &pair, false).await;
    })
    .await;
}

/// Makes a cluster whose processes all have this pair, as the Flow has, and trust nothing else; and runs on
/// it.
async fn run_on_a_cluster_of(namespace: &Namespace, pair: &Pair, verify_host_name: bool) {
    let files = [("tls.crt", pair.certificate.as_str()), ("tls.key", &pair.key)];
    namespace.create::<Secret>(secret("pair", &files)).await;
    foreign_scheduler(namespace, "foreign", Some("pair")).await;
    foreign_worker(namespace, "foreign", Some("pair")).await;

    let address = format!("tls://foreign.{}.svc:8786", namespace.name);
    let tls = json!({"secretName": "pair", "verifyHostName": verify_host_name});
    let cluster = json!({"address": address, "tls": tls});
    let script = include_str!("../flows/where_dask.py");
    namespace.create::<Flow>(abroad("abroad", script, &namespace.settings.dask, &cluster)).await;
    let run = namespace.start_run("abroad").await;
    let status = namespace.until_phase(&run, Phase::Succeeded, 180).await.status.unwrap();
    assert_eq!(status.cluster.as_ref(), Some(&address), "{status:?}");
    assert_ran_on(namespace, &run, &["foreign-worker".to_owned()]).await;
    assert!(namespace.list::<DaskCluster>("").await.is_empty(), "no cluster of ours was made");
    assert_eq!(namespace.list::<Secret>("").await.len(), 1, "nor a copy of the Secret");
}
