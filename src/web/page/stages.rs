//! Where the time of a run went: waiting, its cluster, its attempts.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt;
use serde::Serialize;

use crate::api::{FlowRun, Phase, labels};
use crate::plan::facts::{attempt_of, phase_of};
use crate::view::age;

/// The label that Kubernetes gives the pods of a Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// How wide the drawing is.
pub const WIDTH: i64 = 1_000;
/// The least width, so that a short stage is seen.
const WIDTH_MIN: i64 = 4;

/// A part of a run's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// What it was.
    pub name: String,
    /// When it began.
    pub from: Timestamp,
    /// When it ended, or now.
    pub until: Timestamp,
    /// Whether it goes on.
    pub goes_on: bool,
    /// How long it took.
    pub took: String,
    /// Its colour.
    #[serde(skip)]
    pub class: &'static str,
    /// Where it is drawn.
    #[serde(skip)]
    pub x: i64,
    /// How wide it is drawn.
    #[serde(skip)]
    pub width: i64,
}

/// An attempt, from its pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Its number.
    pub number: u32,
    /// Its pod.
    pub pod: String,
    /// What its runner says of itself.
    pub state: String,
    /// When its runner began.
    pub started: Option<Timestamp>,
    /// When its runner ended.
    pub finished: Option<Timestamp>,
}

/// The attempts whose pods are there, the first one first.
pub fn attempts(run: &FlowRun, pods: &[Pod]) -> Vec<Attempt> {
    let name = run.name_any();
    let mut all: Vec<Attempt> = pods.iter().filter_map(|pod| attempt(&name, pod)).collect();
    all.sort_by(|one, other| (one.number, &one.pod).cmp(&(other.number, &other.pod)));
    all
}

fn attempt(run: &str, pod: &Pod) -> Option<Attempt> {
    let job = pod.labels().get(JOB_NAME)?;
    let number = job.strip_prefix(run)?.strip_prefix('-')?.parse().ok()?;
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_else(|| "Pending".to_owned());
    let runner =
        status.container_statuses.unwrap_or_default().into_iter().find(|one| one.name == labels::RUNNER);
    let state = runner.and_then(|one| one.state).unwrap_or_default();
    let (words, started, finished) = match state {
        ContainerState { terminated: Some(end), .. } => {
            let reason = end.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
            (format!("ended with exit code {}{reason}", end.exit_code), end.started_at, end.finished_at)
        }
        ContainerState { running: Some(running), .. } => ("running".to_owned(), running.started_at, None),
        ContainerState { waiting: Some(waiting), .. } => (waiting.reason.unwrap_or(phase), None, None),
        _ => (phase, None, None),
    };
    let at = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0);
    Some(Attempt { number, pod: pod.name_any(), state: words, started: at(started), finished: at(finished) })
}

/// The stages of a run, one after another.
pub fn stages(run: &FlowRun, attempts: &[Attempt], now: Timestamp) -> Vec<Stage> {
    let Some(created) = run.metadata.creation_timestamp.as_ref().map(|at| at.0) else { return Vec::new() };
    let status = run.status.clone().unwrap_or_default();
    let (phase, number) = (phase_of(run), attempt_of(run));
    let end = status.finished_at.as_ref().map(|at| at.0).filter(|_| phase.is_final());
    // In the order of time: what began, and when. Each lasts until the next one.
    let mut marks: Vec<(Timestamp, String, &'static str)> = vec![(created, "waiting".to_owned(), "q")];
    for one in attempts.iter().filter(|one| one.number < number) {
        marks.extend(one.started.map(|at| (at, format!("attempt {}", one.number), "f")));
        marks.extend(one.finished.map(|at| (at, format!("after attempt {}", one.number), "q")));
    }
    let known = marks.len() > 1;
    if let Some(admitted) = status.admitted_at.as_ref() {
        marks.push((admitted.0, "cluster and pod".to_owned(), "p"));
        // Of earlier attempts nothing is known but that they were.
        if number > 1
            && !known
            && let Some((_, name, class)) = marks.first_mut()
        {
            (*name, *class) = ("earlier attempts".to_owned(), "f");
        }
    }
    if let Some(started) = status.started_at.as_ref() {
        let name = if number > 1 { format!("attempt {number}") } else { "running".to_owned() };
        let class = if phase.is_final() { super::words::class(phase) } else { "r" };
        marks.push((started.0, name, class));
    }
    if phase == Phase::Retrying
        && let Some(failure) = &status.last_failure
    {
        marks.push((failure.at.0, "waiting to be tried again".to_owned(), "q"));
    }
    // Clocks differ by seconds: nothing began before there was a run.
    marks.sort_by_key(|(at, ..)| (*at).max(created));
    for (at, ..) in &mut marks {
        *at = (*at).max(created);
    }
    draw(&marks, end, now)
}

fn draw(marks: &[(Timestamp, String, &'static str)], end: Option<Timestamp>, now: Timestamp) -> Vec<Stage> {
    let Some((begin, ..)) = marks.first() else { return Vec::new() };
    let last = end.unwrap_or(now).max(*begin);
    let whole = last.duration_since(*begin).as_millis().max(1);
    let place = |at: Timestamp| {
        let done = at.duration_since(*begin).as_millis().clamp(0, whole);
        i64::try_from(done * i128::from(WIDTH) / whole).unwrap_or(WIDTH)
    };
    let next = marks.iter().skip(1).map(|(at, ..)| (*at).min(last)).chain([last]);
    let pairs = marks.iter().zip(next);
    let stages = pairs.enumerate().map(|(index, ((from, name, class), until))| Stage {
        name: name.clone(),
        from: *from,
        until,
        goes_on: end.is_none() && index + 1 == marks.len(),
        took: age::span(*from, until),
        class,
        x: place(*from).min(WIDTH - WIDTH_MIN),
        width: (place(until) - place(*from)).max(WIDTH_MIN),
    });
    // Two things that begin in one second are one.
    stages.filter(|stage| stage.goes_on || stage.until > stage.from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(status: &Value) -> FlowRun {
        let run = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "spec": {"flow": "etl"}, "status": status,
            "metadata": {"name": "etl-1", "creationTimestamp": "2026-11-30T10:00:00Z"},
        });
        serde_json::from_value(run).unwrap()
    }

    fn drawn(status: &Value, pods: &[Pod]) -> Vec<(String, String, i64, i64)> {
        let run = run(status);
        let now = "2026-11-30T10:01:40Z".parse().unwrap();
        let all = stages(&run, &attempts(&run, pods), now).into_iter();
        all.map(|stage| (stage.name, stage.took, stage.x, stage.width)).collect()
    }

    fn stage(name: &str, took: &str, x: i64, width: i64) -> (String, String, i64, i64) {
        (name.to_owned(), took.to_owned(), x, width)
    }

    #[test]
    fn the_time_of_a_run_is_told_by_its_stages() {
        assert_eq!(drawn(&Value::Null, &[]), [stage("waiting", "100 s", 0, 1000)]);
        let running = json!({
            "phase": "Running", "attempt": 1, "admittedAt": "2026-11-30T10:00:10Z", "startedAt": "2026-11-30T10:00:30Z",
        });
        let wanted = [
            stage("waiting", "10 s", 0, 100),
            stage("cluster and pod", "20 s", 100, 200),
            stage("running", "70 s", 300, 700),
        ];
        assert_eq!(drawn(&running, &[]), wanted);
        let mut ended = running;
        ended["phase"] = json!("Succeeded");
        ended["finishedAt"] = json!("2026-11-30T10:00:40Z");
        assert_eq!(drawn(&ended, &[])[2], stage("running", "10 s", 750, 250));
    }

    #[test]
    fn a_clock_that_is_behind_makes_no_second_wait() {
        let early = json!({"phase": "Running", "attempt": 1, "startedAt": "2026-11-30T09:59:58Z"});
        assert_eq!(drawn(&early, &[]), [stage("running", "100 s", 0, 1000)]);
    }

    #[test]
    fn earlier_attempts_are_shown_as_far_as_their_pods_are_there() {
        let second = json!({
            "phase": "Running", "attempt": 2, "admittedAt": "2026-11-30T10:00:50Z", "startedAt": "2026-11-30T10:01:00Z",
        });
        assert_eq!(drawn(&second, &[])[0], stage("earlier attempts", "50 s", 0, 500));
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "etl-1-1-x", "labels": {"batch.kubernetes.io/job-name": "etl-1-1"}},
            "status": {"phase": "Failed", "containerStatuses": [{
                "name": "runner", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {
                    "exitCode": 3, "startedAt": "2026-11-30T10:00:20Z", "finishedAt": "2026-11-30T10:00:40Z",
                }},
            }]},
        }))
        .unwrap();
        let names: Vec<String> =
            drawn(&second, std::slice::from_ref(&pod)).into_iter().map(|one| one.0).collect();
        assert_eq!(names, ["waiting", "attempt 1", "after attempt 1", "cluster and pod", "attempt 2"]);
        let known = attempts(&run(&second), &[pod]);
        assert_eq!((known[0].number, known[0].state.as_str()), (1, "ended with exit code 3"));
    }
}
