//! What must be true of an object whose spec was seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::world::{Key, Seen, World};

/// What counts of an object, and must be the same after the way back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Status and reason of each condition, and the phase.
    pub conditions: BTreeMap<String, String>,
    /// How many objects of each kind belong to it. Pods that are being deleted do not count.
    pub children: BTreeMap<String, usize>,
    /// Phase and reason of its runs.
    pub runs: Vec<String>,
}

impl State {
    /// The state of an object now; none if it does not exist.
    pub fn of(world: &World, kind: &str, name: &str) -> Option<Self> {
        let seen = world.get(kind, name)?;
        let mut state = Self { conditions: conditions(&seen.object), ..Self::default() };
        for ((kind, _), child) in world.family(kind, name) {
            if !child.object["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            *state.children.entry(kind.clone()).or_default() += 1;
            if kind == "FlowRun" {
                let status = &child.object["status"];
                state.runs.push(format!("{} {}", text(&status["phase"]), text(&status["reason"])));
            }
        }
        state.runs.sort();
        Some(state)
    }

    /// What is not as it was, each thing in a few words.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut compare = |kind: &str, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>| {
            let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
            for name in names {
                let of = |map: &BTreeMap<String, String>| map.get(name).cloned().unwrap_or("none".into());
                if of(before) != of(now) {
                    all.push(format!("{kind} {name}: {} became {}", of(before), of(now)));
                }
            }
        };
        compare("condition", &before.conditions, &self.conditions);
        let counts = |state: &Self| {
            state.children.iter().map(|(kind, count)| (kind.clone(), count.to_string())).collect()
        };
        compare("children", &counts(before), &counts(self));
        if before.runs != self.runs {
            all.push(format!("runs: {:?} became {:?}", before.runs, self.runs));
        }
        all
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("none")
}

fn conditions(object: &Value) -> BTreeMap<String, String> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut all: BTreeMap<_, _> = conditions
        .map(|one| {
            (text(&one["type"]).to_owned(), format!("{} {}", text(&one["status"]), text(&one["reason"])))
        })
        .collect();
    if let Some(phase) = object["status"]["phase"].as_str() {
        all.insert("phase".into(), phase.to_owned());
    }
    all
}

/// What of an object's conditions contradicts itself, its spec or its generation.
pub fn contradictions(kind: &str, object: &Value) -> Vec<String> {
    let conditions: Vec<&Value> = object["status"]["conditions"].as_array().into_iter().flatten().collect();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, words: &str| {
        if !holds {
            wrong.push(words.to_owned());
        }
    };
    let types: BTreeSet<_> = conditions.iter().map(|one| text(&one["type"])).collect();
    must(types.len() == conditions.len(), "a type of condition is there twice");
    for one in &conditions {
        let name = text(&one["type"]);
        let current = one["observedGeneration"] == object["metadata"]["generation"];
        must(current, &format!("{name} is of an earlier generation"));
        must(
            ["True", "False", "Unknown"].contains(&text(&one["status"])),
            &format!("{name} has a strange status"),
        );
        must(!matches!(text(&one["reason"]), "none" | ""), &format!("{name} has no reason"));
    }
    let is = |name: &str, status: &str| {
        conditions.iter().any(|one| one["type"] == name && one["status"] == status)
    };
    must(is("Reconciling", "True") || is("Reconciling", "False"), "Reconciling is not there");
    must(is("Stalled", "True") || is("Stalled", "False"), "Stalled is not there");
    must(!(is("Reconciling", "True") && is("Stalled", "True")), "Reconciling and Stalled are both True");
    let moves = is("Reconciling", "True") || is("Stalled", "True");
    must(!(is("Complete", "True") && is("Failed", "True")), "Complete and Failed are both True");
    if kind != "FlowRun" {
        must(is("Ready", "True") || is("Ready", "False"), "Ready is not there");
        must(is("Ready", "True") || moves, "Ready is False, and neither Reconciling nor Stalled says why");
    }
    wrong.extend(of_kind(kind, object).into_iter().map(str::to_owned));
    wrong
}

/// The rules of one kind.
fn of_kind(kind: &str, object: &Value) -> Vec<&'static str> {
    let conditions: Vec<&Value> = object["status"]["conditions"].as_array().into_iter().flatten().collect();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, words| {
        if !holds {
            wrong.push(words);
        }
    };
    let is = |name: &str, status: &str| {
        conditions.iter().any(|one| one["type"] == name && one["status"] == status)
    };
    let reason =
        |name: &str| conditions.iter().find(|one| one["type"] == name).map(|one| text(&one["reason"]));
    let moves = is("Reconciling", "True") || is("Stalled", "True");
    match kind {
        "Flow" => {
            must(!(is("Ready", "True") && moves), "Ready is True, and Reconciling or Stalled too");
            let same = reason("Ready") == reason("ScheduleValid");
            must(
                !is("ScheduleValid", "False") || (is("Ready", "False") && same),
                "ScheduleValid is False, and Ready gives another reason",
            );
        }
        "DaskCluster" => {
            let serves = is("SchedulerReady", "True") && is("WorkersReady", "True");
            must(
                !is("Ready", "True") || serves || is("Suspended", "True"),
                "Ready is True, and the scheduler or the workers are not",
            );
            must(
                !(is("Suspended", "True") && (is("SchedulerReady", "True") || is("WorkersReady", "True"))),
                "Suspended is True, and something is ready",
            );
            let wanted = object["spec"]["suspend"] == true;
            must(
                !wanted || is("Suspended", "True") || is("Reconciling", "True"),
                "suspend is true, and neither Suspended nor Reconciling is True",
            );
            must(
                wanted || !is("Suspended", "True") || reason("Suspended") == Some("Idle"),
                "suspend is false, and Suspended is True",
            );
            must(
                object["spec"]["tls"].is_null() || reason("CertificatesReady").is_some(),
                "tls is there, and CertificatesReady is not",
            );
        }
        "FlowRun" => {
            let phase = text(&object["status"]["phase"]);
            let ended = ["Succeeded", "Failed", "Cancelled", "TimedOut", "Skipped"].contains(&phase);
            must(is("Complete", "True") == (phase == "Succeeded"), "Complete and the phase differ");
            must(is("Failed", "True") == (ended && phase != "Succeeded"), "Failed and the phase differ");
            must(
                reason("Complete") == object["status"]["reason"].as_str(),
                "Complete gives another reason than the status",
            );
        }
        _ => {
            must(is("Ready", "True") != moves, "Ready is True, and Reconciling or Stalled too");
            let ended = !object["status"]["finishedAt"].is_null();
            must(
                (is("Complete", "True") || is("Failed", "True")) == ended,
                "finishedAt and the conditions differ",
            );
        }
    }
    wrong
}

/// What differs between two versions of an object, by path, the bookkeeping of the API server left out.
pub fn written(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found.retain(|path| {
        !path.starts_with(".metadata.managedFields") && !path.starts_with(".metadata.resourceVersion")
    });
    found.truncate(6);
    found
}

fn compare(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare(&before[name.as_str()], &after[name.as_str()], &format!("{path}.{name}"), found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(old, new, &format!("{path}[{index}]"), found);
            }
        }
        _ if before == after => {}
        _ => found.push(format!("{path}: {} became {}", short(before), short(after))),
    }
}

/// A value in a line.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 160 {
        text
    } else {
        format!("{}…", text.chars().take(160).collect::<String>())
    }
}

/// All keys of an object and of what belongs to it.
pub fn keys(kind: &str, name: &str, family: &[(Key, Seen)]) -> Vec<Key> {
    let own = (kind.to_owned(), name.to_owned());
    family.iter().map(|(key, _)| key.clone()).chain([own]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow(conditions: &[(&str, &str, &str)]) -> Value {
        let all: Vec<_> = conditions
            .iter()
            .map(|(kind, status, reason)| {
                json!({"type": kind, "status": status, "reason": reason, "observedGeneration": 2})
            })
            .collect();
        json!({"metadata": {"generation": 2}, "status": {"conditions": all}})
    }

    #[test]
    fn conditions_that_agree_are_none() {
        let good = [
            ("Ready", "False", "InvalidSchedule"),
            ("ScheduleValid", "False", "InvalidSchedule"),
            ("Reconciling", "False", "Ready"),
            ("Stalled", "True", "InvalidSchedule"),
        ];
        assert_eq!(contradictions("Flow", &flow(&good)), Vec::<String>::new());
    }

    #[test]
    fn each_contradiction_is_found() {
        let found = contradictions(
            "Flow",
            &flow(&[
                ("Ready", "False", "x"),
                ("Reconciling", "False", "Ready"),
                ("Stalled", "False", "Ready"),
            ]),
        );
        assert_eq!(found, ["Ready is False, and neither Reconciling nor Stalled says why"]);
        let found = contradictions(
            "Flow",
            &flow(&[("Ready", "True", "Ready"), ("Reconciling", "True", "x"), ("Stalled", "True", "x")]),
        );
        assert_eq!(found.len(), 2, "{found:?}");
        let mut old = flow(&[
            ("Ready", "True", "Ready"),
            ("Reconciling", "False", "Ready"),
            ("Stalled", "False", "Ready"),
        ]);
        old["metadata"]["generation"] = json!(3);
        assert_eq!(contradictions("Flow", &old).len(), 3);
    }

    #[test]
    fn what_was_written_is_named() {
        let before = json!({"metadata": {"resourceVersion": "1"}, "status": {"a": [1, 2]}});
        let after = json!({"metadata": {"resourceVersion": "2"}, "status": {"a": [1, 3]}});
        assert_eq!(written(&before, &after), [".status.a[1]: 2 became 3"]);
    }
}
