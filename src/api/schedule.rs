//! When a Flow runs: its schedule and the clocks in it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;
use super::schema;

/// The times of a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The time zone of all clocks, a name of the IANA database such as `Europe/Paris`. Default: `Etc/UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// The clocks. A tick of any of them starts a run; clocks that tick at one instant with the same parameters
    /// start one run.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub clocks: Vec<ClockEntry>,
}

/// One clock of a schedule: exactly one of `interval` and `cron`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.interval), has(self.cron)].filter(x, x).size() == 1")
        .message("write exactly one of interval and cron for a clock"),
    validation = Rule::new("!has(self.startAt) || !has(self.endAt) || self.startAt <= self.endAt")
        .message("endAt of a clock must not be before its startAt")
)]
pub struct ClockEntry {
    /// The clock's name in this schedule.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("write the name of a clock in lower-case letters, digits and '-'"))]
    pub name: String,
    /// Elapsed time between ticks, such as `1m` or `36h`; counted from `startAt`, else from 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]+(h|m|s))+$') && self.matches('[1-9]')").message("write an interval of at least one second in hours, minutes and seconds, such as 90s, 5m or 36h"))]
    pub interval: Option<String>,
    /// Five fields (minute, hour, day of month, month, day of week) or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self.startsWith('@') || self.split(' ').filter(x, x != '').size() == 5").message("write cron with five fields (minute, hour, day of month, month, day of week) or as @hourly, @daily, @weekly, @monthly, @yearly"))]
    pub cron: Option<String>,
    /// No tick before this instant; an interval counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_at: Option<Time>,
    /// No tick after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub end_at: Option<Time>,
    /// Parameters of the runs that this clock starts, over the flow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub parameters: Option<serde_json::Value>,
    /// True: this clock starts no run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// What a cron or a calendar time does on the day on which the clocks change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DaylightSaving {
    /// A fixed time runs once a day: a skipped one at the first instant after the gap, a repeated one on its first
    /// pass.
    #[default]
    Once,
    /// As Kubernetes' own CronJob does: a skipped time does not run that day, and a repeated one may run twice.
    CronJob,
}
