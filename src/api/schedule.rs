//! When a Flow runs: its schedule, the clocks in it, and what their ticks have to pass.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;
use super::count::Count;
use super::duration::{self, Duration};
use super::interval::{self, Interval};
use super::schema;

/// The times of a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The time zone of all clocks, a name of the IANA database such as `Europe/Paris`. Default: `Etc/UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// What cron does where the zone skips or repeats an hour: each fixed time once a day, or as a CronJob.
    #[serde(default)]
    pub daylight_saving: DaylightSaving,
    /// Spreads the starts of many Flows: each starts its runs later than their ticks by a time of its own,
    /// always the same, up to this. The logical time of a run stays its tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("30s or 5m"))]
    pub jitter: Option<Duration>,
    /// The clocks. A tick of any of them starts a run. Clocks without `parameters` that tick at one instant
    /// share one; a clock with `parameters` has runs of its own.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub clocks: Vec<ClockEntry>,
    /// A tick counts only if it is in every group that is given here, by the wall clock of its clock's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<TickFilter>,
    /// A tick does not count if it is in anything that is given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<TickFilter>,
    /// Where ticks that passed `only` and `except` are moved to. Ticks that come together are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjust: Option<Adjustment>,
}

/// One clock of a schedule: exactly one of `interval`, `cron`, `rrule` and `dates`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.interval), has(self.cron), has(self.rrule), has(self.dates)].filter(x, x).size() == 1")
        .message("write exactly one of interval, cron, rrule and dates for a clock"),
    validation = Rule::new("!has(self.startAt) || !has(self.endAt) || self.startAt <= self.endAt")
        .message("endAt of a clock must not be before its startAt")
)]
pub struct ClockEntry {
    /// The clock's name in this schedule.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("write the name of a clock in lower-case letters, digits and '-'"))]
    pub name: String,
    /// The time zone of this clock. Default: the schedule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Time between ticks: elapsed, such as `1m` or `36h`, counted from `startAt`, else from
    /// 1970-01-01T00:00:00Z; or on the calendar of the zone, one of `1d`, `2w`, `1mo` and `1y`, at the time
    /// of day of `startAt`, else at midnight, counted from 1970-01-01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = interval::of_an_interval())]
    pub interval: Option<Interval>,
    /// Five fields (minute, hour, day of month, month, day of week) or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self.startsWith('@') || self.split(' ').filter(x, x != '').size() == 5").message("write cron with five fields (minute, hour, day of month, month, day of week) or as @hourly, @daily, @weekly, @monthly, @yearly"))]
    pub cron: Option<String>,
    /// A recurrence rule of RFC 5545, such as `FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0`, if need be with
    /// lines for DTSTART, RDATE and EXDATE. Without DTSTART it starts at `startAt`, else with 1970 in the
    /// clock's zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self.matches('(?i)FREQ=(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY|MINUTELY)')").message("write a recurrence rule with FREQ=YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY or MINUTELY, such as FREQ=MONTHLY;BYDAY=-1FR"))]
    pub rrule: Option<String>,
    /// Instants, in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::dates")]
    pub dates: Option<Vec<Time>>,
    /// No tick before this instant; an interval, and an rrule without DTSTART, counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    #[x_kube(validation = Rule::new("self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')").message("write an instant between the years 1 and 9999, before 9999-12-30; for no end, leave the field out"))]
    pub start_at: Option<Time>,
    /// No tick after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    #[x_kube(validation = Rule::new("self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')").message("write an instant between the years 1 and 9999, before 9999-12-30; for no end, leave the field out"))]
    pub end_at: Option<Time>,
    /// Parameters of the runs that this clock starts, over the flow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub parameters: Option<serde_json::Value>,
    /// How many runs this clock starts at the most, counted since it was created or its times were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_runs: Option<Count<1>>,
    /// True: this clock starts no run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspend: bool,
}

/// What cron does on the day on which the clocks change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DaylightSaving {
    /// A fixed time runs once a day: a skipped one at the first instant after the gap, a repeated one on its
    /// first pass.
    #[default]
    Once,
    /// As Kubernetes' own CronJob does: a skipped time does not run that day, and a repeated one runs twice.
    CronJob,
}

/// Groups of days, times and dates. A tick is in a group if it is in one of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TickFilter {
    /// Days by their place in the week or the month.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11))]
    pub days: Vec<Day>,
    /// Spans of the day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub between: Vec<TimeSpan>,
    /// Spans of the year.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub dates: Vec<DateSpan>,
}

/// A kind of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
    /// Monday to Friday.
    Weekday,
    /// Saturday and Sunday.
    Weekend,
    /// The first day of a month.
    MonthStart,
    /// The last day of a month.
    MonthEnd,
}

/// A span of the day, both ends included. An end before its start is on the next day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeSpan {
    /// The first time of day, such as `09:00`.
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')").message("write a time of day as HH:MM, such as 09:00"))]
    pub from: String,
    /// The last time of day, such as `17:00`.
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')").message("write a time of day as HH:MM, such as 09:00"))]
    pub to: String,
}

/// A span of the year, both ends included. An end before its start is in the next year.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DateSpan {
    /// The first day, as month and day, such as `12-24`.
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$')").message("write a day of the year as MM-DD, such as 12-24"))]
    pub from: String,
    /// The last day, such as `01-02`.
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self.matches('^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$')").message("write a day of the year as MM-DD, such as 12-24"))]
    pub to: String,
}

/// Where ticks are moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Adjustment {
    /// A tick on a Saturday or a Sunday moves to the Monday after it, at the same time of day.
    NextWeekday,
}
