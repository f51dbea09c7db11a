//! A run and its log, until it has ended.

use std::pin::pin;

use futures::StreamExt;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};

use super::cluster::Cluster;
use super::error::Error;
use super::logs::{self, Line};
use super::tail::Tail;
use super::wait::{deleted, lasting};
use crate::api::{FlowRun, Phase};
use crate::plan::facts::{attempt_of, phase_of};

/// What is shown of a run that is followed.
pub trait Seen {
    /// The run has another phase, attempt or reason.
    fn changed(&mut self, run: &FlowRun);
    /// Its runner wrote a line.
    fn wrote(&mut self, line: &Line);
    /// Something of its log cannot be shown.
    fn lacks(&mut self, why: &str);
}

/// Follows a run until it has ended, and shows the logs of all its attempts from now on.
///
/// # Errors
/// It was deleted, or the API server refuses, or does not answer for a while.
pub async fn follow(cluster: &Cluster, name: &str, seen: &mut impl Seen) -> Result<FlowRun, Error> {
    let api: Api<FlowRun> = cluster.api();
    let mut states = pin!(watcher::watch_object(api, name).default_backoff());
    let (mut log, mut failures, mut copied) = (None, 0, 0);
    let mut known = None;
    loop {
        let state = tokio::select! {
            // What was written before the end is shown before it.
            biased;
            line = next(&mut log) => {
                show(line, &mut log, seen);
                continue;
            }
            state = states.next() => state,
        };
        let run = match state {
            Some(Ok(Some(run))) => run,
            Some(Ok(None)) | None => return Err(deleted::<FlowRun>(name)),
            Some(Err(error)) => {
                failures += 1;
                match lasting::<FlowRun>(cluster, error, failures) {
                    Some(error) => return Err(error),
                    None => continue,
                }
            }
        };
        failures = 0;
        let words = (phase_of(&run), attempt_of(&run), run.status.as_ref().and_then(|it| it.reason.clone()));
        if known.as_ref() != Some(&words) {
            seen.changed(&run);
            known = Some(words);
        }
        if copied < attempt_of(&run) && has_written(&run) {
            copied = attempt_of(&run);
            // What an attempt wrote last comes before what the next one writes.
            drain(&mut log, seen).await;
            log = open(cluster, &run, seen).await;
        }
        if phase_of(&run).is_final() {
            drain(&mut log, seen).await;
            return Ok(run);
        }
    }
}

/// The next line; waits for ever where there is no log.
async fn next(log: &mut Option<Tail>) -> Option<Result<Line, Error>> {
    match log {
        Some(tail) => tail.next().await,
        None => std::future::pending().await,
    }
}

/// Shows the rest of the log of a container that has ended.
async fn drain(log: &mut Option<Tail>, seen: &mut impl Seen) {
    while let Some(tail) = log {
        let line = tail.rest().await;
        show(line, log, seen);
    }
}

fn show(line: Option<Result<Line, Error>>, log: &mut Option<Tail>, seen: &mut impl Seen) {
    match line {
        Some(Ok(line)) => seen.wrote(&line),
        Some(Err(error)) => seen.lacks(&error.to_string()),
        None => *log = None,
    }
}

/// Whether the runner of the present attempt has begun, and so has a log.
fn has_written(run: &FlowRun) -> bool {
    let status = run.status.as_ref();
    let has_begun = status.is_some_and(|status| status.started_at.is_some());
    match phase_of(run) {
        Phase::Running | Phase::Retrying => true,
        phase => phase.is_final() && has_begun,
    }
}

/// The log of the present attempt; none where it cannot be read, which is said.
async fn open(cluster: &Cluster, run: &FlowRun, seen: &mut impl Seen) -> Option<Tail> {
    let opened = async {
        match logs::runner(cluster, run, attempt_of(run)).await? {
            Some(source) => Tail::open(cluster, source).await,
            None => Err(Error::Senseless(format!(
                "the pod of attempt {} is no longer there, and its log went with it",
                attempt_of(run)
            ))),
        }
    };
    opened.await.map_err(|error| seen.lacks(&error.to_string())).ok()
}
