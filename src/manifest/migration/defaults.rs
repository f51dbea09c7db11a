//! What need not be written, because it is so by default.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::worker_group::{Autoscale, WorkerGroup};
use crate::api::{DaskClusterSpec, FlowRunSpec, FlowSpec};

/// Takes out of an object of ours what is so by default; of others only what is null.
pub(super) fn take_out(object: &mut Value) {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        fields.retain(|_, value| !value.is_null());
    }
    let Some(spec) = object.get_mut("spec") else { return };
    match kind.as_str() {
        "DaskCluster" => of_cluster(spec),
        "Flow" => {
            if let Some(cluster) = spec.pointer_mut("/cluster/template") {
                of_cluster(cluster);
            }
            less(spec, &to_value(&FlowSpec::default()));
        }
        "FlowRun" => less(spec, &to_value(&FlowRunSpec::default())),
        _ => {}
    }
}

fn of_cluster(spec: &mut Value) {
    let groups = spec.get_mut("workerGroups").and_then(Value::as_array_mut);
    let plain = to_value(&WorkerGroup::default());
    groups.into_iter().flatten().for_each(|group| less(group, &plain));
    if let Some(autoscale) = spec.pointer_mut("/workers/autoscale") {
        // Its bounds are always written.
        let plain = serde_json::from_value::<Autoscale>(json!({"maximum": 0}));
        let mut plain = plain.map_or(Value::Null, |plain| to_value(&plain));
        if let Some(fields) = plain.as_object_mut() {
            fields.retain(|_, value| value.is_string());
        }
        less(autoscale, &plain);
    }
    less(spec, &to_value(&DaskClusterSpec::default()));
}

/// Takes out the fields that are in `plain` with the same value.
fn less(value: &mut Value, plain: &Value) {
    let (Some(fields), Some(plain)) = (value.as_object_mut(), plain.as_object()) else { return };
    fields.retain(|name, field| {
        let Some(plain) = plain.get(name) else { return true };
        if field != plain {
            less(field, plain);
        }
        let is_empty = field.as_object().is_some_and(Map::is_empty) && plain.is_object();
        field != plain && !is_empty
    });
}

fn to_value(plain: &impl Serialize) -> Value {
    serde_json::to_value(plain).unwrap_or_default()
}
