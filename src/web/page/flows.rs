//! All Flows: a row each with its last runs.

use askama::Template;
use jiff::Timestamp;
use serde::Serialize;

use super::bars::{Bars, bars};
use super::frame::Frame;
use super::listing::{Listing, Wanted};
use super::past::{Past, failed_in_a_row, last, newest_failed, past, well};
use super::seen::{Seen, name_of, namespace_of};
use super::words::{Shown, flow_link, second, shown, why};
use crate::api::{ConditionType, Flow, FlowRun};
use crate::plan::facts::phase_of;
use crate::view::age;

/// How many Flows a part of the list has: with the bars of each, a page stays below 100 KB.
pub const FLOWS_MAX: usize = 12;
/// How many runs a Flow is shown with, and how high the bars are.
pub const BARS: (usize, i64) = (30, 28);

/// One Flow.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "as the JSON of the page has them")]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// Its schedule in a few words.
    pub schedule: String,
    /// When its next run is created.
    pub next: Option<Timestamp>,
    /// The same in words.
    #[serde(skip)]
    pub next_words: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// How its newest run that has ended did so.
    #[serde(skip)]
    pub last: Option<(Shown, String)>,
    /// How many of the runs that are known succeeded.
    pub well: String,
    /// How many of the newest failed in a row.
    pub failed_in_a_row: usize,
    /// How many are active.
    pub active: usize,
    /// Why it is not ready.
    pub fault: Option<String>,
    /// The runs, the oldest first.
    pub runs: Vec<Past>,
    /// The same as a drawing.
    #[serde(skip)]
    pub bars: Bars,
}

/// All Flows.
#[derive(Template, Serialize)]
#[template(path = "flows.html")]
#[expect(clippy::struct_field_names, reason = "as the JSON of the page has them")]
pub struct Flows {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// Which part.
    pub listing: Listing,
    /// The Flows.
    pub flows: Vec<Row>,
    /// Whether there are Flows at all.
    #[serde(skip)]
    pub is_empty: bool,
    /// Whether the list may have several namespaces.
    #[serde(skip)]
    pub namespaces: bool,
}

/// A row of which only that is known by which it is found: a page has few of them.
struct Draft<'a> {
    flow: &'a Flow,
    runs: Vec<&'a FlowRun>,
    fails: bool,
}

/// All Flows: those that fail first, then by name.
pub fn flows<'a>(frame: Frame, seen: &'a Seen, wanted: &Wanted, now: Timestamp) -> Flows {
    let mut by_flow = seen.by_flow();
    let mut drafts: Vec<Draft<'a>> = seen
        .flows
        .iter()
        .map(AsRef::as_ref)
        .filter(|flow| wanted.finds(&[name_of(*flow), namespace_of(*flow)]))
        .map(|flow: &Flow| {
            let runs = by_flow.remove(&(namespace_of(flow), name_of(flow))).unwrap_or_default();
            Draft { fails: newest_failed(flow, &runs) || fault(flow).is_some(), flow, runs }
        })
        .filter(|draft| has_state(draft, &wanted.state))
        .collect();
    let place = |draft: &Draft<'a>| (!draft.fails, namespace_of(draft.flow), name_of(draft.flow));
    drafts.sort_by(|one, other| place(one).cmp(&place(other)));
    let listing = Listing::wanted(wanted, drafts.len(), FLOWS_MAX);
    let rows = listing.part(drafts, FLOWS_MAX).into_iter().map(|draft| row(draft, now)).collect();
    Flows {
        namespaces: frame.namespace.is_empty(),
        frame,
        listing,
        flows: rows,
        is_empty: seen.flows.is_empty(),
    }
}

fn has_state(draft: &Draft<'_>, state: &str) -> bool {
    match state {
        "failing" => draft.fails,
        "active" => draft.runs.iter().any(|run| !phase_of(run).is_final()),
        "suspended" => draft.flow.spec.suspend,
        _ => true,
    }
}

fn row(draft: Draft<'_>, now: Timestamp) -> Row {
    let Draft { flow, runs, .. } = draft;
    let past = past(flow, &runs);
    let status = flow.status.clone().unwrap_or_default();
    let next = status.next_tick.as_ref().map(|at| second(at.0)).filter(|_| !flow.spec.suspend);
    let next_words = match next {
        _ if flow.spec.suspend => "suspended".to_owned(),
        Some(at) => age::ahead(at, now),
        None => "-".to_owned(),
    };
    let newest = last(&past);
    Row {
        namespace: namespace_of(flow).to_owned(),
        name: name_of(flow).to_owned(),
        link: flow_link(flow),
        schedule: status.schedule.unwrap_or_default(),
        next,
        next_words,
        suspended: flow.spec.suspend,
        last: newest.map(|run| (shown(run.phase), age::ago(run.order, now))),
        well: well(&past),
        failed_in_a_row: failed_in_a_row(&past),
        active: runs.iter().filter(|run| !phase_of(run).is_final()).count(),
        fault: fault(flow),
        bars: bars(&past, BARS, now),
        runs: past.get(past.len().saturating_sub(BARS.0)..).unwrap_or_default().to_vec(),
    }
}

/// Why a Flow is not ready.
pub fn fault(flow: &Flow) -> Option<String> {
    let conditions = &flow.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|one| one.type_ == ConditionType::Ready.as_str())?;
    (ready.status == "False").then(|| why(Some(&ready.reason), Some(&ready.message)))
}
