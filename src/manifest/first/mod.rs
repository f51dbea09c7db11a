//! The first manifests of a script: a `DaskCluster`, and a Flow that runs the script on it.
//!
//! What it is: a script and some wishes in, a text of YAML out, with comments for whoever sees such a text
//! for the first time. What runs on a machine is this text, so it is also what runs in Kubernetes.
//!
//! What it is not: it reads no file and starts no Python. What is installed is an argument, and what is wrong
//! with a wish (a cron pattern, say) is found by [`check`](super::check), as in a text of the user's.

mod fit;
mod imports;
#[cfg(test)]
mod tests;
pub(super) mod text;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::CodeEngine;
use crate::plan::names::FLOW_NAME_MAX;
use crate::plan::pods::container::escape;

pub use fit::Fit;
pub use imports::{Generation, Imports};

/// A script, and how it is to run.
#[derive(Clone, Debug)]
pub struct Script<'a> {
    /// The name of its file, such as `dask_flow.py`: with a folder or without.
    pub file: &'a str,
    /// The script itself.
    pub text: &'a str,
    /// Modules that it imports from files beside it, which a Flow of one script does not have.
    pub beside: &'a [String],
    /// Parameters of the flow.
    pub parameters: &'a Map<String, Value>,
    /// Arguments of the script.
    pub arguments: &'a [String],
    /// How many workers the cluster has.
    pub workers: u16,
    /// When it runs.
    pub times: Times<'a>,
    /// What the Python of this machine has; none where that is not known.
    pub installed: Option<&'a Installed>,
}

/// When a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times<'a> {
    /// When a `FlowRun` is created.
    OnDemand,
    /// Once in such an interval, as [`crate::api::interval`] reads it.
    Every(&'a str),
    /// By a cron pattern, in a time zone; none: UTC.
    Cron(&'a str, Option<&'a str>),
}

/// What a Python has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// The interpreter.
    pub path: String,
    /// Its version, such as `3.11.7`.
    pub version: String,
    /// Packages that were asked for and are there, with their versions.
    pub packages: BTreeMap<String, String>,
}

/// What is asked for, in the names that `pip` has for it.
pub const PACKAGES: [&str; 3] = ["distributed", "prefect", "prefect-dask"];

/// The manifests, as one text of two documents.
pub fn write(script: &Script<'_>) -> String {
    let name = name(script.file);
    let file = text::comment(script.file);
    let head = format!(
        "# A Dask cluster, and a Flow that runs {file} on it.\n\
         # Written by: daskflow init {file} -o {name}.yaml\n\
         #\n\
         #   daskflow local -f {name}.yaml   runs it on this machine, with the Python that is there\n\
         #   kubectl apply -f {name}.yaml    runs it in Kubernetes, once `image` below names your image\n"
    );
    [head, cluster(script, &name), "---\n".to_owned(), flow(script, &name)].concat()
}

fn cluster(script: &Script<'_>, name: &str) -> String {
    let workers = script.workers;
    let image = image(script);
    format!(
        "apiVersion: daskflow.dev/v1alpha1\n\
         kind: DaskCluster\n\
         metadata:\n  name: {name}\n\
         spec:\n{image}  image: registry.example/{name}:1\n  workers:\n    replicas: {workers}\n"
    )
}

/// What is to be known of the image, in comments.
fn image(script: &Script<'_>) -> String {
    let needed = Imports::of(script.text).packages();
    let what = "  # The scheduler, the workers and the script run in this image; a laptop does not use it.";
    let Some(installed) = script.installed else {
        let names: Vec<&str> = needed.iter().map(|(_, wanted)| *wanted).collect();
        let names = names.join(", ");
        return format!("{what}\n  # It needs Python with {names}, and what else the script imports.\n");
    };
    let version = |(package, wanted): &(&str, &str)| match installed.packages.get(*package) {
        Some(version) => format!("{package}=={version}"),
        None => (*wanted).to_owned(),
    };
    let packages: Vec<String> = needed.iter().map(version).collect();
    let minor: Vec<&str> = installed.version.split('.').take(2).collect();
    let lines = [
        format!("  #   FROM python:{}-slim", minor.join(".")),
        format!("  #   RUN pip install {}", packages.join(" ")),
    ];
    let lines = lines.map(|line| text::comment(&line)).join("\n");
    format!("{what}\n  # With the versions of this machine, and what else the script imports:\n{lines}\n")
}

fn flow(script: &Script<'_>, name: &str) -> String {
    let engine = engine(&Imports::of(script.text));
    let parts = [
        engine.to_owned(),
        arguments(script.arguments),
        parameters(script.parameters),
        times(script.times),
        code(script.text, script.beside),
    ];
    format!(
        "apiVersion: daskflow.dev/v1alpha1\n\
         kind: Flow\n\
         metadata:\n  name: {name}\n\
         spec:\n  cluster:\n    ref:\n      name: {name}\n{}",
        parts.concat()
    )
}

fn engine(imports: &Imports) -> &'static str {
    match imports.engine() {
        CodeEngine::Prefect => {
            "  # The script imports Prefect: a run in which no Prefect flow ran, on the Dask cluster, has failed.\n  \
             engine: Prefect\n"
        }
        CodeEngine::Dask => {
            "  # The script imports Dask and no Prefect: its Client() connects to the cluster.\n  engine: Dask\n"
        }
        CodeEngine::Auto => {
            "  # Prefect, Dask, or neither: whatever the script turns out to use.\n  engine: Auto\n"
        }
    }
}

fn arguments(arguments: &[String]) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let escaped: Vec<String> = arguments.iter().map(|argument| escape(argument)).collect();
    let dollars = if escaped == arguments { "" } else { "; $$ is one dollar" };
    let escaped = text::json(&escaped.into());
    format!("  # What the script finds in sys.argv, behind its name{dollars}.\n  args: {escaped}\n")
}

fn parameters(parameters: &Map<String, Value>) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let entry =
        |(name, value): (&String, &Value)| format!("    {}: {}\n", text::quoted(name), text::json(value));
    let entries: String = parameters.iter().map(entry).collect();
    format!(
        "  # For the flow that declares these names. A FlowRun may have other values.\n  parameters:\n{entries}"
    )
}

fn times(times: Times<'_>) -> String {
    match times {
        Times::OnDemand => "  # It has no schedule: a FlowRun starts it. To start it each hour as well:\n  \
             # schedule: {clocks: [{name: hourly, cron: \"0 * * * *\"}]}\n"
            .to_owned(),
        Times::Every(interval) => {
            let interval = text::quoted(interval);
            format!("  schedule:\n    clocks:\n      - name: every\n        interval: {interval}\n")
        }
        Times::Cron(pattern, zone) => {
            let zone = zone.map(|zone| format!("    timeZone: {}\n", text::quoted(zone))).unwrap_or_default();
            let pattern = text::quoted(pattern);
            format!("  schedule:\n{zone}    clocks:\n      - name: cron\n        cron: {pattern}\n")
        }
    }
}

fn code(script: &str, beside: &[String]) -> String {
    let mut comment = String::new();
    if !beside.is_empty() {
        comment = text::comment(&format!(
            "  # It imports {} from beside it, which this manifest does not have: put it into the image.",
            beside.join(", ")
        ));
        comment.push_str("\n  # On this machine, from its folder: PYTHONPATH=. daskflow local -f FILE.\n");
    }
    let block = text::block(script, 6);
    format!(
        "{comment}  # The script as it was. One that changes often is better off in a ConfigMap (code.configMap) or in the\n  \
         # image (code.path).\n  code:\n    inline: {block}"
    )
}

/// The name of a Flow and a `DaskCluster` for a script of this file name.
fn name(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let letters = stem.to_lowercase();
    let words = letters.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut name = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name = format!("flow-{name}");
    }
    name.truncate(FLOW_NAME_MAX);
    name.trim_end_matches('-').to_owned()
}
