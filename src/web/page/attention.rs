//! What needs a look: what fails, what waits and for what, what is late.

use askama::Template;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::flows::fault;
use super::frame::Frame;
use super::past::{failed_in_a_row, newest_failed, past};
use super::runs::{Row, row};
use super::seen::{Seen, name_of, namespace_of};
use super::words::{flow_link, run_link, second, shown, why};
use crate::api::flow_run::WaitsFor;
use crate::api::{Flow, FlowRun, Kind, Phase};
use crate::plan::facts::{due_at, phase_of, waits_for};
use crate::view::{age, cure};

/// How many rows each part has.
const ROWS_MAX: usize = 50;
/// How long after its time something is late.
const LATE: SignedDuration = SignedDuration::from_mins(5);

/// A Flow that fails.
#[derive(Clone, Debug, Serialize)]
pub struct Failing {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// How many of its newest runs failed in a row.
    pub in_a_row: usize,
    /// Why.
    pub why: String,
    /// The page of the newest run, where that is there.
    #[serde(skip)]
    pub run: Option<String>,
    /// What to do.
    pub cure: Option<String>,
}

/// What is late.
#[derive(Clone, Debug, Serialize)]
pub struct Late {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// What is late, and by how much.
    pub why: String,
}

/// What needs a look.
#[derive(Template, Serialize)]
#[template(path = "attention.html")]
pub struct Attention {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// Flows whose newest run failed, or that are not ready.
    pub failing: Vec<Failing>,
    /// Runs that wait.
    pub waiting: Vec<Row>,
    /// Runs and Flows whose time has passed.
    pub late: Vec<Late>,
    /// How many there are of each, more than are shown perhaps.
    pub totals: (usize, usize, usize),
    /// Whether the list may have several namespaces.
    #[serde(skip)]
    pub namespaces: bool,
}

/// What needs a look, the worst first.
pub fn attention(frame: Frame, seen: &Seen, now: Timestamp) -> Attention {
    let by_flow = seen.by_flow();
    let none = Vec::new();
    let mut failing: Vec<Failing> = seen
        .flows
        .iter()
        .filter_map(|flow| {
            failing(
                flow,
                by_flow.get(&(namespace_of(flow.as_ref()), name_of(flow.as_ref()))).unwrap_or(&none),
            )
        })
        .collect();
    failing.sort_by(|one, other| {
        (other.in_a_row, &one.namespace, &one.name).cmp(&(one.in_a_row, &other.namespace, &other.name))
    });
    // What is suspended waits for a person, who knows.
    let waits = |run: &&FlowRun| {
        matches!(phase_of(run), Phase::Queued | Phase::Provisioning | Phase::Retrying)
            && waits_for(run) != Some(WaitsFor::Resume)
    };
    let mut waiting: Vec<&FlowRun> = seen.runs.iter().map(AsRef::as_ref).filter(waits).collect();
    // What has waited longest is the most urgent.
    waiting.reverse();
    let runs_late = waiting.iter().filter_map(|run| run_late(run, now));
    let late: Vec<Late> =
        seen.flows.iter().filter_map(|flow| flow_late(flow, now)).chain(runs_late).collect();
    Attention {
        namespaces: frame.namespace.is_empty(),
        frame,
        totals: (failing.len(), waiting.len(), late.len()),
        failing: failing.into_iter().take(ROWS_MAX).collect(),
        waiting: waiting.into_iter().take(ROWS_MAX).map(|run| row(run, now)).collect(),
        late: late.into_iter().take(ROWS_MAX).collect(),
    }
}

fn failing(flow: &Flow, runs: &[&FlowRun]) -> Option<Failing> {
    let fault = fault(flow);
    if fault.is_none() && !newest_failed(flow, runs) {
        return None;
    }
    let past = past(flow, runs);
    let in_a_row = failed_in_a_row(&past);
    let newest = super::past::last(&past).filter(|_| in_a_row > 0);
    let reason = newest.and_then(|run| run.reason.clone());
    let message = newest.and_then(|newest| {
        let run = runs.iter().find(|run| name_of(**run) == newest.name)?;
        run.status.as_ref()?.message.clone()
    });
    let said = newest.map(|run| shown(run.phase).word).map(|word| {
        let why = why(reason.as_deref(), message.as_deref());
        if why.is_empty() { word.to_owned() } else { why }
    });
    Some(Failing {
        namespace: namespace_of(flow).to_owned(),
        name: name_of(flow).to_owned(),
        link: flow_link(flow),
        in_a_row,
        why: fault.or(said).unwrap_or_default(),
        run: newest.and_then(super::past::Past::link),
        cure: reason.and_then(|reason| cure::cure(Kind::FlowRun, &reason)),
    })
}

/// A Flow whose next run should be there.
fn flow_late(flow: &Flow, now: Timestamp) -> Option<Late> {
    let next = flow.status.as_ref()?.next_tick.as_ref()?.0;
    let is_late = !flow.spec.suspend && now.duration_since(next) > LATE;
    is_late.then(|| Late {
        namespace: namespace_of(flow).to_owned(),
        name: name_of(flow).to_owned(),
        link: flow_link(flow),
        why: format!(
            "its run of {} was due {}, and no operator has created it",
            second(next),
            age::ago(next, now)
        ),
    })
}

/// A run that should have begun.
fn run_late(run: &FlowRun, now: Timestamp) -> Option<Late> {
    // A run of the past, such as one of a backfill or one with a jitter, is not late before it is there.
    let created = run.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let due = due_at(run).max(created);
    let is_late = phase_of(run) != Phase::Retrying && now.duration_since(due) > LATE;
    is_late.then(|| Late {
        namespace: namespace_of(run).to_owned(),
        name: name_of(run).to_owned(),
        link: run_link(run),
        why: format!("was due {}, and has not begun: {}", age::ago(due, now), phase_of(run).as_str()),
    })
}
