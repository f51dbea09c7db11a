//! The same manifests on a laptop and on a Kubernetes: what is said of their runs is the same, field by
//! field.
//!
//! `flows.yaml` is what is applied, `statuses.yaml` what then stands in the status of each FlowRun, but for
//! times, addresses and names with a hash in them. `tests/local/agreement.rs` gives the first to
//! `daskflow local`, and the end-to-end test `laptop_and_cluster_agree` to a real cluster; both compare with
//! the second. A test that fails prints what it found in the form of that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use daskflow::api::FlowRun;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;

/// What is applied.
pub const FLOWS: &str = include_str!("flows.yaml");
/// What its runs say in the end.
const STATUSES: &str = include_str!("statuses.yaml");
/// The run that is cancelled, once its script has said this.
pub const CANCELLED: &str = "cancelled";
pub const BEGUN: &str = "the script has begun";

/// The same file with that run cancelled.
pub fn flows_cancelled() -> String {
    FLOWS.replace("cancel: false", "cancel: true")
}

/// The objects of the file.
#[allow(dead_code, reason = "daskflow local reads the file itself")]
pub fn objects() -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(FLOWS);
    all.map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Compares what runs say with what they are to say.
pub fn assert_agreed(runs: &[FlowRun]) {
    let wanted: BTreeMap<String, Value> = serde_yaml::from_str(STATUSES).unwrap();
    let found: BTreeMap<String, Value> = runs.iter().map(|run| (run.name_any(), plain_status(run))).collect();
    let mut differences = String::new();
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    for name in names {
        let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
        fields("", wanted.get(name).unwrap_or(&Value::Null), &mut before);
        fields("", found.get(name).unwrap_or(&Value::Null), &mut now);
        let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for field in all.into_iter().filter(|field| before.get(*field) != now.get(*field)) {
            let (before, now) = (before.get(field), now.get(field));
            writeln!(differences, "{name}{field}: {now:?}, wanted {before:?}").unwrap();
        }
    }
    let text = serde_yaml::to_string(&found).unwrap();
    assert!(differences.is_empty(), "{differences}\nall that was found:\n{text}");
}

/// Each field that holds one value, by its path.
fn fields(path: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(inner) => {
            for (key, value) in inner {
                fields(&format!("{path}.{key}"), value, all);
            }
        }
        Value::Array(inner) => {
            inner
                .iter()
                .enumerate()
                .for_each(|(place, value)| fields(&format!("{path}[{place}]"), value, all));
        }
        one => {
            all.insert(path.to_owned(), one.to_string());
        }
    }
}

/// The status of a run without what is another one each time.
fn plain_status(run: &FlowRun) -> Value {
    let mut status = serde_json::to_value(&run.status).unwrap();
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.sort_by_key(|condition| condition["type"].to_string());
    }
    // Only if its pod is seen between its end and its deletion.
    if status["phase"] == "Cancelled" {
        status.as_object_mut().unwrap().remove("exitCode");
    }
    // Which pod it was, and how often it was started again.
    if status["scheduler"].is_string() {
        status["scheduler"] = Value::from("A START OF ITS SCHEDULER");
    }
    if let Some(name) = status.pointer_mut("/program/configMap") {
        let (begin, _hash) = name.as_str().unwrap().rsplit_once('-').unwrap();
        *name = Value::from(format!("{begin}-HASH"));
    }
    without_times(&mut status);
    status
}

/// Puts words in the place of times and addresses.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(inner) => inner.values_mut().for_each(without_times),
        Value::Array(inner) => inner.iter_mut().for_each(without_times),
        Value::String(text) => *text = text.split(' ').map(plain_word).collect::<Vec<_>>().join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A word, or what takes its place; a comma after it stays.
fn plain_word(word: &str) -> String {
    let plain = word.trim_end_matches([',', '.', ';', ':']);
    let end = &word[plain.len()..];
    if plain.parse::<Timestamp>().is_ok() {
        format!("TIME{end}")
    } else if ["tcp://", "tls://", "http://"].iter().any(|scheme| plain.starts_with(scheme)) {
        format!("ADDRESS{end}")
    } else {
        word.to_owned()
    }
}
