//! A group of workers: how many, with which resources, and how they are removed.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{Amount, Resources};
use super::count::Count;
use super::duration::{self, Duration};
use super::schema;

/// A further group of workers, with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.autoscale) || has(self.daskResources) && self.daskResources.exists(name, self.daskResources[name] > 0.0)").message("autoscale needs daskResources in a further group: it grows when tasks wait for one of them; the scheduler's own target goes to spec.workers"))]
pub struct WorkerGroup {
    /// The group's name, a part of its pods' names.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("the name of a worker group is a part of its pods' names: write lower-case letters, digits and '-', with a letter or digit at both ends"))]
    #[x_kube(validation = Rule::new("self != 'default'").message("the group called default is the one in spec.workers: choose another name"))]
    pub name: String,
    /// Its workers.
    #[serde(flatten)]
    pub workers: WorkersSpec,
}

/// A group of workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscale))").message("write replicas or autoscale, not both: an autoscaled group has no fixed size (replicas that your file does not have were set by kubectl scale: remove them with kubectl patch)"))]
pub struct WorkersSpec {
    /// How many workers run. Default: 1. `kubectl scale` and a `HorizontalPodAutoscaler` set it; both need
    /// the field to be present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: Option<i32>,
    /// Scales the number of workers with the load, instead of `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<Autoscale>,
    /// Threads of a worker. Default: its CPU limit rounded up, else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<i32>,
    /// Memory that a worker may fill before it spills and pauses, in Dask's or Kubernetes' units (`4Gi`,
    /// `4GB`). Default: its memory limit; without one, the memory of the whole node, whatever else runs
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?([kMGT]i?B?|B)?$')").message("write memory as a number with a unit, such as 4Gi, 512Mi or 4GB"))]
    pub memory: Option<String>,
    /// Compute resources of a worker's container, extended ones such as `nvidia.com/gpu` among them.
    #[serde(default)]
    pub resources: Resources,
    /// Dask's own worker resources: what a task asks for with `resources={"GPU": 1}`. The amount is what one
    /// worker has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::dask_resources")]
    pub dask_resources: BTreeMap<String, f64>,
    /// Whether a nanny supervises the worker's process, and restarts it when it dies or fills its memory.
    /// Default: Dask's own, which is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanny: Option<bool>,
    /// A volume of its own for what a worker spills to disk. Default: the container's own file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<Scratch>,
    /// How the workers are spread over the nodes or zones of Kubernetes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub topology_spread: Vec<TopologySpread>,
    /// The workers' `PriorityClass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// What happens to the tasks of a worker that is removed because the group shrinks or its spec changed.
    #[serde(default)]
    pub drain: Drain,
    /// Under `drain: Wait`: how long a busy worker that is being removed may finish its tasks. Default: 1h. A
    /// worker that gets no new tasks meanwhile is removed and replaced even where it is wanted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::from_zero("90s, 10m or 1h30m"))]
    pub drain_timeout: Option<Duration>,
    /// Arguments added to the worker's command. Not `--name` or `--nworkers`: a worker is called as its pod,
    /// and there is one in a pod.
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
    /// How many workers are wanted of a group that is not autoscaled.
    pub fn fixed_size(&self) -> usize {
        self.replicas.map_or(1, |replicas| usize::try_from(replicas).unwrap_or(0))
    }
}

/// Scales the number of workers with the load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minimum) || self.minimum <= self.maximum").message("minimum is more than maximum"))]
pub struct Autoscale {
    /// The minimum number of workers, also when there is no work.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub minimum: Count,
    /// The maximum number of workers.
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum: Count<1>,
    /// The time within which all known work should be done: a shorter one means more workers.
    #[serde(default = "Autoscale::default_target_duration")]
    #[x_kube(validation = duration::at_least_a_second("5s or 1m"))]
    pub target_duration: Duration,
    /// How long fewer workers must have been enough before some are removed. Workers are added at once.
    #[serde(default = "Autoscale::default_scale_down_after")]
    #[x_kube(validation = duration::from_zero("60s or 5m"))]
    pub scale_down_after: Duration,
}

impl Autoscale {
    fn default_target_duration() -> Duration {
        "5s".into()
    }

    fn default_scale_down_after() -> Duration {
        "60s".into()
    }
}

/// A volume for what a worker spills to disk: an `emptyDir`, which lives as long as the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scratch {
    /// How much it may hold, such as `20Gi`. Kubernetes evicts a worker that writes more.
    #[schemars(schema_with = "schema::quantity")]
    pub size: Amount,
    /// `Memory`: it is in memory, and counts against the worker's limit. Default: the node's disk.
    #[serde(default)]
    pub medium: ScratchMedium,
}

/// Where a scratch volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScratchMedium {
    /// The node's disk.
    #[default]
    Disk,
    /// The node's memory.
    Memory,
}

/// How workers are spread: a `topologySpreadConstraint` that counts the workers of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopologySpread {
    /// The label of nodes whose values are to be filled evenly, such as `kubernetes.io/hostname`.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
    /// By how many workers two values may differ.
    #[serde(default = "TopologySpread::default_max_skew")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_skew: i32,
    /// What happens to a worker that would break the rule.
    #[serde(default)]
    pub when_unsatisfiable: WhenUnsatisfiable,
}

impl TopologySpread {
    fn default_max_skew() -> i32 {
        1
    }
}

/// What happens to a worker that would break a rule of spreading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// It runs all the same, where it breaks the rule least.
    #[default]
    ScheduleAnyway,
    /// It waits.
    DoNotSchedule,
}

impl WhenUnsatisfiable {
    /// The word that a pod takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScheduleAnyway => "ScheduleAnyway",
            Self::DoNotSchedule => "DoNotSchedule",
        }
    }
}

/// What happens to the tasks of a worker that is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Drain {
    /// As Dask does: its results move to other workers, and the tasks that it runs start again elsewhere.
    #[default]
    Restart,
    /// It gets no new tasks, and is removed when those that it runs have ended, at the latest after
    /// `drainTimeout`. Before distributed 2024.4.2 it gets new ones, and is removed when it has none.
    Wait,
}
