//! `kubectl` on `daskflow local`. Without one on the path (`tests/cluster.sh build` makes it) it is left out;
//! `DASKFLOW_KUBECTL_REQUIRED` makes it fail instead.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Local, PATIENCE, python_with, until};

/// A cluster, a Flow that writes some lines, and a run of it that a user may create.
const FILES: &str = "\
apiVersion: daskflow.dev/v1alpha1
kind: DaskCluster
metadata: {name: small}
spec: {image: flows:1, workers: {replicas: 1, threads: 1}}
---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: etl}
spec:
  cluster: {ref: {name: small}}
  command:
    - python
    - -uc
    - |
      import time
      for number in range(20):
          print('line', number)
          time.sleep(0.1)
";

const RUN: &str = "\
apiVersion: daskflow.dev/v1alpha1
kind: FlowRun
metadata: {name: now}
spec: {flow: etl}
";

/// Pods that no Flow has: one that fails again and again, and one that fails once.
const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: again}
spec: {containers: [{name: main, image: sh, command: [sh, -c, 'echo begun; exit 3']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: wrong}
spec: {restartPolicy: Never, containers: [{name: main, image: sh, command: [sh, -c, 'exit 3']}]}
";

/// `kubectl` with the kubeconfig that a daskflow has named.
pub(super) struct Kubectl {
    program: PathBuf,
    config: PathBuf,
    folder: PathBuf,
}

#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
pub(super) fn program() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&paths).map(|path| path.join("kubectl")).find(|path| path.is_file());
    if found.is_none() {
        assert!(std::env::var_os("DASKFLOW_KUBECTL_REQUIRED").is_none(), "there is no kubectl");
        let line = b"LEFT OUT: a test with kubectl: see tests/cluster.sh\n";
        std::io::stderr().write_all(line).unwrap_or_default();
    }
    found
}

impl Kubectl {
    pub(super) fn new(program: PathBuf, local: &mut Local) -> Self {
        local.says("kubectl --kubeconfig ", 1);
        let text = local.text();
        let line = text.lines().find_map(|line| line.split_once("kubectl --kubeconfig ")).unwrap().1;
        let config = PathBuf::from(line.strip_suffix(" get flows").unwrap());
        Self { program, config, folder: local.folder.clone() }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", &self.folder)
            .arg("--kubeconfig")
            .arg(&self.config)
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What a command prints; it must succeed.
    pub(super) fn run(&self, arguments: &str) -> String {
        let output = self.command(arguments).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {arguments}: {out}{err}");
        out.into_owned()
    }

    /// What a command that is refused says.
    pub(super) fn fails(&self, arguments: &str) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(!output.status.success(), "kubectl {arguments} succeeds");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Waits until a place of an object has this value.
    fn wait(&self, object: &str, place: &str, value: &str) {
        let limit = PATIENCE.as_secs();
        self.run(&format!("wait {object} --for=jsonpath={{{place}}}={value} --timeout={limit}s"));
    }
}

/// The row of an object in a table.
fn row<'a>(table: &'a str, name: &str) -> &'a str {
    table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name} in\n{table}"))
}

fn looks_and_changes(kubectl: &Kubectl) {
    kubectl.run(&format!("wait dkc/small --for=condition=Ready --timeout={}s", PATIENCE.as_secs()));
    let all = kubectl.run("get flows,flowruns,daskclusters,pods");
    assert!(row(&all, "small-scheduler").contains("1/1") && all.contains("/etl"), "{all}");
    let mut watch = kubectl.command("get flowruns -w --no-headers").spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    std::fs::write(kubectl.folder.join("run.yaml"), RUN).unwrap();
    assert_eq!(kubectl.run("apply -f run.yaml"), "flowrun.daskflow.dev/now created\n");
    kubectl.wait("flowrun/now", ".status.phase", "Running");
    // The run goes on while it is followed.
    let said = kubectl.run("logs job/now-1 --follow");
    assert_eq!(said.lines().filter(|line| line.starts_with("line ")).count(), 20, "{said}");
    assert_eq!(kubectl.run("logs job/now-1 --tail=1"), "line 19\n");
    let said = kubectl.run("logs job/now-1 --timestamps --tail=2");
    let times: Vec<&str> = said.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert!(times.iter().all(|time| time.parse::<jiff::Timestamp>().is_ok()), "{said}");
    kubectl.wait("flowrun/now", ".status.phase", "Succeeded");
    assert!(seen.any(|line| line.starts_with("now") && line.contains("Succeeded")));
    watch.kill().unwrap();
    watch.wait().unwrap();
    let described = kubectl.run("describe flowrun now");
    assert!(described.contains("Phase:") && described.contains("Succeeded"), "{described}");
    let pods = kubectl.run("get pods");
    assert!(row(&pods, "now-1-").contains("Completed"), "{pods}");
    assert!(row(&pods, "small-scheduler").contains("Running"), "{pods}");
    kubectl.run("scale dkc small --replicas=2");
    kubectl.wait("dkc/small", ".status.workers.ready", "2");
    assert!(kubectl.run("delete flowrun now").contains("deleted"));
    kubectl.run("wait job/now-1 --for=delete --timeout=60s");
}

fn pods_show_the_words_of_kubernetes(kubectl: &Kubectl) {
    std::fs::write(kubectl.folder.join("pods.yaml"), PODS).unwrap();
    kubectl.run("apply -f pods.yaml");
    kubectl.wait("pod/wrong", ".status.phase", "Failed");
    kubectl.wait("pod/again", ".status.containerStatuses[0].state.waiting.reason", "CrashLoopBackOff");
    let pods = kubectl.run("get pods");
    assert!(row(&pods, "again").contains("CrashLoopBackOff"), "{pods}");
    assert!(row(&pods, "wrong").contains("Error"), "{pods}");
    assert_eq!(kubectl.run("logs again --previous"), "begun\n");
    assert!(kubectl.fails("logs wrong --previous").contains("previous terminated container"));
    let described = kubectl.run("describe pod wrong");
    assert!(described.contains("Exit Code:    3"), "{described}");
    kubectl.run("delete pod again wrong");
}

fn processes_are_reached_otherwise(kubectl: &Kubectl) {
    let pods = kubectl.run("get pods -o name");
    let name =
        pods.lines().find_map(|name| name.strip_prefix("pod/").filter(|name| name.contains("scheduler")));
    let name = name.unwrap();
    for (command, instead) in [
        (format!("exec {name} -- true"), "run the command, or copy the file, in a terminal"),
        (format!("cp {name}:/etc/hosts hosts"), "run the command, or copy the file, in a terminal"),
        (format!("attach {name}"), "read what the pod writes with kubectl logs --follow"),
        (format!("port-forward {name} 0:8786"), "connect to the address in the status of its DaskCluster"),
    ] {
        let said = kubectl.fails(&command);
        assert!(said.contains(instead), "{command}: {said}");
    }
}

#[test]
fn kubectl_works_for_whoever_has_the_kubeconfig() {
    let Some(python) = python_with("2026.8.0") else { return };
    let Some(program) = program() else { return };
    let mut local = Local::start("local_kubectl", &python, FILES, &[]);
    let kubectl = Kubectl::new(program, &mut local);
    let mode = std::fs::metadata(&kubectl.config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    local.says("cluster small: ready", 1);
    looks_and_changes(&kubectl);
    pods_show_the_words_of_kubernetes(&kubectl);
    processes_are_reached_otherwise(&kubectl);
    let said = kubectl.fails("--token=wrong get flows");
    assert!(said.contains("You must be logged in to the server"), "{said}");
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(15)), Some(0), "{}", local.text());
    assert!(!kubectl.config.exists());
    assert!(kubectl.fails("get flows").contains("no such file"));
    local.leaves_nothing(Duration::from_secs(1));
}

#[test]
fn a_kubeconfig_that_is_named_is_written_there_and_one_of_others_is_not_touched() {
    let Some(python) = python_with("2026.8.0") else { return };
    let text = "apiVersion: v1\nkind: Config\n";
    let files = [("flow.yaml", FILES), ("config", text)];
    let arguments = ["--kubeconfig", "config"];
    let mut local = Local::start_with("local_kubeconfig", &python, &files, &arguments);
    assert_eq!(local.code(PATIENCE), Some(1));
    let wanted = "config is there and was not written by daskflow local: name another file";
    until(Duration::from_secs(5), || local.text().contains(wanted).then_some(()))
        .unwrap_or_else(|| panic!("{}", local.text()));
    assert_eq!(std::fs::read_to_string(local.folder.join("config")).unwrap(), text);
}
