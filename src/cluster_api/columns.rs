//! The columns of the core kinds, as users know them from `kubectl get`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ages::{age, human};
use super::kinds::Kind;

/// The columns of a kind with their priorities: 0 for one that is always shown.
pub(super) fn of(kind: &Kind) -> &'static [(&'static str, i32)] {
    match kind.kind.as_str() {
        "Pod" => {
            &[("Name", 0), ("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1)]
        }
        "Job" => &[("Name", 0), ("Status", 0), ("Completions", 0), ("Duration", 0), ("Age", 0)],
        "Deployment" => &[("Name", 0), ("Ready", 0), ("Up-to-date", 0), ("Available", 0), ("Age", 0)],
        "Service" => {
            &[("Name", 0), ("Type", 0), ("Cluster-IP", 0), ("External-IP", 0), ("Port(s)", 0), ("Age", 0)]
        }
        "Event" => &[("Last Seen", 0), ("Type", 0), ("Reason", 0), ("Object", 0), ("Message", 0)],
        "Namespace" => &[("Name", 0), ("Status", 0), ("Age", 0)],
        "Secret" => &[("Name", 0), ("Type", 0), ("Data", 0), ("Age", 0)],
        "ConfigMap" => &[("Name", 0), ("Data", 0), ("Age", 0)],
        "Lease" => &[("Name", 0), ("Holder", 0), ("Age", 0)],
        "CustomResourceDefinition" => &[("Name", 0), ("Created At", 0)],
        _ => &[("Name", 0), ("Age", 0)],
    }
}

/// What stands in them for an object, in the form in which it is kept.
pub(super) fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let count =
        |pointer: &str| object.pointer(pointer).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let (name, created) = (at("/metadata/name"), json!(age(&at("/metadata/creationTimestamp"), now)));
    match kind.kind.as_str() {
        "Pod" => pod(object, now),
        "Job" => vec![
            name,
            json!(job_status(object)),
            json!(completions(object)),
            json!(duration(object, now)),
            created,
        ],
        "Deployment" => {
            let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
            let ready = format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas"));
            let [updated, available] = ["updatedReplicas", "availableReplicas"]
                .map(|field| json!(number(&format!("/status/{field}")).to_string()));
            vec![name, json!(ready), updated, available, created]
        }
        "Service" => {
            let address = object.pointer("/spec/clusterIP").cloned().unwrap_or(json!("<none>"));
            vec![name, at("/spec/type"), address, json!("<none>"), json!(ports(object)), created]
        }
        "Event" => event(object, now),
        "Namespace" => vec![name, at("/status/phase"), created],
        "Secret" => vec![name, at("/type"), json!(count("/data").to_string()), created],
        "ConfigMap" => vec![name, json!((count("/data") + count("/binaryData")).to_string()), created],
        "Lease" => vec![name, at("/spec/holderIdentity"), created],
        "CustomResourceDefinition" => vec![name, at("/metadata/creationTimestamp")],
        _ => vec![name, created],
    }
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let at = |pointer: &str| pod.pointer(pointer).cloned().unwrap_or_default();
    let statuses = list(pod, "/status/containerStatuses");
    let ready = statuses.iter().filter(|status| status.get("ready") == Some(&json!(true))).count();
    let restarts = statuses.iter().filter_map(|status| status.get("restartCount")?.as_i64()).sum::<i64>();
    vec![
        at("/metadata/name"),
        json!(format!("{ready}/{}", list(pod, "/spec/containers").len())),
        json!(pod_status(pod)),
        json!(restarts.to_string()),
        json!(age(&at("/metadata/creationTimestamp"), now)),
        pod.pointer("/status/podIP").cloned().unwrap_or(json!("<none>")),
        pod.pointer("/spec/nodeName").cloned().unwrap_or(json!("<none>")),
    ]
}

/// Why a container waits, or how it ended; none while it runs.
fn container_state(status: &Value) -> Option<String> {
    let text =
        |pointer: &str| status.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(reason) = text("/state/waiting/reason") {
        return Some(reason.to_owned());
    }
    let ended = status.pointer("/state/terminated")?;
    let number = |field: &str| ended.get(field).and_then(Value::as_i64).unwrap_or_default();
    Some(match (text("/state/terminated/reason"), number("signal")) {
        (Some(reason), _) => reason.to_owned(),
        (None, 0) => format!("ExitCode:{}", number("exitCode")),
        (None, signal) => format!("Signal:{signal}"),
    })
}

/// As Kubernetes' `printPod` has it, without init containers that go on.
fn pod_status(pod: &Value) -> String {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let phase = text("/status/phase");
    let mut status = [text("/status/reason"), phase]
        .into_iter()
        .find(|word| !word.is_empty())
        .unwrap_or_default()
        .to_owned();
    let init = list(pod, "/status/initContainerStatuses");
    let is_done = |status: &&Value| status.pointer("/state/terminated/exitCode") == Some(&json!(0));
    let first = init.iter().position(|status| !is_done(&status));
    if let Some((at, unfinished)) = first.and_then(|at| Some((at, init.get(at)?))) {
        let waits = container_state(unfinished).filter(|word| word != "PodInitializing");
        let count = list(pod, "/spec/initContainers").len();
        status = waits.map_or(format!("Init:{at}/{count}"), |word| format!("Init:{word}"));
    } else {
        for container in list(pod, "/status/containerStatuses").iter().rev() {
            if let Some(word) = container_state(container) {
                status = word;
            }
        }
    }
    let is_over = matches!(phase, "Succeeded" | "Failed");
    if pod.pointer("/metadata/deletionTimestamp").is_some() && !is_over {
        "Terminating".to_owned()
    } else {
        status
    }
}

fn job_status(job: &Value) -> &'static str {
    let has = |word: &str| {
        list(job, "/status/conditions").iter().any(|condition| {
            condition.get("type") == Some(&json!(word)) && condition.get("status") == Some(&json!("True"))
        })
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if job.pointer("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let number = |pointer: &str| job.pointer(pointer).and_then(Value::as_i64);
    format!(
        "{}/{}",
        number("/status/succeeded").unwrap_or_default(),
        number("/spec/completions").unwrap_or(1)
    )
}

fn duration(job: &Value, now: Timestamp) -> String {
    let instant = |pointer: &str| job.pointer(pointer)?.as_str()?.parse::<Timestamp>().ok();
    let Some(start) = instant("/status/startTime") else { return String::new() };
    human(instant("/status/completionTime").unwrap_or(now).duration_since(start).as_secs())
}

fn ports(service: &Value) -> String {
    let shown: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            format!("{}/{protocol}", port.get("port").cloned().unwrap_or_default())
        })
        .collect();
    if shown.is_empty() { "<none>".to_owned() } else { shown.join(",") }
}

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let at = |pointer: &str| event.pointer(pointer).cloned().unwrap_or_default();
    let seen = ["/series/lastObservedTime", "/lastTimestamp", "/firstTimestamp", "/eventTime"];
    let seen = seen.into_iter().map(&at).find(|instant| !instant.is_null()).unwrap_or_default();
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let about = format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name"));
    vec![json!(age(&seen, now)), at("/type"), at("/reason"), json!(about), json!(text("/message").trim())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn every_row_has_a_cell_for_each_column() {
        for kind in kinds::all().iter().filter(|kind| kind.defined.is_none()) {
            let cells = cells(kind, &json!({"metadata": {"name": "a"}}), Timestamp::UNIX_EPOCH);
            assert_eq!(cells.len(), of(kind).len(), "{}", kind.kind);
        }
    }

    #[test]
    fn the_status_of_a_pod_is_that_of_its_containers() {
        let status = |status: Value| pod_status(&json!({"status": status, "spec": {"initContainers": [{}]}}));
        let waiting = json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]});
        assert_eq!(status(waiting), "ErrImagePull");
        let ended =
            json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]});
        assert_eq!(status(ended), "ExitCode:3");
        assert_eq!(status(json!({"phase": "Failed", "reason": "Evicted"})), "Evicted");
        let begins = json!({"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]});
        assert_eq!(status(begins), "Init:0/1");
        let leaving = json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}});
        assert_eq!(pod_status(&leaving), "Terminating");
    }

    #[test]
    fn a_job_shows_how_far_it_is() {
        let jobs = kinds::find("batch", "v1", "jobs").unwrap();
        let job = json!({
            "metadata": {"name": "j", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"completions": 1},
            "status": {
                "succeeded": 1, "startTime": "1970-01-01T00:00:00Z", "completionTime": "1970-01-01T00:00:05Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
        });
        let cells = cells(jobs, &job, Timestamp::from_second(9).unwrap());
        assert_eq!(cells, [json!("j"), json!("Complete"), json!("1/1"), json!("5s"), json!("9s")]);
    }
}
