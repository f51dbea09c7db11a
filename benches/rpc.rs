//! What questions to a real Dask scheduler cost: over one kept connection and over a new one for each,
//! natively and, in the same run, by Python's own `distributed.rpc`. The scheduler has two workers and 200
//! tasks in flight.
//!
//! `make bench` prints the median and, in brackets, the 95th percentile, in microseconds. Without
//! `DASKFLOW_DASK_VENVS` (see `tests/dask/venvs.sh`) there is no scheduler, and it says so. Not run by
//! `cargo bench`, each question is asked twice: whether it works.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark prints its figures, and ends at what it cannot do"
)]

#[path = "../tests/dask/processes.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod processes;

use daskflow::dask::{Address, Error, Scheduler};
use processes::{Cluster, python_with};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Calls on a kept connection, and on new ones.
const KEPT: usize = 1_000;
const NEW: usize = 200;

/// So many where it measures, as `cargo bench` has it.
fn size(full: usize) -> usize {
    if std::env::args().any(|argument| argument == "--bench") { full } else { full.min(2) }
}

/// A release of Prefect 1's days, and the newest.
const RELEASES: [&str; 2] = ["2022.2.0", "2026.8.0"];

const PLENTY: Duration = Duration::from_secs(60);

/// The questions. Before 2022.2.1 an activity is put together from three answers, and there is no
/// `check_idle`.
const QUESTIONS: [&str; 4] = ["identity", "adaptive_target", "activity", "check_idle"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for release in RELEASES {
        let Some(python) = python_with(release) else {
            println!("distributed {release}: left out, because no Python with it is known");
            continue;
        };
        measure(release, &python).await;
    }
}

async fn measure(release: &str, python: &Path) {
    let cluster = Cluster::start(python.to_owned()).await;
    let _workers = [cluster.worker("w1"), cluster.worker("w2")];
    let mut scheduler = connect(&cluster.address).await;
    while scheduler.ncores().await.unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _load = cluster.load(&["tasks", "200"]).await;
    while scheduler.activity().await.unwrap().in_flight < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("distributed {release}: kept, new; by Python: kept, new (us)");
    let of_python = of_python(python, &cluster.address).await;
    for question in QUESTIONS {
        let mut kept = Vec::new();
        match ask(&mut scheduler, question).await {
            Err(Error::Unsupported { .. }) => continue,
            answered => answered.unwrap(),
        }
        for _ in 0..size(KEPT) {
            let begin = Instant::now();
            ask(&mut scheduler, question).await.unwrap();
            kept.push(begin.elapsed());
        }
        let mut new = Vec::new();
        for _ in 0..size(NEW) {
            let begin = Instant::now();
            ask(&mut connect(&cluster.address).await, question).await.unwrap();
            new.push(begin.elapsed());
        }
        let python = of_python.get(question).map_or("-", String::as_str);
        println!("  {question}: {}, {}; {python}", figures(kept), figures(new));
    }
}

async fn connect(address: &Address) -> Scheduler {
    Scheduler::connect(address, None, PLENTY).await.unwrap()
}

/// On a new connection what depends on the release asks for that first, as an operator would.
async fn ask(scheduler: &mut Scheduler, question: &str) -> Result<(), Error> {
    match question {
        "identity" => scheduler.identity().await.map(drop),
        "adaptive_target" => scheduler.adaptive_target(Duration::from_secs(5)).await.map(drop),
        "activity" => scheduler.activity().await.map(drop),
        _ => scheduler.check_idle().await.map(drop),
    }
}

fn figures(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0, Duration::as_micros);
    format!("{} ({})", at(50), at(95))
}

/// What Python's client says of itself, by question.
async fn of_python(python: &Path, address: &Address) -> BTreeMap<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rpc.py");
    let mut command = Command::new(python);
    command
        .args([script, &address.to_string(), &size(KEPT).to_string(), &size(NEW).to_string()])
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut next = || words.next().expect("a line of five words");
        let (question, kept, slow_kept, new, slow_new) = (next(), next(), next(), next(), next());
        (question, format!("{kept} ({slow_kept}), {new} ({slow_new})"))
    };
    text.lines().map(line).collect()
}
