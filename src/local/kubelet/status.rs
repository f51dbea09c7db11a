//! What a kubelet says of a pod: its status, as the operator and `kubectl` read it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, SecurityContext};
use serde_json::{Value, json};

use super::probe::{self, Kind};
use crate::plan::pods::{container as planned, state};

/// The name of this machine as a node.
pub const NODE: &str = "localhost";
/// The condition of a pod whose template has what is ignored.
const IGNORED: &str = "IgnoredOnThisMachine";
/// Why it is ignored: as a reason of conditions and events.
pub const NOT_HERE: &str = "NotOnThisMachine";
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
    /// What of its template is ignored.
    ignored: Vec<String>,
    /// What its container does.
    pub state: State,
    /// How it ended before.
    pub last: Option<End>,
    /// How often it was started again.
    pub restarts: i32,
    /// Whether the start that runs is over: it may be asked whether it is ready, and whether it lives.
    pub has_started: bool,
    /// Whether it answers.
    pub ready: bool,
    /// Since when it ends because daskflow does, which is no end of its own.
    pub leaves: Option<Timestamp>,
}

/// The container that a pod is for.
pub fn own_container(pod: &Pod) -> Option<&Container> {
    let all = &pod.spec.as_ref()?.containers;
    let component = state::label(pod, crate::api::labels::COMPONENT);
    all.iter().find(|one| Some(one.name.as_str()) == component).or_else(|| all.first())
}

impl Report {
    /// Of a pod whose container was not started yet.
    pub fn new(pod: &Pod, container: &Container, since: Timestamp) -> Self {
        Self {
            ignored: ignored(pod),
            container: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            since,
            state: State::Waiting("ContainerCreating", String::new()),
            last: None,
            restarts: 0,
            has_started: false,
            ready: false,
            leaves: None,
        }
    }

    /// The status, of a pod that is over or not.
    pub fn status(&self, is_over: bool) -> Value {
        let phase = match &self.state {
            // Whatever it ended with, it was asked to.
            _ if is_over && self.leaves.is_some() => "Failed",
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
        let mut conditions = vec![
            condition("PodScheduled", true),
            condition("Initialized", true),
            condition("PodReadyToStartContainers", !matches!(self.state, State::Waiting(..))),
            condition("ContainersReady", self.ready),
            condition("Ready", self.ready),
        ];
        // As a kubelet says it whose node is shut down.
        conditions.extend(self.leaves.map(|leaves| {
            json!({
                "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
                "message": "daskflow was ended", "lastTransitionTime": second(leaves),
            })
        }));
        if !self.ignored.is_empty() {
            conditions.push(json!({
                "type": IGNORED, "status": "True", "lastTransitionTime": since,
                "reason": NOT_HERE, "message": self.ignored.join(", "),
            }));
        }
        json!({
            "phase": phase,
            "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "hostIP": ADDRESS,
            "startTime": since,
            "conditions": conditions,
            "containerStatuses": [{
                "name": self.container, "image": self.image, "imageID": "",
                "ready": self.ready, "started": self.has_started,
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
    let own = own_container(pod);
    let mut all = of_pod(spec);
    all.extend(own.into_iter().flat_map(of_container));
    let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let own_name = own.map(|own| own.name.as_str());
    let names = spec.init_containers.iter().flatten().chain(&spec.containers).map(|one| one.name.as_str());
    all.extend(names.filter(|name| Some(*name) != own_name).map(|name| format!("the container {name}")));
    let limits = own.and_then(|own| own.resources.as_ref()?.limits.as_ref());
    let limits = limits.into_iter().flatten().map(|(resource, _)| resource.as_str());
    let limits = limits.filter(|resource| !["cpu", "memory"].contains(resource));
    all.extend(limits.map(|resource| format!("the limit of {resource}")));
    all.extend(own.into_iter().flat_map(|own| Kind::ALL.map(|kind| probe::unknown(kind, own))).flatten());
    all
}

/// Fields of a pod that a machine has nothing for. What each pod is given without being asked is none.
fn of_pod(spec: &PodSpec) -> Vec<&'static str> {
    // An fsGroup is ours where there is TLS; files of volumes are this user's in any case.
    let security = spec.security_context.clone().unwrap_or_default();
    let security = PodSecurityContext { fs_group: None, ..security };
    let given = planned::pod(Container::default(), "", &[]).security_context.unwrap_or_default();
    let is_asked_for = security != PodSecurityContext::default() && security != given;
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    written([
        ("nodeSelector", spec.node_selector.as_ref().is_some_and(|selector| !selector.is_empty())),
        ("affinity", spec.affinity.is_some()),
        ("tolerations", spec.tolerations.as_ref().is_some_and(|all| !all.is_empty())),
        ("topologySpreadConstraints", spec.topology_spread_constraints.is_some()),
        ("hostNetwork", spec.host_network == Some(true)),
        ("hostPID", spec.host_pid == Some(true)),
        ("hostIPC", spec.host_ipc == Some(true)),
        ("hostAliases", spec.host_aliases.as_ref().is_some_and(|all| !all.is_empty())),
        ("dnsConfig", spec.dns_config.is_some()),
        ("dnsPolicy", policy != "ClusterFirst"),
        ("shareProcessNamespace", spec.share_process_namespace == Some(true)),
        ("securityContext", is_asked_for),
        ("runtimeClassName", spec.runtime_class_name.is_some()),
        ("priorityClassName", spec.priority_class_name.is_some()),
    ])
}

/// The same of its own container.
fn of_container(own: &Container) -> Vec<&'static str> {
    let security = own.security_context.clone().unwrap_or_default();
    let given = planned::container("", "", None).security_context.unwrap_or_default();
    let step = own.lifecycle.as_ref();
    let before_end = step.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let mut mounts = own.volume_mounts.iter().flatten();
    written([
        ("the container's securityContext", security != SecurityContext::default() && security != given),
        ("lifecycle.postStart", step.is_some_and(|lifecycle| lifecycle.post_start.is_some())),
        ("a lifecycle.preStop without exec", before_end.is_some_and(|step| step.exec.is_none())),
        ("subPathExpr", mounts.any(|mount| mount.sub_path_expr.is_some())),
    ])
}

/// The names of those that are written.
fn written<const N: usize>(fields: [(&'static str, bool); N]) -> Vec<&'static str> {
    fields.into_iter().filter_map(|(field, is_written)| is_written.then_some(field)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DaskCluster;
    use crate::plan::pods::{scheduler, worker};
    use crate::plan::site::Site;

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
        let mut report = Report::new(&Pod::default(), &container, Timestamp::UNIX_EPOCH);
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
        assert_eq!(super::super::owner::Owner::of(&pod).to_string(), "the DaskCluster a");
    }

    #[test]
    fn what_a_process_has_no_part_in_is_named() {
        let pod = pod(&json!({
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["store"]}],
            "securityContext": {"runAsUser": 1000},
            "shareProcessNamespace": true, "hostPID": true, "hostIPC": true,
            "dnsConfig": {"nameservers": ["10.0.0.2"]}, "dnsPolicy": "None",
            "containers": [{
                "name": "worker",
                "securityContext": {"runAsNonRoot": true},
                "lifecycle": {
                    "postStart": {"exec": {"command": ["true"]}}, "preStop": {"sleep": {"seconds": 3}},
                },
                "livenessProbe": {"httpGet": {"port": "http"}},
                "startupProbe": {"httpGet": {"port": 80}},
                "readinessProbe": {"grpc": {"port": 80}},
                "volumeMounts": [{"name": "data", "mountPath": "/data", "subPathExpr": "$(POD)"}],
            }],
        }));
        let wanted = [
            "tolerations",
            "hostPID",
            "hostIPC",
            "hostAliases",
            "dnsConfig",
            "dnsPolicy",
            "shareProcessNamespace",
            "securityContext",
            "the container's securityContext",
            "lifecycle.postStart",
            "a lifecycle.preStop without exec",
            "subPathExpr",
            "a grpc readinessProbe",
            "a livenessProbe of a port that has no number here",
        ];
        assert_eq!(ignored(&pod), wanted);
    }

    #[test]
    fn of_what_nobody_wrote_nothing_is_named() {
        let spec = serde_json::from_value(json!({"image": "i"})).unwrap();
        let cluster = DaskCluster::new("a", spec);
        let site = Site::Machine { comm: 20_000, dashboard: 20_001 };
        let group = (worker::DEFAULT_GROUP, &cluster.spec.workers);
        let worker = worker::pod(&cluster, site, None, group, 7).unwrap();
        for mut pod in [scheduler::pod(&cluster, site, None).unwrap(), worker] {
            assert_eq!(ignored(&pod), Vec::<String>::new());
            // As it is with TLS, and with what the API fills in.
            let spec = pod.spec.as_mut().unwrap();
            spec.dns_policy = Some("ClusterFirst".to_owned());
            spec.security_context.as_mut().unwrap().fs_group = Some(1000);
            assert_eq!(ignored(&pod), Vec::<String>::new());
        }
    }
}
