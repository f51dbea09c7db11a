//! The facts of a failed test, on standard error: what `kubectl get`, `describe` and `logs` would show.

use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use super::clock::describe;
use super::namespace::{Kind, Namespace};
use super::operator;

/// Last lines of each log that are shown.
const LOG_LINES: i64 = 25;

/// Prints what is known about a namespace and the operator.
pub async fn print(namespace: &Namespace) {
    eprintln!("=== namespace {}", namespace.name);
    print_kind::<DaskCluster>(namespace).await;
    print_kind::<Flow>(namespace).await;
    print_kind::<FlowRun>(namespace).await;
    print_kind::<FlowBackfill>(namespace).await;
    print_kind::<Job>(namespace).await;
    print_events(namespace).await;
    let pods: Vec<Pod> = namespace.try_list("").await.unwrap_or_default();
    for pod in &pods {
        print_pod(pod);
    }
    for pod in &pods {
        print_log(&namespace.api(), pod, None).await;
    }
    print_operator(namespace).await;
}

async fn print_kind<K: Kind>(namespace: &Namespace) {
    match namespace.try_list::<K>("").await {
        Ok(objects) => {
            for object in &objects {
                eprintln!("--- {} {}", K::kind(&()), describe(object));
            }
        }
        Err(error) => eprintln!("--- cannot list {}: {error}", K::plural(&())),
    }
}

async fn print_events(namespace: &Namespace) {
    let mut events: Vec<Event> = namespace.try_list("").await.unwrap_or_default();
    events.sort_by_key(|event| event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    for event in events {
        let object = event.involved_object;
        eprintln!(
            "--- event {} {}/{} {}: {}",
            event.metadata.creation_timestamp.map(|time| time.0.to_string()).unwrap_or_default(),
            object.kind.unwrap_or_default(),
            object.name.unwrap_or_default(),
            event.reason.unwrap_or_default(),
            event.message.unwrap_or_default(),
        );
    }
}

fn print_pod(pod: &Pod) {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    eprintln!("--- pod {} {phase} {}", pod.name_any(), status.message.unwrap_or_default());
    for container in status.container_statuses.unwrap_or_default() {
        let state = serde_json::to_string(&container.state).unwrap_or_default();
        eprintln!(
            "      {} ready {} restarts {} {state}",
            container.name, container.ready, container.restart_count
        );
    }
    for condition in
        status.conditions.unwrap_or_default().iter().filter(|condition| condition.status != "True")
    {
        let why = condition.message.as_deref().unwrap_or_default();
        eprintln!("      {}={} {why}", condition.type_, condition.status);
    }
}

async fn print_operator(namespace: &Namespace) {
    let pods = operator::pods(&namespace.client).await.unwrap_or_default();
    let api = Api::namespaced(namespace.client.clone(), operator::NAMESPACE);
    for pod in &pods {
        print_pod(pod);
        print_log(&api, pod, Some(&namespace.name)).await;
    }
    if pods.is_empty() {
        eprintln!("=== no pod of the operator");
    }
}

/// The end of the log of each container of a pod, or of its lines with these words.
async fn print_log(pods: &Api<Pod>, pod: &Pod, words: Option<&str>) {
    let tail_lines = if words.is_some() { None } else { Some(LOG_LINES) };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| &container.name);
    for container in containers {
        let of = LogParams { tail_lines, container: Some(container.clone()), ..LogParams::default() };
        match pods.logs(&pod.name_any(), &of).await {
            Ok(text) => {
                eprintln!("--- log of {} {container}", pod.name_any());
                let lines: Vec<&str> =
                    text.lines().filter(|line| line.contains(words.unwrap_or_default())).collect();
                let first = lines.len().saturating_sub(usize::try_from(LOG_LINES * 4).unwrap_or(usize::MAX));
                lines.iter().skip(first).for_each(|line| eprintln!("      {line}"));
            }
            Err(error) => eprintln!("--- no log of {} {container}: {error}", pod.name_any()),
        }
    }
}
