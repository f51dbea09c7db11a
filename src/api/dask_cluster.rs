//! `DaskCluster`: keep this Dask cluster running.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{PullPolicy, Resources, is_false};
use super::schema;

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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 53")
        .message("the name of a DaskCluster has at most 53 characters, because the names of its pods are built on it: choose a shorter one"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a DaskCluster is also the name of its Service: write lower-case letters, digits and '-', with a letter first and no dot")
)]
#[serde(rename_all = "camelCase")]
pub struct DaskClusterSpec {
    /// The image of the scheduler, the workers and, where a Flow names none, the runners. Dask needs the same
    /// versions in all of them. Tasks are unpickled on the scheduler too, so Prefect must be in it for Prefect flows.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is pulled. Default: as in a pod (`Always` for the tag `latest`, else `IfNotPresent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<core::LocalObjectReference>,
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
    /// How many runs may be active on this cluster at once, of all Flows together; the others wait, and are let through in
    /// the order in which they became due. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_active_runs: Option<i32>,
    /// True: no pods run. The condition `Suspended` becomes true when they are gone.
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
pub struct ServiceSpec {
    /// The type of the Service.
    #[serde(rename = "type", default)]
    pub type_: ServiceType,
    /// Annotations of the Service, for load balancers and DNS controllers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
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

/// A group of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkersSpec {
    /// How many workers are to run. `kubectl scale` sets it.
    #[serde(default = "WorkersSpec::default_replicas")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: i32,
    /// Threads of a worker. Default: its CPU limit rounded up, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<i32>,
    /// Memory that a worker may fill before it spills and pauses, in Dask's or Kubernetes' units (`4Gi`, `4GB`).
    /// Default: its memory limit, else no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?([kMGT]i?B?|B)?$')").message("write memory as a number with a unit, such as 4Gi, 512Mi or 4GB"))]
    pub memory: Option<String>,
    /// Compute resources of a worker's container.
    #[serde(default)]
    pub resources: Resources,
    /// Arguments added to the worker's command. Not `--name` or `--nworkers`: a worker is called as its pod, and there
    /// is one in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<String>,
    /// A pod template that is merged over the generated one last: containers, env, volumes … by name. The
    /// worker's container is called `worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub template: Option<serde_json::Value>,
}

impl WorkersSpec {
    /// How many workers are wanted.
    pub fn wanted(&self) -> usize {
        usize::try_from(self.replicas).unwrap_or(0)
    }

    fn default_replicas() -> i32 {
        1
    }
}

impl Default for WorkersSpec {
    fn default() -> Self {
        Self {
            replicas: Self::default_replicas(),
            threads: None,
            memory: None,
            resources: Resources::default(),
            args: Vec::new(),
            template: None,
        }
    }
}

/// What is known of a `DaskCluster`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DaskClusterStatus {
    /// The generation of the spec that this status answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where Dask clients connect to, such as `tcp://analytics-scheduler.team-a.svc:8786`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_address: Option<String>,
    /// Where the Dask web UI is, such as `http://analytics-scheduler.team-a.svc:8787/status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard_address: Option<String>,
    /// Worker counts, as the scheduler tells them.
    #[serde(default)]
    pub workers: WorkerCounts,
    /// Worker pods that exist; the scale subresource reads it.
    #[serde(default)]
    pub replicas: i32,
    /// Selects the worker pods; the scale subresource reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// With `maxActiveRuns`: the runs that hold a place. A run starts only when it stands here, and writing it is
    /// guarded by the object's resourceVersion, so that never more start than there are places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admitted: Vec<String>,
    /// What is so, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Worker counts of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerCounts {
    /// Workers that the spec asks for.
    pub desired: i32,
    /// Workers that are registered with the scheduler.
    pub ready: i32,
}
