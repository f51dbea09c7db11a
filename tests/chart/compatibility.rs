//! `compatibility.daskKubernetes`: the kinds of dask-kubernetes, the rights on them, and the operator's flag.

use rstest::rstest;
use serde_json::{Value, json};

use super::render::rendered;
use super::{of_kind, only, read};

const GROUP: &str = "kubernetes.dask.org";

fn with(more: &Value) -> Option<Vec<Value>> {
    let mut values = json!({"compatibility": {"daskKubernetes": {"enabled": true}}});
    values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rendered(&values)
}

/// The rules of a role that are about the kinds of dask-kubernetes.
fn rules(role: &Value) -> Vec<&Value> {
    role["rules"].as_array().unwrap().iter().filter(|rule| rule["apiGroups"] == json!([GROUP])).collect()
}

fn variable(objects: &[Value]) -> Option<Value> {
    let container = &only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let all = container["env"].as_array().unwrap();
    all.iter().find(|env| env["name"] == "DASKFLOW_DASK_KUBERNETES").map(|env| env["value"].clone())
}

#[test]
fn by_default_nothing_is_said_of_dask_kubernetes() {
    let Some(objects) = rendered(&json!({})) else { return };
    assert!(!json!(objects).to_string().contains(GROUP));
    assert_eq!(variable(&objects), None);
}

#[test]
fn its_kinds_are_those_that_are_generated_and_stay_at_an_uninstall() {
    let Some(objects) = with(&json!({})) else { return };
    let crds = of_kind(&objects, "CustomResourceDefinition");
    let theirs: Vec<_> = crds.into_iter().filter(|crd| crd["spec"]["group"] == GROUP).collect();
    assert_eq!(theirs.len(), 4);
    for crd in theirs {
        let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
        let file = read(&format!("crds/dask-kubernetes/{plural}.yaml"));
        assert_eq!((&crd["spec"], &crd["metadata"]["name"]), (&file["spec"], &file["metadata"]["name"]));
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    assert_eq!(variable(&objects), Some(json!("true")));
}

#[rstest]
#[case::installed_by_others(json!({"compatibility": {"daskKubernetes": {"enabled": true, "crds": false}}}), 4)]
#[case::all_kinds_installed_by_others(json!({"crds": {"enabled": false}}), 0)]
#[case::not_wanted(json!({"compatibility": {"daskKubernetes": {"enabled": false}}}), 4)]
fn its_kinds_can_be_left_to_others(#[case] values: Value, #[case] count: usize) {
    let Some(objects) = with(&values) else { return };
    let crds = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds.len(), count);
    assert!(crds.iter().all(|crd| crd["spec"]["group"] == "daskflow.dev"));
}

/// Where the operator may work, and what users may do there.
#[test]
fn rights_on_its_kinds_are_where_the_others_are() {
    let Some(objects) = with(&json!({})) else { return };
    let roles = of_kind(&objects, "ClusterRole");
    for ending in ["daskflow", "-edit", "-view"] {
        let role =
            roles.iter().find(|role| role["metadata"]["name"].as_str().unwrap().ends_with(ending)).unwrap();
        assert!(!rules(role).is_empty(), "{ending}");
    }
    let objects = with(&json!({"watchNamespaces": ["a", "b"]})).unwrap();
    assert_eq!(of_kind(&objects, "ClusterRole"), Vec::<&Value>::new());
    for namespace in ["a", "b"] {
        let roles = of_kind(&objects, "Role");
        let role = roles.iter().find(|role| role["metadata"]["namespace"] == namespace).unwrap();
        let watched = |rule: &&Value| rule["verbs"].as_array().unwrap().contains(&json!("watch"));
        let found = rules(role).into_iter().find(watched).unwrap();
        assert_eq!(found["resources"].as_array().unwrap().len(), 4, "{namespace}");
    }
}
