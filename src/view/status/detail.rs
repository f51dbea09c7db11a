//! What is shown of every kind: conditions, the cure, pods and events.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};

use super::shown::Shown;
use crate::api::{ConditionType, Kind, Reason};
use crate::view::tree::{Mark, Tone, Tree};
use crate::view::{age, cure};

/// The most events that are shown of an object, the newest ones.
const EVENTS_MAX: usize = 8;

/// Between the columns of a line.
pub(super) const GAP: &str = "   ";

/// The condition of this type.
pub(super) fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// `Ready`, or the word for why not; with the mark that goes with it.
pub(super) fn state(conditions: &[Condition]) -> (Mark, String) {
    let is_stalled = find(conditions, ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True");
    let sign = |sign, tone| Mark { sign, tone };
    match find(conditions, ConditionType::Ready) {
        Some(ready) if ready.status == "True" && !is_stalled => (sign('✔', Tone::Good), word(ready)),
        Some(ready) if is_stalled => (sign('✖', Tone::Bad), format!("not ready ({})", ready.reason)),
        Some(ready) => (sign('◔', Tone::Waiting), format!("not ready ({})", ready.reason)),
        None => (sign('◷', Tone::Waiting), "no operator has looked at it yet".to_owned()),
    }
}

/// A condition that is as it should be, in one word.
fn word(ready: &Condition) -> String {
    let is_plain = ready.reason == Reason::Ready.as_str();
    if is_plain { "ready".to_owned() } else { format!("ready ({})", ready.reason) }
}

/// What is wrong, in the words of the conditions, and what to do about it.
pub(super) fn faults(conditions: &[Condition], kind: Kind) -> Vec<Tree> {
    let is_fault = |condition: &&Condition| match condition.type_.as_str() {
        "Ready" | "ScheduleValid" | "SchedulerReady" | "WorkersReady" | "CertificatesReady" => {
            condition.status == "False"
        }
        "Stalled" | "Reconciling" => condition.status == "True",
        _ => false,
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut trees = Vec::new();
    for condition in conditions.iter().filter(is_fault) {
        // Several conditions may say the same.
        if !seen.contains(&condition.message.as_str()) {
            seen.push(&condition.message);
            let line = format!("{}: {}: {}", condition.type_, condition.reason, condition.message);
            trees.push(Tree::line(line).with(advice(kind, &condition.reason)));
        }
    }
    trees
}

/// What to do about a reason.
pub(super) fn advice(kind: Kind, reason: &str) -> Option<Tree> {
    cure::cure(kind, reason).map(|cure| Tree::line(format!("→ {cure}")))
}

/// A pod in one line: its phase, what its containers say, and its age.
pub(super) fn pod(pod: &Pod, now: Timestamp) -> Tree {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let said = containers.iter().filter_map(|container| {
        let state = container.state.as_ref()?;
        if let Some(waiting) = &state.waiting {
            return waiting.reason.clone();
        }
        let ended = state.terminated.as_ref()?;
        Some(format!("exit code {}", ended.exit_code))
    });
    let said: Vec<String> = said.collect();
    let restarts: i32 = containers.iter().map(|container| container.restart_count).sum();
    let mut words = vec![format!("pod/{}", pod.name_any()), phase.to_owned()];
    words.extend((!said.is_empty()).then(|| said.join(", ")));
    words.extend((restarts > 0).then(|| format!("restarts: {restarts}")));
    words.extend(pod.creation_timestamp().map(|created| age::span(created.0, now)));
    Tree::line(words.join(GAP))
}

/// The newest events about an object, the newest last.
pub(super) fn events(object: &impl Resource<DynamicType = ()>, shown: &Shown<'_>) -> Vec<Tree> {
    let uid = &object.meta().uid;
    let is_about = |event: &&Event| event.involved_object.uid == *uid && uid.is_some();
    let mut all: Vec<(Timestamp, &Event)> =
        shown.objects.events.iter().filter(is_about).map(|event| (time(event), event)).collect();
    all.sort_by_key(|(at, event)| (*at, event.name_any()));
    let newest = all.split_off(all.len().saturating_sub(EVENTS_MAX));
    let line = |(at, event): (Timestamp, &Event)| {
        let (reason, message) = (event.reason.as_deref(), event.message.as_deref());
        let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
        let line = Tree::line(format!("event {}: {reason}: {message}", age::ago(at, shown.now)));
        let is_warning = event.type_.as_deref() == Some("Warning");
        if is_warning { line.marked(Mark { sign: '!', tone: Tone::Bad }) } else { line }
    };
    newest.into_iter().map(line).collect()
}

/// When an event happened last.
fn time(event: &Event) -> Timestamp {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let newest = series.or(event.event_time.as_ref()).map(|time| time.0);
    let older = event.last_timestamp.as_ref().or(event.metadata.creation_timestamp.as_ref());
    newest.or(older.map(|time| time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}
