//! The workers of a cluster over the last hour, as far as that is known.
//!
//! How many were wanted is read from the events of the autoscaler, backwards from the sizes of now. How many
//! ran is known of the pods that are there, from when each began. Nothing else is kept, and a page says so.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use serde::Serialize;

use super::words::second;
use crate::api::{DaskCluster, Reason, labels};
use crate::plan::cluster::Resized;
use crate::plan::pods::worker::DEFAULT_GROUP;

/// How far back it goes.
const SPAN: SignedDuration = SignedDuration::from_hours(1);
/// How wide the drawing is, and how high.
const WIDTH: i64 = 1_000;
const HEIGHT: i64 = 60;
/// The most changes that are listed, the newest ones.
const ROWS_MAX: usize = 12;

/// The workers over the last hour.
#[derive(Clone, Debug, Serialize)]
pub struct Sizes {
    /// From when on.
    pub from: Timestamp,
    /// The changes, the newest first.
    pub changes: Vec<Change>,
    /// What is not known.
    pub notes: Vec<String>,
    /// The most that there were at one time.
    pub highest: i64,
    /// What was wanted, as a drawing.
    #[serde(skip)]
    pub wanted: Vec<Block>,
    /// What ran, as a drawing.
    #[serde(skip)]
    pub running: Vec<Block>,
}

/// A number that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// How many were wanted from then on, where that is known.
    pub wanted: Option<i64>,
    /// How many of those that are there now had begun.
    pub running: i64,
}

/// A time with one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins.
    pub x: i64,
    /// Its upper end.
    pub y: i64,
    /// How long it is.
    pub width: i64,
    /// How high it is.
    pub height: i64,
}

/// A number from an instant on; the next one ends it.
type Steps = Vec<(Timestamp, i64)>;

/// What was read of the last hour.
#[derive(Clone, Copy, Debug)]
pub struct Traces<'a> {
    /// The events about the cluster; none where they could not be read.
    pub events: Option<&'a [Event]>,
    /// The pods of the cluster; none where they could not be read.
    pub pods: Option<&'a [Pod]>,
}

impl Sizes {
    /// Whether anything is known.
    pub fn is_known(&self) -> bool {
        !self.changes.is_empty()
    }
}

/// The workers of a cluster over the last hour.
pub fn sizes(cluster: &DaskCluster, traces: Traces<'_>, now: Timestamp) -> Sizes {
    let created = cluster.creation_timestamp().map(|at| at.0);
    let hour = now.checked_sub(SPAN).unwrap_or(Timestamp::MIN);
    // In whole seconds, as the API has most of its times.
    let (from, now) = (second(created.map_or(hour, |created| hour.max(created.min(now)))), second(now));
    let mut notes = Vec::new();
    let wanted = match traces.events {
        Some(events) => wanted(cluster, events, (from, now), &mut notes),
        None => Vec::new(),
    };
    let running = running(traces.pods.unwrap_or_default(), from);
    let highest = wanted.iter().chain(&running).map(|(_, count)| *count).max().unwrap_or_default();
    let instants: BTreeSet<Timestamp> = wanted.iter().chain(&running).map(|(at, _)| *at).collect();
    let change = |at: Timestamp| Change {
        at,
        wanted: value(&wanted, at),
        running: value(&running, at).unwrap_or_default(),
    };
    Sizes {
        from,
        changes: instants.into_iter().rev().take(ROWS_MAX).map(change).collect(),
        notes,
        highest,
        wanted: drawn(&wanted, highest, (from, now)),
        running: drawn(&running, highest, (from, now)),
    }
}

/// How many workers the groups had to have together. Nothing where no event would say so.
fn wanted(
    cluster: &DaskCluster,
    events: &[Event],
    (from, now): (Timestamp, Timestamp),
    notes: &mut Vec<String>,
) -> Steps {
    let more = cluster.spec.worker_groups.iter().map(|group| (group.name.as_str(), &group.workers));
    let groups: Vec<_> = std::iter::once((DEFAULT_GROUP, &cluster.spec.workers)).chain(more).collect();
    let autoscaled = groups.iter().filter(|(_, workers)| workers.autoscale.is_some()).count();
    if autoscaled == 0 {
        notes.push(
            "How many were wanted before is not known: only the autoscaler leaves a trace when it changes a size, and no group \
             of this cluster has one."
                .to_owned(),
        );
        return Vec::new();
    }
    if autoscaled < groups.len() {
        notes.push("Groups of a fixed size count with the size of now.".to_owned());
    }
    let status = cluster.status.as_ref().map(|status| status.groups.as_slice()).unwrap_or_default();
    let mut sizes: BTreeMap<String, i64> =
        status.iter().map(|group| (group.name.clone(), i64::from(group.desired))).collect();
    let total = |sizes: &BTreeMap<String, i64>| sizes.values().sum::<i64>();
    let today = total(&sizes);
    // From the newest to the oldest.
    let (mut steps, mut is_broken) = (Vec::new(), false);
    for (at, resized) in changes(cluster, events, (from, now)).into_iter().rev() {
        let count = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        let after = sizes.insert(resized.group.clone(), count(resized.after));
        is_broken |= after != Some(count(resized.after));
        steps.push((at, total(&sizes)));
        sizes.insert(resized.group, count(resized.before));
    }
    if steps.is_empty() {
        notes.push(
            "There is no event of the autoscaler: it has changed nothing, or Kubernetes keeps events for less than an hour."
                .to_owned(),
        );
    }
    steps.push((from, total(&sizes)));
    steps.reverse();
    if is_broken {
        notes.push(
            "A size was also changed otherwise than by the autoscaler; when that was is not known."
                .to_owned(),
        );
        if value(&steps, now) != Some(today) {
            steps.push((now, today));
        }
    }
    steps
}

/// What the autoscaler changed within a time, the oldest first.
fn changes(
    cluster: &DaskCluster,
    events: &[Event],
    (from, now): (Timestamp, Timestamp),
) -> Vec<(Timestamp, Resized)> {
    let uid = cluster.metadata.uid.as_deref();
    let is_about = |event: &&Event| {
        event.reason.as_deref() == Some(Reason::WorkersScaled.as_str())
            && event.involved_object.uid.as_deref() == uid
    };
    let mut all = Vec::new();
    for event in events.iter().filter(is_about) {
        let Some(Ok(resized)) = event.message.as_deref().map(str::parse::<Resized>) else { continue };
        let first = event.event_time.as_ref().map(|at| at.0);
        let first = first.or(event.metadata.creation_timestamp.as_ref().map(|at| at.0));
        // The same change once more, within minutes, is one event that has both times.
        let last = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
        let last = last.map(|at| at.0).filter(|last| Some(*last) != first);
        let within = first.into_iter().chain(last).map(second).filter(|at| *at >= from && *at <= now);
        all.extend(within.map(|at| (at, resized.clone())));
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// How many of the workers that are there had begun.
fn running(pods: &[Pod], from: Timestamp) -> Steps {
    let mut begun: Vec<Timestamp> = pods.iter().filter_map(begun).map(|at| second(at).max(from)).collect();
    begun.sort_unstable();
    let mut steps: Steps = Vec::new();
    for (at, count) in begun.into_iter().zip(1..) {
        match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = count,
            _ => steps.push((at, count)),
        }
    }
    steps
}

/// When a worker began, if it runs.
fn begun(pod: &Pod) -> Option<Timestamp> {
    if pod.labels().get(labels::COMPONENT).map(String::as_str) != Some(labels::WORKER) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    match containers.iter().find(|one| one.name == labels::WORKER) {
        Some(worker) => Some(worker.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0),
        None if status.phase.as_deref() == Some("Running") => pod.creation_timestamp().map(|at| at.0),
        None => None,
    }
}

/// The number at an instant.
fn value(steps: &[(Timestamp, i64)], at: Timestamp) -> Option<i64> {
    steps.iter().rev().find(|(from, _)| *from <= at).map(|(_, count)| *count)
}

fn drawn(steps: &[(Timestamp, i64)], highest: i64, (from, now): (Timestamp, Timestamp)) -> Vec<Block> {
    let whole = now.duration_since(from).as_millis().max(1);
    let place = |at: Timestamp| {
        let done = at.duration_since(from).as_millis().clamp(0, whole);
        i64::try_from(done * i128::from(WIDTH) / whole).unwrap_or(WIDTH)
    };
    let next = steps.iter().skip(1).map(|(at, _)| *at).chain([now]);
    let blocks = steps.iter().zip(next).map(|((at, count), until)| {
        let height = count.max(&0).saturating_mul(HEIGHT) / highest.max(1);
        Block { x: place(*at), y: HEIGHT - height, width: place(until) - place(*at), height }
    });
    blocks.filter(|block| block.width > 0 && block.height > 0).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-30T12:00:00Z";

    fn cluster(groups: &Value, autoscale: &Value) -> DaskCluster {
        let spec = json!({
            "image": "dask:1", "workers": {"autoscale": autoscale},
            "workerGroups": [{"name": "gpu", "replicas": 1}],
        });
        let cluster = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "spec": spec, "status": {"groups": groups},
            "metadata": {"name": "a", "uid": "u", "creationTimestamp": "2026-11-30T09:00:00Z"},
        });
        serde_json::from_value(cluster).unwrap()
    }

    fn autoscaled(now: i32) -> DaskCluster {
        let groups = json!([
            {"name": "default", "desired": now, "ready": now}, {"name": "gpu", "desired": 1, "ready": 1},
        ]);
        cluster(&groups, &json!({"minimum": 0, "maximum": 9}))
    }

    fn event(minute: u32, uid: &str, text: &str) -> Event {
        let event = json!({
            "metadata": {"name": format!("a.{minute}")}, "involvedObject": {"name": "a", "uid": uid},
            "reason": "WorkersScaled", "message": text, "eventTime": format!("2026-11-30T11:{minute:02}:00.700000Z"),
        });
        serde_json::from_value(event).unwrap()
    }

    fn goes(minute: u32, before: usize, after: usize) -> Event {
        event(minute, "u", &Resized { group: "default".into(), before, after }.to_string())
    }

    fn shown(cluster: &DaskCluster, events: &[Event], pods: &[Pod]) -> Sizes {
        sizes(cluster, Traces { events: Some(events), pods: Some(pods) }, NOW.parse().unwrap())
    }

    fn rows(sizes: &Sizes) -> Vec<(String, Option<i64>, i64)> {
        let row = |change: &Change| (change.at.strftime("%H:%M").to_string(), change.wanted, change.running);
        sizes.changes.iter().map(row).collect()
    }

    fn row(at: &str, wanted: impl Into<Option<i64>>, running: i64) -> (String, Option<i64>, i64) {
        (at.to_owned(), wanted.into(), running)
    }

    #[test]
    fn what_was_wanted_is_read_backwards_from_the_events() {
        let events = [
            goes(45, 4, 2),
            goes(15, 1, 4),
            event(50, "another", "the group default goes from 2 to 9 workers"),
        ];
        let seen = shown(&autoscaled(2), &events, &[]);
        assert_eq!(rows(&seen), [row("11:45", 3, 0), row("11:15", 5, 0), row("11:00", 2, 0)]);
        let drawn: Vec<(i64, i64, i64)> =
            seen.wanted.iter().map(|block| (block.x, block.width, block.height)).collect();
        assert_eq!(drawn, [(0, 250, 24), (250, 500, 60), (750, 250, 36)]);
        assert_eq!((seen.highest, seen.notes.len()), (5, 1), "the fixed group is said: {:?}", seen.notes);
    }

    #[test]
    fn a_change_that_left_no_event_is_said() {
        let seen = shown(&autoscaled(7), &[goes(30, 0, 2)], &[]);
        assert_eq!(rows(&seen), [row("12:00", 8, 0), row("11:30", 3, 0), row("11:00", 1, 0)]);
        assert!(
            seen.notes.iter().any(|note| note.contains("otherwise than by the autoscaler")),
            "{:?}",
            seen.notes
        );
        let quiet = shown(&autoscaled(2), &[], &[]);
        assert_eq!(rows(&quiet), [row("11:00", 3, 0)]);
        assert!(
            quiet.notes.iter().any(|note| note.contains("no event of the autoscaler")),
            "{:?}",
            quiet.notes
        );
        // Nothing is made up where nothing could be read, or nothing would be written.
        let refused = sizes(&autoscaled(2), Traces { events: None, pods: None }, NOW.parse().unwrap());
        assert!(!refused.is_known() && refused.notes.is_empty(), "{refused:?}");
        let fixed = shown(&cluster(&json!([]), &Value::Null), &[], &[]);
        assert!(
            !fixed.is_known() && fixed.notes[0].contains("no group of this cluster has one"),
            "{fixed:?}"
        );
    }

    #[test]
    fn workers_count_from_when_they_began() {
        let pod = |component: &str, state: &Value| {
            let pod = json!({
                "metadata": {"name": "p", "labels": {"dask.org/component": component}, "creationTimestamp": NOW},
                "status": {"phase": "Running", "containerStatuses": [{
                    "name": "worker", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state,
                }]},
            });
            serde_json::from_value::<Pod>(pod).unwrap()
        };
        let began = |at: &str| json!({"running": {"startedAt": format!("2026-11-30T{at}:00Z")}});
        let pods = [
            pod("worker", &began("11:40")),
            pod("worker", &began("10:10")),
            pod("worker", &began("11:40")),
            pod("worker", &json!({"waiting": {"reason": "ImagePullBackOff"}})),
            pod("scheduler", &began("11:10")),
        ];
        let seen = shown(&cluster(&json!([]), &Value::Null), &[], &pods);
        assert_eq!(rows(&seen), [row("11:40", None, 3), row("11:00", None, 1)]);
        // The API has the beginning of a worker in seconds, and an event in less: they are one change.
        let both = shown(&autoscaled(2), &[goes(40, 0, 2)], &pods);
        assert_eq!(rows(&both), [row("11:40", 3, 3), row("11:00", 1, 1)]);
        let drawn: Vec<(i64, i64)> = seen.running.iter().map(|block| (block.x, block.height)).collect();
        assert_eq!(drawn, [(0, 20), (666, 60)]);
    }
}
