//! The shape of the code, enforced: which layer may use which, what the pure layers may not touch, how large
//! and how named files and functions may be, and which crypto provider is linked. `CONTRIBUTING.md` says why.
//!
//! The length of functions is clippy's (`too_many_lines`, 70).

mod circles;
mod comments;
mod globals;
mod ground;
mod kinds;
mod modules;
mod places;
mod source;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use daskflow::plan::pods::program;
use source::{paths, tokens};

/// The layers, each with the ones that it may use. What is not in this table may not be in `src/`.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "operator", "local", "web", "client", "view", "manifest", "plan", "api", "dask", "gateway",
            "runner", "daemon", "causes",
        ],
    ),
    // What people do with a cluster, as requests of their own client. It knows no operator, and prints
    // nothing.
    ("client", &["view", "manifest", "plan", "api", "causes"]),
    // The same in a browser: what `client` does and `view` shows, with the rights of whoever looks.
    ("web", &["client", "view", "plan", "api", "daemon", "causes"]),
    // Objects as people read them: as pure as the planners whose words it shows.
    ("view", &["plan", "api"]),
    ("operator", &["plan", "api", "dask", "gateway", "runner", "daemon", "causes"]),
    // The operator as it is, on a Kubernetes API in this process, with processes in the place of pods.
    (
        "local",
        &[
            "operator",
            "cluster_api",
            "web",
            "client",
            "view",
            "manifest",
            "plan",
            "api",
            "dask",
            "gateway",
            "runner",
            "daemon",
            "causes",
        ],
    ),
    // A Kubernetes API in this process. It knows no operator: any client may run on it.
    ("cluster_api", &["manifest", "api"]),
    // Text in, faults out: as pure as the rules that it asks.
    ("manifest", &["plan", "api"]),
    ("plan", &["api", "runner"]),
    ("api", &[]),
    ("dask", &[]),
    ("gateway", &[]),
    // The program that starts in the user's image: a text, known to whoever delivers it.
    ("runner", &[]),
    // What any body that lives long has: it knows nothing of what that body does.
    ("daemon", &["causes"]),
    // An error in words.
    ("causes", &[]),
];

/// What reaches outside the process, waits, reads a clock or draws a random number.
const EFFECTS: &[&str] = &[
    "kube::*",
    "kube::Api",
    "kube::Client",
    "kube::Config",
    "kube::api::Api",
    "kube::client",
    "kube::config",
    "kube::discovery",
    "kube::runtime",
    "kube_client",
    "kube_runtime",
    "tokio",
    "futures",
    "tracing",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "time::Instant",
    "time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::system",
    "rand",
    "fastrand",
    "rcgen",
];

/// What the Kubernetes API in this process is given by its caller, so that a history can be played again.
const CLOCKS: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::system",
    "fastrand",
];

/// What the Dask layers may not know: they speak to a scheduler, wherever it runs.
const KUBERNETES: &[&str] = &["kube", "k8s_openapi"];

const FILE_LINES_MAX: usize = 700;
const FILE_LINES_GOOD: usize = 400;
const MAIN_LINES_MAX: usize = 39;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager"];
/// First words of a function's name that say nothing about what it does.
const EMPTY_VERBS: &[&str] = &["handle", "process"];

/// Other crypto providers than ring, and what would bring one in.
const FOREIGN_CRYPTO: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "aws-lc-fips-sys",
    "boring",
    "native-tls",
    "openssl",
    "openssl-sys",
    "rustls-openssl",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Files of the project of these kinds, by path from its root. Files that git ignores are not the project's.
fn project_files(extensions: &[&str]) -> Vec<PathBuf> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let all: Vec<PathBuf> = match listing {
        Some(names) => names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect(),
        None => ["src", "tests"].iter().flat_map(|folder| files_under(Path::new(folder))).collect(),
    };
    let wanted =
        |file: &PathBuf| file.extension().is_some_and(|kind| extensions.iter().any(|wanted| kind == *wanted));
    all.into_iter().filter(wanted).filter(|file| root().join(file).is_file()).collect()
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if root().join(&path).is_dir() { found.extend(files_under(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn rust_sources() -> Vec<PathBuf> {
    files_under(Path::new("src"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}

/// `src/plan/schedule/mod.rs` is the module `["plan", "schedule"]`.
fn module_of(file: &Path) -> Vec<String> {
    let without = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let mut names: Vec<String> = without.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.pop_if(|name| name == "mod");
    names
}

/// What is wrong with the dependencies of one file, as `path:line: text`.
fn forbidden_uses(file: &Path, text: &str) -> Vec<String> {
    let module = module_of(file);
    let layer = module.first().map_or("", String::as_str);
    if module == ["lib"] {
        return Vec::new();
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!(
            "{}: the layer {layer} is not in the table of tests/files/architecture",
            file.display()
        )];
    };
    let module: Vec<&str> = module.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for path in paths(text, &module) {
        let place = format!("{}:{}: {}", file.display(), path.line, path.segments.join("::"));
        if let [head, other, ..] = path.segments.as_slice()
            && (head == "crate" || head == "daskflow")
            && other != layer
            && !allowed.contains(&other.as_str())
            && LAYERS.iter().any(|(name, _)| name == other)
        {
            found.push(format!("{place}: {layer} may not use {other}"));
        }
        let crates = match layer {
            "plan" | "api" | "runner" | "manifest" | "view" => EFFECTS,
            "dask" | "gateway" => KUBERNETES,
            "cluster_api" => CLOCKS,
            _ => &[],
        };
        if let Some(effect) = crates.iter().find(|effect| path.contains(effect)) {
            found.push(format!("{place}: {layer} may not use {effect}"));
        }
    }
    found
}

/// Functions and modules of one file whose names say nothing.
fn empty_names(file: &Path, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        let [keyword, name] = pair else { continue };
        let verb = name.text.split('_').next().unwrap_or_default();
        let empty = match keyword.text {
            "fn" => EMPTY_VERBS.contains(&verb),
            "mod" => EMPTY_NAMES.contains(&name.text),
            _ => false,
        };
        if empty {
            found.push(format!(
                "{}:{}: {} {} says nothing",
                file.display(),
                name.line,
                keyword.text,
                name.text
            ));
        }
    }
    found
}

/// Packages of a lock file that bring another crypto provider.
fn foreign_crypto(lock: &str) -> Vec<&str> {
    packages(lock).filter(|name| FOREIGN_CRYPTO.contains(name)).collect()
}

fn packages(lock: &str) -> impl Iterator<Item = &str> {
    lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

fn none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn layers_use_only_what_lies_below_them() {
    let sources = rust_sources();
    assert!(
        sources.iter().any(|file| file.ends_with("plan/mod.rs")),
        "the scan misses the sources: {sources:?}"
    );
    none(&sources.iter().flat_map(|file| forbidden_uses(file, &read(file))).collect::<Vec<_>>());
}

#[test]
fn files_stay_readable() {
    let mut too_long = Vec::new();
    for file in project_files(&["rs", "py", "go"]) {
        let lines = read(&file).lines().count();
        if lines > FILE_LINES_MAX {
            too_long.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.display()));
        } else if lines > FILE_LINES_GOOD {
            eprintln!("{}: {lines} lines, better at most {FILE_LINES_GOOD}", file.display());
        }
    }
    let main_lines = read(Path::new("src/main.rs")).lines().count();
    if main_lines > MAIN_LINES_MAX {
        too_long.push(format!("src/main.rs: {main_lines} lines, at most {MAIN_LINES_MAX}"));
    }
    none(&too_long);
}

#[test]
fn every_module_of_the_runner_is_mounted() {
    let is_python = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "py");
    let mut there: Vec<String> = files_under(Path::new("src/runner"))
        .into_iter()
        .filter(is_python)
        .filter_map(|file| Some(file.strip_prefix("src/runner").ok()?.display().to_string()))
        .collect();
    there.sort();
    let mut mounted: Vec<String> = program::items().into_iter().map(|item| item.path).collect();
    mounted.sort();
    assert_eq!(mounted, there);
    assert_eq!(program::data().len(), there.len(), "two files have one key");
}

#[test]
fn names_say_something() {
    let mut empty = Vec::new();
    for file in project_files(&["rs", "py", "go"]) {
        let words = file.with_extension("");
        if words.iter().any(|name| EMPTY_NAMES.iter().any(|empty| name == *empty)) {
            empty.push(format!("{}: the name says nothing", file.display()));
        }
        if file.extension().is_some_and(|kind| kind == "rs") {
            empty.extend(empty_names(&file, &read(&file)));
        }
    }
    none(&empty);
}

#[test]
fn ring_is_the_only_crypto_provider() {
    let lock = read(Path::new("Cargo.lock"));
    assert!(packages(&lock).any(|name| name == "ring"), "ring is not in Cargo.lock");
    assert_eq!(foreign_crypto(&lock), Vec::<&str>::new());
}

/// Two copies of these compile and then do not fit together: types of one are no types of the other.
#[test]
fn what_must_be_single_is_single() {
    let lock = read(Path::new("Cargo.lock"));
    for single in ["k8s-openapi", "kube-core", "rustls", "jiff"] {
        assert_eq!(packages(&lock).filter(|name| *name == single).count(), 1, "{single} in Cargo.lock");
    }
}

// The rest shows that the rules above can fail.

/// What a file of `layer` is told about `text`, without the place.
fn told(file: &str, text: &str) -> Vec<String> {
    let told = forbidden_uses(Path::new(file), text);
    told.into_iter().map(|line| line.rsplit(": ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn scanner_finds_what_plan_may_not_touch() {
    let cases = [
        ("use kube::Client;", "plan may not use kube::Client"),
        ("use kube::{ResourceExt, runtime::{watcher, events as e}};", "plan may not use kube::runtime"),
        ("use kube::*;", "plan may not use kube::*"),
        ("fn f() { let _ = jiff::Timestamp::now(); }", "plan may not use Timestamp::now"),
        ("use jiff::Timestamp;\nfn f() { Timestamp::now(); }", "plan may not use Timestamp::now"),
        ("use std::{collections::BTreeMap, fs};", "plan may not use std::fs"),
        ("use std::time::{Duration, Instant};", "plan may not use time::Instant"),
        ("fn f() { tracing::info!(\"x\"); }", "plan may not use tracing"),
        ("#[tokio::test] async fn f() {}", "plan may not use tokio"),
        ("fn f() -> u8 { ::fastrand::u8(..) }", "plan may not use fastrand"),
        ("use crate::operator::observe;", "plan may not use operator"),
        ("use crate::{api, dask::rpc};", "plan may not use dask"),
        ("use super::super::cli;", "plan may not use cli"),
    ];
    for (text, expected) in cases {
        let told = told("src/plan/schedule/mod.rs", text);
        assert!(told.iter().any(|line| line == expected), "{text}: {told:?}");
    }
}

#[test]
fn scanner_knows_every_layer() {
    assert_eq!(told("src/api/flow.rs", "use crate::plan::names;"), ["api may not use plan"]);
    assert_eq!(told("src/dask/rpc.rs", "use crate::api::labels; use kube::Resource;").len(), 2);
    assert_eq!(told("src/operator/probes.rs", "use crate::cli::Args;"), ["operator may not use cli"]);
    assert_eq!(told("src/cli/run.rs", "use crate::operator; use crate::plan::names;"), Vec::<String>::new());
    assert_eq!(told("src/cluster_api/mod.rs", "use std::time::{Duration, Instant};").len(), 1);
    assert_eq!(
        told("src/cluster_api/mod.rs", "use crate::{manifest, plan};"),
        ["cluster_api may not use plan"]
    );
    assert_eq!(told("src/client/wait.rs", "use crate::{operator, view, cluster_api};").len(), 2);
    assert_eq!(told("src/view/age.rs", "use crate::client; use kube::Client;").len(), 2);
    assert_eq!(told("src/main.rs", "use daskflow::operator;"), ["main may not use operator"]);
    assert_eq!(told("src/main.rs", "use daskflow::cli;"), Vec::<String>::new());
    assert_eq!(told("src/extra.rs", "").len(), 1);
}

#[test]
fn scanner_leaves_in_peace_what_is_allowed() {
    let text = r#"
        //! Nothing here calls `kube::Client`; see crate::operator.
        /* tokio::spawn /* and std::fs */ std::env */
        use k8s_openapi::api::core::v1::Pod;
        use kube::{Resource, core::ObjectMeta};
        use super::names::{self, run as run_name};
        const A: &str = "std::env::var(\"X\") // tokio::x";
        const B: &str = r#~he said ~tokio::spawn~~#; // ~ stands for a quotation mark
        fn f<'a>(quote: char, now: &'a jiff::Timestamp) -> bool { quote == '"' || quote == '\'' || now.is_zero() }
        mod tests { use super::*; use super::super::names; }
        struct Instant;
    "#;
    assert_eq!(told("src/plan/run/mod.rs", &text.replace('~', "\"")), Vec::<String>::new());
}

#[test]
fn scanner_finds_names_that_say_nothing() {
    let text = "mod helpers; fn process_event() {} fn handle() {} fn handler() {} // fn process() {}";
    assert_eq!(empty_names(Path::new("src/plan/x.rs"), text).len(), 3);
}

#[test]
fn scanner_finds_a_second_crypto_provider() {
    let lock = "[[package]]\nname = \"ring\"\nversion = \"0.17.14\"\n\n[[package]]\nname = \"aws-lc-rs\"\n";
    assert_eq!(foreign_crypto(lock), ["aws-lc-rs"]);
}

#[test]
fn scanner_reports_the_line() {
    let found = forbidden_uses(Path::new("src/plan/x.rs"), "/* one\ntwo */\n\nuse tokio::time;\n");
    assert_eq!(found, ["src/plan/x.rs:4: tokio::time: plan may not use tokio"]);
}
