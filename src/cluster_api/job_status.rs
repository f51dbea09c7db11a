//! The status of a Job: its conditions and its counts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::value::seconds;

/// Whether a Job has a condition of this type.
pub(super) fn has(job: &Value, word: &str) -> bool {
    let all = job.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut met = all.filter(|condition| condition.get("status").is_some_and(|status| status == "True"));
    met.any(|condition| condition.get("type").is_some_and(|type_| type_ == word))
}

/// Whether a pod is ready.
pub(super) fn has_ready(pod: &Value) -> bool {
    has(&json!({"status": pod.get("status")}), "Ready")
}

/// Counts of nothing are left out.
pub(super) fn set_count(status: &mut Value, field: &str, count: i64) {
    if count > 0 {
        status[field] = json!(count);
    } else {
        status.as_object_mut().map(|status| status.remove(field));
    }
}

/// Adds a condition that is met, unless it is there.
pub(super) fn add_condition(status: &mut Value, word: &str, (reason, message): (&str, &str), now: Timestamp) {
    if has(&json!({"status": status}), word) {
        return;
    }
    let now = seconds(now);
    let condition = json!({
        "type": word, "status": "True", "reason": reason, "message": message, "lastProbeTime": now,
        "lastTransitionTime": now,
    });
    if !status.get("conditions").is_some_and(Value::is_array) {
        status["conditions"] = json!([]);
    }
    let all = status.get_mut("conditions").and_then(Value::as_array_mut);
    if let Some(all) = all {
        all.retain(|one| one.get("type") != Some(&json!(word)));
        all.push(condition);
    }
}
