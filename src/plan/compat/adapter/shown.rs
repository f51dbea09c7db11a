//! The Deployments by which the pods of a cluster of theirs are seen.
//!
//! Their users and clients look for a Deployment `NAME-scheduler`, and for one of each worker, called as the
//! worker. Beside each of these pods there is one that shows it and controls nothing: it wants no pods, it is
//! paused, and it selects this pod alone, so that `kubectl logs deployment/NAME` reaches it.
//!
//! What it is not: nothing follows from a Deployment, and none is changed. One that is not as it should be is
//! deleted, and the next look makes it anew, as the API server may not take a change of all its fields.
//!
//! Always: a Deployment is made for a pod that has begun to run, and no earlier: before there is nothing to
//! reach by it. It is made while the scheduler serves, that of the scheduler also where its container has
//! ended before: until then a forwarded port leads nowhere, and two of their own tests take a Deployment for
//! a sign that it leads there.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;

use super::kind::TheirKind;
use super::parts;
use crate::api::{DaskCluster, labels};
use crate::plan::subset::is_subset;

/// Annotations of pods that begin so are for their operator alone.
const OF_OURS: &str = "daskflow.dev/";
/// The labels by which their clients find Deployments, and the one by which those are watched.
const FOUND_BY: [&str; 4] =
    [labels::APP_MANAGED_BY, labels::CLUSTER_NAME, labels::COMPONENT, labels::WORKER_GROUP];

/// What there is of a cluster of theirs.
pub struct Shown<'a> {
    /// The object.
    pub object: &'a DynamicObject,
    /// The `DaskWorkerGroup`s that name it.
    pub groups: &'a [Arc<DynamicObject>],
    /// The cluster of ours of its name.
    pub ours: Option<&'a DaskCluster>,
    /// The pods that say that they are of this cluster.
    pub pods: &'a [Arc<Pod>],
    /// The Deployments that say so.
    pub deployments: &'a [Arc<Deployment>],
}

/// What is to be done about one Deployment.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// Make it.
    Make(Box<Deployment>),
    /// Delete it, if it still has this uid.
    Remove {
        /// Its name.
        name: String,
        /// Its uid.
        uid: Option<String>,
    },
}

/// What a Deployment is that has the name of one that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub enum Namesake {
    /// The very one.
    Same,
    /// One of ours that is not as it should be: it is to be deleted first.
    Wrong,
    /// One that belongs to somebody else.
    Foreign,
}

/// A pod that is to be seen.
struct Seen<'a> {
    pod: &'a Pod,
    owner: OwnerReference,
}

impl Show {
    /// It in a few words, for a log.
    pub fn title(&self) -> String {
        match self {
            Self::Make(deployment) => format!("create Deployment {}", deployment.name_any()),
            Self::Remove { name, .. } => format!("delete Deployment {name}"),
        }
    }

    fn remove(deployment: &Deployment) -> Self {
        Self::Remove { name: deployment.name_any(), uid: deployment.metadata.uid.clone() }
    }
}

/// What is to be done so that each pod of the scheduler and of the workers is seen, and no other.
pub fn plan(observed: &Shown<'_>) -> Vec<Show> {
    // With it goes all that it owns.
    if observed.object.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let seen = seen(observed);
    let there: BTreeMap<&str, &Deployment> =
        observed.deployments.iter().filter_map(|one| Some((one.metadata.name.as_deref()?, &**one))).collect();
    let is_good = |deployment: &Deployment| {
        let seen = seen.get(deployment.metadata.name.as_deref().unwrap_or_default());
        seen.is_some_and(|seen| seen.is_shown_by(deployment))
    };
    let stays = |deployment: &&&Deployment| deployment.metadata.deletion_timestamp.is_none();
    let wrong = there.values().filter(stays).filter(|one| is_ours(one) && !is_good(one));
    let serves =
        observed.ours.and_then(|ours| ours.status.as_ref()?.scheduler_ready_since.as_ref()).is_some();
    let missing = seen.iter().filter(|(name, _)| !there.contains_key(**name)).map(|(_, seen)| seen);
    let missing = missing.filter(|seen| serves || seen.has_ended_before());
    let removed = wrong.map(|one| Show::remove(one));
    removed.chain(missing.filter_map(|seen| Some(Show::Make(Box::new(seen.deployment()?))))).collect()
}

/// What is to be thought of a Deployment that has the name of `wanted`.
pub fn judge(wanted: &Deployment, there: &Deployment) -> Namesake {
    if !is_ours(there) {
        return Namesake::Foreign;
    }
    if is_same(wanted, there) { Namesake::Same } else { Namesake::Wrong }
}

/// The pods that are to be seen, by name: those of our cluster for this one that have begun to run and are
/// not on their way out.
fn seen<'a>(observed: &Shown<'a>) -> BTreeMap<&'a str, Seen<'a>> {
    let Some(cluster) = TheirKind::Cluster.controller_ref(observed.object) else { return BTreeMap::new() };
    let is_of_cluster = |ours: &&DaskCluster| parts::is_owned(&ours.metadata, &cluster);
    let ours = observed.ours.filter(is_of_cluster).and_then(|ours| ours.metadata.uid.as_deref());
    let Some(ours) = ours else { return BTreeMap::new() };
    let phase = |pod: &Pod| pod.status.as_ref()?.phase.clone();
    let is_seen = |pod: &&Arc<Pod>| {
        let has_begun = phase(pod).is_some_and(|phase| phase != "Pending");
        let is_own = pod.owner_references().iter().any(|one| one.uid == ours);
        has_begun && is_own && pod.metadata.deletion_timestamp.is_none()
    };
    let owner = |pod: &Pod| match pod.labels().get(labels::COMPONENT).map(String::as_str) {
        Some(labels::SCHEDULER) => Some(cluster.clone()),
        Some(labels::WORKER) => {
            let group = pod.labels().get(labels::WORKER_GROUP)?;
            let mut groups = observed.groups.iter().filter(|one| one.metadata.deletion_timestamp.is_none());
            TheirKind::Group.controller_ref(groups.find(|one| one.metadata.name.as_ref() == Some(group))?)
        }
        _ => None,
    };
    let seen = observed.pods.iter().filter(is_seen);
    seen.filter_map(|pod| Some((pod.metadata.name.as_deref()?, Seen { pod, owner: owner(pod)? }))).collect()
}

/// Whether a Deployment is one that was made here.
fn is_ours(deployment: &Deployment) -> bool {
    let owners = deployment.owner_references();
    let is_of_theirs = owners.iter().any(|owner| TheirKind::of_owner(owner).is_some());
    is_of_theirs && deployment.annotations().contains_key(labels::SHOWN_POD)
}

/// Whether one shows the same pod in the same way as another.
///
/// What was never changed since it was made counts as made well, whatever an admission plugin has made of it:
/// it would do so again. What others have written on it is asked only then.
fn is_same(wanted: &Deployment, there: &Deployment) -> bool {
    let pod = |one: &Deployment| one.annotations().get(labels::SHOWN_POD).cloned();
    let controller = |one: &Deployment| {
        let owner = one.owner_references().iter().find(|owner| owner.controller == Some(true))?;
        Some(owner.uid.clone())
    };
    let is_found = FOUND_BY.iter().all(|key| wanted.labels().get(*key) == there.labels().get(*key));
    let is_unchanged = || there.metadata.generation.is_none_or(|generation| generation <= 1);
    let has_all = || {
        let [wanted, there] = [wanted, there].map(|one| serde_json::to_value(&one.spec).unwrap_or_default());
        is_subset(&wanted, &there)
    };
    pod(wanted) == pod(there)
        && controller(wanted) == controller(there)
        && is_found
        && (is_unchanged() || has_all())
}

impl Seen<'_> {
    /// Whether it is a scheduler whose log says why it does not serve.
    fn has_ended_before(&self) -> bool {
        let is_scheduler =
            self.pod.labels().get(labels::COMPONENT).is_some_and(|one| one == labels::SCHEDULER);
        let containers = self.pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let has_ended = |container: &ContainerStatus| {
            let ended = container.state.as_ref().is_some_and(|state| state.terminated.is_some());
            ended || container.restart_count > 0
        };
        is_scheduler && { containers }.any(has_ended)
    }

    /// Whether this Deployment shows the pod. Its template is made only where the other one has been changed.
    fn is_shown_by(&self, there: &Deployment) -> bool {
        let spec =
            || there.metadata.generation.and_then(|generation| (generation > 1).then(|| self.spec())?);
        is_same(&Deployment { metadata: self.metadata(), spec: spec(), status: None }, there)
    }

    /// The Deployment that shows the pod. None: nothing selects it alone.
    fn deployment(&self) -> Option<Deployment> {
        Some(Deployment { metadata: self.metadata(), spec: Some(self.spec()?), status: None })
    }

    fn metadata(&self) -> ObjectMeta {
        let mut annotations = self.annotations();
        annotations.insert(labels::SHOWN_POD.to_owned(), self.pod.uid().unwrap_or_default());
        ObjectMeta {
            name: self.pod.metadata.name.clone(),
            namespace: self.pod.namespace(),
            labels: self.pod.metadata.labels.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// Those of the pod that its users have written.
    fn annotations(&self) -> BTreeMap<String, String> {
        let all = self.pod.annotations().iter().filter(|(key, _)| !key.starts_with(OF_OURS));
        all.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Labels that this pod alone has.
    fn selector(&self) -> Option<BTreeMap<String, String>> {
        let mut keys = vec![labels::CLUSTER_NAME, labels::COMPONENT];
        if self.pod.labels().get(labels::COMPONENT).is_some_and(|component| component == labels::WORKER) {
            keys.push(labels::WORKER_NAME);
        }
        let label = |key: &str| Some((key.to_owned(), self.pod.labels().get(key)?.clone()));
        keys.into_iter().map(label).collect()
    }

    /// No pods, now and later; in the template the pod as it runs, but for what a template cannot have.
    fn spec(&self) -> Option<DeploymentSpec> {
        let pod = PodSpec {
            active_deadline_seconds: None,
            ephemeral_containers: None,
            node_name: None,
            // A Deployment takes no other.
            restart_policy: Some("Always".to_owned()),
            ..self.pod.spec.clone()?
        };
        let metadata = ObjectMeta {
            labels: self.pod.metadata.labels.clone(),
            annotations: Some(self.annotations()).filter(|all| !all.is_empty()),
            ..ObjectMeta::default()
        };
        Some(DeploymentSpec {
            paused: Some(true),
            replicas: Some(0),
            selector: LabelSelector { match_labels: Some(self.selector()?), ..LabelSelector::default() },
            template: PodTemplateSpec { metadata: Some(metadata), spec: Some(pod) },
            ..DeploymentSpec::default()
        })
    }
}

#[cfg(test)]
mod tests;
