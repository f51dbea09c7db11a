//! Commands of kubectl that every API server answers alike: tried on the API in this process by the library's
//! tests, and held against a real API server by the end-to-end tests.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

/// One command.
#[derive(Clone, Debug)]
pub struct Command {
    /// What follows `kubectl`. No argument has a space in it.
    pub arguments: String,
    /// What it reads; null for nothing.
    pub input: Value,
    /// Whether it succeeds.
    pub succeeds: bool,
}

fn ok(arguments: String) -> Command {
    Command { arguments, input: Value::Null, succeeds: true }
}

fn refused(arguments: String) -> Command {
    Command { succeeds: false, ..ok(arguments) }
}

fn reads(arguments: &str, input: &Value) -> Command {
    Command { input: input.clone(), ..ok(arguments.to_owned()) }
}

/// One kind of ours.
pub struct Sample {
    pub plural: &'static str,
    pub short: &'static str,
    pub object: Value,
    /// A field of the spec that may change, as a merge patch.
    pub change: &'static str,
    /// A spec that is refused.
    pub bad: Value,
}

/// One object of each of our kinds.
pub fn samples() -> Vec<Sample> {
    let of = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    vec![
        Sample {
            plural: "daskclusters",
            short: "dkc",
            object: of("DaskCluster", "dask", json!({"image": "dask:1", "workers": {"replicas": 2}})),
            change: r#"{"spec":{"image":"dask:2"}}"#,
            bad: json!({"image": ""}),
        },
        Sample {
            plural: "flows",
            short: "fl",
            object: of("Flow", "etl", json!({"cluster": {"ref": {"name": "dask"}}})),
            change: r#"{"spec":{"suspend":true}}"#,
            bad: json!({"cluster": {}}),
        },
        Sample {
            plural: "flowruns",
            short: "fr",
            object: of("FlowRun", "etl-now", json!({"flow": "etl"})),
            change: r#"{"spec":{"cancel":true}}"#,
            bad: json!({"flow": 1}),
        },
        Sample {
            plural: "flowbackfills",
            short: "fb",
            object: of(
                "FlowBackfill",
                "again",
                json!({"flow": "etl", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
            ),
            change: r#"{"spec":{"suspend":true}}"#,
            bad: json!({"flow": "etl", "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
        },
    ]
}

/// What is done with an object of a kind of ours, from its creation to its end.
pub fn commands(sample: &Sample) -> Vec<Command> {
    let Sample { plural, short, object, change, bad } = sample;
    let one = format!("{plural} {}", object["metadata"]["name"].as_str().unwrap_or_default());
    let with_spec = |spec: &Value| {
        let mut other = object.clone();
        other["spec"] = spec.clone();
        other
    };
    let mut unknown = object.clone();
    unknown["spec"]["colour"] = json!("red");
    let mut labelled = object.clone();
    labelled["metadata"]["labels"] = json!({"team": "a"});
    // `kubectl wait` takes a condition only of this generation or a later one.
    let status = r#"{"status":{"observedGeneration":9,"conditions":[{"type":"Ready","status":"True","reason":"Ready","message":"it_is","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":9}]}}"#;
    let mut all = vec![
        reads("create -f - --dry-run=server -o name", object),
        refused(format!("get {one}")),
        reads("apply -f -", object),
        reads("apply -f -", object),
        Command { succeeds: false, ..reads("create -f -", object) },
        Command { succeeds: false, ..reads("apply -f -", &with_spec(bad)) },
        Command { succeeds: false, ..reads("apply -f -", &unknown) },
        ok(format!("get {one}")),
        ok(format!("get {one} -o wide")),
        ok(format!("get {one} -o yaml --show-managed-fields")),
        ok(format!("get {short} -o name")),
        ok(format!("get {plural} -l team=a")),
        ok(format!("get {one} -o jsonpath={{.metadata.generation}}")),
        ok(format!("patch {one} --type=merge -p {change}")),
        ok(format!(
            r#"patch {one} --type=json -p [{{"op":"add","path":"/metadata/labels","value":{{"team":"b"}}}}]"#
        )),
        refused(format!(r#"patch {one} --type=json -p [{{"op":"remove","path":"/spec/nothing"}}]"#)),
        refused(format!("patch {one} --type=strategic -p {change}")),
        ok(format!("label {one} tier=one")),
        ok(format!("annotate {one} note=two")),
        reads("apply -f -", &labelled),
        ok(format!("get {plural} -l team=a -o name")),
        reads("apply --server-side --force-conflicts -f -", &labelled),
        ok(format!("patch {one} --subresource=status --type=merge -p {status}")),
        ok(format!("wait {one} --for=condition=Ready --timeout=10s")),
        refused(format!("wait {one} --for=condition=Never --timeout=1s")),
        ok(format!("get {one} -o yaml --show-managed-fields")),
        ok(format!("describe {one}")),
        ok(format!("explain {plural}")),
        ok(format!("explain {plural}.spec --recursive")),
        ok(format!("explain {plural}.status.conditions")),
    ];
    let scale = format!("scale {one} --replicas=3");
    all.push(if *plural == "daskclusters" { ok(scale) } else { refused(scale) });
    all.push(ok(format!("delete {one} --dry-run=server")));
    all.push(ok(format!("delete {one}")));
    all.push(refused(format!("delete {one}")));
    all.push(ok(format!("get {plural}")));
    all
}

/// What a command printed, without what differs from server to server: uids, versions, instants, ages, the
/// name of the namespace, and the width of columns.
pub fn plain(text: &str, namespace: &str) -> String {
    static DIFFERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "INSTANT"),
            (r#"resourceVersion: "\d+""#, "resourceVersion: VERSION"),
            (r"Resource Version:\s+\d+", "Resource Version: VERSION"),
            (r"\b(\d+[smhd])+\b", "AGE"),
            (r"[ \t]+", " "),
        ]
        .into_iter()
        .filter_map(|(pattern, word)| Some((Regex::new(pattern).ok()?, word)))
        .collect()
    });
    let text = text.replace(namespace, "NAMESPACE");
    DIFFERS.iter().fold(text, |text, (pattern, word)| pattern.replace_all(&text, *word).into_owned())
}
