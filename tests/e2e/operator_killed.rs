//! Exactly once, whenever the operator dies.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::clock::{next_multiple, now, sleep_until};
use crate::support::operator::{Operator, SHORT_LEASE};
use crate::support::{Load, Namespace, test, within};
use crate::ticks;

/// When the operator is killed, in milliseconds from a tick: most often while it makes the run and the Job.
const KILLED_MS: [i64; 5] = [-400, 150, -60, 700, 2500];
/// When it is deleted, which lets it release its Lease if it is quick.
const DELETED_MS: [i64; 5] = [20, 60, 100, 40, 250];

/// It takes a minute and a half: five times, a new operator starts, waits until the dead one's Lease is over,
/// and makes a run, before it dies in turn.
#[tokio::test]
async fn operator_killed_around_a_tick_runs_it_once() {
    test("operator_killed_around_a_tick_runs_it_once", Load::OwnOperator, async |namespace| {
        dies_at(namespace, &KILLED_MS, true).await;
    })
    .await;
}

#[tokio::test]
async fn operator_deleted_around_a_tick_runs_it_once() {
    test("operator_deleted_around_a_tick_runs_it_once", Load::OwnOperator, async |namespace| {
        dies_at(namespace, &DELETED_MS, false).await;
    })
    .await;
}

async fn dies_at(namespace: &Namespace, moments_ms: &[i64], is_killed: bool) {
    let operator = Operator::of_its_own(namespace, &SHORT_LEASE).await;
    ticks::start(namespace).await;
    for moment_ms in moments_ms {
        ticks::next_run(namespace, 90).await;
        let pod = operator.ready_pod().await;
        // Time enough for the killer to get ready.
        let tick = next_multiple(now() + SignedDuration::from_secs(4), ticks::INTERVAL_S);
        let moment = tick + SignedDuration::from_millis(*moment_ms);
        if is_killed {
            kill(namespace, &pod, moment).await;
        } else {
            sleep_until(moment).await;
        }
        operator.delete_now(&pod.name_any()).await;
    }
    let end = ticks::next_run(namespace, 90).await;
    ticks::assert_each_once(namespace, end).await;
}

/// Kills the operator's process from the node with SIGKILL, at that moment. Deleting a pod cannot do that:
/// the kubelet always asks politely first.
pub async fn kill(namespace: &Namespace, operator: &Pod, moment: Timestamp) {
    strike(namespace, operator, moment, "SIGKILL").await;
}

/// Sends this signal to the operator's process from the node, at that moment.
pub async fn strike(namespace: &Namespace, operator: &Pod, moment: Timestamp, signal: &str) {
    let at = format!("{:.3}", moment.as_duration().as_secs_f64());
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "killer"},
        "spec": {
            "hostPID": true,
            "nodeName": operator.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "killer",
                "image": namespace.settings.dask,
                "securityContext": {"runAsUser": 0},
                "command": ["python", "-c", include_str!("flows/killer.py"), operator.uid().unwrap(), at, signal],
            }],
        },
    });
    namespace.create::<Pod>(pod).await;
    let ended = namespace.until("killer", within(120, "the operator's process is killed"), |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        matches!(phase, "Succeeded" | "Failed")
    });
    let ended = ended.await;
    let log = namespace.log(&ended).await;
    assert!(log.iter().any(|line| line.text.starts_with("killed")), "{log:?}");
    namespace.api::<Pod>().delete("killer", &DeleteParams::default().grace_period(0)).await.unwrap();
    namespace.until_gone::<Pod>("killer", within(30, "the killer is gone")).await;
}
