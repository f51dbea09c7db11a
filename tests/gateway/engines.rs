//! Scripts of 304 tasks on each engine, through the gateway's real proxy: the scripts and their Pythons are
//! those of `tests/local/engines.rs`. Schedulers and workers run in the Python of the engine, which is given
//! what a gateway's schedulers need, as in a gateway's image with both.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::engines::{PATIENCE, PLAIN, PREFECT_3, RAN, TASKS, example};
use super::super::{Local, python_with_prefect};
use super::server::{Gateway, PASSWORD, Setup, python};
use super::{at, login};
use crate::program;

/// What a gateway's scheduler needs beside Dask.
const NEEDED: [&str; 12] = [
    "dask_gateway",
    "aiohttp",
    "aiohappyeyeballs",
    "aiosignal",
    "attr",
    "attrs",
    "frozenlist",
    "idna",
    "multidict",
    "propcache",
    "typing_extensions.py",
    "yarl",
];

/// Puts that into a folder, from the environment of this Python.
fn put_needed(folder: &Path, python: &Path) {
    let libraries = python.parent().and_then(Path::parent).unwrap().join("lib");
    let library = std::fs::read_dir(libraries).unwrap().next().unwrap().unwrap().path().join("site-packages");
    for name in NEEDED {
        symlink(library.join(name), folder.join(name)).unwrap();
    }
}

/// Runs a script once on a cluster of two workers, and sees where its tasks ran.
fn all_tasks_run_on_the_gateways_workers(test: &str, engine: Option<PathBuf>, script: &str, words: &str) {
    let (Some(engine), Some(of_gateway)) = (engine, python(Setup::default().variable)) else { return };
    let said = program::folder(&format!("{test}-said"), &[]);
    put_needed(&said, &of_gateway);
    // What workers say is deleted with their cluster, unless it goes elsewhere.
    let config = format!(
        "c.ClusterConfig.scheduler_cmd = ['{engine}', '-m', 'distributed.cli.dask_scheduler']
c.ClusterConfig.worker_cmd = ['sh', '-c', 'exec \"$0\" \"$@\" >>{said}/workers 2>&1', '{engine}', '-m', 'distributed.cli.dask_worker']
c.ClusterConfig.environment = {{'HOME': '{said}', 'PREFECT_HOME': '{said}/prefect', 'PYTHONPATH': '{said}'}}
",
        said = said.display(),
        engine = engine.display(),
    );
    let Some(gateway) = Gateway::start_as(test, Setup { config, ..Setup::default() }) else { return };
    let script: String = script.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    let fields = at(&gateway, gateway.port, "workers: 2, options: {worker_cores: 2}");
    let manifest = login("login", PASSWORD)
        + &format!(
            "---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {{name: etl}}
spec:
  image: flows:1
  cluster: {{gateway: {{{fields}}}}}
  code:
    inline: |
{script}"
        );
    let mut local = Local::start(test, &engine, &manifest, &["--once"]);
    let code = local.code(PATIENCE);
    let workers = std::fs::read_to_string(said.join("workers")).unwrap_or_default();
    assert_eq!(code, Some(0), "{}\n{}\n{workers}", local.text(), gateway.log());
    let count = |text: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!((count(&workers), count(&local.text())), (TASKS, 0), "{}\n{workers}", local.text());
    assert_eq!(gateway.states(), ["STOPPED"], "{}\n{}", local.text(), gateway.log());
}

#[test]
fn prefect_0_13() {
    let engine = python_with_prefect("0.13.19");
    all_tasks_run_on_the_gateways_workers("gateway_prefect0", engine, &example(), "Starting task run");
}

#[test]
fn prefect_1() {
    let engine = python_with_prefect("1.4.1");
    all_tasks_run_on_the_gateways_workers("gateway_prefect1", engine, &example(), "Starting task run");
}

#[test]
fn prefect_3() {
    let engine = python_with_prefect("3.8.8");
    all_tasks_run_on_the_gateways_workers("gateway_prefect3", engine, PREFECT_3, RAN);
}

#[test]
fn plain_dask() {
    let engine = python(Setup::default().variable);
    all_tasks_run_on_the_gateways_workers("gateway_plain", engine, PLAIN, RAN);
}
