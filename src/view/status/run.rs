//! A run.

use jiff::Timestamp;
use kube::ResourceExt;

use super::detail::{GAP, advice, events, pod};
use super::shown::Shown;
use crate::api::gateway::GatewayStatus;
use crate::api::{FlowRun, Kind, Phase};
use crate::plan::facts;
use crate::view::tree::Tree;
use crate::view::{age, phase};

/// The run with what belongs to it.
pub(super) fn tree(run: &FlowRun, shown: &Shown<'_>) -> Tree {
    let tree = line(run, shown.now);
    if !shown.detail {
        return tree.with(cure(run));
    }
    let status = run.status.clone().unwrap_or_default();
    let mut branches: Vec<Tree> = cure(run).into_iter().collect();
    let mut facts = vec![format!("flow/{}", run.spec.flow)];
    facts.push(format!("logical time {}", facts::logical_time(run)));
    facts.extend(run.spec.clock.as_ref().map(|clock| format!("clock {clock}")));
    facts.extend(run.spec.backfill.as_ref().map(|backfill| format!("backfill/{backfill}")));
    branches.push(Tree::line(facts.join(GAP)));
    let parameters = status.merged_parameters.as_ref().or(run.spec.merged_parameters.as_ref());
    let parameters = parameters.or(run.spec.parameters.as_ref());
    branches.extend(parameters.map(|all| Tree::line(format!("parameters {all}"))));
    if let Some(failure) = &status.last_failure {
        let (reason, message) = (&failure.reason, &failure.message);
        let at = age::ago(failure.at.0, shown.now);
        branches.push(Tree::line(format!("the last attempt failed {at}: {reason}: {message}")));
    }
    if let Some(name) = &status.cluster {
        let namespace = run.metadata.namespace.as_deref();
        branches.push(match shown.objects.cluster(namespace, name) {
            Some(cluster) => super::cluster::line(cluster, shown.now),
            None => Tree::line(format!("cluster/{name}")),
        });
    }
    let dashboard = status.gateway.as_deref().and_then(GatewayStatus::dashboard_address);
    branches.extend(dashboard.map(|address| Tree::line(format!("dashboard {address}"))));
    branches.extend(shown.objects.pods_of_run(run).into_iter().map(|found| pod(found, shown.now)));
    branches.extend(events(run, shown));
    tree.with(branches)
}

/// The run in one line.
pub(super) fn line(run: &FlowRun, now: Timestamp) -> Tree {
    line_at(run, Some(now))
}

/// The same for whoever waited for its end, which is now: without how long ago that was.
pub(super) fn outcome(run: &FlowRun) -> Tree {
    line_at(run, None)
}

fn line_at(run: &FlowRun, now: Option<Timestamp>) -> Tree {
    let status = run.status.clone().unwrap_or_default();
    let mut words = vec![status.phase.as_str().to_owned()];
    if status.phase.is_final() {
        let took = status.started_at.as_ref().zip(status.finished_at.as_ref());
        words.extend(took.map(|(began, ended)| format!("after {}", age::span(began.0, ended.0))));
        words.extend(status.finished_at.as_ref().zip(now).map(|(ended, now)| age::ago(ended.0, now)));
    } else {
        let attempt = status.attempt.filter(|attempt| *attempt > 0);
        words.extend(attempt.map(|attempt| format!("attempt {attempt}")));
        let since = match status.phase {
            Phase::Running => status.started_at.as_ref(),
            _ => run.metadata.creation_timestamp.as_ref(),
        };
        words.extend(since.zip(now).map(|(since, now)| format!("for {}", age::span(since.0, now))));
    }
    words.extend(status.tasks.map(|tasks| match tasks.failed {
        0 => format!("{} tasks", tasks.total),
        failed => format!("{} tasks, {failed} of them failed", tasks.total),
    }));
    let mut line = format!("run/{}{GAP}{}", run.name_any(), words.join(", "));
    // A word that says the phase once more is left out.
    let is_news = status.phase != Phase::Succeeded && status.phase != Phase::Running;
    if let Some(reason) = status.reason.as_deref().filter(|_| is_news) {
        let message = status.message.as_deref().unwrap_or_default();
        line = if message.is_empty() {
            format!("{line}: {reason}")
        } else {
            format!("{line}: {reason}: {message}")
        };
    }
    Tree::line(line).marked(phase::mark(status.phase))
}

/// What to do about a run that waits or failed.
fn cure(run: &FlowRun) -> Option<Tree> {
    let status = run.status.as_ref()?;
    let is_well = matches!(status.phase, Phase::Succeeded | Phase::Running | Phase::Cancelled);
    advice(Kind::FlowRun, status.reason.as_deref().filter(|_| !is_well)?)
}
