//! What a kubelet says of a pod: its status, as the operator and `kubectl` read it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::plan::pods::state;

/// The name of this machine as a node.
pub const NODE: &str = "localhost";
/// The address of each pod.
pub const ADDRESS: &str = "127.0.0.1";

/// How a start of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The exit code.
    pub code: i32,
    /// What it left as a message.
    pub message: String,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not started, for this reason, with a message.
    Waiting(&'static str, String),
    /// It runs since.
    Running(Timestamp),
    /// It has ended.
    Ended(End),
}

/// What is known of a pod and its one container.
#[derive(Clone, Debug)]
pub struct Report {
    container: String,
    image: String,
    since: Timestamp,
    /// What its container does.
    pub state: State,
    /// How it ended before.
    pub last: Option<End>,
    /// How often it was started again.
    pub restarts: i32,
    /// Whether it answers.
    pub ready: bool,
}

/// The container that a pod is for.
pub fn own_container(pod: &Pod) -> Option<&Container> {
    let all = &pod.spec.as_ref()?.containers;
    let component = state::label(pod, crate::api::labels::COMPONENT);
    all.iter().find(|one| Some(one.name.as_str()) == component).or_else(|| all.first())
}

impl Report {
    /// Of a pod whose container was not started yet.
    pub fn new(container: &Container, since: Timestamp) -> Self {
        Self {
            container: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            since,
            state: State::Waiting("ContainerCreating", String::new()),
            last: None,
            restarts: 0,
            ready: false,
        }
    }

    /// The status, of a pod that is over or not.
    pub fn status(&self, is_over: bool) -> Value {
        let phase = match &self.state {
            State::Ended(end) if is_over => {
                if end.code == 0 {
                    "Succeeded"
                } else {
                    "Failed"
                }
            }
            State::Waiting(..) if self.restarts == 0 => "Pending",
            _ => "Running",
        };
        let since = second(self.since);
        let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": since});
        json!({
            "phase": phase,
            "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "hostIP": ADDRESS,
            "startTime": since,
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("PodReadyToStartContainers", !matches!(self.state, State::Waiting(..))),
                condition("ContainersReady", self.ready),
                condition("Ready", self.ready),
            ],
            "containerStatuses": [{
                "name": self.container, "image": self.image, "imageID": "",
                "ready": self.ready, "started": matches!(self.state, State::Running(_)),
                "restartCount": self.restarts,
                "state": state(&self.state),
                "lastState": self.last.as_ref().map_or_else(|| json!({}), |end| json!({"terminated": terminated(end)})),
            }],
        })
    }
}

fn state(state: &State) -> Value {
    match state {
        State::Waiting(reason, message) if message.is_empty() => json!({"waiting": {"reason": reason}}),
        State::Waiting(reason, message) => json!({"waiting": {"reason": reason, "message": message}}),
        State::Running(since) => json!({"running": {"startedAt": second(*since)}}),
        State::Ended(end) => json!({"terminated": terminated(end)}),
    }
}

fn terminated(end: &End) -> Value {
    let mut terminated = json!({
        "exitCode": end.code,
        "reason": if end.code == 0 { "Completed" } else { "Error" },
        "startedAt": second(end.started), "finishedAt": second(end.finished),
    });
    if let Some(fields) = terminated.as_object_mut().filter(|_| !end.message.is_empty()) {
        fields.insert("message".to_owned(), json!(end.message));
    }
    terminated
}

/// Times of Kubernetes have whole seconds.
fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// What of a pod's template a machine cannot do, in the words of its fields.
pub fn ignored(pod: &Pod) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let own = own_container(pod).map(|own| own.name.as_str());
    let mut all = Vec::new();
    let mut add = |is_there: bool, field: &str| all.extend(is_there.then(|| field.to_owned()));
    add(spec.node_selector.as_ref().is_some_and(|selector| !selector.is_empty()), "nodeSelector");
    add(spec.affinity.is_some(), "affinity");
    add(spec.topology_spread_constraints.is_some(), "topologySpreadConstraints");
    add(spec.host_network == Some(true), "hostNetwork");
    add(spec.runtime_class_name.is_some(), "runtimeClassName");
    add(spec.priority_class_name.is_some(), "priorityClassName");
    let names = spec.init_containers.iter().flatten().chain(&spec.containers).map(|one| one.name.as_str());
    for name in names.filter(|name| Some(*name) != own) {
        add(true, &format!("the container {name}"));
    }
    let limits = own_container(pod).and_then(|own| own.resources.as_ref()?.limits.as_ref());
    for resource in limits.into_iter().flatten().map(|(resource, _)| resource.as_str()) {
        add(!["cpu", "memory"].contains(&resource), &format!("the limit of {resource}"));
    }
    all
}

/// Whose pod it is, in words: of which Flow or `DaskCluster`.
pub fn owner(pod: &Pod) -> String {
    let label = |key: &str| state::label(pod, key);
    let flow = label(crate::api::labels::FLOW).map(|flow| format!("the Flow {flow}"));
    let cluster = || label(crate::api::labels::CLUSTER_NAME).map(|name| format!("the DaskCluster {name}"));
    flow.or_else(cluster).unwrap_or_else(|| format!("the pod {}", pod.name_any()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {"dask.org/component": "worker", "dask.org/cluster-name": "a"}},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_what_its_own_container_is() {
        let container = Container { name: "worker".to_owned(), ..Container::default() };
        let mut report = Report::new(&container, Timestamp::UNIX_EPOCH);
        assert_eq!(report.status(false)["phase"], "Pending");
        report.state = State::Running(Timestamp::UNIX_EPOCH);
        let running: Pod = serde_json::from_value(json!({"status": report.status(false)})).unwrap();
        assert!(state::runs(&running, "worker"));
        assert_eq!(state::ip(&running), Some(ADDRESS));
        let times = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let end = End { code: 3, message: "no".to_owned(), started: times.0, finished: times.1 };
        report.state = State::Ended(end);
        assert_eq!(report.status(false)["phase"], "Running", "it is started again");
        let over: Pod = serde_json::from_value(json!({"status": report.status(true)})).unwrap();
        assert_eq!(state::terminated(&over, "worker").unwrap().message.as_deref(), Some("no"));
        assert_eq!(report.status(true)["phase"], "Failed");
    }

    #[test]
    fn what_a_machine_cannot_do_is_named() {
        let pod = pod(&json!({
            "nodeSelector": {"gpu": "yes"}, "hostNetwork": true,
            "initContainers": [{"name": "fetch"}],
            "containers": [
                {"name": "log"},
                {"name": "worker", "resources": {"limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}}},
            ],
        }));
        assert_eq!(own_container(&pod).unwrap().name, "worker");
        let wanted = [
            "nodeSelector",
            "hostNetwork",
            "the container fetch",
            "the container log",
            "the limit of nvidia.com/gpu",
        ];
        assert_eq!(ignored(&pod), wanted);
        assert_eq!(owner(&pod), "the DaskCluster a");
    }
}
