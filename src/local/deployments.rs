//! Deployments that show pods: their status, as Kubernetes' controller of Deployments writes it for one that
//! is paused and wants no pods.
//!
//! Without it `kubectl rollout status` and `kubectl wait --for=condition=Available` would never end.

use std::pin::pin;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::daemon::clock::Clock;

/// Writes the status of Deployments, for as long as it is polled.
pub async fn serve(client: &Client, clock: &Clock) {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let mut events = pin!(watcher::watcher(deployments, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(deployment) | Event::InitApply(deployment)) = event else { continue };
        let (Some(namespace), Some(name)) = (&deployment.metadata.namespace, &deployment.metadata.name)
        else {
            continue;
        };
        if let Some(status) = missing_status(&deployment, clock.now()) {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
            // One that is deleted meanwhile needs no status; nothing else stands against it.
            let patch = Patch::Merge(json!({"status": status}));
            let _ = deployments.patch_status(name, &PatchParams::default(), &patch).await;
        }
    }
}

/// The status of a Deployment that wants no pods and has none of its newest generation.
fn missing_status(deployment: &Deployment, now: Timestamp) -> Option<Value> {
    deployment.spec.as_ref().filter(|spec| spec.replicas == Some(0))?;
    let generation = deployment.metadata.generation?;
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |type_: &str, status: &str, (reason, message): (&str, &str)| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": message,
            "lastUpdateTime": now, "lastTransitionTime": now,
        })
    };
    let conditions = [
        condition("Progressing", "Unknown", ("DeploymentPaused", "Deployment is paused")),
        condition("Available", "True", ("MinimumReplicasAvailable", "Deployment has minimum availability.")),
    ];
    (observed != Some(generation))
        .then(|| json!({"observedGeneration": generation, "conditions": conditions}))
}

#[cfg(test)]
mod tests {
    use kube::api::PostParams;
    use kube::runtime::wait::await_condition;

    use super::*;
    use crate::cluster_api::ClusterApi;

    #[tokio::test(start_paused = true)]
    async fn a_paused_deployment_is_rolled_out_and_available_at_once() {
        let client = ClusterApi::new(|| Timestamp::UNIX_EPOCH, 1).client();
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        let labels = json!({"a": "b"});
        let deployment = json!({"metadata": {"name": "shown"}, "spec": {
            "replicas": 0, "paused": true, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
        }});
        let deployment = serde_json::from_value(deployment).unwrap();
        deployments.create(&PostParams::default(), &deployment).await.unwrap();
        let is_available = |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            let mut conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.any(|condition| condition.type_ == "Available" && condition.status == "True")
        };
        let found = tokio::select! {
            () = serve(&client, &clock) => panic!("it ended"),
            found = await_condition(deployments.clone(), "shown", is_available) => found.unwrap().unwrap(),
        };
        assert_eq!(found.status.as_ref().unwrap().observed_generation, found.metadata.generation);
        assert_eq!(missing_status(&found, Timestamp::UNIX_EPOCH), None);
    }
}
