//! TLS that is switched on, handed to another issuer, and switched off on a cluster that lives.

use daskflow::api::DaskCluster;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::{
    assert_scheme, copies, make_teller, secret_name, secret_of, told_of_the_connection, until_secured,
};
use crate::certificates::Authority;
use crate::support::namespace::is_ready;
use crate::support::{Load, Namespace, poll, small_cluster, test, within};

#[tokio::test]
async fn switch_tls_on_and_off() {
    test("switch_tls_on_and_off", Load::Dask, async |namespace| {
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 1)).await;
        make_teller(namespace, "dask").await;
        assert_scheme(&told_of_the_connection(namespace).await, "tcp://");

        switch(namespace, json!({"issuer": "Operator"})).await;
        let own = secret_name(&until_secured(namespace, 1, |_| true).await);
        assert_scheme(&told_of_the_connection(namespace).await, "tls://");

        // Another authority: no process of before can talk to one of after.
        let authority = Authority::new("another");
        let pair = authority.issue(&["dask-scheduler"]);
        namespace.create::<Secret>(secret_of("theirs", &pair, &authority.pem)).await;
        switch(namespace, json!({"issuer": "Secret", "secretName": "theirs"})).await;
        until_secured(namespace, 1, |status| secret_name(status) != own).await;
        assert_scheme(&told_of_the_connection(namespace).await, "tls://");
        namespace
            .until_gone::<Secret>(&own, within(60, "the copy of the first certificate is deleted"))
            .await;

        switch(namespace, Value::Null).await;
        let wait = within(180, "the cluster is ready without TLS");
        let plain = namespace.until("dask", wait, |cluster: &DaskCluster| {
            let Some(status) = &cluster.status else { return false };
            is_ready(cluster) && status.tls.is_none() && status.workers.ready == 1
        });
        let status = plain.await.status.unwrap();
        assert_eq!(status.scheduler_address.map(|address| address.starts_with("tcp://")), Some(true));
        assert_scheme(&told_of_the_connection(namespace).await, "tcp://");
        poll(within(60, "no copy of a certificate is left"), async || {
            let left = copies(namespace).await;
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
        .await;
        let theirs: Secret = namespace.get("theirs").await;
        assert!(theirs.metadata.deletion_timestamp.is_none(), "what a user made stays");
    })
    .await;
}

/// Changes who issues the certificates, and runs something at once: on the old scheduler or on the new one,
/// it succeeds.
async fn switch(namespace: &Namespace, issuer: Value) {
    namespace.change::<DaskCluster>("dask", json!({"spec": {"tls": issuer}})).await;
    told_of_the_connection(namespace).await;
}
