//! Runs helm and kubectl, and reads what they render.

use std::env::{split_paths, var_os};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use serde::Deserialize;
use serde_json::{Value, json};

/// The chart, from the project's folder.
pub const CHART: &str = "charts/daskflow";

/// What a run of a program gave.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Ran {
    pub worked: bool,
    pub out: String,
    pub err: String,
}

/// Runs helm with these values on its standard input, where `--values -` reads them. None: there is no helm
/// here.
///
/// The Helm that comes with the embedded Kubernetes is one process for all tests: it would start for longer
/// than it renders.
pub fn helm(arguments: &[&str], values: &Value) -> Option<Ran> {
    let mut renderer = RENDERER.lock().unwrap();
    match &mut *renderer {
        Some(renderer) if find("helm").is_some() => Some(renderer.helm(arguments, values)),
        _ => {
            drop(renderer);
            helm_by_itself(arguments, values)
        }
    }
}

/// The same, by a process of its own.
pub fn helm_by_itself(arguments: &[&str], values: &Value) -> Option<Ran> {
    run("helm", arguments, &values.to_string())
}

/// None where the embedded Kubernetes is not built.
static RENDERER: LazyLock<Mutex<Option<Renderer>>> = LazyLock::new(|| Mutex::new(Renderer::start()));

/// `testcluster render`, which runs Helm for each line that it reads. It ends with this process, which closes
/// its input.
struct Renderer {
    #[expect(dead_code, reason = "nobody waits for it: its input closes when this process ends")]
    program: Child,
    runs: ChildStdin,
    results: BufReader<ChildStdout>,
}

impl Renderer {
    fn start() -> Option<Self> {
        let program = ours().join("testcluster");
        let mut child = Command::new(program.canonicalize().ok()?)
            .arg("render")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let results = BufReader::new(child.stdout.take().unwrap());
        let runs = child.stdin.take().unwrap();
        Some(Self { program: child, runs, results })
    }

    fn helm(&mut self, arguments: &[&str], values: &Value) -> Ran {
        writeln!(self.runs, "{}", json!({"args": arguments, "input": values.to_string()})).unwrap();
        let mut result = String::new();
        self.results.read_line(&mut result).unwrap();
        serde_json::from_str(&result).unwrap_or_else(|error| {
            panic!("testcluster render, of tests/cluster.sh build: {error}: {result}")
        })
    }
}

/// Runs kubectl. None: there is none here.
pub fn kubectl(arguments: &[&str]) -> Option<Ran> {
    run("kubectl", arguments, "")
}

/// `helm template` with these values, of a release called `release` in the namespace `place`.
pub fn template(values: &Value) -> Option<Ran> {
    helm(&["template", "release", CHART, "--namespace", "place", "--values", "-"], values)
}

/// The objects that come of these values.
pub fn rendered(values: &Value) -> Option<Vec<Value>> {
    let ran = template(values)?;
    assert!(ran.worked, "{values}: {}", ran.err);
    Some(objects(&ran.out))
}

/// Why these values are refused.
pub fn refused(values: &Value) -> Option<String> {
    let ran = template(values)?;
    assert!(!ran.worked, "{values} is not refused");
    Some(ran.err)
}

/// The objects of a stream of YAML documents.
pub fn objects(yaml: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(yaml);
    let all = documents
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{error}: {yaml}")));
    all.filter(|object| !object.is_null()).collect()
}

fn run(program: &str, arguments: &[&str], input: &str) -> Option<Ran> {
    let Some(path) = find(program) else {
        assert!(
            var_os("DASKFLOW_CHART_REQUIRED").is_none(),
            "there is no {program}: run tests/cluster.sh build"
        );
        eprintln!("LEFT OUT: the chart as {program} renders it: there is no {program}");
        return None;
    };
    let mut child = Command::new(path)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that needs no values does not read them.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Some(Ran {
        worked: output.status.success(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    })
}

fn find(program: &str) -> Option<PathBuf> {
    // In "make test" these tests have a turn of their own, once the programs are built.
    let later = var_os("DASKFLOW_E2E").is_some_and(|value| value == "later");
    if later && var_os("DASKFLOW_CHART_REQUIRED").is_none() {
        return None;
    }
    let folders = var_os("PATH").map(|path| split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    std::iter::once(ours()).chain(folders).map(|folder| folder.join(program)).find(|path| path.exists())
}

/// Where the programs of the embedded Kubernetes are.
fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".build/bin")
}
