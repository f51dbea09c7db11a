//! Objects as a user writes them, for the tests that need nothing unusual.

use serde_json::{Map, Value, json};

/// A `DaskCluster` of so many workers.
pub fn dask_cluster(name: &str, image: &str, workers: i32) -> Value {
    let mut object = custom("DaskCluster", name);
    object["spec"] = json!({"image": image, "workers": {"replicas": workers, "threads": 2}});
    object
}

/// A `Flow` of this spec.
pub fn flow(name: &str, spec: Value) -> Value {
    let mut object = custom("Flow", name);
    object["spec"] = spec;
    object
}

/// What `kubectl create` gets to run a flow now.
pub fn run_now(flow: &str, parameters: Value) -> Value {
    let mut object = custom("FlowRun", "");
    object["metadata"] = json!({"generateName": format!("{flow}-")});
    object["spec"] = json!({"flow": flow});
    if !parameters.is_null() {
        object["spec"]["parameters"] = parameters;
    }
    object
}

/// A `FlowBackfill` of this spec.
pub fn backfill(name: &str, spec: Value) -> Value {
    let mut object = custom("FlowBackfill", name);
    object["spec"] = spec;
    object
}

/// A run of this name, made by hand.
pub fn named_run(flow: &str, name: &str, parameters: Value) -> Value {
    let mut object = run_now(flow, parameters);
    object["metadata"] = json!({"name": name});
    object
}

/// An object with more fields in its spec, or with other ones.
pub fn with(mut object: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("fields of a spec: {more}") };
    object["spec"].as_object_mut().unwrap().extend(more);
    object
}

/// A Flow that runs an inline script on the `DaskCluster` of this name.
pub fn inline(name: &str, script: &str, cluster: &str) -> Value {
    flow(name, json!({"code": {"inline": script}, "cluster": {"ref": {"name": cluster}}}))
}

/// A Flow that runs an inline script on a cluster that is not ours: its address, and what is shown to it.
pub fn abroad(name: &str, script: &str, image: &str, cluster: &Value) -> Value {
    flow(name, json!({"image": image, "code": {"inline": script}, "cluster": cluster}))
}

/// A Secret of these files, each of them text.
pub fn secret(name: &str, files: &[(&str, &str)]) -> Value {
    let files: Map<String, Value> =
        files.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": files})
}

fn custom(kind: &str, name: &str) -> Value {
    json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}})
}
