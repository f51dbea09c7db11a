//! The rules of kstatus, which Flux (`wait: true`, `healthChecks`) and others judge objects of any kind by,
//! over what the planner writes.
//!
//! kstatus is a Go library; its rules for kinds that it does not know are restated here from
//! `sigs.k8s.io/cli-utils/pkg/kstatus/status` (`checkGenericProperties`, then `checkReadyCondition`).

use serde_json::Value;

use super::scenarios;

/// What kstatus says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is as its spec asks.
    Current,
    /// Not yet.
    InProgress,
    /// It will not be, without somebody's help.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// Judges one object.
fn kstatus(object: &Value) -> Status {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Status::Terminating;
    }
    let observed = &object["status"]["observedGeneration"];
    if observed.is_number() && *observed != object["metadata"]["generation"] {
        return Status::InProgress;
    }
    let condition = |kind: &str| {
        let all = object["status"]["conditions"].as_array()?;
        all.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
    };
    match (condition("Reconciling"), condition("Stalled"), condition("Ready")) {
        (Some("True"), _, _) => Status::InProgress,
        (_, Some("True"), _) => Status::Failed,
        (_, _, Some("False" | "Unknown")) => Status::InProgress,
        _ => Status::Current,
    }
}

#[test]
fn who_waits_for_an_object_is_told_the_truth() {
    let wrong: Vec<String> = scenarios::all()
        .iter()
        .filter(|scenario| kstatus(&scenario.object) != scenario.wanted)
        .map(|scenario| {
            let status = serde_yaml::to_string(&scenario.object["status"]).unwrap();
            let (told, wanted) = (kstatus(&scenario.object), scenario.wanted);
            format!("{} {}: {told:?} instead of {wanted:?}\n{status}", scenario.kind, scenario.name)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_object_is_both_under_way_and_stalled() {
    for scenario in scenarios::all() {
        let all = scenario.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let holds = |kind: &str| all.iter().any(|one| one["type"] == kind && one["status"] == "True");
        assert!(!(holds("Reconciling") && holds("Stalled")), "{} {}", scenario.kind, scenario.name);
        let generation = &scenario.object["metadata"]["generation"];
        for condition in all.iter().filter(|_| scenario.name != "edited") {
            assert_eq!(condition["observedGeneration"], *generation, "{} {}", scenario.kind, scenario.name);
        }
    }
}

#[test]
fn an_object_that_nobody_has_looked_at_is_not_current() {
    for crd in daskflow::api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let properties = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let object =
            serde_json::json!({"metadata": {"generation": 1}, "status": properties["status"]["default"]});
        assert_eq!(kstatus(&object), Status::InProgress, "{}", crd["spec"]["names"]["kind"]);
    }
}
