//! The health scripts and the actions for Argo CD (`gitops/argocd/`), run in Lua 5.1 with the few libraries
//! that Argo CD gives to scripts of its configuration.
//!
//! The layout is the one of Argo CD's own `resource_customizations/`, so that it can be taken over there as
//! it is. What is in `testdata/` and in `argocd-cm.yaml` is made from the planner and from the scripts:
//!
//! ```sh
//! cargo test --test files gitops -- --ignored
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use daskflow::api::{ConditionType, Phase, Reason};
use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib, Table};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scenarios::{self, Scenario};

const KINDS: [&str; 4] = ["DaskCluster", "Flow", "FlowBackfill", "FlowRun"];
/// What Argo CD takes for a health; anything else is shown as Unknown.
const HEALTHS: [&str; 5] = ["Healthy", "Progressing", "Degraded", "Suspended", "Unknown"];
const AGAIN: &str = "run: cargo test --test files gitops -- --ignored";

fn folder(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gitops/argocd/daskflow.dev").join(kind)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a script as Argo CD does: `obj` is the object, of the libraries there are base, package, table and
/// two functions of os. (`string` and the rest are there only where an administrator sets `useOpenLibs`.)
fn run(script: &str, object: &Value) -> Value {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::PACKAGE | StdLib::OS, LuaOptions::default()).unwrap();
    let globals = lua.globals();
    let all: Table = globals.get("os").unwrap();
    let safe = lua.create_table().unwrap();
    for name in ["time", "date"] {
        safe.set(name, all.get::<mlua::Value>(name).unwrap()).unwrap();
    }
    globals.get::<Table>("package").unwrap().get::<Table>("loaded").unwrap().set("os", &safe).unwrap();
    globals.set("os", safe).unwrap();
    // As in Argo CD, what is null in JSON is nil.
    let options = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
    globals.set("obj", lua.to_value_with(object, options).unwrap()).unwrap();
    let result: mlua::Value = lua
        .load(script)
        .eval()
        .unwrap_or_else(|error| panic!("{error}\n{}", serde_yaml::to_string(object).unwrap()));
    lua.from_value(result).unwrap()
}

fn health(kind: &str, object: &Value) -> (String, String) {
    let health = run(&read(&folder(kind).join("health.lua")), object);
    let text =
        |key: &str| health[key].as_str().unwrap_or_else(|| panic!("{kind}: no {key}: {health}")).to_owned();
    (text("status"), text("message"))
}

#[derive(Deserialize)]
struct HealthTests {
    tests: Vec<HealthTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthTest {
    health_status: HealthStatus,
    input_path: String,
}

#[derive(Deserialize)]
struct HealthStatus {
    status: String,
    message: String,
}

#[test]
fn each_object_of_testdata_has_the_health_that_its_test_says() {
    for kind in KINDS {
        let tests: HealthTests = read_yaml(&folder(kind).join("health_test.yaml"));
        let mut inputs = BTreeSet::new();
        for test in tests.tests {
            let object = read_yaml(&folder(kind).join(&test.input_path));
            let wanted = (test.health_status.status, test.health_status.message);
            assert_eq!(health(kind, &object), wanted, "{kind} {}", test.input_path);
            assert!(inputs.insert(test.input_path.clone()), "{kind}: {} is tested twice", test.input_path);
        }
        let all: BTreeSet<String> =
            judged(kind).iter().map(|scenario| format!("testdata/{}.yaml", scenario.name)).collect();
        assert_eq!(inputs, all, "{kind}: health_test.yaml and the scenarios differ");
    }
}

/// The scenarios that Argo CD asks a script about: it judges an object that is being deleted by itself.
fn judged(kind: &str) -> Vec<Scenario> {
    let is_judged = |scenario: &Scenario| {
        scenario.kind == kind && scenario.object["metadata"]["deletionTimestamp"].is_null()
    };
    scenarios::all().into_iter().filter(is_judged).collect()
}

/// Whatever a status says, a script finds an answer that Argo CD knows, with words.
#[test]
fn no_combination_of_phase_reason_and_conditions_is_without_a_health() {
    let kinds = [
        ConditionType::Ready,
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Suspended,
        ConditionType::CertificatesReady,
        ConditionType::LastRunSucceeded,
        ConditionType::Complete,
        ConditionType::Failed,
    ];
    for kind in KINDS {
        let script = read(&folder(kind).join("health.lua"));
        let object = &judged(kind)[1].object;
        let mut seen = BTreeSet::new();
        let mut judge = |object: &Value| {
            let health = run(&script, object);
            let status = health["status"].as_str().unwrap_or_default().to_owned();
            assert!(HEALTHS.contains(&status.as_str()), "{kind}: {health} of {object}");
            assert!(
                health["message"].as_str().is_some_and(|text| !text.is_empty()),
                "{kind}: {health} of {object}"
            );
            seen.insert(status);
        };
        // The phase is a run's, and of its conditions but two only repeat it.
        let (phases, kinds) =
            if kind == "FlowRun" { (&PHASES[..], &kinds[1..3]) } else { (&PHASES[..1], &kinds[..]) };
        for reason in Reason::ALL {
            for phase in phases {
                for conditions in combinations(kinds, *reason) {
                    let mut object = object.clone();
                    object["status"]["conditions"] = conditions;
                    object["status"]["phase"] = json!(phase.as_str());
                    object["status"]["reason"] = json!(reason.as_str());
                    judge(&object);
                }
            }
        }
        assert!(!seen.contains("Unknown"), "{kind}: {seen:?}");
        assert!(
            seen.is_superset(&["Healthy", "Progressing", "Degraded"].map(str::to_owned).into()),
            "{kind}: {seen:?}"
        );
        for status in
            [Value::Null, json!({}), json!({"observedGeneration": 1}), json!({"observedGeneration": -1})]
        {
            let mut object = object.clone();
            object["status"] = status;
            judge_unseen(&script, &object);
        }
    }
}

/// An object of which nothing is known yet is on its way.
fn judge_unseen(script: &str, object: &Value) {
    let health = run(script, object);
    assert_eq!(health["status"], "Progressing", "{object}");
    assert!(health["message"].is_string(), "{object}");
}

const PHASES: [Phase; 9] = [
    Phase::Queued,
    Phase::Provisioning,
    Phase::Running,
    Phase::Retrying,
    Phase::Succeeded,
    Phase::Failed,
    Phase::Cancelled,
    Phase::TimedOut,
    Phase::Skipped,
];

/// No condition; each alone, true, false and unknown; each true while `Ready` is true; and all true.
fn combinations(kinds: &[ConditionType], reason: Reason) -> Vec<Value> {
    let condition = |kind: ConditionType, status: &str| json!({"type": kind.as_str(), "status": status, "reason": reason.as_str(), "message": ""});
    let mut all = vec![json!([]), kinds.iter().map(|kind| condition(*kind, "True")).collect()];
    for kind in kinds {
        all.extend(["True", "False", "Unknown"].map(|status| json!([condition(*kind, status)])));
        all.push(json!([condition(ConditionType::Ready, "True"), condition(*kind, "True")]));
        all.push(json!([condition(ConditionType::Ready, "True"), condition(*kind, "False")]));
    }
    all
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionTests {
    discovery_tests: Vec<DiscoveryTest>,
    action_tests: Vec<ActionTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DiscoveryTest {
    input_path: String,
    result: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionTest {
    action: String,
    input_path: String,
    expected_output_path: String,
}

#[test]
fn each_action_is_offered_when_it_makes_sense_and_does_what_its_test_says() {
    for kind in KINDS {
        let folder = folder(kind).join("actions");
        let tests: ActionTests = read_yaml(&folder.join("action_test.yaml"));
        let discovery = read(&folder.join("discovery.lua"));
        for test in tests.discovery_tests {
            let found = run(&discovery, &read_yaml(&folder.join(&test.input_path)));
            let full = |(name, action): (&String, &Value)| {
                let mut action = action.clone();
                action["name"] = json!(name);
                if action["disabled"] != true {
                    action.as_object_mut().unwrap().remove("disabled");
                }
                (name.clone(), action)
            };
            let found: BTreeMap<String, Value> = found.as_object().unwrap().iter().map(full).collect();
            let wanted: BTreeMap<String, Value> =
                test.result.into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one)).collect();
            assert_eq!(found, wanted, "{kind} {}", test.input_path);
        }
        let mut tested = BTreeSet::new();
        for test in tests.action_tests {
            let script = read(&folder.join(&test.action).join("action.lua"));
            let input: Value = read_yaml(&folder.join(&test.input_path));
            let wanted: Value = read_yaml(&folder.join(&test.expected_output_path));
            assert_eq!(impacted(run(&script, &input), &wanted), wanted, "{kind} {}", test.action);
            tested.insert(test.action);
        }
        assert_eq!(tested, actions(kind).into_iter().collect(), "{kind}: actions without a test");
    }
}

/// What an action returns, in the form of the expected outputs. The name of a new object has the time in it.
fn impacted(result: Value, wanted: &Value) -> Value {
    let Value::Array(all) = result else { return result };
    let each = |(index, mut one): (usize, Value)| {
        let name = one["resource"]["metadata"]["name"].take();
        let name = name.as_str().unwrap();
        let digits = name.strip_prefix("etl-now-").unwrap_or_else(|| panic!("{name}"));
        assert!(digits.len() == 14 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
        let wanted = &wanted[index]["unstructuredObj"]["metadata"]["name"];
        one["resource"]["metadata"]["name"] = wanted.clone();
        json!({"k8sOperation": one["operation"], "unstructuredObj": one["resource"]})
    };
    all.into_iter().enumerate().map(each).collect()
}

/// The names of the actions of a kind, sorted.
fn actions(kind: &str) -> Vec<String> {
    let entries = fs::read_dir(folder(kind).join("actions")).unwrap().map(|entry| entry.unwrap().path());
    let named = entries.filter(|path| path.join("action.lua").is_file());
    let mut all: Vec<String> =
        named.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    all.sort();
    all
}

/// A run that an action makes is one that the API server takes: the rules of the name, and the Flow's.
#[test]
fn run_now_makes_a_run_of_a_flow_with_the_longest_name() {
    let mut object = judged("Flow")[1].object.clone();
    object["metadata"]["name"] = json!("f".repeat(38));
    let made = run(&read(&folder("Flow").join("actions/run-now/action.lua")), &object);
    let run: daskflow::api::FlowRun = serde_json::from_value(made[0]["resource"].clone()).unwrap();
    assert!(run.metadata.name.as_ref().unwrap().len() <= 59);
    assert_eq!(run.spec.flow, "f".repeat(38));
    assert!(!run.spec.cancel && !run.spec.suspend);
}

/// The ConfigMap's keys for a kind, for those who cannot wait for an Argo CD that knows our kinds.
fn config_map() -> String {
    let mut text = String::from(
        "# Made from gitops/argocd/daskflow.dev/ (cargo test --test files gitops -- --ignored). For an Argo CD that does not know\n\
         # the kinds of daskflow.dev: health and actions. Merge it into the ConfigMap that is there:\n\
         #   kubectl patch configmap argocd-cm --namespace argocd --patch-file argocd-cm.yaml\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n  labels:\n    \
         app.kubernetes.io/name: argocd-cm\n    app.kubernetes.io/part-of: argocd\ndata:\n",
    );
    for kind in KINDS {
        let _ = writeln!(text, "  resource.customizations.health.daskflow.dev_{kind}: |");
        text.push_str(&indented(&read(&folder(kind).join("health.lua")), 4));
        let _ =
            writeln!(text, "  resource.customizations.actions.daskflow.dev_{kind}: |\n    discovery.lua: |");
        text.push_str(&indented(&read(&folder(kind).join("actions/discovery.lua")), 6));
        text.push_str("    definitions:\n");
        for action in actions(kind) {
            let _ = writeln!(text, "    - name: {action}\n      action.lua: |");
            let path = folder(kind).join("actions").join(&action).join("action.lua");
            text.push_str(&indented(&read(&path), 8));
        }
    }
    text
}

fn indented(text: &str, by: usize) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:by$}{line}\n", "") };
    text.lines().map(line).collect()
}

/// All files that are made, by path, with their content.
fn made() -> BTreeMap<PathBuf, String> {
    let yaml = |object: &Value| serde_yaml::to_string(object).unwrap();
    let mut files = BTreeMap::new();
    files.insert(folder("").join("../argocd-cm.yaml"), config_map());
    for kind in KINDS {
        for scenario in judged(kind) {
            files.insert(
                folder(kind).join(format!("testdata/{}.yaml", scenario.name)),
                yaml(&scenario.object),
            );
        }
    }
    let changes: [(&str, &str, &str, bool); 9] = [
        ("DaskCluster", "ready", "suspend", true),
        ("DaskCluster", "suspended", "suspend", false),
        ("Flow", "waiting", "suspend", true),
        ("Flow", "suspended", "suspend", false),
        ("FlowRun", "running", "cancel", true),
        ("FlowBackfill", "running", "suspend", true),
        ("FlowBackfill", "suspended", "suspend", false),
        ("FlowBackfill", "running", "cancel", true),
        ("FlowBackfill", "cancelled", "cancel", false),
    ];
    for (kind, from, field, value) in changes {
        let mut object = judged(kind).into_iter().find(|scenario| scenario.name == from).unwrap().object;
        object["spec"][field] = json!(value);
        let after = match (field, value) {
            ("cancel", true) => "cancelled",
            ("cancel", false) => "taken-up",
            (_, true) => "suspended",
            (_, false) => "resumed",
        };
        files.insert(folder(kind).join(format!("actions/testdata/{after}.yaml")), yaml(&object));
    }
    files
}

#[test]
fn what_is_made_from_the_planner_and_the_scripts_is_up_to_date() {
    let files = made();
    for (path, content) in &files {
        assert_eq!(fs::read_to_string(path).unwrap_or_default(), *content, "{}: {AGAIN}", path.display());
    }
    for kind in KINDS {
        let folder = folder(kind).join("testdata");
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(files.contains_key(&path), "{} belongs to no scenario", path.display());
        }
    }
}

/// The ConfigMap gives Argo CD the very scripts: read back as Argo CD reads it.
#[test]
fn the_config_map_holds_the_scripts_as_they_are() {
    let map: Value = read_yaml(&folder("").join("../argocd-cm.yaml"));
    for kind in KINDS {
        let key =
            |what: &str| map["data"][format!("resource.customizations.{what}.daskflow.dev_{kind}")].as_str();
        assert_eq!(key("health").unwrap(), read(&folder(kind).join("health.lua")));
        let actions_of: Value = serde_yaml::from_str(key("actions").unwrap()).unwrap();
        assert_eq!(actions_of["discovery.lua"], read(&folder(kind).join("actions/discovery.lua")));
        for (index, action) in actions(kind).iter().enumerate() {
            let definition = &actions_of["definitions"][index];
            assert_eq!(definition["name"], **action);
            let path = folder(kind).join("actions").join(action).join("action.lua");
            assert_eq!(definition["action.lua"], read(&path));
        }
    }
}

#[test]
#[ignore = "writes gitops/argocd/, from the planner and the scripts"]
fn write() {
    for kind in KINDS {
        let _ = fs::remove_dir_all(folder(kind).join("testdata"));
    }
    for (path, content) in made() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}
