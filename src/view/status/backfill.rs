//! A backfill.

use kube::ResourceExt;

use super::detail::{GAP, events, faults, state};
use super::shown::Shown;
use crate::api::{FlowBackfill, FlowRun, Kind, Phase};
use crate::view::objects;
use crate::view::tree::{Mark, Tone, Tree};

/// How many of its runs are shown.
const RUNS_MAX: usize = 10;

/// The backfill with its runs that have not succeeded.
pub(super) fn tree(backfill: &FlowBackfill, shown: &Shown<'_>) -> Tree {
    let conditions = backfill.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut branches = faults(conditions, Kind::FlowBackfill);
    if shown.detail {
        let spec = &backfill.spec;
        let range = format!("flow/{}{GAP}from {} to {}", spec.flow, spec.from.0, spec.to.0);
        branches.push(Tree::line(range));
        let (namespace, name) = (backfill.namespace(), backfill.name_any());
        let is_open = |run: &&FlowRun| {
            let is_ours = run.namespace() == namespace && run.spec.backfill.as_ref() == Some(&name);
            is_ours && run.status.as_ref().is_none_or(|status| status.phase != Phase::Succeeded)
        };
        let mut runs: Vec<&FlowRun> = shown.objects.runs.iter().filter(is_open).collect();
        runs.sort_by_key(|run| objects::place(run));
        let more = runs.len().saturating_sub(RUNS_MAX);
        branches.extend(runs.into_iter().take(RUNS_MAX).map(|run| super::run::line(run, shown.now)));
        branches.extend((more > 0).then(|| Tree::line(format!("and {more} more runs"))));
        branches.extend(events(backfill, shown));
    }
    line(backfill).with(branches)
}

/// The backfill in one line.
pub(super) fn line(backfill: &FlowBackfill) -> Tree {
    let status = backfill.status.clone().unwrap_or_default();
    let (mark, word) = if status.finished_at.is_some() {
        let is_well = status.failed == 0;
        let (sign, tone) = if is_well { ('✔', Tone::Good) } else { ('✖', Tone::Bad) };
        (Mark { sign, tone }, "ended".to_owned())
    } else if backfill.spec.cancel || backfill.spec.suspend {
        let word = if backfill.spec.cancel { "cancelled" } else { "suspended" };
        (Mark { sign: '○', tone: Tone::Plain }, word.to_owned())
    } else if status.started_at.is_some() {
        (Mark { sign: '●', tone: Tone::Working }, "under way".to_owned())
    } else {
        state(&status.conditions)
    };
    let done = status.done.clone().unwrap_or_else(|| format!("0/{}", status.total));
    let counts = format!("{done} done, {} active, {} failed", status.active, status.failed);
    Tree::line(format!("backfill/{}{GAP}{word}, {counts}", backfill.name_any())).marked(mark)
}
