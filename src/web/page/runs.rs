//! Runs, the newest first, searched and cut into parts by the server.

use askama::Template;
use jiff::Timestamp;
use serde::Serialize;

use super::frame::Frame;
use super::listing::{Listing, Wanted};
use super::seen::{Seen, name_of, namespace_of};
use super::words::{Shown, link, run_link, shown, when, why};
use crate::api::{FlowRun, Phase};
use crate::plan::facts::{attempt_of, due_at, phase_of};
use crate::view::age;

/// How many runs a part of the list has.
pub const RUNS_MAX: usize = 50;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// Its Flow.
    pub flow: String,
    /// The page of that.
    #[serde(skip)]
    pub flow_link: String,
    /// Its phase.
    pub phase: Shown,
    /// The reason and the message; empty where there is nothing to say.
    pub why: String,
    /// When it came into the line.
    pub due: Timestamp,
    /// The same in words.
    #[serde(skip)]
    pub due_words: String,
    /// How long it took, or takes so far.
    pub took: String,
    /// The number of its attempt.
    pub attempt: u32,
    /// Its tasks, where they are known.
    pub tasks: Option<String>,
}

/// Runs.
#[derive(Template, Serialize)]
#[template(path = "runs.html")]
#[expect(clippy::struct_field_names, reason = "as the JSON of the page has them")]
pub struct Runs {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// Which part.
    pub listing: Listing,
    /// The runs.
    pub runs: Vec<Row>,
    /// Whether the list may have several namespaces.
    #[serde(skip)]
    pub namespaces: bool,
}

/// The runs that are wanted, the newest first.
pub fn runs(frame: Frame, seen: &Seen, wanted: &Wanted, now: Timestamp) -> Runs {
    let found: Vec<&FlowRun> =
        seen.runs.iter().map(AsRef::as_ref).filter(|run: &&FlowRun| is_wanted(run, wanted)).collect();
    let listing = Listing::wanted(wanted, found.len(), RUNS_MAX);
    let rows = listing.part(found, RUNS_MAX).into_iter().map(|run| row(run, now)).collect();
    Runs { namespaces: frame.namespace.is_empty(), frame, listing, runs: rows }
}

fn is_wanted(run: &FlowRun, wanted: &Wanted) -> bool {
    let phase = phase_of(run);
    let has_state = match wanted.state.as_str() {
        "active" => !phase.is_final(),
        "failed" => matches!(phase, Phase::Failed | Phase::TimedOut),
        "succeeded" => phase == Phase::Succeeded,
        "other" => matches!(phase, Phase::Cancelled | Phase::Skipped),
        _ => true,
    };
    let reason = run.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or_default();
    has_state
        && wanted.is_of(&run.spec.flow)
        && wanted.finds(&[name_of(run), &run.spec.flow, reason, namespace_of(run)])
}

/// A run as a row.
pub fn row(run: &FlowRun, now: Timestamp) -> Row {
    let status = run.status.clone().unwrap_or_default();
    let phase = status.phase;
    let is_plain = matches!(phase, Phase::Succeeded | Phase::Running);
    let until = if phase.is_final() { status.finished_at.as_ref().map(|at| at.0) } else { Some(now) };
    let began =
        status.started_at.as_ref().map(|at| at.0).filter(|_| phase.is_final() || phase == Phase::Running);
    Row {
        namespace: namespace_of(run).to_owned(),
        name: name_of(run).to_owned(),
        link: run_link(run),
        flow: run.spec.flow.clone(),
        flow_link: link("flows", namespace_of(run), &run.spec.flow),
        phase: shown(phase),
        why: if is_plain { String::new() } else { why(status.reason.as_deref(), status.message.as_deref()) },
        due: due_at(run),
        due_words: when(due_at(run), now),
        took: began.zip(until).map(|(from, until)| age::span(from, until)).unwrap_or_default(),
        attempt: attempt_of(run),
        tasks: status.tasks.map(|tasks| match tasks.failed {
            0 => tasks.total.to_string(),
            failed => format!("{}, {failed} failed", tasks.total),
        }),
    }
}
