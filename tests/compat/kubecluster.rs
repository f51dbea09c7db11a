//! The unmodified `KubeCluster` of dask-kubernetes on `daskflow local --dask-kubernetes`, by itself and as
//! the cluster of Prefect's executors: the operator as it is, with processes in the place of pods.
//!
//! Nothing of daskflow is in the programs: they are given a kubeconfig. The Pythons are those of
//! `tests/runner/requirements/kubecluster-*`, one with Prefect 1 and one with Prefect 3.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::engines::{RAN, lines};
use super::{Local, PATIENCE, python_of, until};
use crate::program;

/// The release before kr8s, with the Dask of its time.
const OF_2023: &str = "2023.3.0";
/// The release with Prefect 1.4.1, with the Dask of its time.
const OF_2024: &str = "2024.9.0";
/// The newest, with Prefect 3.8.8.
const OF_2026: &str = "2026.3.0";
/// The tasks of `prefect_1.py` and `prefect_3.py`: three maps over 20 numbers, and a sum.
const TASKS: usize = 61;

fn python(release: &str) -> Option<PathBuf> {
    python_of("KUBECLUSTER", release, &format!("tests/runner/run.sh --list kubecluster-{release}"))
}

#[test]
fn kubecluster_works_as_it_is() {
    all_steps("local_kubecluster", OF_2026, "LoadBalancer");
}

#[test]
fn kubecluster_works_by_forwarded_ports() {
    all_steps("local_kubecluster_forwarded", OF_2026, "ClusterIP");
}

#[test]
fn kubecluster_of_2024_works_as_it_is() {
    all_steps("local_kubecluster_2024", OF_2024, "LoadBalancer");
}

#[test]
fn kubecluster_of_2024_works_by_forwarded_ports() {
    all_steps("local_kubecluster_2024_forwarded", OF_2024, "ClusterIP");
}

/// It forwards ports by `kubectl port-forward`, which this API has not.
#[test]
fn kubecluster_of_2023_works_as_it_is() {
    all_steps("local_kubecluster_2023", OF_2023, "LoadBalancer");
}

fn all_steps(test: &str, release: &str, service: &str) {
    let Some(python) = python(release) else { return };
    let (_, out) = beside_local(test, &python, |_| {
        let mut command = script(&python, "kubecluster.py");
        command.args(["default", "any:1", service]);
        command
    });
    assert!(out.contains("all steps are done"), "{out}");
    eprintln!("{out}");
}

/// `DaskExecutor` of Prefect 1.
#[test]
fn prefect_1_runs_its_tasks_on_a_kubecluster() {
    tasks_run_on_its_workers("local_kubecluster_prefect_1", OF_2024, |python, _| {
        let mut command = script(python, "prefect_1.py");
        command.arg(cluster());
        command
    });
}

/// `DaskTaskRunner` of Prefect 3, with a Prefect server as people have one.
#[test]
fn prefect_3_runs_its_tasks_on_a_kubecluster() {
    let mut server = None;
    tasks_run_on_its_workers("local_kubecluster_prefect_3", OF_2026, |python, folder| {
        let (started, api) = PrefectServer::start(python, folder);
        server = Some(started);
        let mut command = script(python, "prefect_3.py");
        command.arg(cluster()).env("PREFECT_API_URL", api).env("PREFECT_HOME", folder.join("prefect"));
        command
    });
    drop(server);
}

/// What a flow gives `KubeCluster`.
fn cluster() -> String {
    json!({"name": "flow", "image": "any:1", "n_workers": 2, "scheduler_service_type": "LoadBalancer", "quiet": true})
        .to_string()
}

fn tasks_run_on_its_workers(test: &str, release: &str, run: impl FnOnce(&Path, &Path) -> Command) {
    let Some(python) = python(release) else { return };
    let (folder, out) = beside_local(test, &python, |folder| run(&python, folder));
    assert!(out.contains("the flow has ended well"), "{out}");
    assert!(!out.contains(RAN), "a task ran in the flow's own process:\n{out}");
    assert_eq!(lines(&folder, RAN), (TASKS, 0), "{out}");
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat").join(name));
    command
}

/// Runs a program of a user beside `daskflow local --dask-kubernetes`, which leaves no process; gives the
/// folder, and what the program has printed.
fn beside_local(test: &str, python: &Path, program: impl FnOnce(&Path) -> Command) -> (PathBuf, String) {
    let folder = program::folder(test, &[]);
    let arguments = ["--dask-kubernetes", "--kubeconfig", "kubeconfig", "--plain"];
    let mut local = Local::start_in(&folder, test, python, &arguments);
    local.says("kubectl --kubeconfig ", 1);
    let mut program = program(&folder);
    let ran = program.env("KUBECONFIG", folder.join("kubeconfig")).env("HOME", &folder).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}\n{}", local.text());
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(30)), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(2));
    (folder, out.into_owned())
}

/// The API server that tasks of Prefect 3 report to.
struct PrefectServer(Child);

impl PrefectServer {
    /// Starts one; gives its address too.
    fn start(python: &Path, folder: &Path) -> (Self, String) {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.join("prefect.log")).unwrap();
        let child = Command::new(python)
            .args(["-m", "prefect", "server", "start", "--no-services", "--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .env("HOME", folder)
            .env("PREFECT_HOME", folder.join("prefect"))
            .env("PREFECT_UI_ENABLED", "0")
            .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self(child);
        until(PATIENCE, || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok())
            .unwrap_or_else(|| panic!("{}", std::fs::read_to_string(folder.join("prefect.log")).unwrap()));
        (server, format!("http://127.0.0.1:{port}/api"))
    }
}

impl Drop for PrefectServer {
    fn drop(&mut self) {
        // It passes the signal on to the process that serves, and waits for that.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
