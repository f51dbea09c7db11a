//! The NetworkPolicy of a cluster: who may open a connection to its pods.
//!
//! It restricts what comes in and nothing that goes out. Its rules add to those of other policies: whoever
//! wants more let in writes a policy of their own. Why it is so: `docs/adr/0018-network-policy.md`.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::Value;

use super::work::Work;
use crate::api::{DaskCluster, labels};
use crate::plan::pods::{common_labels, controller_ref, scheduler};
use crate::plan::site::Site;
use crate::plan::{Applied, Step, Victim, VictimKind, names, subset};

/// The value of `app.kubernetes.io/component` on the policy itself.
const COMPONENT: &str = "network-policy";

/// The NetworkPolicy that a cluster gets where `spec.networkPolicy.enabled` says so.
pub fn network_policy(cluster: &DaskCluster, site: Site) -> NetworkPolicy {
    let name = cluster.name_any();
    let mut all_labels = common_labels(&name, COMPONENT);
    all_labels.insert(labels::CLUSTER_NAME.to_owned(), name.clone());
    let own = own_pods(&name);
    NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(names::network_policy_name(&name)),
            namespace: cluster.namespace(),
            owner_references: controller_ref(cluster).map(|owner| vec![owner]),
            labels: Some(all_labels),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(own.clone()),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    // A Dask client may talk to the workers themselves, whose ports are chosen at random.
                    from: Some(vec![here(own), here(runners())]),
                    ports: None,
                },
                NetworkPolicyIngressRule {
                    from: Some(vec![operators()]),
                    ports: Some(vec![comm_port(site)]),
                },
            ]),
            egress: None,
        }),
    }
}

/// The scheduler and the workers of a cluster. Clusters of other operators have the same Dask labels, but not
/// our mark.
fn own_pods(cluster: &str) -> LabelSelector {
    let ours = scheduler::component_labels(cluster, labels::SCHEDULER);
    let components = LabelSelectorRequirement {
        key: labels::COMPONENT.to_owned(),
        operator: "In".to_owned(),
        values: Some([labels::SCHEDULER, labels::WORKER].map(str::to_owned).to_vec()),
    };
    LabelSelector {
        match_labels: Some(only(ours, &[labels::CLUSTER_NAME, labels::APP_MANAGED_BY])),
        match_expressions: Some(vec![components]),
    }
}

/// The runners of all flows: which flows run on a cluster is not known beforehand.
fn runners() -> LabelSelector {
    let mut wanted = only(common_labels("", labels::RUNNER), &[labels::APP_MANAGED_BY]);
    wanted.insert(labels::COMPONENT.to_owned(), labels::RUNNER.to_owned());
    LabelSelector { match_labels: Some(wanted), match_expressions: None }
}

/// The operator, by the labels that the Helm chart gives it, in whatever namespace it was installed.
fn operators() -> NetworkPolicyPeer {
    let wanted = only(common_labels("", labels::OPERATOR), &[labels::APP_NAME, labels::APP_COMPONENT]);
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(LabelSelector { match_labels: Some(wanted), match_expressions: None }),
        ip_block: None,
    }
}

/// Pods of the policy's own namespace.
fn here(pods: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(pods), namespace_selector: None, ip_block: None }
}

fn comm_port(site: Site) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(site.comm_port().into())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

fn only(mut all: BTreeMap<String, String>, keys: &[&str]) -> BTreeMap<String, String> {
    all.retain(|key, _| keys.contains(&key.as_str()));
    all
}

/// Makes the policy what the spec wants, or takes it away. One of the same name that is not ours is never
/// deleted, and applying says that its name is taken.
pub(super) fn fill(work: &mut Work<'_>) {
    let (cluster, there) = (work.cluster, work.observed.network_policy.as_deref());
    if cluster.spec.network_policy.as_ref().is_some_and(|policy| policy.enabled) {
        let wanted = network_policy(cluster, work.observed.site);
        if !there.is_some_and(|there| is_as_wanted(&wanted, there)) {
            work.steps.push(Step::Apply(Box::new(Applied::NetworkPolicy(wanted))));
        }
    } else if let Some(there) = there.filter(|there| is_to_go(cluster, there)) {
        work.steps.push(Step::Delete(Victim {
            kind: VictimKind::NetworkPolicy,
            name: there.name_any(),
            uid: there.metadata.uid.clone(),
        }));
    }
}

/// Whether all that is ours in the policy is so. What a rule leaves out means "any", so the rules must be the
/// same to the letter; the API server adds no default to them. `egress` is left to others.
fn is_as_wanted(wanted: &NetworkPolicy, there: &NetworkPolicy) -> bool {
    let metadata = |policy: &NetworkPolicy| serde_json::to_value(&policy.metadata).unwrap_or(Value::Null);
    let rules = |policy: &NetworkPolicy| {
        let spec = policy.spec.clone().unwrap_or_default();
        NetworkPolicySpec { egress: None, ..spec }
    };
    subset::is_subset(&metadata(wanted), &metadata(there)) && rules(wanted) == rules(there)
}

fn is_to_go(cluster: &DaskCluster, there: &NetworkPolicy) -> bool {
    let uid = cluster.metadata.uid.as_ref();
    let is_ours = there.owner_references().iter().any(|owner| Some(&owner.uid) == uid);
    is_ours && there.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests;
