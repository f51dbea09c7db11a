//! How the last runs of a Flow ended, also of those that are deleted.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::detail::GAP;
use super::shown::Shown;
use crate::api::{Flow, Phase};
use crate::plan::flow::recent::{Recent, recent};
use crate::view::tree::Tree;
use crate::view::{age, phase};

/// How many deleted runs are shown.
const DELETED_MAX: usize = 10;

/// The runs that are deleted, and all that is remembered in one line.
pub(super) fn trees(flow: &Flow, shown: &Shown<'_>) -> Vec<Tree> {
    let all = recent(flow);
    let there: BTreeSet<String> =
        shown.objects.runs_of(flow).into_iter().map(ResourceExt::name_any).collect();
    let deleted = all.iter().filter(|run| !there.contains(&run.name)).take(DELETED_MAX);
    let mut trees: Vec<Tree> = deleted.map(|run| line(run, shown)).collect();
    trees.extend(summary(&all).map(Tree::line));
    trees
}

fn line(run: &Recent, shown: &Shown<'_>) -> Tree {
    let mut words = vec![run.phase.as_str().to_owned()];
    words.extend(run.started.map(|started| format!("after {}", age::span(started, run.finished))));
    words.push(age::ago(run.finished, shown.now));
    let reason = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let line = format!("run/{}{GAP}{}{reason}{GAP}deleted", run.name, words.join(", "));
    Tree::line(line).marked(phase::mark(run.phase))
}

/// How many there are of each kind, and how long they took on average; none where one or none is known.
fn summary(all: &[Recent]) -> Option<String> {
    let count = |phase: Phase| all.iter().filter(|run| run.phase == phase).count();
    let phases = [Phase::Succeeded, Phase::Failed, Phase::TimedOut, Phase::Cancelled];
    let counts = phases.map(|phase| (count(phase), phase.as_str()));
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let took = all.iter().filter_map(|run| Some(run.finished.duration_since(run.started?).as_secs()));
    let took: Vec<i64> = took.collect();
    let mean = i64::try_from(took.len()).ok().and_then(|number| took.iter().sum::<i64>().checked_div(number));
    let mean = mean.map(|seconds| format!("; {} on average", age::long(seconds))).unwrap_or_default();
    (all.len() > 1).then(|| format!("the last {} runs: {}{mean}", all.len(), counts.join(", ")))
}
