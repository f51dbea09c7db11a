//! `FlowRun`: one run of a Flow.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;
use super::gateway::GatewayStatus;
use super::schema;

/// One run of a `Flow`. The operator makes one at each tick; a user makes one to run the flow now.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "daskflow.dev",
    version = "v1alpha1",
    kind = "FlowRun",
    plural = "flowruns",
    shortname = "fr",
    category = "daskflow",
    namespaced,
    status = "FlowRunStatus",
    derive = "PartialEq",
    doc = "One run of a Flow. Create one to run the flow now.",
    selectable = ".spec.flow",
    printcolumn(name = "Flow", type_ = "string", json_path = ".spec.flow"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Tasks", type_ = "integer", json_path = ".status.tasks.total"),
    printcolumn(name = "Tick", type_ = "string", json_path = ".spec.scheduledTime", priority = 1),
    printcolumn(name = "Clock", type_ = "string", json_path = ".spec.clock", priority = 1),
    printcolumn(name = "Attempt", type_ = "integer", json_path = ".status.attempt", priority = 1),
    printcolumn(name = "Exit", type_ = "integer", json_path = ".status.exitCode", priority = 1),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.finishedAt"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 59")
        .message("the name of a FlowRun has at most 59 characters, because the name of its Job is built on it: choose a shorter one, or generateName"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name of a FlowRun becomes part of other names: write lower-case letters, digits and '-', with a letter first and no dot")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.scheduledTime) == has(oldSelf.scheduledTime) && has(self.clock) == has(oldSelf.clock) && has(self.parameters) == has(oldSelf.parameters) && has(self.backfill) == has(oldSelf.backfill)")
        .message("a FlowRun cannot change what it runs: create another one (only cancel and suspend may be set)"),
    validation = Rule::new("has(self.clocks) == has(oldSelf.clocks) && has(self.mergedParameters) == has(oldSelf.mergedParameters)")
        .message("a FlowRun cannot change what it runs: create another one (only cancel and suspend may be set)"),
    validation = Rule::new("!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)")
        .message("cancel cannot be taken back: create another FlowRun")
)]
pub struct FlowRunSpec {
    /// The `Flow` of this namespace that is run.
    #[schemars(length(min = 1, max = 38))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("flow cannot be changed: create another FlowRun"))]
    pub flow: String,
    /// The logical time of the run. Default: when the object was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("scheduledTime cannot be changed: create another FlowRun"))]
    #[x_kube(validation = Rule::new("self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')").message("write an instant between the years 1 and 9999, before 9999-12-30; for no end, leave the field out"))]
    pub scheduled_time: Option<Time>,
    /// The clock whose tick this run is; set by the operator. A run made by hand may name one to get its
    /// parameters: that makes it no tick of the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("clock cannot be changed: create another FlowRun"))]
    pub clock: Option<String>,
    /// All clocks that ticked at this instant and share the run, where they are several; set by the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("clocks cannot be changed: create another FlowRun"))]
    pub clocks: Vec<String>,
    /// Parameters of this run, over the flow's.
    // The API server's comparison of opaque objects overlooks a key that is renamed while the number of keys
    // stays (its CEL map equality skips keys that the other side lacks); no rule can do better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("parameters cannot be changed: create another FlowRun"))]
    pub parameters: Option<serde_json::Value>,
    /// All parameters of the run as they were at its tick: the Flow's, over them the clock's and the
    /// backfill's; set by the operator. What the Flow says later does not reach a run that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("mergedParameters cannot be changed: create another FlowRun"))]
    pub merged_parameters: Option<serde_json::Value>,
    /// The `FlowBackfill` that this run belongs to; set by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("backfill cannot be changed: create another FlowRun"))]
    pub backfill: Option<String>,
    /// True: the run is stopped, and ends as `Cancelled`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancel: bool,
    /// True: neither the run's runner nor a cluster of its own exists; a running one is stopped. When it is
    /// false again, the run joins the queue and starts from the beginning. Kueue and similar controllers
    /// suspend a run so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// The phase of a run. The last five are final: a run never leaves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Waiting: because of `suspend`, the concurrency policy, or a cluster that is suspended or has no free
    /// place.
    #[default]
    Queued,
    /// Its cluster is coming up, or the runner's container is.
    Provisioning,
    /// The runner's container runs.
    Running,
    /// An attempt has failed; the next one starts at `status.retryAt`.
    Retrying,
    /// The program did what it should.
    Succeeded,
    /// It did not; `reason` and `message` say why.
    Failed,
    /// Stopped because `spec.cancel` asked for it, or replaced by a newer run.
    Cancelled,
    /// Stopped because `timeout` or `deadline` had passed.
    TimedOut,
    /// Never started: its starting deadline passed, a newer run took its place, or the queue was full.
    Skipped,
}

impl Phase {
    /// Whether a run in this phase has ended for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut | Self::Skipped)
    }

    /// The word in `status.phase`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Provisioning => "Provisioning",
            Self::Running => "Running",
            Self::Retrying => "Retrying",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::TimedOut => "TimedOut",
            Self::Skipped => "Skipped",
        }
    }
}

/// What a run waits for before its runner is created; missing once there is a Job. `Flow`: a Flow of the name
/// in `spec.flow`. `FlowPlace`: a place among the active runs of its Flow. `AnotherPlace`: a place again,
/// after it has given its own back because there are fewer. `ClusterPlace`: a place among the active runs on
/// its `DaskCluster`. `Resume`: that `spec.suspend` of the run or of its Flow is set to false; it has given
/// its place back. `ClusterResume`: that `spec.suspend` of its `DaskCluster` is set to false; it keeps its
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WaitsFor {
    /// A `Flow` of the name in `spec.flow`.
    Flow,
    /// A place among the active runs of its Flow.
    FlowPlace,
    /// A place again: there are fewer places than when the run got its own, and it has given that back.
    AnotherPlace,
    /// A place among the active runs on its `DaskCluster`; its Flow has admitted it.
    ClusterPlace,
    /// That `spec.suspend`, of the run or of its Flow, is set to false. The run has given its place back.
    Resume,
    /// That `spec.suspend` of its `DaskCluster` is set to false. The run keeps its place among those of its
    /// Flow.
    ClusterResume,
}

impl WaitsFor {
    /// Whether the run has no place among those of its Flow any more, whatever its Flow's status lists.
    pub fn gave_place_back(self) -> bool {
        matches!(self, Self::AnotherPlace | Self::Resume)
    }
}

/// What the attempt counts against: `Flow` is `retries.limit`, `Infrastructure` is `retries.infrastructure`.
/// Missing where it is not tried again whatever they are, and where an earlier version wrote this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Budget {
    /// `retries.limit`
    Flow,
    /// `retries.infrastructure`
    Infrastructure,
}

/// What is known of a `FlowRun`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowRunStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase of the run.
    #[serde(default)]
    pub phase: Phase,
    /// The reason for the phase, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason for the phase, in a sentence; of a failed run, the last message of the runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the run waits for before its runner is created. Missing once there is a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// The number of the attempt, from 1. While the run waits to be tried again, that of the one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// The attempts that failed, by what they count against in `retries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// When the next attempt starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub retry_at: Option<Time>,
    /// How the last attempt ended, while the next one is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<AttemptFailure>,
    /// How the attempt will end, from what its pod says while it is taken away. The pod may no longer exist
    /// when the Job ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreseen: Option<Foreseen>,
    /// Why the runner is being stopped. It is written before the runner is touched, so that the reason is not
    /// lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// All parameters of a run that was made by hand, as they were when its first attempt began: the Flow's,
    /// over them the clock's if it names one, over them its own. Every attempt gets them. A tick has them in
    /// its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub merged_parameters: Option<serde_json::Value>,
    /// What the first runner was made from. Later attempts are made from the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// The Job of the runner of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The `DaskCluster`, or the address of the scheduler, that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Which start of the Dask scheduler the attempt is on: its pod's uid and how often its container was
    /// restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// The cluster of a Dask Gateway that the run has. Missing once that is ended, or the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Box<GatewayStatus>>,
    /// When this attempt was admitted to its cluster; `clusterTimeout` counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_at: Option<Time>,
    /// When the runner's container of this attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The exit code of the runner's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Task counts, where the engine reports them: Prefect does, a plain Dask script does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskCounts>,
    /// The latest observations of the object, as Kubernetes conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What the runners of a run are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// The image, where the Flow names one. One that comes from the cluster is that of the scheduler which an
    /// attempt joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The path of the script in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The file name of a script that is not in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The ConfigMap with that script; its name carries a hash of its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
    /// The command, where the Flow has one instead of code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments of the script or the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// Task counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskCounts {
    /// How many tasks the run had.
    pub total: i64,
    /// How many of them failed.
    pub failed: i64,
}

/// Attempts that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// By the flow itself; they count against `retries.limit`.
    #[serde(default)]
    pub flow: i32,
    /// By its infrastructure; they count against `retries.infrastructure`.
    #[serde(default)]
    pub infrastructure: i32,
}

/// How an attempt ended that is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptFailure {
    /// The phase in which the run ends if it is not tried again.
    pub phase: Phase,
    /// Why it failed, in one word.
    pub reason: String,
    /// Why it failed, in a sentence.
    pub message: String,
    /// What it counts against. Missing where an earlier version wrote this: then `reason` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_against: Option<Budget>,
    /// When.
    #[schemars(schema_with = "schema::required_timestamp")]
    pub at: Time,
}

/// How an attempt will end, as long as its Job does not say so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Foreseen {
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// What the attempt will count against.
    pub counts_against: Budget,
}

/// That a runner is being stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The phase that follows when the runner has ended, unless the attempt is tried again. Missing where an
    /// earlier version wrote this: then `reason` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What the attempt will count against, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_against: Option<Budget>,
    /// When the stop began.
    #[schemars(schema_with = "schema::timestamp")]
    pub since: Time,
}
