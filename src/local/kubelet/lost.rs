//! Pods of an earlier daskflow, whose processes ended with it: to Kubernetes, those of a node that is lost.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::status::own_container;
use crate::api::labels;

/// What is said of them.
const MESSAGE: &str = "daskflow, or this machine, ended while it ran";

/// Says of each pod that an earlier daskflow had taken, and whose end it did not see, that it is lost: so
/// Jobs, runs and clusters go on as they do after a lost node. Those that were to end are taken away, also
/// where their end was seen; and so are schedulers and workers that had not begun, whose ports may be other
/// ones by now. Gives how many are lost. Nothing else may look after pods yet.
///
/// # Errors
///
/// The API refuses.
pub async fn give_up(client: &Client, now: Timestamp) -> kube::Result<usize> {
    let all: Api<Pod> = Api::all(client.clone());
    let mut count = 0;
    for pod in all.list(&ListParams::default()).await? {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let was_taken = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
        let has_old_ports = !was_taken && !has_ended && is_of_cluster(&pod);
        let was_to_end = was_taken && pod.metadata.deletion_timestamp.is_some() || has_old_ports;
        if !was_to_end && (!was_taken || has_ended) {
            continue;
        }
        let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        if was_taken && !has_ended {
            let status = lost(&pod, now);
            let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
            pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await?;
            count += 1;
        }
        // One that had ended too: what would have taken it away has ended.
        if was_to_end {
            let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
            let at_once = DeleteParams {
                preconditions: Some(preconditions),
                ..DeleteParams::default().grace_period(0)
            };
            pods.delete(&pod.name_any(), &at_once).await?;
        }
    }
    Ok(count)
}

/// Whether it is a scheduler or a worker.
fn is_of_cluster(pod: &Pod) -> bool {
    let component = pod.labels().get(labels::COMPONENT).map(String::as_str);
    component.is_some_and(|component| [labels::SCHEDULER, labels::WORKER].contains(&component))
}

/// The status of a pod that is lost: in the words of Kubernetes' garbage collector of pods and, for its
/// container, of a kubelet that does not find it again. When it ended is not known.
fn lost(pod: &Pod, now: Timestamp) -> PodStatus {
    let mut status = pod.status.clone().unwrap_or_default();
    status.phase = Some("Failed".to_owned());
    status.reason = Some("NodeLost".to_owned());
    status.message = Some(MESSAGE.to_owned());
    let mut conditions = status.conditions.take().unwrap_or_default();
    for condition in &mut conditions {
        if ["Ready", "ContainersReady"].contains(&condition.type_.as_str()) && condition.status == "True" {
            "False".clone_into(&mut condition.status);
            condition.last_transition_time = Some(Time(now));
        }
    }
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("DeletionByPodGC".to_owned()),
        message: Some(MESSAGE.to_owned()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
    status.conditions = Some(conditions);
    let name = own_container(pod).map(|container| container.name.clone()).unwrap_or_default();
    let mut containers = status.container_statuses.take().unwrap_or_default();
    if containers.is_empty() {
        containers.push(ContainerStatus { name, ..ContainerStatus::default() });
    }
    for container in &mut containers {
        (container.ready, container.started) = (false, Some(false));
        let has_ended = container.state.as_ref().is_some_and(|state| state.terminated.is_some());
        if !has_ended {
            container.state = Some(ContainerState {
                terminated: Some(ContainerStateTerminated {
                    exit_code: 137,
                    reason: Some("ContainerStatusUnknown".to_owned()),
                    message: Some(MESSAGE.to_owned()),
                    ..ContainerStateTerminated::default()
                }),
                ..ContainerState::default()
            });
        }
    }
    status.container_statuses = Some(containers);
    status
}
