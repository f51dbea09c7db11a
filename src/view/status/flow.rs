//! A Flow.

use jiff::Timestamp;
use kube::ResourceExt;

use super::detail::{GAP, events, faults, state};
use super::shown::Shown;
use super::{backfill, cluster, past, run};
use crate::api::{Flow, FlowBackfill, FlowRun, Kind};
use crate::plan::backfill::is_unfinished;
use crate::plan::facts::phase_of;
use crate::plan::run::Ground;
use crate::view::age;
use crate::view::tree::Tree;

/// How many runs are shown that have ended, and how many that have not.
const ENDED_MAX: usize = 3;
const ACTIVE_MAX: usize = 10;

/// The Flow with its cluster, its runs and its backfills.
pub(super) fn tree(flow: &Flow, shown: &Shown<'_>) -> Tree {
    let conditions = flow.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let mut branches = faults(conditions, Kind::Flow);
    if let Some(name) = Ground::of(flow).shared() {
        branches.push(match shown.objects.cluster(flow.metadata.namespace.as_deref(), name) {
            // With what is wrong with it: its runs wait for that.
            Some(found) => cluster::tree(found, &Shown { detail: false, ..*shown }),
            None => Tree::line(format!("cluster/{name}{GAP}there is none of this name")),
        });
    }
    branches.extend(runs(flow, shown));
    if shown.detail {
        branches.extend(past::trees(flow, shown));
    }
    let is_shown = |found: &&FlowBackfill| {
        let is_ours = found.namespace() == flow.namespace() && found.spec.flow == flow.name_any();
        is_ours && (shown.detail || is_unfinished(found))
    };
    branches.extend(shown.objects.backfills.iter().filter(is_shown).map(backfill::line));
    branches.extend(events(flow, shown));
    line(flow, shown.now).with(branches)
}

/// Its runs: those that have not ended, and the newest that have.
fn runs(flow: &Flow, shown: &Shown<'_>) -> Vec<Tree> {
    let all = shown.objects.runs_of(flow);
    let (ended, active): (Vec<&FlowRun>, Vec<&FlowRun>) =
        all.into_iter().partition(|run| phase_of(run).is_final());
    let more = active.len().saturating_sub(ACTIVE_MAX);
    let short = Shown { detail: false, ..*shown };
    let tree = |found: &&FlowRun| run::tree(found, &short);
    let mut trees: Vec<Tree> = active.iter().take(ACTIVE_MAX).map(tree).collect();
    trees.extend((more > 0).then(|| Tree::line(format!("and {more} more runs that have not ended"))));
    // What an old run failed of is no cure for anything; the newest one's is.
    trees.extend(ended.iter().take(1).map(tree));
    trees.extend(ended.iter().take(ENDED_MAX).skip(1).map(|found| run::line(found, shown.now)));
    trees
}

/// The Flow in one line.
fn line(flow: &Flow, now: Timestamp) -> Tree {
    let status = flow.status.clone().unwrap_or_default();
    let (mark, state) = state(&status.conditions);
    let mut words = vec![format!("flow/{}", flow.name_any()), state];
    words.extend(status.schedule.clone());
    if flow.spec.suspend {
        words.push("suspended".to_owned());
    }
    words.extend(status.next_tick.as_ref().map(|next| format!("next {}", age::ahead(next.0, now))));
    words.extend((status.missed > 0).then(|| format!("missed {}", status.missed)));
    words.extend((status.skipped > 0).then(|| format!("skipped {}", status.skipped)));
    Tree::line(words.join(GAP)).marked(mark)
}
