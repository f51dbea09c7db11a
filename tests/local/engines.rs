//! Scripts of 304 tasks on each engine, as people have them: no line of them knows of daskflow. All tasks run
//! on the Dask workers, and none in the script's own process.
//!
//! The Pythons are those of the runner's tests: `tests/runner/run.sh --list`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Local, python_with, python_with_prefect, until};
use crate::program::folder;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples");
/// The tasks of each script: three maps over 101 numbers, and a sum. The example of Prefect 1 has three over
/// 100, which Prefect counts with their parents.
pub(super) const TASKS: usize = 304;
/// How long a run may take on a machine that does much else. Prefect 3 writes down each step of each task.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);
/// What a task of the scripts below writes.
pub(super) const RAN: &str = "a task ran";

/// As the example of Prefect 1: three maps over 101 items and a sum.
pub(super) const PREFECT_3: &str = "\
from prefect import flow, task
from prefect_dask import DaskTaskRunner


@task
def inc(x):
    print('a task ran', flush=True)
    return x + 1


@task
def add(x, y):
    print('a task ran', flush=True)
    return x + y


@task
def total(values):
    print('a task ran', flush=True)
    return sum(values)


@flow(task_runner=DaskTaskRunner())
def dask_example():
    first = inc.map(range(101))
    second = inc.map(first)
    both = add.map(first, second)  # kept: on a busy machine they may be released before they are asked for
    assert total.submit(both).result() == sum(2 * x + 3 for x in range(101))


if __name__ == '__main__':
    dask_example()
";

/// The same without Prefect.
pub(super) const PLAIN: &str = "\
from distributed import Client


def inc(x):
    print('a task ran', flush=True)
    return x + 1


def add(x, y):
    print('a task ran', flush=True)
    return x + y


def total(values):
    print('a task ran', flush=True)
    return sum(values)


with Client() as client:
    first = client.map(inc, range(101), pure=False)
    second = client.map(inc, first, pure=False)
    sums = client.map(add, first, second, pure=False)
    assert client.submit(total, sums).result() == sum(2 * x + 3 for x in range(101))
";

/// How many lines with these words there are in the logs of workers and of runners.
pub(super) fn lines(folder: &Path, words: &str) -> (usize, usize) {
    let list =
        |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let logs = list(folder.join("tmp")).map(|local| local.join("logs/default")).flat_map(list);
    let (mut on_workers, mut in_runners) = (0, 0);
    for log in logs {
        let text = std::fs::read_to_string(&log).unwrap();
        let count = text.lines().filter(|line| line.contains(words)).count();
        // Pods of runners are called after their runs, with the number of the attempt before the last part.
        match log.file_name().unwrap().to_str().unwrap() {
            name if name.contains("-default-") => on_workers += count,
            name if name.contains("scheduler") => assert_eq!(count, 0, "{text}"),
            _ => in_runners += count,
        }
    }
    (on_workers, in_runners)
}

/// Runs a script once, and sees where its tasks ran.
fn all_tasks_run_on_workers(test: &str, python: Option<PathBuf>, script: &str, words: &str) {
    let Some(python) = python else { return };
    let folder = folder(test, &[("dask_flow.py", script)]);
    let mut local = Local::start_in(&folder, test, &python, &["dask_flow.py"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}", local.text());
    assert_eq!(lines(&folder, words), (TASKS, 0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
}

pub(super) fn example() -> String {
    std::fs::read_to_string(Path::new(SAMPLES).join("example/flow.py")).unwrap()
}

#[test]
fn prefect_0_13() {
    let python = python_with_prefect("0.13.19");
    all_tasks_run_on_workers("local_prefect0", python, &example(), "Starting task run");
}

/// Every minute, by its manifest.
#[test]
fn prefect_1_on_its_schedule() {
    let Some(python) = python_with_prefect("1.4.1") else { return };
    let folder = folder("local_prefect1", &[]);
    let sample = format!("{SAMPLES}/example");
    let mut local = Local::start_in(&folder, "local_prefect1", &python, &["-f", &sample]);
    until(PATIENCE, || local.text().contains("Succeeded after").then_some(()))
        .unwrap_or_else(|| panic!("{}", local.text()));
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(15)), Some(0), "{}", local.text());
    assert_eq!(lines(&folder, "Starting task run"), (TASKS, 0), "{}", local.text());
}

#[test]
fn prefect_3() {
    all_tasks_run_on_workers("local_prefect3", python_with_prefect("3.8.8"), PREFECT_3, RAN);
}

#[test]
fn plain_dask() {
    all_tasks_run_on_workers("local_plain", python_with("2026.8.0"), PLAIN, RAN);
}
