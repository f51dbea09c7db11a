//! `FlowBackfill`: run a Flow for a range of its ticks.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;
use super::count::Count;
use super::schema;

/// Runs of a `Flow` for all ticks of its clocks in a range of time. Each is an ordinary `FlowRun`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "daskflow.dev",
    version = "v1alpha1",
    kind = "FlowBackfill",
    plural = "flowbackfills",
    shortname = "fb",
    category = "daskflow",
    namespaced,
    status = "FlowBackfillStatus",
    derive = "PartialEq",
    doc = "Runs of a Flow for a range of its ticks, a limited number at the same time.",
    printcolumn(name = "Flow", type_ = "string", json_path = ".spec.flow"),
    printcolumn(name = "Done", type_ = "string", json_path = ".status.done"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Skipped", type_ = "integer", json_path = ".status.skipped", priority = 1),
    printcolumn(name = "Unrecorded", type_ = "integer", json_path = ".status.unrecorded", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from", priority = 1),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name of a FlowBackfill has at most 63 characters, because it is a label of its runs: choose a shorter one")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from <= self.to").message("to must not be before from"))]
pub struct FlowBackfillSpec {
    /// The `Flow` of this namespace that is run.
    #[schemars(length(min = 1, max = 38))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("flow cannot be changed: create another FlowBackfill"))]
    pub flow: String,
    /// No tick before this instant.
    #[schemars(schema_with = "schema::required_timestamp")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("from cannot be changed: create another FlowBackfill"))]
    #[x_kube(validation = Rule::new("self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')").message("write an instant between the years 1 and 9999, before 9999-12-30"))]
    pub from: Time,
    /// No tick after this instant. A tick that lies ahead waits for its time.
    #[schemars(schema_with = "schema::required_timestamp")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("to cannot be changed: create another FlowBackfill"))]
    #[x_kube(validation = Rule::new("self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')").message("write an instant between the years 1 and 9999, before 9999-12-30"))]
    pub to: Time,
    /// Names of clocks of the Flow's schedule. Default: all of them, the suspended ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub clocks: Vec<String>,
    /// Which ticks are run first.
    #[serde(default)]
    pub order: BackfillOrder,
    /// The maximum number of runs of this backfill at the same time, waiting ones included. The Flow's own
    /// concurrency policy applies as well.
    #[serde(default = "FlowBackfillSpec::default_parallelism")]
    #[schemars(range(min = 1, max = 100))]
    pub parallelism: Count<1>,
    /// Which ticks are left out because they have a run already.
    #[serde(default)]
    pub skip: SkippedTicks,
    /// Parameters of the runs, over the Flow's and the clock's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub parameters: Option<serde_json::Value>,
    /// True: no further runs are started. Active ones go on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
    /// True: no further runs are started, and active ones are cancelled. Set back to false, it goes on where
    /// it stopped, and runs the ticks anew whose runs it cancelled.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancel: bool,
}

impl FlowBackfillSpec {
    /// A backfill of all clocks that says nothing more: the oldest tick first, one run at once.
    pub fn new(flow: impl Into<String>, from: Time, to: Time) -> Self {
        Self {
            flow: flow.into(),
            from,
            to,
            clocks: Vec::new(),
            order: BackfillOrder::default(),
            parallelism: Self::default_parallelism(),
            skip: SkippedTicks::default(),
            parameters: None,
            suspend: false,
            cancel: false,
        }
    }

    fn default_parallelism() -> Count<1> {
        1.into()
    }
}

/// Which ticks of a backfill are run first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackfillOrder {
    /// From the beginning of the range on.
    #[default]
    OldestFirst,
    /// From the end of the range back.
    NewestFirst,
}

/// Which ticks a backfill leaves out because they have a run already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SkippedTicks {
    /// Those that have succeeded, also where the run has been forgotten since. An active run is waited for.
    /// One that ended otherwise is deleted, and its tick run anew.
    #[default]
    Succeeded,
    /// Those that have a run, in whatever phase, and those that have succeeded.
    Ran,
    /// None: every tick is run anew, also where it has succeeded. An active run is waited for; one that has
    /// ended is deleted.
    None,
}

/// What is known of a `FlowBackfill`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowBackfillStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ticks in the range.
    #[serde(default)]
    pub total: i32,
    /// Ticks that have ended or were skipped, out of all, for `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
    /// Ticks whose run of this backfill succeeded.
    #[serde(default)]
    pub succeeded: i32,
    /// Ticks whose run ended in any other way, for good.
    #[serde(default)]
    pub failed: i32,
    /// Runs of this backfill that have not ended, waiting ones included.
    #[serde(default)]
    pub active: i32,
    /// Ticks that were left out because they had a run already.
    #[serde(default)]
    pub skipped: i32,
    /// Ticks without a run from before the time that the Flow's record of its clocks reaches back to: whether
    /// they have succeeded once is not known, and they are run.
    #[serde(default)]
    pub unrecorded: i32,
    /// Ticks that are yet to be run.
    #[serde(default)]
    pub remaining: i32,
    /// When the first run was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When all ticks had ended. A backfill that has ended is never resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The latest observations of the object, as Kubernetes conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
