//! Certificates that are renewed while runs come and go.

use std::collections::BTreeSet;

use daskflow::api::{ConditionType, DaskCluster, Flow, Phase, Reason};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use serde_json::json;

use super::{copies, secret_name, secured, until_secured};
use crate::support::clock::{now, seconds};
use crate::support::figures::{figure, figure_seconds};
use crate::support::manifests::{inline, with};
use crate::support::namespace::phase_of;
use crate::support::timeline::Timeline;
use crate::support::workers::condition;
use crate::support::{Load, Namespace, poll, test, within};

/// How often a certificate is renewed before the test ends.
const RENEWALS: usize = 2;

/// It takes about three minutes: a certificate of 90 seconds is renewed some 50 seconds after it was made,
/// and the scheduler has to start with the second new one. A shorter life would leave no time for a worker
/// and a scheduler to start before it ends.
#[tokio::test]
async fn rotation_under_scheduled_runs() {
    test("rotation_under_scheduled_runs", Load::Dask, async |namespace| {
        let (pods, clusters) = (Timeline::<Pod>::watch(namespace), Timeline::<DaskCluster>::watch(namespace));
        let issuer = json!({"issuer": "Operator", "duration": "90s"});
        namespace.ready_cluster(secured(namespace, 1, &issuer)).await;
        let began = now();
        let often = json!({
            "schedule": {"clocks": [{"name": "often", "interval": "10s"}]},
            "concurrency": "Allow",
            "history": {"succeeded": 1000, "failed": 1000},
        });
        let script = include_str!("../flows/where_dask.py");
        namespace.create::<Flow>(with(inline("often", script, "dask"), often)).await;

        poll(
            within(360, format!("the scheduler was replaced {RENEWALS} times, each with a new certificate")),
            async || {
                let (schedulers, certificates) = (schedulers(&pods), certificates(&clusters));
                let enough = schedulers.len() > RENEWALS && certificates.len() > RENEWALS;
                if enough {
                    Ok(())
                } else {
                    Err(format!("schedulers {schedulers:?}, certificates {certificates:?}"))
                }
            },
        )
        .await;
        figure_seconds("tls_rotated_twice", seconds(began, now()));
        until_secured(namespace, 1, |_| true).await;
        namespace.change::<Flow>("often", json!({"spec": {"suspend": true}})).await;
        assert_all_succeeded(namespace).await;
        assert_none_ended(&clusters);
        let told = namespace.events("dask", Reason::CertificateRenewed.as_str()).await;
        assert!(!told.is_empty(), "an event tells of a renewal");

        // The first ones are in no pod any more.
        for old in certificates(&clusters).iter().take(RENEWALS) {
            namespace.until_gone::<Secret>(old, within(90, format!("the old copy {old} is deleted"))).await;
        }
        let left = copies(namespace).await;
        assert!((1..=3).contains(&left.len()), "the copies that are left are in use: {left:?}");
    })
    .await;
}

/// The schedulers that there were.
fn schedulers(pods: &Timeline<Pod>) -> BTreeSet<String> {
    pods.read(|seen| {
        let versions = seen.iter().map(|version| &version.object);
        versions.filter(|pod| pod.name_any() == "dask-scheduler").filter_map(ResourceExt::uid).collect()
    })
}

/// The certificates that schedulers were started with, in order.
fn certificates(clusters: &Timeline<DaskCluster>) -> Vec<String> {
    clusters.read(|seen| {
        let mut all: Vec<String> = Vec::new();
        for name in seen.iter().filter_map(|version| version.object.status.as_ref()).map(secret_name) {
            if !name.is_empty() && !all.contains(&name) {
                all.push(name);
            }
        }
        all
    })
}

/// Waits until all runs have ended; no tick was left out, and all runs succeeded.
async fn assert_all_succeeded(namespace: &Namespace) {
    let runs = poll(within(90, "all runs have ended"), async || {
        let runs = namespace.runs_of("often").await;
        let open: Vec<_> =
            runs.iter().filter(|run| !phase_of(run).is_final()).map(ResourceExt::name_any).collect();
        if open.is_empty() { Ok(runs) } else { Err(open.join(", ")) }
    })
    .await;
    figure("tls_rotation_runs", runs.len(), "runs");
    assert!(runs.len() >= 6, "{} runs are too few to tell", runs.len());
    for run in &runs {
        assert_eq!(phase_of(run), Phase::Succeeded, "{}: {:?}", run.name_any(), run.status);
    }
}

/// No scheduler served beyond the end of its certificate.
fn assert_none_ended(clusters: &Timeline<DaskCluster>) {
    clusters.read(|seen| {
        for version in seen {
            let Some(status) = version.object.status.as_ref().filter(|status| status.tls.is_some()) else {
                continue;
            };
            let reason = &condition(status, ConditionType::CertificatesReady).reason;
            assert_ne!(reason, Reason::CertificateExpired.as_str(), "at {}: {status:?}", version.at);
        }
    });
}
