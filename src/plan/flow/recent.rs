//! How the last runs of a Flow ended, remembered longer than the runs.
//!
//! As text, one a run: `NAME|TICK|PHASE|REASON|STARTED|FINISHED`, with instants as seconds since 1970 and
//! nothing where there is none. `NAME` begins with `-` where the Flow's name stands before it, and `REASON`
//! is left out where it is the word of the phase. What cannot be read counts for nothing.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::history::finished_at;
use crate::api::{Flow, FlowRun, Phase};
use crate::plan::facts::phase_of;

/// How many runs are remembered at the most.
pub const RUNS_MAX: usize = 50;
/// How many bytes they have at the most, as JSON in the status: a hundredth of what etcd takes of an object.
pub const BYTES_MAX: usize = 5 * 1024;
/// The longest reason: those of daskflow are shorter.
const REASON_MAX: usize = 48;
/// What a text has around it in a list of JSON: quotes, and a comma.
const AROUND: usize = 3;

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Its name.
    pub name: String,
    /// Its logical time, where it was given one.
    pub tick: Option<Timestamp>,
    /// Its final phase.
    pub phase: Phase,
    /// The reason, where it says more than the phase.
    pub reason: Option<String>,
    /// When its last attempt began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
}

/// The runs that the status of a Flow remembers, the newest first.
pub fn recent(flow: &Flow) -> Vec<Recent> {
    each(flow).collect()
}

/// The same, each read when it is asked for.
pub fn each(flow: &Flow) -> impl Iterator<Item = Recent> {
    let texts = flow.status.as_ref().map(|status| status.recent.as_slice()).unwrap_or_default();
    texts.iter().filter_map(|text| read(&flow.name_any(), text))
}

/// What is remembered, with these runs. One that was skipped never ran; those are counted.
pub(super) fn with(flow: &Flow, old: &[String], runs: &[Arc<FlowRun>]) -> Vec<String> {
    let name = flow.name_any();
    let new = runs.iter().filter_map(|run| write(&name, run));
    let known = old.iter().filter_map(|text| Some((read(&name, text)?.finished, text.clone())));
    let mut all: Vec<(Timestamp, String)> = known.chain(new).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.dedup();
    // The brackets have two bytes, and the last one no comma.
    let mut bytes = 1;
    let fits = |(_, text): &(Timestamp, String)| {
        bytes += text.len() + AROUND;
        bytes <= BYTES_MAX
    };
    all.into_iter().take(RUNS_MAX).take_while(fits).map(|(_, text)| text).collect()
}

fn write(flow: &str, run: &FlowRun) -> Option<(Timestamp, String)> {
    let (phase, finished) = (phase_of(run), finished_at(run)?);
    if !phase.is_final() || phase == Phase::Skipped {
        return None;
    }
    let status = run.status.as_ref()?;
    let name = run.name_any();
    let short = name.strip_prefix(flow).filter(|rest| rest.starts_with('-')).unwrap_or(&name);
    let reason = status.reason.as_deref().filter(|reason| *reason != phase.as_str()).unwrap_or_default();
    let reason: String = reason.chars().filter(char::is_ascii_alphanumeric).take(REASON_MAX).collect();
    let second = |time: Option<Timestamp>| time.map(|time| time.as_second().to_string()).unwrap_or_default();
    let tick = second(run.spec.scheduled_time.as_ref().map(|time| time.0));
    let started = second(status.started_at.as_ref().map(|time| time.0));
    let word = phase.as_str();
    let text = format!("{short}|{tick}|{word}|{reason}|{started}|{}", finished.as_second());
    // Its parts of a second would sort it otherwise than when it is read again.
    Some((Timestamp::from_second(finished.as_second()).ok()?, text))
}

fn read(flow: &str, text: &str) -> Option<Recent> {
    let parts: Vec<&str> = text.split('|').collect();
    let [name, tick, phase, reason, started, finished] = <[&str; 6]>::try_from(parts).ok()?;
    let second = |text: &str| Timestamp::from_second(text.parse().ok()?).ok();
    let ends = [Phase::Succeeded, Phase::Failed, Phase::Cancelled, Phase::TimedOut];
    Some(Recent {
        name: if name.starts_with('-') { format!("{flow}{name}") } else { name.to_owned() },
        tick: second(tick),
        phase: ends.into_iter().find(|end| end.as_str() == phase)?,
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        started: second(started),
        finished: second(finished)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow(recent: &[String]) -> Flow {
        let flow = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
            "spec": {"cluster": {"ref": {"name": "a"}}}, "status": {"recent": recent},
        });
        serde_json::from_value(flow).unwrap()
    }

    fn run(name: &str, phase: &str, minute: usize) -> Arc<FlowRun> {
        let at = |second: usize| {
            Timestamp::from_second(i64::try_from(1_790_000_000 + minute * 60 + second).unwrap())
        };
        let run = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": name},
            "spec": {"flow": "etl", "scheduledTime": at(0).unwrap()},
            "status": {
                "phase": phase, "reason": if phase == "Failed" { "FlowFailed" } else { phase },
                "startedAt": at(1).unwrap(), "finishedAt": at(9).unwrap(),
            },
        });
        Arc::new(serde_json::from_value(run).unwrap())
    }

    #[test]
    fn a_run_is_a_short_text_and_read_back() {
        let runs = [
            run("etl-20261201t090000", "Failed", 0),
            run("etlx", "Succeeded", 1),
            run("etl-skipped", "Skipped", 2),
            run("etl-now", "Running", 3),
        ];
        let texts = with(&flow(&[]), &[], &runs);
        assert_eq!(
            texts,
            [
                "etlx|1790000060|Succeeded||1790000061|1790000069",
                "-20261201t090000|1790000000|Failed|FlowFailed|1790000001|1790000009",
            ]
        );
        let read = recent(&flow(&texts));
        let second = |seconds: i64| Timestamp::from_second(1_790_000_000 + seconds).unwrap();
        let failed = Recent {
            name: "etl-20261201t090000".into(),
            tick: Some(second(0)),
            phase: Phase::Failed,
            reason: Some("FlowFailed".into()),
            started: Some(second(1)),
            finished: second(9),
        };
        assert_eq!((read[0].name.as_str(), &read[1]), ("etlx", &failed));
        // With the same runs, with none, and with what another program has put there.
        assert_eq!(with(&flow(&[]), &texts, &runs), texts);
        let foreign = [texts.clone(), vec!["a|b".into(), "|||||".into(), String::new()]].concat();
        assert_eq!(with(&flow(&[]), &foreign, &[]), texts);
    }

    #[test]
    fn the_oldest_are_dropped_by_number_and_by_size() {
        let short: Vec<_> =
            (0..60).map(|minute| run(&format!("etl-{minute}"), "Succeeded", minute)).collect();
        let texts = with(&flow(&[]), &[], &short);
        assert_eq!((texts.len(), texts[0].split('|').next()), (RUNS_MAX, Some("-59")));
        let long = |minute: usize| run(&format!("{}-{minute:03}", "x".repeat(59)), "Failed", minute);
        let long: Vec<_> = (0..60).map(long).collect();
        let texts = with(&flow(&[]), &[], &long);
        let bytes = serde_json::to_string(&texts).unwrap().len();
        assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX - 200, "{bytes}");
        assert!(texts[0].contains("-059|"), "{}", texts[0]);
        // Full is full: the same runs change nothing.
        assert_eq!(with(&flow(&[]), &texts, &long), texts);
    }
}
