//! `DaskCluster`: keep this Dask cluster running.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Entrypoint, PullPolicy, Resources, is_false};
use super::count::Count;
use super::duration::{self, Duration};
use super::network_policy::NetworkPolicySpec;
use super::schema;
use super::tls::{Tls, TlsStatus};
use super::worker_group::{WorkerGroup, WorkersSpec};

/// The most groups of workers beside the one called "default".
pub const WORKER_GROUPS_MAX: usize = 16;

/// What a `DaskCluster` is to be: one scheduler and a number of workers.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "daskflow.dev",
    version = "v1alpha1",
    kind = "DaskCluster",
    plural = "daskclusters",
    shortname = "dkc",
    category = "daskflow",
    namespaced,
    status = "DaskClusterStatus",
    derive = "PartialEq",
    doc = "A Dask cluster: a scheduler and workers, kept running.",
    scale(
        spec_replicas_path = ".spec.workers.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.workers.ready"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.workers.desired"),
    printcolumn(name = "Scheduler", type_ = "string", json_path = ".status.schedulerAddress", priority = 1),
    printcolumn(name = "Dashboard", type_ = "string", json_path = ".status.dashboardAddress", priority = 1),
    printcolumn(name = "Certificate", type_ = "string", json_path = ".status.tls.notAfter"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 53")
        .message("the name of a DaskCluster has at most 53 characters, because the names of its pods are built on it: choose a shorter one"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a DaskCluster is also the name of its Service: write lower-case letters, digits and '-', with a letter first and no dot")
)]
#[serde(rename_all = "camelCase")]
pub struct DaskClusterSpec {
    /// The image of the scheduler, the workers and, where a Flow names none, the runners. Dask needs the same
    /// versions in all of them. Tasks are unpickled on the scheduler too, so Prefect must be in it for
    /// Prefect flows.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is pulled. Default: as in a pod (`Always` for the tag `latest`, else `IfNotPresent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<core::LocalObjectReference>,
    /// The Python that starts the scheduler and the workers in the image: a name that is looked for in its
    /// `PATH`, or a path, such as `python3` or `/opt/venv/bin/python`. Default: `python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub python: Option<String>,
    /// Whether the `ENTRYPOINT` of the image runs, such as `tini`, one that activates an environment, or one
    /// that installs `EXTRA_PIP_PACKAGES`. Default: `Python`, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Entrypoint>,
    /// A pod template for all pods of the cluster and for the runners on it: labels, annotations, volumes,
    /// node selectors, security settings … `*` is the name of the container that each pod is for. It is
    /// merged over the generated template; the fields of this spec, and `template` of a scheduler, a group or
    /// a Flow, take precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub pod_defaults: Option<serde_json::Value>,
    /// Environment variables of the scheduler, the workers, and the runners on this cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<core::EnvVar>,
    /// The Dask scheduler.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// The workers of the group called "default".
    #[serde(default)]
    pub workers: WorkersSpec,
    /// More groups of workers, such as ones with GPUs or much memory. The workers of a group that is taken
    /// out of the list are retired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = WORKER_GROUPS_MAX))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub worker_groups: Vec<WorkerGroup>,
    /// What happens to the cluster when it is idle. Default: it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// When a change of the spec may restart the scheduler, which forgets all results.
    #[serde(default)]
    pub rollout: Rollout,
    /// The maximum number of runs that are active on this cluster at the same time, of all Flows together.
    /// Further runs wait, and start in the order in which they became due. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_active_runs: Option<Count<1>>,
    /// TLS between the scheduler, the workers, the runners and the operator. Default: plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Whether a NetworkPolicy restricts which pods may reach the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
    /// True: no pods run. The condition `Suspended` becomes true when they are deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// The Dask scheduler of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerSpec {
    /// Compute resources of the scheduler's container.
    #[serde(default)]
    pub resources: Resources,
    /// Arguments added to the scheduler's command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<String>,
    /// The Service in front of the scheduler.
    #[serde(default)]
    pub service: ServiceSpec,
    /// A pod template that is merged over the generated one last: containers, env, volumes … by name. The
    /// scheduler's container is called `scheduler`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub template: Option<serde_json::Value>,
}

/// The Service in front of a scheduler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.type) && self.type == 'LoadBalancer') || (!has(self.loadBalancerSourceRanges) && !has(self.loadBalancerClass))").message("loadBalancerSourceRanges and loadBalancerClass are for type LoadBalancer"))]
#[x_kube(validation = Rule::new("(has(self.type) && self.type != 'ClusterIP') || !has(self.externalTrafficPolicy)").message("externalTrafficPolicy is for the types LoadBalancer and NodePort"))]
pub struct ServiceSpec {
    /// The type of the Service.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Annotations of the Service, for load balancers and DNS controllers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// From where the load balancer lets clients in, such as `10.0.0.0/8`. Default: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 3, max = 64)))]
    pub load_balancer_source_ranges: Vec<String>,
    /// Whose load balancer it is to be. Kubernetes does not let it be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Whether traffic from outside goes to the scheduler's own node alone, which keeps the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// Which nodes take traffic from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    /// All.
    Cluster,
    /// The one that the scheduler runs on.
    Local,
}

impl ExternalTrafficPolicy {
    /// The word that a Service takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// The types of Service that make sense for a scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable inside the Kubernetes cluster.
    #[default]
    ClusterIP,
    /// Reachable on a port of every node.
    NodePort,
    /// Reachable through a load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// The word that a Service takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// When a change of the spec may restart the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Rollout {
    /// When it is idle: no run is active, no client is connected and no task is left, and a worker of the new
    /// spec has registered, so that its image is known to be good.
    #[default]
    WhenIdle,
    /// At once. What runs on the cluster fails.
    Immediate,
}

/// What happens to a cluster that is idle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    /// How long the cluster must have been idle: no run, no task, no new client.
    #[x_kube(validation = duration::at_least_a_second("90s, 10m or 1h30m"))]
    pub after: Duration,
    /// What happens to the cluster after that time.
    #[serde(default)]
    pub action: IdleAction,
}

/// What happens to a cluster that is idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdleAction {
    /// Its workers are retired; the scheduler stays. A run, a task or a new client brings them back.
    #[default]
    ScaleToZero,
    /// All its pods are deleted. A run brings them back, and so does any change of the spec.
    Suspend,
    /// The `DaskCluster` is deleted.
    Delete,
}

impl IdleAction {
    /// The word in the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaleToZero => "ScaleToZero",
            Self::Suspend => "Suspend",
            Self::Delete => "Delete",
        }
    }
}

/// What is known of a `DaskCluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DaskClusterStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where Dask clients connect to, such as `tcp://analytics-scheduler.team-a.svc:8786`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_address: Option<String>,
    /// Where the Dask web UI is, such as `http://analytics-scheduler.team-a.svc:8787/status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_address: Option<String>,
    /// When the scheduler's container last ended by itself. Results that it knew of then are lost, though the
    /// pod is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_ended_at: Option<Time>,
    /// Since when the scheduler answers and can be reached. Missing while it does not or cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_ready_since: Option<Time>,
    /// Since when no run starts on the cluster, because its scheduler is about to be replaced. Missing where
    /// it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_since: Option<Time>,
    /// Since when workers that are to be removed stay, because the scheduler does not let them go. Missing
    /// where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_kept_since: Option<Time>,
    /// What the API server refused when the cluster was last brought in line with its spec. Missing where it
    /// refused nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Worker counts of all groups together, as the scheduler reports them.
    #[serde(default)]
    pub workers: WorkerCounts,
    /// Worker counts of each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub groups: Vec<GroupStatus>,
    /// Whether the cluster is idle, and `idle.action` has been carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdleStatus>,
    /// The certificates that are in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// Worker pods of the group "default" that exist; the scale subresource reads it.
    #[serde(default)]
    pub replicas: i32,
    /// Selects the worker pods of the group "default"; the scale subresource reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// With `maxActiveRuns`: the runs that are admitted. A run starts only when it is listed here. The list
    /// is written with the object's resourceVersion, so that the limit is never exceeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
    /// The latest observations of the object, as Kubernetes conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What the API server refused when the cluster was last brought in line with its spec; missing where it
/// refused nothing. `Quota`: a pod, for which the namespace's quota has no room. `Object`: an object as the
/// spec wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Refusal {
    /// A pod that the namespace's quota has no room for: pods are tried one at a time until there is room.
    Quota,
    /// An object as the spec wants it: it is tried again at each look.
    Object,
}

/// Worker counts of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerCounts {
    /// Workers that the spec asks for.
    pub desired: i32,
    /// Workers that are registered with the scheduler.
    pub ready: i32,
}

/// Worker counts of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// The group's name.
    pub name: String,
    /// Workers that the spec, or the autoscaler, asks for.
    pub desired: i32,
    /// Workers that are registered with the scheduler.
    pub ready: i32,
    /// That its workers end as soon as they start. It is forgotten when all of them are registered, and when
    /// the spec of the group changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_ends: Option<EarlyEnds>,
}

/// Workers that end as soon as they start: they are created again after a delay, which doubles from 10
/// seconds to 5 minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EarlyEnds {
    /// How many times in a row.
    pub times: i32,
    /// When the last of them ended.
    #[schemars(schema_with = "schema::required_timestamp")]
    pub last: Time,
    /// What they were made from, as in the label `daskflow.dev/template-hash` of their pods.
    pub template: String,
}

/// Whether a cluster is idle, and `idle.action` has been carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdleStatus {
    /// True: `idle.action` was carried out. False: the cluster is in use again.
    pub asleep: bool,
    /// When this last changed.
    #[schemars(schema_with = "schema::required_timestamp")]
    pub since: Time,
    /// The generation of the spec at that time: a change of the spec starts the cluster again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}
