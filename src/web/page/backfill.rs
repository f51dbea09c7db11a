//! What a backfill would do, before it is started.

use std::sync::Arc;

use askama::Template;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::frame::Frame;
use super::seen::{Seen, name_of, namespace_of};
use super::words::flow_link;
use crate::api::{Flow, FlowBackfill, FlowBackfillSpec, Phase};
use crate::plan::backfill::{Foreseen, Observed, preview};
use crate::view::backfill::summary;

/// How many ticks are listed; a program gets all.
const ROWS_MAX: usize = 200;

/// What is asked for by the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// No tick before this instant.
    pub from: Timestamp,
    /// No tick after this instant.
    pub to: Timestamp,
    /// How many runs at the same time.
    pub parallelism: u32,
}

impl Wanted {
    /// The backfill of a Flow that does this; it has no name yet.
    pub fn backfill(self, flow: &str) -> FlowBackfill {
        let mut spec = FlowBackfillSpec::new(flow.to_owned(), Time(self.from), Time(self.to));
        spec.parallelism = self.parallelism.into();
        FlowBackfill::new("", spec)
    }
}

/// A tick, and what is done with it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// When it is.
    pub tick: Timestamp,
    /// The name of its run.
    pub run: String,
    /// The clocks that tick.
    pub clocks: String,
    /// The phase of the run that is there.
    pub exists: Option<&'static str>,
    /// What becomes of it.
    pub does: &'static str,
}

/// What a backfill would do.
#[derive(Serialize, Template)]
#[template(path = "backfill.html")]
pub struct Preview {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// The name of the Flow.
    pub flow: String,
    /// The page of the Flow.
    #[serde(skip)]
    pub link: String,
    /// The namespace.
    pub namespace: String,
    /// No tick before this instant.
    pub from: Timestamp,
    /// No tick after this instant.
    pub to: Timestamp,
    /// How many runs at the same time.
    pub parallelism: u32,
    /// Why it would start nothing.
    pub fault: Option<String>,
    /// How many ticks there are, and what becomes of them.
    pub summary: String,
    /// The ticks in the order of time.
    pub ticks: Vec<Row>,
}

impl Preview {
    /// The ticks that are listed.
    fn shown(&self) -> &[Row] {
        self.ticks.get(..ROWS_MAX).unwrap_or(&self.ticks)
    }

    /// How many are not.
    fn more(&self) -> usize {
        self.ticks.len().saturating_sub(ROWS_MAX)
    }
}

/// What a backfill of a Flow would do now.
pub fn backfill(frame: Frame, seen: &Seen, flow: &Arc<Flow>, wanted: Wanted, now: Timestamp) -> Preview {
    let (namespace, name) = (namespace_of(flow.as_ref()), name_of(flow.as_ref()));
    let is_of = |run: &&Arc<_>| {
        let run: &crate::api::FlowRun = run;
        run.spec.flow == name && namespace_of(run) == namespace
    };
    let runs = seen.runs.iter().filter(is_of).cloned().collect();
    let observed = Observed { flow: Some(flow.clone()), runs };
    let foreseen = preview(&wanted.backfill(name), &observed, now);
    let (ticks, fault) = match foreseen {
        Ok(ticks) if ticks.is_empty() => (ticks, Some("no clock of the Flow ticks in this time".to_owned())),
        Ok(ticks) => (ticks, None),
        Err(violation) => (Vec::new(), Some(violation.message)),
    };
    Preview {
        frame,
        flow: name.to_owned(),
        link: flow_link(flow),
        namespace: namespace.to_owned(),
        from: wanted.from,
        to: wanted.to,
        parallelism: wanted.parallelism,
        fault,
        summary: summary(&ticks),
        ticks: ticks.into_iter().map(row).collect(),
    }
}

fn row(tick: Foreseen) -> Row {
    Row {
        tick: tick.tick,
        run: tick.run,
        clocks: tick.clocks.join(", "),
        exists: tick.exists.map(Phase::as_str),
        does: tick.does.as_str(),
    }
}
