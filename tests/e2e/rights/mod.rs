//! Least privilege: what the operator may do is what it does.

mod namespaced;
mod provoke;

use std::collections::BTreeSet;

use daskflow::operator::rights::{RIGHTS, Use};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::support::audit::{Asked, Grant, Right, asked, grants};
use crate::support::figures::figure;
use crate::support::{Load, leave_out, operator, poll, test, within};

#[tokio::test]
async fn rights_are_neither_missing_nor_spare() {
    test("rights_are_neither_missing_nor_spare", Load::Dask, async |namespace| {
        let Some(log) = &namespace.settings.audit_log else {
            return leave_out(
                "rights_are_neither_missing_nor_spare",
                "only an embedded cluster that was started with --audit has a log to read",
            );
        };
        let client = &namespace.client;
        let grants = grants(client, operator::NAMESPACE, operator::ACCOUNT).await;
        let granted: BTreeSet<Right> = grants.iter().flat_map(Grant::rights).collect();
        assert!(granted.len() > 30, "the roles of the operator are found: {granted:?}");
        let words = granted.iter().flat_map(|one| [&one.group, &one.resource, &one.verb]);
        assert!(!words.into_iter().any(|word| word.contains('*')), "no wildcard: {granted:?}");
        assert!(!grants.iter().any(|grant| grant.rule.non_resource_urls.is_some()), "{grants:?}");

        let account = account(operator::NAMESPACE);
        may_not(client, &account, &namespace.name).await;
        provoke::everything(namespace).await;

        // The end of a watch is logged, and it takes a minute.
        namespace.gives_turn_back();
        let spare = poll(within(120, "all that is granted is used"), async || {
            let used = asked(log, &account).into_iter().filter(|one| !one.denied);
            let used: BTreeSet<Right> = used.map(|one| one.what).collect();
            let spare = granted.iter().filter(|one| !used.contains(*one) && !leaves_no_trace(one));
            let spare: Vec<String> = spare.map(ToString::to_string).collect();
            if spare.is_empty() { Ok(used) } else { Err(spare.join(", ")) }
        });
        let used = spare.await;
        figure("rights_granted", granted.len(), "verbs");
        figure("rights_used", used.len(), "verbs");

        // An API server that has only just begun denies what it grants a moment later.
        let is_missing = |one: &Asked| one.denied && !grants.iter().any(|grant| grant.covers(one));
        let missing: Vec<Asked> = asked(log, &account).into_iter().filter(is_missing).collect();
        assert!(missing.is_empty(), "denied: {missing:?}");
    })
    .await;
}

/// Who may edit a namespace may edit our kinds in it, and who may view it may view them. Statuses are the
/// operator's.
#[tokio::test]
async fn users_of_a_namespace_can_use_our_kinds() {
    test("users_of_a_namespace_can_use_our_kinds", Load::Light, async |namespace| {
        for (user, role) in [("e2e-editor", "edit"), ("e2e-viewer", "view")] {
            namespace
                .create::<RoleBinding>(json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                    "metadata": {"name": user},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
                }))
                .await;
        }
        let may = async |user: &str, resource: &str, verb: &str| {
            allows(&namespace.client, user, &namespace.name, ("daskflow.dev", resource, verb)).await
        };
        // The API server hears of a binding a moment later.
        for user in ["e2e-editor", "e2e-viewer"] {
            poll(within(30, format!("{user} may list flows")), async || {
                if may(user, "flows", "list").await { Ok(()) } else { Err("no".to_owned()) }
            })
            .await;
        }
        for resource in ["daskclusters", "flows", "flowruns", "flowbackfills"] {
            for verb in ["create", "update", "patch", "delete"] {
                assert!(may("e2e-editor", resource, verb).await, "{verb} {resource}");
                assert!(!may("e2e-viewer", resource, verb).await, "{verb} {resource}");
            }
            for user in ["e2e-editor", "e2e-viewer"] {
                assert!(may(user, resource, "get").await, "{user}: get {resource}");
                assert!(
                    !may(user, &format!("{resource}/status"), "patch").await,
                    "{user}: {resource}/status"
                );
            }
        }
        assert!(may("e2e-editor", "daskclusters/scale", "patch").await);
        assert!(!may("e2e-viewer", "daskclusters/scale", "patch").await);
    })
    .await;
}

/// The name of a service account that is called as the operator's.
fn account(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{}", operator::ACCOUNT)
}

/// Whether the table says that no request of this test shows that this is needed.
fn leaves_no_trace(granted: &Right) -> bool {
    RIGHTS.iter().any(|right| {
        right.used != Use::Requests
            && right.group == granted.group
            && right.resources.contains(&granted.resource.as_str())
            && right.verbs.contains(&granted.verb.as_str())
    })
}

/// What would be as good as all rights, asked of the API server itself: other roles may grant it as well.
async fn may_not(client: &Client, user: &str, namespace: &str) {
    let questions = [
        ("", "secrets", "list"),
        ("", "secrets", "watch"),
        ("", "pods/exec", "create"),
        ("", "pods/log", "get"),
        ("", "serviceaccounts/token", "create"),
        ("", "serviceaccounts", "impersonate"),
        ("rbac.authorization.k8s.io", "roles", "create"),
        ("rbac.authorization.k8s.io", "roles", "escalate"),
        ("rbac.authorization.k8s.io", "rolebindings", "create"),
    ];
    for what in questions {
        assert!(!allows(client, user, namespace, what).await, "{what:?}");
    }
    // The question itself works.
    assert!(allows(client, user, namespace, ("", "secrets", "get")).await);
}

/// Whether a user may do this in a namespace.
async fn allows(
    client: &Client,
    user: &str,
    namespace: &str,
    (group, resource, verb): (&str, &str, &str),
) -> bool {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        namespace: Some(namespace.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
    answer.status.is_some_and(|status| status.allowed)
}
