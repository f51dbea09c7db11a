//! Exactly once, whenever the operator dies.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::clock::{next_multiple, now, sleep_until};
use crate::support::{Load, Namespace, operator, test, within};
use crate::ticks;

/// When the operator dies, in milliseconds from a tick: most often while it makes the run and the Job.
const MOMENTS_MS: [i64; 10] = [-400, 20, 150, 60, -60, 100, 700, 40, 2500, 250];

/// It takes some two minutes: ten times, a new operator starts, waits until the dead one's Lease is over, unless that one
/// could release it, and makes a run, before it dies in turn.
#[tokio::test]
async fn operator_killed_around_a_tick_runs_it_once() {
    test("operator_killed_around_a_tick_runs_it_once", Load::Disruptive, async |namespace| {
        ticks::start(namespace).await;
        for (round, moment_ms) in MOMENTS_MS.into_iter().enumerate() {
            ticks::next_run(namespace, 90).await;
            let operator = operator::ready_pod(&namespace.client).await;
            // Time enough for the killer to get ready.
            let tick = next_multiple(now() + SignedDuration::from_secs(4), ticks::INTERVAL_S);
            let moment = tick + SignedDuration::from_millis(moment_ms);
            if round % 2 == 0 {
                kill(namespace, &operator, moment).await;
            } else {
                sleep_until(moment).await;
            }
            operator::delete_now(&namespace.client, &operator.name_any()).await;
        }
        let end = ticks::next_run(namespace, 90).await;
        ticks::assert_each_once(namespace, end).await;
    })
    .await;
}

/// Kills the operator's process from the node with SIGKILL, at that moment. Deleting a pod cannot do that: the kubelet
/// always asks politely first.
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
    let ended = namespace.until("killer", within(30, "the operator's process is killed"), |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        matches!(phase, "Succeeded" | "Failed")
    });
    let ended = ended.await;
    let log = namespace.log(&ended).await;
    assert!(log.iter().any(|line| line.text.starts_with("killed")), "{log:?}");
    namespace.api::<Pod>().delete("killer", &DeleteParams::default().grace_period(0)).await.unwrap();
    namespace.until_gone::<Pod>("killer", within(30, "the killer is gone")).await;
}
