//! `daskflow local`, run as people run it, with real Dask: what it prints, how it ends, and what it leaves.
//!
//! The Pythons are those of `tests/dask/venvs.sh`.

mod agreement;
mod dask_kubernetes;
mod deployments;
mod ends;
mod kubectl;
mod saved;
mod state;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::program;

mod engines;
#[path = "../gateway/mod.rs"]
mod gateway;
mod idle;
#[path = "../compat/kubecluster.rs"]
mod kubecluster;
mod migrated;
mod scripts;
mod table;

/// How long things may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(150);

/// The Python with this release of Dask. Without one the reason is printed past the test harness, and the
/// test is left out; `DASKFLOW_DASK_REQUIRED=1` makes it fail instead.
fn python_with(release: &str) -> Option<PathBuf> {
    python_of("DASK", release, "tests/dask/venvs.sh")
}

/// The Python with this release of Prefect, in the same way.
fn python_with_prefect(release: &str) -> Option<PathBuf> {
    python_of("PREFECT", release, "tests/runner/run.sh --list")
}

#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn python_of(library: &str, release: &str, maker: &str) -> Option<PathBuf> {
    let lists = format!("DASKFLOW_{library}_VENVS");
    let list = std::env::var(&lists).unwrap_or_default();
    let text = std::fs::read_to_string(&list).unwrap_or_default();
    let variable = format!("DASKFLOW_{library}_{}=", release.replace('.', "_"));
    let found = text.lines().find_map(|line| line.strip_prefix(&variable)).map(PathBuf::from);
    if found.is_none() {
        let is_required = std::env::var(format!("DASKFLOW_{library}_REQUIRED")).as_deref() == Ok("1");
        assert!(!is_required, "required: {library} {release} of {lists}={list}");
        let line = format!("LEFT OUT: a test with {library} {release}: see {maker}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    }
    found
}

/// A cluster of two workers, and a Flow on it with this script and this further spec.
fn manifest(script: &str, further: &str) -> String {
    let mut indented = String::new();
    for line in script.lines() {
        writeln!(indented, "      {line}").unwrap();
    }
    format!(
        "apiVersion: daskflow.dev/v1alpha1
kind: DaskCluster
metadata: {{name: small}}
spec:
  image: flows:1
  workers: {{replicas: 2, threads: 1}}
---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {{name: etl}}
spec:
  cluster: {{ref: {{name: small}}}}
  engine: Dask
  env:
    - {{name: GREETING, value: hello from $(DASKFLOW_RUN)}}
  code:
    inline: |
{indented}{further}"
    )
}

/// `daskflow local`, its lines, and a mark by which all that it starts is known.
struct Local {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    mark: String,
    /// Where it runs, with its files.
    folder: PathBuf,
}

impl Local {
    fn start(test: &str, python: &Path, manifest: &str, arguments: &[&str]) -> Self {
        Self::start_with(test, python, &[("flow.yaml", manifest)], arguments)
    }

    /// The same with further files beside `flow.yaml`.
    fn start_with(test: &str, python: &Path, files: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = program::folder(test, files);
        Self::start_in(&folder, test, python, &[&["-f", "flow.yaml"], arguments].concat())
    }

    fn start_in(folder: &Path, test: &str, python: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daskflow"));
        command.args(["local", "--python"]).arg(python).args(arguments);
        Self::spawn(test, folder, command)
    }

    /// Starts this command.
    fn spawn(test: &str, folder: &Path, mut command: Command) -> Self {
        std::fs::create_dir_all(folder.join("tmp")).unwrap();
        let mark = format!("{test}-{}", std::process::id());
        let mut child = command
            .current_dir(folder)
            .env("DASKFLOW_TEST_MARK", &mark)
            .env("TMPDIR", folder.join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let lines = lines.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Self { child, lines, mark, folder: folder.to_owned() }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits until this many lines hold a word.
    fn says(&mut self, word: &str, times: usize) {
        until(PATIENCE, || {
            let ended = self.child.try_wait().unwrap();
            let count = self.text().lines().filter(|line| line.contains(word)).count();
            assert!(ended.is_none() || count >= times, "it ended with {ended:?}:\n{}", self.text());
            (count >= times).then_some(())
        })
        .unwrap_or_else(|| panic!("{word:?} was not said {times} times:\n{}", self.text()));
    }

    fn signal(&self, name: &str) {
        assert!(
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    /// Waits for its end and gives its exit code.
    fn code(&mut self, limit: Duration) -> Option<i32> {
        let ended = until(limit, || self.child.try_wait().unwrap());
        ended.unwrap_or_else(|| panic!("it goes on:\n{}", self.text())).code()
    }

    /// Waits until none of the processes is left that it started.
    fn leaves_nothing(&self, limit: Duration) {
        let left = || marked(&self.mark);
        until(limit, || left().is_empty().then_some(())).unwrap_or_else(|| panic!("left: {:?}", left()));
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something, for so long.
fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match look() {
            None if begun.elapsed() < limit => thread::sleep(Duration::from_millis(50)),
            found => return found,
        }
    }
}

/// The commands of all processes with this mark. One that has ended and was not waited for has none.
fn marked(mark: &str) -> Vec<String> {
    let mark = format!("DASKFLOW_TEST_MARK={mark}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let read = |path: &Path, file: &str| {
        String::from_utf8_lossy(&std::fs::read(path.join(file)).unwrap_or_default()).into_owned()
    };
    let marked = processes.filter(|path| read(path, "environ").split('\0').any(|variable| variable == mark));
    marked.map(|path| read(&path, "cmdline").replace('\0', " ")).collect()
}

/// Its tasks are run by other processes than its own, and by both workers.
const ON_WORKERS: &str = "\
import os
from distributed import Client
client = Client()
client.wait_for_workers(2)
pids = set(client.run(os.getpid).values())
assert len(pids) == 2 and os.getpid() not in pids, pids
assert client.submit(sum, client.map(abs, range(-100, 0), pure=False)).result() == 5050
done = client.run(lambda dask_worker: dask_worker.state.executed_count if hasattr(dask_worker, 'state') else dask_worker.executed_count)
print(os.environ['GREETING'], sum(done.values()))
assert sum(done.values()) >= 101, done
";

/// A command that prints what it is given by a Secret, ConfigMaps, its pod and a map, and ends with 7.
const OF_MANIFESTS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: door}
stringData: {key: open}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {GREETING: hello, more.txt: a file}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: daskflow.dev/v1alpha1
kind: DaskCluster
metadata: {name: small}
spec:
  image: flows:1
  workers: {replicas: 1}
---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: etl}
spec:
  cluster: {ref: {name: small}}
  command:
    - python
    - -c
    - |
      import os, sys
      read = lambda path: open(path).read()
      names = ["KEY", "GREETING", "FLOW", "SPACE", "LITERAL"]
      print(*map(os.environ.get, names), read("/etc/words/more.txt"), read("/flows/flow.yaml").split(":")[0].strip())
      sys.exit(7)
  env:
    - {name: KEY, valueFrom: {secretKeyRef: {name: door, key: key}}}
    - {name: FLOW, valueFrom: {fieldRef: {fieldPath: "metadata.labels['daskflow.dev/flow']"}}}
    - {name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: LITERAL, value: $(NOWHERE)}
  envFrom: [{configMapRef: {name: words}}]
  template:
    spec:
      nodeSelector: {gpu: "yes"}
      containers: [{name: runner, volumeMounts: [{name: words, mountPath: /etc/words}]}]
      volumes: [{name: words, configMap: {name: words}}]
"#;

/// The page of what runs here opens at the address that is printed, once.
fn page_opens(text: &str) {
    use std::io::{Read, Write};
    let (address, path) = text.split("page: http://").nth(1).and_then(|rest| rest.split_once('/')).unwrap();
    let path = path.split(' ').next().unwrap();
    let get = || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get().starts_with("HTTP/1.1 303"), "{text}");
    assert!(get().starts_with("HTTP/1.1 401"), "it opens once");
}

fn runs_on_its_schedule(test: &str, release: &str) {
    let Some(python) = python_with(release) else { return };
    let clocks = "  schedule: {clocks: [{name: often, interval: 5s}]}\n  concurrency: Forbid\n";
    let mut local = Local::start(test, &python, &manifest(ON_WORKERS, clocks), &[]);
    local.says("cluster small: ready, 2 of 2 workers, http://127.0.0.1:", 1);
    local.says("Succeeded after", 2);
    page_opens(&local.text());
    let year = release.split('.').next().unwrap();
    assert!(local.text().contains(&format!("Dask {year}.")), "{}", local.text());
    assert!(!local.text().contains("Failed"), "{}", local.text());
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(15)), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
}

#[test]
fn a_flow_runs_on_its_schedule_and_all_ends_with_ctrl_c() {
    runs_on_its_schedule("local_schedule", "2026.8.0");
}

#[test]
fn an_old_dask_does_as_well() {
    runs_on_its_schedule("local_schedule_old", "2022.2.0");
}

#[test]
fn once_shows_the_log_and_exits_as_the_run_did() {
    let Some(python) = python_with("2026.8.0") else { return };
    let mut local = Local::start("local_once", &python, OF_MANIFESTS, &["--once", "--map", "/flows=."]);
    assert_eq!(local.code(PATIENCE), Some(7), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
    let wanted = "open hello etl default $(NOWHERE) a file apiVersion";
    until(Duration::from_secs(5), || local.text().contains(wanted).then_some(()))
        .unwrap_or_else(|| panic!("{}", local.text()));
    for word in ["ignored on this machine: nodeSelector", "flow.yaml: Deployment web is left out"] {
        assert!(local.text().contains(word), "{word} is missing in:\n{}", local.text());
    }
    let failing = "raise ValueError('no such table')\n";
    let mut local = Local::start("local_once_failing", &python, &manifest(failing, ""), &["--once"]);
    assert_ne!(local.code(PATIENCE), Some(0), "{}", local.text());
    for word in ["Traceback", "ValueError: no such table", "run etl-", "Failed"] {
        assert!(local.text().contains(word), "{word} is missing in:\n{}", local.text());
    }
}

#[test]
fn nothing_outlives_a_daskflow_that_is_killed() {
    let Some(python) = python_with("2026.8.0") else { return };
    let script = "import time\nfrom distributed import Client\nClient().submit(time.sleep, 600).result()\n";
    let clocks = "  schedule: {clocks: [{name: often, interval: 2s}]}\n";
    let mut local = Local::start("local_killed", &python, &manifest(script, clocks), &[]);
    local.says("Running, attempt 1", 1);
    assert!(marked(&local.mark).len() > 4, "{:?}", marked(&local.mark));
    local.signal("KILL");
    local.code(Duration::from_secs(5));
    local.leaves_nothing(Duration::from_secs(5));
}

/// A script that takes no notice of SIGTERM is killed: in time by itself, and at once if it is asked twice.
#[test]
fn ctrl_c_in_a_task_ends_all_in_time_and_twice_at_once() {
    let Some(python) = python_with("2026.8.0") else { return };
    let script = "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfrom distributed import Client\nimport time\nfuture = Client().submit(time.sleep, 600)\nsys.stderr.write('begun\\n')\nwhile True: time.sleep(1)\n";
    let clocks = "  schedule: {clocks: [{name: often, interval: 2s}]}\n";
    for (times, limit) in [(1, 12), (2, 3)] {
        let test = format!("local_ctrl_c_{times}");
        let mut local = Local::start(&test, &python, &manifest(script, clocks), &[]);
        local.says("Running, attempt 1", 1);
        for _ in 0..times {
            local.signal("INT");
            thread::sleep(Duration::from_millis(500));
        }
        assert_eq!(local.code(Duration::from_secs(limit)), Some(0), "{}", local.text());
        local.leaves_nothing(Duration::from_secs(3));
    }
}

/// The sample is a folder with a kustomization that makes the ConfigMap of the script, and a cluster for each
/// run.
#[test]
fn a_sample_of_the_docs_runs_once() {
    let Some(python) = python_with("2024.3.1") else { return };
    let folder = program::folder("local_sample", &[]);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples/plain-dask");
    let python = python.display().to_string();
    let ran = program::daskflow(&folder, &["local", "-f", sample, "--once", "--python", &python], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("the sum of the first 100 squares is 328350"), "{ran:?}");
    assert!(ran.out.contains("Succeeded after"), "{ran:?}");
}

#[test]
fn what_is_missing_is_named_with_its_cure() {
    let folder = program::folder("local_missing", &[("flow.yaml", &manifest("print(1)", ""))]);
    let local = |arguments: &[&str]| program::daskflow(&folder, &[&["local"], arguments].concat(), "");
    let ran = local(&["-f", "flow.yaml", "--python", "/nowhere/python"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("/nowhere/python cannot be started: install Python, activate"), "{}", ran.err);
    let ran = local(&["-f", "nowhere.yaml"]);
    assert!(ran.code == 1 && ran.err.contains("nowhere.yaml cannot be read"), "{}", ran.err);
    std::fs::write(folder.join("bad.yaml"), manifest("print(1)", "  timeot: 3m\n")).unwrap();
    let ran = local(&["-f", "bad.yaml"]);
    assert!(ran.code == 1 && ran.err.contains("bad.yaml:") && ran.err.contains("timeot"), "{}", ran.err);
    let ran = local(&["-f", "flow.yaml", "bad.yaml", "--map", "flows"]);
    assert!(ran.code == 2 && ran.err.contains("such as /flows=./src"), "{}", ran.err);
}
