//! A run that is followed, and logs.

use std::time::Duration;

use daskflow::api::{FlowRun, Phase};
use daskflow::client::find;
use daskflow::client::follow::{Seen, follow};
use daskflow::client::logs::{self, Line, Wanted};
use daskflow::cluster_api::LogLine;
use serde_json::json;
use tokio::time::timeout;

use super::stage::{Stage, furnished, ours, runner};

/// What was seen, in order.
#[derive(Default)]
struct Notes(Vec<String>);

impl Seen for Notes {
    fn changed(&mut self, run: &FlowRun) {
        let status = run.status.clone().unwrap_or_default();
        self.0.push(format!("{} {}", status.phase.as_str(), status.attempt.unwrap_or_default()));
    }

    fn wrote(&mut self, line: &Line) {
        self.0.push(line.text.clone());
    }

    fn lacks(&mut self, why: &str) {
        self.0.push(format!("lacks: {why}"));
    }
}

fn line(stage: &Stage, text: &str) -> LogLine {
    LogLine { at: stage.now, text: text.as_bytes().to_vec() }
}

#[tokio::test]
async fn all_attempts_are_shown_each_after_the_other() {
    let stage = Stage::empty();
    stage.put(0, ours("FlowRun", "etl", &json!({"flow": "etl"}), &json!({"phase": "Queued"}))).await;
    let mut notes = Notes::default();
    let play = async {
        stage.put(0, runner("etl", 1, "Running")).await;
        stage.logs.write("etl-1", stage.now, "first");
        let more = stage.logs.more("etl-1");
        stage.set_run("etl", &json!({"phase": "Running", "attempt": 1, "startedAt": stage.now})).await;
        stage.logs.opened("etl-1", 1).await;
        more.unbounded_send(line(&stage, "first more")).unwrap();
        drop(more);
        stage.set_run("etl", &json!({"phase": "Retrying", "attempt": 1})).await;
        stage.put(0, runner("etl", 2, "Succeeded")).await;
        stage.logs.write("etl-2", stage.now, "second");
        // So fast that it is never seen to run.
        let ended =
            json!({"phase": "Succeeded", "attempt": 2, "startedAt": stage.now, "finishedAt": stage.now});
        stage.set_run("etl", &ended).await;
    };
    let (ended, ()) = tokio::join!(follow(&stage.cluster, "etl", &mut notes), play);
    assert_eq!(ended.unwrap().status.unwrap().phase, Phase::Succeeded);
    // Which states a watch shows depends on when it is asked; what is written, and its order, does not.
    let is_phase = |note: &&String| PHASES.iter().any(|word| note.starts_with(word));
    let written: Vec<&String> = notes.0.iter().filter(|note| !is_phase(note)).collect();
    assert_eq!(written, ["first", "first more", "second"], "{:?}", notes.0);
    assert_eq!(notes.0.last().unwrap(), "second", "{:?}", notes.0);
    assert!(notes.0.contains(&"Succeeded 2".to_owned()), "{:?}", notes.0);
}

#[tokio::test(start_paused = true)]
async fn a_log_whose_connection_ends_before_the_run_goes_on() {
    let stage = Stage::empty();
    stage.put(0, ours("FlowRun", "etl", &json!({"flow": "etl"}), &json!({"phase": "Queued"}))).await;
    let mut notes = Notes::default();
    let play = async {
        stage.put(0, runner("etl", 1, "Running")).await;
        stage.logs.write("etl-1", stage.now, "first");
        stage.set_run("etl", &json!({"phase": "Running", "attempt": 1, "startedAt": stage.now})).await;
        // Nothing more comes of what is opened first.
        stage.logs.opened("etl-1", 1).await;
        stage.logs.write("etl-1", stage.now, "second");
        let more = stage.logs.more("etl-1");
        let again = stage.logs.opened("etl-1", 2);
        timeout(Duration::from_secs(60), again).await.expect("it was not opened again");
        more.unbounded_send(line(&stage, "third")).unwrap();
        stage.logs.write("etl-1", stage.now, "third");
        drop(more);
        // And what comes last, when the connection has ended again.
        stage.logs.write("etl-1", stage.now, "fourth");
        stage.set_run("etl", &json!({"phase": "Succeeded", "attempt": 1, "startedAt": stage.now})).await;
    };
    let (ended, ()) = tokio::join!(follow(&stage.cluster, "etl", &mut notes), play);
    assert_eq!(ended.unwrap().status.unwrap().phase, Phase::Succeeded);
    let is_phase = |note: &&String| PHASES.iter().any(|word| note.starts_with(word));
    let written: Vec<&String> = notes.0.iter().filter(|note| !is_phase(note)).collect();
    assert_eq!(written, ["first", "second", "third", "fourth"], "{:?}", notes.0);
}

const PHASES: [&str; 5] = ["Queued", "Provisioning", "Running", "Retrying", "Succeeded"];

#[tokio::test]
async fn a_log_that_cannot_be_read_does_not_end_the_wait() {
    let stage = Stage::empty();
    let running = json!({"phase": "Running", "attempt": 1, "startedAt": stage.now});
    stage.put(0, ours("FlowRun", "etl", &json!({"flow": "etl"}), &running)).await;
    let mut notes = Notes::default();
    let play = async {
        tokio::task::yield_now().await;
        stage.set_run("etl", &json!({"phase": "Failed", "attempt": 1, "startedAt": stage.now})).await;
    };
    let (ended, ()) = tokio::join!(follow(&stage.cluster, "etl", &mut notes), play);
    assert_eq!(ended.unwrap().status.unwrap().phase, Phase::Failed);
    assert!(
        notes.0.iter().any(|note| note.contains("lacks: the pod of attempt 1 is no longer there")),
        "{:?}",
        notes.0
    );
}

#[tokio::test]
async fn logs_of_workers_are_merged_by_time_and_cut_to_the_run() {
    let stage = furnished().await;
    let name = "nightly-report-now-8kfpz".parse().unwrap();
    let run = find::run(&stage.cluster, &name).await.unwrap();
    let of = async |workers: bool| {
        let wanted = Wanted { workers, ..Wanted::default() };
        let sources = logs::sources(&stage.cluster, &run, wanted).await.unwrap();
        let (lines, notes) = logs::merged(&stage.cluster, &sources).await.unwrap();
        assert_eq!(notes, Vec::<String>::new());
        lines.into_iter().map(|line| format!("{}: {}", line.pod, line.text)).collect::<Vec<_>>()
    };
    let runner =
        ["loading 7 days", "3 of 7 are there"].map(|text| format!("nightly-report-now-8kfpz-1: {text}"));
    assert_eq!(of(false).await, runner);
    let worker = |name: &str| format!("analytics-default-{name}: loading a part on analytics-default-{name}");
    // That they registered was before the run.
    assert_eq!(of(true).await, [runner[0].clone(), worker("8x2vk"), worker("q9mzt"), runner[1].clone()]);
}
