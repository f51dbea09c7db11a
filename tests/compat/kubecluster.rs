//! The unmodified `KubeCluster` of dask-kubernetes on `daskflow local --dask-kubernetes`: the operator as it
//! is, with processes in the place of pods.
//!
//! The Python is that of `benches/peer/venv.sh`, named by `DASKFLOW_KUBECLUSTER_PYTHON`. It takes a minute,
//! most of which are the starts of schedulers and workers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Local;
use crate::program;

/// The Python with dask-kubernetes. None: there is none, which is said past the test harness;
/// `DASKFLOW_KUBECLUSTER_REQUIRED=1` makes that fail instead.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn python() -> Option<PathBuf> {
    use std::io::Write as _;
    if let Ok(python) = std::env::var("DASKFLOW_KUBECLUSTER_PYTHON") {
        return Some(PathBuf::from(python));
    }
    let is_required = std::env::var("DASKFLOW_KUBECLUSTER_REQUIRED").as_deref() == Ok("1");
    assert!(!is_required, "required: DASKFLOW_KUBECLUSTER_PYTHON");
    let line = b"LEFT OUT: a test with KubeCluster: see benches/peer/venv.sh\n";
    std::io::stderr().write_all(line).unwrap_or_default();
    None
}

#[test]
fn kubecluster_works_as_it_is() {
    all_steps("local_kubecluster", "LoadBalancer");
}

#[test]
fn kubecluster_works_by_forwarded_ports() {
    all_steps("local_kubecluster_forwarded", "ClusterIP");
}

fn all_steps(test: &str, service: &str) {
    let Some(python) = python() else { return };
    let folder = program::folder(test, &[]);
    let arguments = ["--dask-kubernetes", "--kubeconfig", "kubeconfig", "--plain"];
    let mut local = Local::start_in(&folder, test, &python, &arguments);
    local.says("kubectl --kubeconfig ", 1);
    let ran = Command::new(&python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat/kubecluster.py"))
        .args(["default", "any:1", service])
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .env("HOME", &folder)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.contains("all steps are done"), "{out}\n{err}\n{}", local.text());
    eprintln!("{out}");
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(30)), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(2));
}
