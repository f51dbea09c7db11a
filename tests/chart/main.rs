//! The Helm chart and the kustomizations, as `helm template` and `kubectl kustomize` render them, without a
//! cluster.
//!
//! The programs are `.build/bin/helm` and `.build/bin/kubectl` (`tests/cluster.sh build` makes them) or those
//! on the PATH. Without them the tests say so and leave themselves out, unless `DASKFLOW_CHART_REQUIRED` is
//! set. What a real API server and a real release say is in `tests/e2e/helm.rs`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod compatibility;
mod render;
mod ui;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use render::{CHART, helm, helm_by_itself, kubectl, objects, rendered};
use rstest::rstest;
use serde_json::{Value, json};

/// Sets every value.
const FULL: &str = "charts/daskflow/ci/full-values.yaml";

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

fn read(path: &str) -> Value {
    serde_yaml::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one of this kind beside what belongs to the page.
fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = of_kind(objects, kind);
    found.retain(|object| object["metadata"]["labels"]["app.kubernetes.io/component"] != "ui");
    assert_eq!(found.len(), 1, "{kind}: {:?}", found.iter().map(|object| name(object)).collect::<Vec<_>>());
    found[0]
}

/// One process for all tests gives what a process for each gives: nothing of a run is left for the next.
#[test]
fn helm_in_one_process_is_helm() {
    let (place, elsewhere) = (["--namespace", "place"], ["--namespace", "elsewhere", "--set", "replicas=2"]);
    let template = ["template", "release", CHART, "--values", "-"];
    let runs = [
        ([&template[..], &place].concat(), read(FULL)),
        (template.to_vec(), json!({})),
        ([&template[..], &elsewhere].concat(), json!({"crds": {"enabled": false}})),
        (template.to_vec(), json!({"replicas": -1})),
        (vec!["lint", CHART, "--values", "-"], json!({"mispelt": true})),
        (vec!["template", "release", "charts/none"], json!({})),
        (vec!["lint", "--strict", CHART], json!({})),
    ];
    for (arguments, values) in runs {
        let (Some(ran), Some(alone)) = (helm(&arguments, &values), helm_by_itself(&arguments, &values))
        else {
            return;
        };
        assert_eq!(ran, alone, "{arguments:?} {values}");
    }
}

#[test]
fn lint_finds_nothing() {
    for values in [json!({}), read(FULL), json!({"replicas": 2, "podDisruptionBudget": {"enabled": true}})] {
        let Some(ran) = helm(&["lint", "--strict", CHART, "--values", "-"], &values) else { return };
        assert!(ran.worked, "{values}: {}{}", ran.out, ran.err);
    }
}

#[rstest]
#[case(json!({}), concat!("ghcr.io/daskflow/daskflow:", env!("CARGO_PKG_VERSION")))]
#[case(json!({"tag": "1.2"}), "ghcr.io/daskflow/daskflow:1.2")]
#[case(json!({"registry": "mirror.example:5000"}), concat!("mirror.example:5000/daskflow/daskflow:", env!("CARGO_PKG_VERSION")))]
#[case(json!({"registry": "mirror.example/proxy"}), concat!("mirror.example/proxy/daskflow/daskflow:", env!("CARGO_PKG_VERSION")))]
#[case(json!({"registry": "mirror.example", "repository": "localhost/flows"}), concat!("mirror.example/flows:", env!("CARGO_PKG_VERSION")))]
#[case(json!({"registry": "mirror.example", "repository": "library/flows"}), concat!("mirror.example/library/flows:", env!("CARGO_PKG_VERSION")))]
#[case(json!({"registry": "mirror.example", "repository": "flows"}), concat!("mirror.example/flows:", env!("CARGO_PKG_VERSION")))]
#[case(json!({"digest": DIGEST}), &format!("ghcr.io/daskflow/daskflow@{DIGEST}"))]
#[case(json!({"digest": DIGEST, "tag": "1"}), &format!("ghcr.io/daskflow/daskflow:1@{DIGEST}"))]
fn image_is_named(#[case] image: Value, #[case] wanted: &str) {
    let Some(objects) = rendered(&json!({"image": image, "crds": {"enabled": false}})) else { return };
    assert_eq!(only(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"], wanted);
    assert_eq!(only(&objects, "Pod")["spec"]["containers"][0]["image"], wanted, "the pod of helm test");
}

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Whatever the release is called, and also where names are as long as they may be.
#[test]
fn names_are_legal_and_told_apart() {
    let longest = "r".repeat(53);
    let full = "f".repeat(63);
    let more = json!({"dashboard": {"enabled": true}, "networkPolicy": {"enabled": true}, "crds": {"enabled": false}});
    for (release, fullname) in [("a", ""), (longest.as_str(), ""), ("a", full.as_str())] {
        let mut values = more.clone();
        values["fullnameOverride"] = json!(fullname);
        let Some(ran) = helm(&["template", release, CHART, "--values", "-"], &values) else { return };
        let objects = objects(&ran.out);
        let names: BTreeSet<_> =
            objects.iter().map(|object| (object["kind"].to_string(), name(object))).collect();
        assert_eq!(names.len(), objects.len(), "{names:?}");
        for (kind, name) in names {
            // Names of rights need not be labels.
            let max = if kind.contains("Role") { 253 } else { 63 };
            assert!((1..=max).contains(&name.len()) && !name.ends_with('-'), "{kind} {name}");
        }
    }
}

/// A cluster's NetworkPolicy lets in the operator by these labels, and every selector of the chart finds its
/// pods.
#[test]
fn operator_keeps_the_labels_that_others_select_it_by() {
    let Some(objects) = rendered(&read(FULL)) else { return };
    let deployment = only(&objects, "Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["app.kubernetes.io/name"], "daskflow");
    assert_eq!(labels["app.kubernetes.io/component"], "operator");
    assert_eq!(labels["helm.sh/chart"], Value::Null, "a new chart alone restarts nothing");
    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        &only(&objects, "Service")["spec"]["selector"],
        &only(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &only(&objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ];
    let test = &only(&objects, "Pod")["metadata"]["labels"];
    for selector in selectors {
        let selector = selector.as_object().unwrap();
        assert_eq!(selector.len(), 3);
        assert!(selector.iter().all(|(key, value)| labels[key] == *value), "{selector:?} of {labels}");
        assert!(!selector.iter().all(|(key, value)| test[key] == *value), "{selector:?} of {test}");
    }
    let service = &only(&objects, "Service")["metadata"]["labels"];
    let monitored = only(&objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(monitored.iter().all(|(key, value)| service[key] == *value), "{monitored:?} of {service}");
}

#[test]
fn crds_are_those_of_the_api_and_can_be_left_to_others() {
    let all = |values| rendered(&values);
    let Some(objects) = all(json!({})) else { return };
    let crds = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds.len(), 4);
    for crd in crds {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        assert_eq!(crd["spec"], read(&format!("crds/{plural}.yaml"))["spec"], "{plural}");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    let objects = all(json!({"crds": {"keep": false, "annotations": {"a": "b"}}})).unwrap();
    for crd in of_kind(&objects, "CustomResourceDefinition") {
        assert_eq!(crd["metadata"]["annotations"], json!({"a": "b"}));
    }
    let objects = all(json!({"crds": {"enabled": false}})).unwrap();
    assert_eq!(of_kind(&objects, "CustomResourceDefinition"), Vec::<&Value>::new());
}

#[test]
fn without_election_one_operator_stops_before_the_next_starts() {
    let Some(objects) = rendered(&json!({"leaderElection": {"enabled": false}})) else { return };
    assert_eq!(only(&objects, "Deployment")["spec"]["strategy"], json!({"type": "Recreate"}));
    let two = json!({"leaderElection": {"enabled": false}, "replicas": 2});
    let why = render::refused(&two).unwrap();
    assert!(why.contains("two operators need leaderElection.enabled: true"), "{why}");
}

/// The requests on the Lease are those that the Role for it allows, and go to the priority level of leader
/// elections.
#[test]
fn the_lease_has_a_priority_level_of_the_api_server() {
    let Some(objects) = rendered(&json!({"serviceAccount": {"name": "other"}})) else { return };
    let schema = only(&objects, "FlowSchema");
    assert_eq!(name(schema), name(only(&objects, "Deployment")));
    assert_eq!(schema["apiVersion"], "flowcontrol.apiserver.k8s.io/v1");
    let spec = &schema["spec"];
    assert_eq!(spec["priorityLevelConfiguration"]["name"], "leader-election");
    let rules = spec["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    let account = json!({"name": "other", "namespace": "place"});
    assert_eq!(rules[0]["subjects"], json!([{"kind": "ServiceAccount", "serviceAccount": account}]));
    let asked = rules[0]["resourceRules"].as_array().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["namespaces"], json!(["place"]));
    let of_leases = |role: &&&Value| role["rules"][0]["apiGroups"] == json!(["coordination.k8s.io"]);
    let granted = of_kind(&objects, "Role");
    let role = granted.iter().find(of_leases).unwrap();
    let verbs = |rule: &Value| -> BTreeSet<String> { serde_json::from_value(rule["verbs"].clone()).unwrap() };
    assert_eq!(verbs(&asked[0]), role["rules"].as_array().unwrap().iter().flat_map(verbs).collect());
    for rule in role["rules"].as_array().unwrap() {
        assert_eq!(
            (&rule["apiGroups"], &rule["resources"]),
            (&asked[0]["apiGroups"], &asked[0]["resources"])
        );
    }
}

#[rstest]
#[case(json!({"flowSchema": {"enabled": false}}))]
#[case(json!({"leaderElection": {"enabled": false}}))]
#[case(json!({"watchNamespaces": ["a"]}))]
fn the_priority_level_can_be_left_out(#[case] values: Value) {
    let Some(objects) = rendered(&values) else { return };
    assert_eq!(of_kind(&objects, "FlowSchema"), Vec::<&Value>::new());
}

/// Whoever may install nothing for all namespaces can have some.
#[test]
fn with_named_namespaces_only_the_kinds_are_cluster_scoped() {
    let Some(objects) = rendered(&json!({"watchNamespaces": ["a", "b"]})) else { return };
    for object in objects.iter().filter(|object| object["kind"] != "CustomResourceDefinition") {
        assert!(object["metadata"]["namespace"].is_string(), "{} {}", object["kind"], name(object));
    }
}

#[test]
fn without_a_url_runbooks_are_paths_of_the_repository() {
    let Some(objects) = rendered(&json!({"prometheusRule": {"enabled": true}})) else { return };
    assert_eq!(only(&objects, "PrometheusRule")["spec"], read("charts/daskflow/files/alerts.yaml"));
}

#[test]
fn alerts_and_dashboard_are_the_files() {
    let Some(objects) = rendered(&read(FULL)) else { return };
    let rules = &only(&objects, "PrometheusRule")["spec"];
    assert!(rules["groups"].is_array(), "{rules}");
    let mut expected = read("charts/daskflow/files/alerts.yaml");
    let alerts = expected["groups"].as_array_mut().unwrap().iter_mut();
    for alert in alerts.flat_map(|group| group["rules"].as_array_mut().unwrap()) {
        let runbook = &mut alert["annotations"]["runbook_url"];
        *runbook = json!(format!("https://git.example/daskflow/blob/main/{}", runbook.as_str().unwrap()));
    }
    assert_eq!(*rules, expected, "with prometheusRule.runbookUrl each runbook_url is a whole URL");
    let dashboard = only(&objects, "ConfigMap")["data"]["daskflow.json"].as_str().unwrap();
    assert_eq!(dashboard.trim(), text("charts/daskflow/files/dashboard.json").trim());
}

/// The commands have the names that are rendered from the same values.
#[rstest]
#[case(json!({}), &["--namespace place rollout status deployment/release-daskflow", "helm test release --namespace place",
    "kubectl get dkc,fl,fr", "keeps the kinds"], &["--namespace a "])]
#[case(json!({"fullnameOverride": "flows", "tests": {"enabled": false}}), &["deployment/flows"], &["helm test"])]
#[case(json!({"watchNamespaces": ["a", "b"]}), &["watches a, b", "--namespace a apply", "--namespace a get dkc,fl,fr"], &[])]
#[case(json!({"crds": {"keep": false}}), &["DELETES THE KINDS"], &["keeps the kinds"])]
#[case(json!({"crds": {"enabled": false}}), &["must be installed by another release"], &["ninstall"])]
#[case(json!({"replicas": 0}), &["nothing runs until it is 1"], &[])]
#[case(json!({"compatibility": {"daskKubernetes": {"enabled": true}}}), &["dask-kubernetes must not run for the same"], &[])]
fn notes_fit_the_values(#[case] values: Value, #[case] there: &[&str], #[case] absent: &[&str]) {
    let flags = ["--namespace", "place", "--dry-run=client", "--values", "-"];
    let Some(ran) = helm(&[&["install", "release", CHART], &flags[..]].concat(), &values) else { return };
    assert!(ran.worked, "{}", ran.err);
    let notes = ran.out.split("NOTES:").nth(1).unwrap();
    assert!(there.iter().all(|words| notes.contains(words)), "{there:?} in {notes}");
    assert!(!absent.iter().any(|words| notes.contains(words)), "{absent:?} in {notes}");
}

fn kustomized(folder: &str) -> Option<Vec<Value>> {
    let ran = kubectl(&["kustomize", folder])?;
    assert!(ran.worked, "{folder}: {}", ran.err);
    Some(objects(&ran.out))
}

/// The same with all numbers as floats: kustomize writes 1.0 as 1.
fn with_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(with_floats).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), with_floats(value))).collect()
        }
        other => other.clone(),
    }
}

/// By kind, namespace and name: all that is not metadata.
fn contents(objects: &[Value]) -> BTreeMap<String, Value> {
    let all = objects.iter().map(|object| {
        let id = format!("{} {} {}", object["kind"], object["metadata"]["namespace"], name(object));
        let mut rest = with_floats(object);
        rest.as_object_mut().unwrap().remove("metadata");
        (id, rest)
    });
    all.collect()
}

#[test]
fn kustomize_base_is_the_install_manifest() {
    let Some(base) = kustomized("manifests/kustomize/base") else { return };
    let (base_contents, installed) = (contents(&base), contents(&objects(&text("manifests/install.yaml"))));
    assert_eq!(base_contents.keys().collect::<Vec<_>>(), installed.keys().collect::<Vec<_>>());
    for (id, content) in &base_contents {
        assert_eq!(*content, installed[id], "{id}");
    }
    for crd in of_kind(&base, "CustomResourceDefinition") {
        assert_eq!(crd["metadata"]["labels"]["app.kubernetes.io/part-of"], "daskflow");
    }
    let says_helm = |object: &&Value| object["metadata"].to_string().to_lowercase().contains("helm");
    assert_eq!(
        base.iter().filter(says_helm).collect::<Vec<_>>(),
        Vec::<&Value>::new(),
        "Helm has no part in it"
    );
}

#[test]
fn kustomize_overlays_add_what_they_say() {
    let Some(ha) = kustomized("manifests/kustomize/overlays/ha") else { return };
    assert_eq!(only(&ha, "Deployment")["spec"]["replicas"], 2);
    assert_eq!(only(&ha, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);

    let production = kustomized("manifests/kustomize/overlays/production").unwrap();
    let deployment = only(&production, "Deployment");
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        concat!("registry.example/daskflow:", env!("CARGO_PKG_VERSION"))
    );
    for kind in ["ServiceMonitor", "PrometheusRule", "ConfigMap"] {
        only(&production, kind);
    }

    let one = kustomized("manifests/kustomize/namespaced").unwrap();
    let container = &only(&one, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let watched =
        container["env"].as_array().unwrap().iter().find(|env| env["name"] == "DASKFLOW_NAMESPACES");
    assert_eq!(watched.unwrap()["value"], "flows");
    let namespaces: BTreeSet<_> = of_kind(&one, "Namespace").into_iter().map(name).collect();
    assert_eq!(namespaces, BTreeSet::from(["daskflow-system", "flows"]));
}
