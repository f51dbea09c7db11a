//! The page: a Deployment of its own, which may do nothing by itself.

use serde_json::{Value, json};

use super::render::rendered;
use super::{FULL, name, of_kind, read};

/// The objects of the page, of one kind.
fn of_page<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let mut found = of_kind(objects, kind);
    found.retain(|object| object["metadata"]["labels"]["app.kubernetes.io/component"] == "ui");
    found
}

#[test]
fn there_is_none_unless_it_is_asked_for() {
    let Some(objects) = rendered(&json!({"networkPolicy": {"enabled": true}})) else { return };
    for kind in ["Deployment", "Service", "ServiceAccount", "NetworkPolicy"] {
        assert_eq!(of_page(&objects, kind), Vec::<&Value>::new(), "{kind}");
    }
}

/// Neither a right nor a token: whoever takes the page over has nothing but what users send.
#[test]
fn it_has_no_rights_and_no_token() {
    let Some(objects) = rendered(&json!({"ui": {"enabled": true}})) else { return };
    let [account] = of_page(&objects, "ServiceAccount")[..] else { panic!("one account") };
    assert_eq!(account["automountServiceAccountToken"], false);
    let own = name(account);
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        for binding in of_kind(&objects, kind) {
            let subjects = binding["subjects"].as_array().unwrap();
            assert!(subjects.iter().all(|subject| subject["name"] != own), "{binding}");
        }
    }
    let [deployment] = of_page(&objects, "Deployment")[..] else { panic!("one Deployment") };
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(
        (&pod["serviceAccountName"], &pod["automountServiceAccountToken"]),
        (&json!(own), &json!(false))
    );
    // The one volume is a ConfigMap: no projected token, no Secret.
    assert_eq!(pod["volumes"], json!([{"name": "kubernetes", "configMap": {"name": "kube-root-ca.crt"}}]));
    let container = &pod["containers"][0];
    assert_eq!(
        container["args"],
        json!([
            "ui",
            "--in-cluster",
            "--listen=[::]:8080",
            "--certificate-authority=/etc/daskflow/kubernetes/ca.crt"
        ])
    );
    assert_eq!(container["env"], Value::Null);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
}

/// What selects the operator selects no pod of the page, and the other way round.
#[test]
fn it_is_told_apart_from_the_operator() {
    let Some(objects) = rendered(&read(FULL)) else { return };
    let [deployment] = of_page(&objects, "Deployment")[..] else { panic!("one Deployment") };
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let [service] = of_page(&objects, "Service")[..] else { panic!("one Service") };
    let [policy] = of_page(&objects, "NetworkPolicy")[..] else { panic!("one NetworkPolicy") };
    let selects = |selector: &Value, labels: &Value| {
        selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
    };
    for selector in [
        &service["spec"]["selector"],
        &policy["spec"]["podSelector"]["matchLabels"],
        &deployment["spec"]["selector"]["matchLabels"],
    ] {
        assert!(selects(selector, labels), "{selector} of {labels}");
        let operator = &super::only(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
        assert!(!selects(selector, operator), "{selector} of {operator}");
    }
    assert!(!selects(&super::only(&objects, "Service")["spec"]["selector"], labels));
    assert!(!selects(
        &super::only(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        labels
    ));
    assert_eq!(
        policy["spec"]["ingress"][0]["from"],
        json!([{"podSelector": {"matchLabels": {"app": "proxy"}}}])
    );
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    for argument in [
        "--namespace=flows",
        "--read-only",
        "--dashboard-link=https://dask.example/${namespace}/${name}/",
        "--logs-link=https://grafana.example/logs?run=${run}&from=${startedAtEpoch}&to=${finishedAtEpoch}",
    ] {
        assert!(arguments.iter().any(|found| found == argument), "{argument} in {arguments:?}");
    }
}
