//! Which clusters of a gateway can be the one that a lost answer spoke of, and whose turn it is to ask.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::api::FlowRun;
use crate::api::gateway::GatewayStatus;
use crate::gateway::message::Report;
use crate::plan::run::gateway::Intent;

/// How long an intent comes before later ones. One whose login was deleted would keep all others waiting.
const COMES_FIRST_FOR: SignedDuration = SignedDuration::from_mins(5);

/// The runs that a gateway has, or may have, clusters for.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// The clusters that are known to be a run's.
    pub(super) claimed: BTreeSet<String>,
    /// The intents of runs at the same gateway that were asked for before, with their names.
    pub(super) before: BTreeMap<Intent, String>,
    /// The intents of other runs at the same gateway that this one waits for, since it is late itself.
    pub(super) beside: BTreeSet<Intent>,
    /// All intents.
    pub(super) open: BTreeSet<Intent>,
}

impl Others {
    /// Those beside the run of `intent`, which asks the gateway at `address`. One intent after another is
    /// followed to its end, in one order, so that of two lost answers each finds the cluster that is its own.
    pub(super) fn of<'a>(
        runs: impl Iterator<Item = &'a FlowRun>,
        intent: &Intent,
        (address, now): (&str, Timestamp),
    ) -> Self {
        let mut others = Self::default();
        let is_late = |intent: &Intent| now.duration_since(intent.asked_at) >= COMES_FIRST_FOR;
        for run in runs {
            let Some(gateway) = run.status.as_ref().and_then(|status| status.gateway.as_ref()) else {
                continue;
            };
            others.claimed.extend(gateway.cluster.clone());
            let Some(other) = Intent::of(run) else { continue };
            let is_here = gateway.access.address == address && other != *intent;
            if is_here && other < *intent && !is_late(&other) {
                let name = run.metadata.name.clone().unwrap_or_default();
                others.before.insert(other.clone(), name);
            }
            if is_here && is_late(intent) && (other < *intent || !is_late(&other)) {
                others.beside.insert(other.clone());
            }
            others.open.insert(other);
        }
        others
    }
}

/// The clusters that can be meant: of the options that were asked for, made since, and of no other run.
pub(super) fn candidates(
    all: BTreeMap<String, Report>,
    asked: &GatewayStatus,
    defaults: &BTreeMap<String, Value>,
    claimed: &BTreeSet<String>,
) -> Vec<String> {
    let options = asked.options.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let since = asked.since.as_ref().unwrap_or(&asked.asked_at).0;
    let is_meant = |(name, report): &(String, Report)| {
        let is_since = report.start_time.is_some_and(|time| is_from(time, since));
        is_since && !claimed.contains(name) && has_options(&report.options, &options, defaults)
    };
    all.into_iter().filter(is_meant).map(|(name, _)| name).collect()
}

/// Whether a cluster was made at `since` or later. What a gateway says of the time is cut to a second.
fn is_from(time: Timestamp, since: Timestamp) -> bool {
    time.as_second() >= since.as_second()
}

/// Whether a cluster has what was asked for, and else what the gateway takes where nothing is said.
fn has_options(
    has: &Map<String, Value>,
    asked: &Map<String, Value>,
    defaults: &BTreeMap<String, Value>,
) -> bool {
    let is_there = asked.keys().chain(defaults.keys()).all(|name| has.contains_key(name));
    is_there
        && has.iter().all(|(name, value)| {
            let wanted = asked.get(name).or_else(|| defaults.get(name));
            wanted.is_some_and(|wanted| is_equal(value, wanted))
        })
}

/// Whether both are the same; 1 and 1.0 are.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(options: &Value) -> GatewayStatus {
        let status = json!({
            "access": {"address": "http://gw", "auth": {"type": "Basic", "secretName": "login"}}, "attempt": 1,
            "options": options, "askedAt": "2026-12-01T09:00:10Z", "since": "2026-12-01T09:00:05Z", "by": "a",
        });
        serde_json::from_value(status).unwrap()
    }

    fn report(start: &str, options: &Value) -> Report {
        let start: Timestamp = start.parse().unwrap();
        let report = json!({"status": "RUNNING", "start_time": start.as_millisecond(), "options": options});
        serde_json::from_value(report).unwrap()
    }

    fn found(all: &[(&str, Report)], options: &Value, claimed: &[&str]) -> Vec<String> {
        let all = all.iter().map(|(name, report)| ((*name).to_owned(), report.clone())).collect();
        let defaults = [("cores".to_owned(), json!(1)), ("size".to_owned(), json!("small"))].into();
        let claimed = claimed.iter().map(|name| (*name).to_owned()).collect();
        candidates(all, &asked(options), &defaults, &claimed)
    }

    #[test]
    fn only_a_cluster_that_can_be_no_others_is_meant() {
        let (before, after) = ("2026-12-01T09:00:04.999Z", "2026-12-01T09:00:05.001Z");
        let (equal, other) = (json!({"cores": 2.0, "size": "small"}), json!({"cores": 1, "size": "small"}));
        let all = [
            ("equal", report(after, &equal)),
            ("before", report(before, &equal)),
            ("other", report(after, &other)),
            ("claimed", report(after, &equal)),
            ("without", report(after, &json!({"size": "small"}))),
            ("unknown", report(after, &json!({"cores": 2, "size": "small", "image": "x"}))),
        ];
        assert_eq!(found(&all, &json!({"cores": 2}), &["claimed"]), ["equal"]);
        assert_eq!(found(&all, &Value::Null, &[]), ["other"]);
    }

    #[test]
    fn the_earliest_intent_at_a_gateway_comes_first() {
        let run = |name: &str, at: &str, address: &str, cluster: Option<&str>| -> FlowRun {
            let run = json!({"metadata": {"name": name, "uid": name}, "spec": {"flow": "f"}, "status": {"gateway": {
                "access": {"address": address, "auth": {"type": "Basic", "secretName": "s"}}, "attempt": 1,
                "askedAt": at, "by": "a", "cluster": cluster,
            }}});
            serde_json::from_value(run).unwrap()
        };
        let (first, second) = ("2026-12-01T09:00:01Z", "2026-12-01T09:00:02Z");
        let runs = [
            run("a", first, "http://gw", None),
            run("b", second, "http://gw", None),
            run("c", first, "http://other", None),
            run("d", first, "http://gw", Some("x")),
        ];
        let before = |run: &FlowRun, now: &str| {
            let others =
                Others::of(runs.iter(), &Intent::of(run).unwrap(), ("http://gw", now.parse().unwrap()));
            assert!(others.claimed.contains("x") && others.open.len() == 3, "{others:?}");
            (others.before.into_values().collect::<Vec<_>>(), others.beside.len())
        };
        let [first, second, ..] = &runs;
        let soon = "2026-12-01T09:00:03Z";
        assert_eq!((before(first, soon), before(second, soon)), ((vec![], 0), (vec!["a".to_owned()], 0)));
        // The first one has not come to its end, and keeps the second one from nothing.
        let late = "2026-12-01T09:05:01Z";
        assert_eq!((before(first, late), before(second, late)), ((vec![], 1), (vec![], 0)));
    }
}
