//! What is wanted of ours for a cluster of theirs, and what is said of that.
//!
//! A part of a cluster (a group, an autoscaler) that cannot be had is left out, and an event of the part says
//! so; where it is served already, it goes on as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::kind::TheirKind;
use super::observed::Cluster;
use super::parts;
use super::write::Plan;
use crate::api::dask_cluster::{IdleAction, WORKER_GROUPS_MAX};
use crate::api::{DaskCluster, Reason, WorkersSpec, labels};
use crate::plan::Note;
use crate::plan::compat::group::default_name;
use crate::plan::compat::labels as words;
use crate::plan::compat::{Effect, Ours, Remark, served_group, translate_served};
use crate::plan::objects::content_hash;
use crate::plan::pods::worker;

/// Fields of ours that a reader of a manifest may wonder about, and that let pods start as they did.
const AS_BEFORE: [&str; 2] = ["spec.entrypoint", "spec.python"];

/// What follows for a part that cannot be had.
const UNTIL: &str = "; until this is corrected, the cluster goes on without it, or with it as it was before";

/// What is wanted of ours.
pub(super) struct Wanted {
    pub(super) cluster: DaskCluster,
    pub(super) beside: Option<Service>,
}

/// A group or an autoscaler of a cluster.
type Part<'a> = (TheirKind, &'a Arc<DynamicObject>);

/// The autoscalers that are not about to go: the oldest first, which is the one that counts, whatever comes
/// later and however it is called.
pub(super) fn autoscalers<'a>(observed: &Cluster<'a>, owner: &OwnerReference) -> Vec<&'a Arc<DynamicObject>> {
    let stays = |object: &&Arc<DynamicObject>| !parts::is_of_former(&object.metadata, owner);
    let mut all: Vec<_> = observed.autoscalers.iter().filter(stays).collect();
    all.sort_by_key(|one| age(one));
    all
}

/// What objects are in order by, the oldest first.
fn age(object: &DynamicObject) -> (Option<Timestamp>, Option<String>) {
    (object.metadata.creation_timestamp.as_ref().map(|time| time.0), object.metadata.name.clone())
}

/// What the objects of theirs become, if they can; and what is to be said of that. `there`: ours, as it is.
pub(super) fn wanted(
    observed: &Cluster<'_>,
    (owner, there): (&OwnerReference, Option<&DaskCluster>),
    plan: &mut Plan,
) -> Option<Wanted> {
    let cluster = observed.object;
    let groups = observed.groups.iter().filter(|group| !parts::is_of_former(&group.metadata, owner));
    let autoscalers = autoscalers(observed, owner).into_iter().map(|one| (TheirKind::Autoscaler, one));
    let all: Vec<Part<'_>> = groups.map(|group| (TheirKind::Group, group)).chain(autoscalers).collect();
    let is_refused = |part: &Part<'_>| parts::refusal(part.1, observed.refused).is_some();
    let (mut refused, parts): (Vec<Part<'_>>, Vec<Part<'_>>) = all.iter().partition(|part| is_refused(part));
    for (kind, group) in &refused {
        let said = parts::refusal(group, observed.refused).unwrap_or_default();
        let note = Note::warning(Reason::Rejected, format!("{said}{UNTIL}"));
        plan.beside.push((kind.reference(group), note));
    }
    // That of a job is translated as any other.
    let mut own = cluster.clone();
    own.metadata.owner_references = None;
    let beside = parts.iter().map(|(_, object)| value_of(object));
    let objects: Vec<Value> = [value_of(&own)].into_iter().chain(beside).collect();
    let (mut made, mut service, mut remarks) = (None, None, Vec::new());
    for translated in translate_served(&objects) {
        remarks.extend(translated.remarks);
        for written in translated.written {
            match written.object {
                Ours::Cluster(cluster) => made = Some(*cluster),
                Ours::Service(beside) => service = Some(*beside),
                Ours::Flow(_) | Ours::Run(_) => {}
            }
        }
    }
    say(&remarks, (cluster, &parts), plan);
    let mut ours = made?;
    ours.metadata = metadata(cluster, owner);
    // Theirs is deleted, and ours with it; ours alone would be made again.
    if let Some(idle) = ours.spec.idle.as_mut().filter(|idle| idle.action == IdleAction::Delete) {
        idle.action = IdleAction::Suspend;
    }
    if let Some(there) = there {
        let places = remarks.iter().filter(|remark| remark.effect == Effect::Refused);
        let places: BTreeSet<usize> = places.filter_map(|remark| remark.of.checked_sub(1)).collect();
        refused.extend(places.iter().filter_map(|place| parts.get(*place)));
        keep(&mut ours, there, (&all, &refused));
    }
    leave_out(&mut ours, there, &all, plan);
    let beside = service.map(|service| write_beside(service, &ours, owner));
    Some(Wanted { cluster: ours, beside })
}

/// An object as it is translated.
fn value_of(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The metadata of ours. What theirs gives to its pods is noted there, and not in the spec: pods that are
/// there keep what they have.
fn metadata(theirs: &DynamicObject, owner: &OwnerReference) -> ObjectMeta {
    let extra = words::of_pods(&theirs.metadata);
    let of_pods = words::template(Some(&extra));
    let mut annotations = extra.annotations.unwrap_or_default();
    annotations.extend(of_pods.map(|metadata| (labels::POD_METADATA.to_owned(), metadata.to_string())));
    ObjectMeta {
        name: theirs.metadata.name.clone(),
        namespace: theirs.metadata.namespace.clone(),
        labels: extra.labels,
        annotations: (!annotations.is_empty()).then_some(annotations),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Lets parts that are refused go on as they are in ours.
fn keep(ours: &mut DaskCluster, there: &DaskCluster, (all, refused): (&[Part<'_>], &[Part<'_>])) {
    let cluster = ours.name_any();
    let first = all.iter().find(|(kind, _)| *kind == TheirKind::Autoscaler);
    for (kind, object) in refused {
        let (workers, was) = (&mut ours.spec.workers, &there.spec.workers);
        let is_first = first.is_some_and(|(_, first)| Arc::ptr_eq(first, object));
        match kind {
            TheirKind::Group if object.name_any() == default_name(&cluster) => {
                workers.replicas = was.replicas.filter(|_| workers.autoscale.is_none());
            }
            TheirKind::Group => {
                let name = served_group(&cluster, &object.name_any());
                let was = there.spec.worker_groups.iter().find(|group| group.name == name);
                ours.spec.worker_groups.extend(was.cloned().map(|mut was| {
                    keep_image(&mut was.workers, (&there.spec.image, &ours.spec.image));
                    was
                }));
            }
            _ if is_first && workers.autoscale.is_none() && was.autoscale.is_some() => {
                (workers.replicas, workers.autoscale) = (None, was.autoscale.clone());
            }
            _ => {}
        }
    }
    // In the order of theirs, so that one that is kept changes nothing.
    let groups = all.iter().filter(|(kind, _)| *kind == TheirKind::Group);
    let names: Vec<String> = groups.map(|(_, group)| served_group(&cluster, &group.name_any())).collect();
    ours.spec.worker_groups.sort_by_key(|group| names.iter().position(|name| *name == group.name));
}

/// Leaves out the groups that are too many, and says so of each of them, and nothing else. Those that are
/// served already come first, so that none loses its workers to one that comes; then the older ones.
fn leave_out(ours: &mut DaskCluster, there: Option<&DaskCluster>, all: &[Part<'_>], plan: &mut Plan) {
    let has =
        |cluster: &DaskCluster, name: &str| cluster.spec.worker_groups.iter().any(|group| group.name == name);
    let cluster = ours.name_any();
    let groups = all.iter().filter(|(kind, _)| *kind == TheirKind::Group);
    let named = groups.map(|part| (served_group(&cluster, &part.1.name_any()), part));
    let mut named: Vec<(String, &Part<'_>)> = named.filter(|(name, _)| has(ours, name)).collect();
    named.sort_by_key(|(name, (_, group))| (!there.is_some_and(|there| has(there, name)), age(group)));
    for (name, (kind, group)) in named.into_iter().skip(WORKER_GROUPS_MAX) {
        ours.spec.worker_groups.retain(|other| other.name != name);
        let message = format!(
            "spec.cluster: a cluster has at most {WORKER_GROUPS_MAX} groups beside {}, and this is one more: delete another one, \
             or give this one a cluster of its own; until then, the cluster goes on without it",
            default_name(&cluster)
        );
        let about = kind.reference(group);
        plan.beside.retain(|(other, _)| *other != about);
        plan.beside.push((about, Note::warning(Reason::InvalidSpec, message)));
    }
}

/// Keeps the image of a group that had none of its own.
fn keep_image(workers: &mut WorkersSpec, (was, is): (&str, &str)) {
    if was == is {
        return;
    }
    let template = workers.template.get_or_insert_with(|| json!({}));
    let Some(template) = template.as_object_mut() else { return };
    let spec = template.entry("spec").or_insert_with(|| json!({}));
    let Some(spec) = spec.as_object_mut() else { return };
    let containers = spec.entry("containers").or_insert_with(|| json!([]));
    let Some(containers) = containers.as_array_mut() else { return };
    let is_main =
        |container: &&mut Value| container.get("name").is_some_and(|name| name == worker::CONTAINER);
    match containers.iter_mut().find(is_main).and_then(Value::as_object_mut) {
        Some(main) => {
            main.entry("image").or_insert_with(|| json!(was));
        }
        None => containers.push(json!({"name": worker::CONTAINER, "image": was})),
    }
}

/// The Service beside, as an object of ours: it goes with the cluster, and a change of it is seen.
fn write_beside(mut service: Service, ours: &DaskCluster, owner: &OwnerReference) -> Service {
    let hash = content_hash(&service);
    service.metadata.owner_references = Some(vec![owner.clone()]);
    service.metadata.labels = Some(
        [(labels::APP_MANAGED_BY, labels::APP.to_owned()), (labels::CLUSTER_NAME, ours.name_any())]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
    );
    service.metadata.annotations.get_or_insert_default().insert(labels::TEMPLATE_HASH.to_owned(), hash);
    service
}

/// Says what cannot be honoured, and what is different, each of the object that it is about. What is only of
/// files, or of how the parts of a living cluster are joined, is as it was: the labels of the object stay on
/// it, the number of workers is the group's, an autoscaler starts from the size that there is, and who starts
/// the program of a pod.
fn say(remarks: &[Remark], (cluster, parts): (&DynamicObject, &[Part<'_>]), plan: &mut Plan) {
    let words = |remark: &Remark| format!("{}: {}", remark.field, remark.message);
    let is_plain =
        |remark: &&Remark| remark.effect == Effect::Changed && !AS_BEFORE.contains(&remark.place.as_str());
    let different = |remarks: &mut dyn Iterator<Item = &Remark>| {
        let all: BTreeSet<String> = remarks.map(words).collect();
        let all: Vec<String> = all.into_iter().collect();
        let message = format!("what is different with daskflow: {}", all.join("; "));
        (!all.is_empty()).then(|| Note::normal(Reason::Adapted, message))
    };
    let own = |remark: &&Remark| remark.of == 0;
    let refused = |remark: &&Remark| remark.effect == Effect::Refused;
    let of_own = remarks.iter().filter(own);
    plan.notes.extend(
        of_own.clone().filter(refused).map(|remark| Note::warning(Reason::InvalidSpec, words(remark))),
    );
    let is_of_file = |remark: &&Remark| remark.field.starts_with("metadata.");
    plan.notes.extend(different(&mut of_own.filter(is_plain).filter(|remark| !is_of_file(remark))));
    let default = default_name(&cluster.name_any());
    for (at, (kind, object)) in parts.iter().enumerate() {
        let of_part = remarks.iter().filter(|remark| remark.of == at + 1);
        let notes = of_part
            .clone()
            .filter(refused)
            .map(|remark| Note::warning(Reason::InvalidSpec, format!("{}{UNTIL}", words(remark))));
        let is_further = *kind == TheirKind::Group && object.name_any() != default;
        let different = different(&mut of_part.clone().filter(is_plain).filter(|_| is_further));
        let about = kind.reference(object);
        plan.beside.extend(notes.chain(different).map(|note| (about.clone(), note)));
    }
}
