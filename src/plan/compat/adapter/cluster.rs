//! A `DaskCluster` of theirs: ours for it, what belongs to it, and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::kind::TheirKind;
use super::living;
use super::parts::{self, Changes};
use super::write::{Plan, Write, status_of};
use crate::api::dask_cluster::IdleAction;
use crate::api::{DaskCluster, Reason, WorkersSpec, labels};
use crate::plan::compat::labels as words;
use crate::plan::compat::{Effect, Ours, Remark, translate_served};
use crate::plan::conditions::Failure;
use crate::plan::names::{CLUSTER_NAME_MAX, LABEL_MAX};
use crate::plan::objects::content_hash;
use crate::plan::pods::worker::DEFAULT_GROUP;
use crate::plan::{Applied, Note, Object, Step};

/// It is known, and nothing is made for it yet.
const CREATED: &str = "Created";
/// Something is made for it, and its Service cannot be reached yet.
const PENDING: &str = "Pending";
/// Its Service is there, and the pod of its scheduler was. Their clients wait for this, and ask for the pod from
/// then on; those of 2023 do so once.
pub(super) const RUNNING: &str = "Running";
/// Nothing is made for it until somebody changes it.
pub(super) const ERROR: &str = "Error";

/// Fields of ours that a reader of a manifest may wonder about, and that let pods start as they did.
const AS_BEFORE: [&str; 2] = ["spec.entrypoint", "spec.python"];

/// A cluster of theirs, and what there is for it.
pub struct Cluster<'a> {
    /// The object.
    pub object: &'a DynamicObject,
    /// The `DaskWorkerGroup`s that name it.
    pub groups: &'a [Arc<DynamicObject>],
    /// The `DaskAutoscaler`s that name it.
    pub autoscalers: &'a [Arc<DynamicObject>],
    /// The cluster of ours of its name.
    pub ours: Option<&'a DaskCluster>,
    /// The Service `NAME-scheduler`.
    pub service: Option<&'a Service>,
    /// The pods of its scheduler: that of ours, and where there is none of ours and the API server was asked,
    /// those of anybody.
    pub schedulers: &'a [Arc<Pod>],
    /// The Service `NAME-service`, for what the other cannot be.
    pub beside: Option<&'a Service>,
    /// Whether the API server has been asked for all of theirs and ours just now.
    pub is_live: bool,
}

/// What there is of ours under the name.
#[derive(Clone, Copy)]
enum There<'a> {
    Nothing,
    /// An earlier one, on its way out.
    Former,
    /// One that belongs to somebody else.
    Another,
    Own(&'a DaskCluster),
}

/// What is wanted of ours.
struct Wanted {
    cluster: DaskCluster,
    beside: Option<Service>,
}

/// What is to be done about a cluster of theirs.
pub fn plan(observed: &Cluster<'_>) -> Plan {
    let cluster = observed.object;
    let mut plan = Plan::default();
    if cluster.metadata.deletion_timestamp.is_some() {
        let_all_go(observed, &mut plan);
        return plan;
    }
    let Some(owner) = TheirKind::Cluster.controller_ref(cluster) else { return plan };
    if !is_name(&cluster.name_any()) {
        let message = format!(
            "metadata.name: the name of a DaskCluster has at most {CLUSTER_NAME_MAX} lower-case letters, digits and '-', and \
             begins and ends with a letter or a digit: nothing is made for this one"
        );
        plan.notes.push(Note::warning(Reason::InvalidSpec, message));
        plan.phase(cluster, ERROR);
        return plan;
    }
    let there = There::of(observed, &owner);
    if matches!(there, There::Nothing) && living::may_be(cluster) {
        if !observed.is_live {
            // The caches have nothing that is not ours.
            plan.wants_look = true;
            return plan;
        }
        let objects = living::objects(observed, &owner);
        if !objects.is_empty() {
            living::leave(observed, &owner, &objects, &mut plan);
            return plan;
        }
    }
    let wanted = wanted(observed, &owner, &mut plan);
    if let (There::Own(ours), Some(wanted)) = (there, &wanted)
        && rests(ours, &wanted.cluster)
    {
        return end(observed, ours);
    }
    let is_first = status_of(cluster, "phase").is_empty();
    if is_first {
        plan.phase(cluster, phase(observed, there, wanted.is_some()));
    }
    change_parts(observed, &owner, wanted.as_ref(), &mut plan);
    if let Some(wanted) = wanted.as_ref() {
        write_ours(observed, there, wanted, &mut plan);
    }
    if !is_first {
        plan.phase(cluster, phase(observed, there, wanted.is_some()));
    }
    plan
}

/// What is to be said of a cluster of theirs whose plan could not be carried out, where waiting alone does
/// not help.
pub fn failing(observed: &Cluster<'_>, failure: &Failure) -> Plan {
    let mut plan = Plan::default();
    plan.notes.push(Note::warning(failure.reason, failure.message.clone()));
    if observed.ours.is_none() {
        plan.phase(observed.object, ERROR);
    }
    plan
}

/// Whether their operator takes a name. Whatever else Kubernetes may say of it, it says itself.
pub(super) fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= CLUSTER_NAME_MAX
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

impl<'a> There<'a> {
    fn of(observed: &Cluster<'a>, owner: &OwnerReference) -> Self {
        match observed.ours {
            None => Self::Nothing,
            Some(ours) if parts::is_of_former(&ours.metadata, owner) => Self::Former,
            Some(ours) if parts::is_owned(&ours.metadata, owner) => Self::Own(ours),
            Some(_) => Self::Another,
        }
    }
}

/// The phase as their clients know it.
fn phase(observed: &Cluster<'_>, there: There<'_>, is_wanted: bool) -> &'static str {
    match there {
        There::Own(_) if observed.service.is_some_and(is_reachable) && has_begun(observed) => RUNNING,
        There::Own(_) => PENDING,
        There::Another => ERROR,
        _ if !is_wanted => ERROR,
        // What the API server has refused stays so until it takes it.
        There::Nothing if status_of(observed.object, "phase") == ERROR => ERROR,
        There::Nothing | There::Former => CREATED,
    }
}

/// Whether its scheduler has, or has had, a pod.
fn has_begun(observed: &Cluster<'_>) -> bool {
    !observed.schedulers.is_empty() || status_of(observed.object, "phase") == RUNNING
}

/// Whether a Service has got all that it waits for: a load balancer gives it an address.
pub(super) fn is_reachable(service: &Service) -> bool {
    let is_balanced = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref());
    !is_balanced || ingress.is_some_and(|ingress| !ingress.is_empty())
}

/// A cluster that is being deleted takes all of it along: nothing may hold that up.
fn let_all_go(observed: &Cluster<'_>, plan: &mut Plan) {
    let groups = observed.groups.iter().map(|group| Changes::of(TheirKind::Group, group));
    let autoscalers = observed.autoscalers.iter().map(|one| Changes::of(TheirKind::Autoscaler, one));
    plan.writes.extend(groups.chain(autoscalers).filter_map(|changes| changes.let_go().write()));
    // Last: without it they are looked at no more.
    plan.writes.extend(Changes::of(TheirKind::Cluster, observed.object).let_go().write());
}

/// What the objects of theirs become, if they can; and what is to be said of that.
fn wanted(observed: &Cluster<'_>, owner: &OwnerReference, plan: &mut Plan) -> Option<Wanted> {
    let cluster = observed.object;
    let stays = |object: &&Arc<DynamicObject>| !parts::is_of_former(&object.metadata, owner);
    let groups: Vec<_> = observed.groups.iter().filter(stays).collect();
    let autoscalers = observed.autoscalers.iter().filter(stays);
    // That of a job is translated as any other.
    let mut own = cluster.clone();
    own.metadata.owner_references = None;
    let beside = groups.iter().copied().chain(autoscalers).map(|object| value_of(object));
    let objects: Vec<Value> = [value_of(&own)].into_iter().chain(beside).collect();
    let translated = translate_served(&objects).into_iter().find(|translated| translated.of == 0)?;
    let default = parts::default_name(&cluster.name_any());
    let default = groups.iter().position(|group| group.name_any() == default).map(|at| at + 1);
    say(&translated.remarks, (groups.len(), default), &objects, plan);
    let (mut made, mut service) = (None, None);
    for written in translated.written {
        match written.object {
            Ours::Cluster(cluster) => made = Some(*cluster),
            Ours::Service(beside) => service = Some(*beside),
            Ours::Flow(_) | Ours::Run(_) => {}
        }
    }
    let mut ours = made?;
    let extra = words::of_pods(&cluster.metadata);
    ours.metadata = ObjectMeta {
        name: cluster.metadata.name.clone(),
        namespace: cluster.metadata.namespace.clone(),
        labels: extra.labels,
        annotations: extra.annotations,
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    };
    // Theirs is deleted, and ours with it; ours alone would be made again.
    if let Some(idle) = ours.spec.idle.as_mut().filter(|idle| idle.action == IdleAction::Delete) {
        idle.action = IdleAction::Suspend;
    }
    name_groups(&mut ours, &groups);
    let beside = service.map(|service| write_beside(service, &ours, owner));
    Some(Wanted { cluster: ours, beside })
}

/// Names each group after the one of theirs that it is made for: their clients select its pods by that.
fn name_groups(ours: &mut DaskCluster, theirs: &[&Arc<DynamicObject>]) {
    let default = parts::default_name(&ours.name_any());
    let others = theirs.iter().map(|group| group.name_any()).filter(|name| *name != default);
    let groups = ours.spec.worker_groups.iter_mut().map(|group| &mut group.workers);
    set_group_label(&mut ours.spec.workers, &default);
    for (workers, name) in groups.zip(others) {
        set_group_label(workers, &name);
    }
}

fn set_group_label(workers: &mut WorkersSpec, name: &str) {
    if name.len() > LABEL_MAX {
        return;
    }
    let mut at = workers.template.get_or_insert_with(|| json!({}));
    for field in ["metadata", "labels"] {
        let Some(fields) = at.as_object_mut() else { return };
        at = fields.entry(field).or_insert_with(|| json!({}));
    }
    if let Some(labels) = at.as_object_mut() {
        labels.insert(labels::WORKER_GROUP.to_owned(), json!(name));
    }
}

/// An object as it is translated.
fn value_of(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
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

/// Says what cannot be honoured, and what is different. What is only of files, or of how the parts of a
/// living cluster are joined, is as it was: the labels of the object stay on it, the number of workers is the
/// group's, an autoscaler starts from the size that there is, and who starts the program of a pod.
fn say(remarks: &[Remark], (groups, default): (usize, Option<usize>), objects: &[Value], plan: &mut Plan) {
    let said = |remark: &Remark| {
        let name = objects.get(remark.of).and_then(|object| object.pointer("/metadata/name")?.as_str());
        let kind = if remark.of > groups { TheirKind::Autoscaler } else { TheirKind::Group };
        let words = format!("{}: {}", remark.field, remark.message);
        if remark.of == 0 {
            return words;
        }
        format!("{} {} {words}", kind.as_str(), name.unwrap_or_default())
    };
    let refused = remarks.iter().filter(|remark| remark.effect == Effect::Refused);
    plan.notes.extend(refused.map(|remark| Note::warning(Reason::InvalidSpec, said(remark))));
    let counts = |remark: &&Remark| {
        let is_of_living =
            remark.field.starts_with("metadata.") || remark.of > groups || Some(remark.of) == default;
        let is_as_before = AS_BEFORE.contains(&remark.place.as_str());
        remark.effect == Effect::Changed && !is_of_living && !is_as_before
    };
    let changed: BTreeSet<String> = remarks.iter().filter(counts).map(said).collect();
    if !changed.is_empty() {
        let all: Vec<&str> = changed.iter().map(String::as_str).collect();
        let message = format!("what is different with daskflow: {}", all.join("; "));
        plan.notes.push(Note::normal(Reason::Adapted, message));
    }
}

/// Brings the objects beside the cluster in line.
fn change_parts(observed: &Cluster<'_>, owner: &OwnerReference, wanted: Option<&Wanted>, plan: &mut Plan) {
    let cluster = observed.object;
    plan.writes.extend(Changes::of(TheirKind::Cluster, cluster).let_go().write());
    let default = parts::default_name(&cluster.name_any());
    if !observed.groups.iter().any(|group| group.name_any() == default) {
        plan.writes.push(parts::default_group(cluster, owner));
    }
    for group in observed.groups.iter().filter(|group| !parts::is_of_former(&group.metadata, owner)) {
        let mut changes = Changes::of(TheirKind::Group, group).let_go().owned_by(owner);
        if group.name_any() == default {
            changes = changes.scaled_by(cluster);
            // What cannot be honoured is not passed on.
            if wanted.is_some() {
                changes = changes.shaped_by(cluster);
            }
            if let Some(wanted) = followed(observed, owner).filter(|wanted| parts::replicas(group) != *wanted)
            {
                // Who scales deletes the autoscaler first, which another watch tells of.
                plan.wants_look |= !observed.is_live;
                changes = changes.followed(wanted);
            }
        }
        plan.writes.extend(changes.write());
    }
    for autoscaler in observed.autoscalers.iter().filter(|one| !parts::is_of_former(&one.metadata, owner)) {
        plan.writes.extend(Changes::of(TheirKind::Autoscaler, autoscaler).let_go().owned_by(owner).write());
    }
}

/// How many workers the autoscaler of the cluster wants now.
fn followed(observed: &Cluster<'_>, owner: &OwnerReference) -> Option<i64> {
    let stays = |object: &&Arc<DynamicObject>| !parts::is_of_former(&object.metadata, owner);
    observed.autoscalers.iter().find(stays)?;
    let ours = observed.ours.filter(|ours| ours.spec.workers.autoscale.is_some())?;
    let status = ours.status.as_ref()?;
    if status.observed_generation != ours.metadata.generation {
        return None;
    }
    let group = status.groups.iter().find(|group| group.name == DEFAULT_GROUP)?;
    Some(group.desired.into())
}

/// Makes ours, or makes it what it should be again.
fn write_ours(observed: &Cluster<'_>, there: There<'_>, wanted: &Wanted, plan: &mut Plan) {
    match there {
        There::Former => return,
        There::Another => {
            let message = format!(
                "the DaskCluster {} of daskflow.dev exists and is not of this one: rename it or delete it",
                wanted.cluster.name_any()
            );
            return plan.notes.push(Note::warning(Reason::NameTaken, message));
        }
        There::Nothing => {
            let object = Object::Cluster(wanted.cluster.clone());
            plan.step(Step::Create(Box::new(object)));
        }
        There::Own(ours) => {
            let changed = changed(ours, &wanted.cluster);
            plan.writes.extend(changed.map(|changed| Write::Replace(Box::new(changed))));
        }
    }
    let hash = |service: &Service| service.annotations().get(labels::TEMPLATE_HASH).cloned();
    if let Some(beside) =
        wanted.beside.as_ref().filter(|beside| observed.beside.and_then(hash) != hash(beside))
    {
        plan.step(Step::Apply(Box::new(Applied::Service(beside.clone()))));
    }
}

/// Ours as it should be, where it is not. What others have written on it besides its spec stays.
fn changed(ours: &DaskCluster, wanted: &DaskCluster) -> Option<DaskCluster> {
    let mut changed = ours.clone();
    changed.spec = wanted.spec.clone();
    if let Some(labels) = &wanted.metadata.labels {
        changed.labels_mut().extend(labels.clone());
    }
    if let Some(annotations) = &wanted.metadata.annotations {
        changed.annotations_mut().extend(annotations.clone());
    }
    let is_same = |one: &DaskCluster, other: &DaskCluster| {
        one.spec == other.spec && one.labels() == other.labels() && one.annotations() == other.annotations()
    };
    (!is_same(&changed, ours)).then_some(changed)
}

/// Whether the cluster has been idle for as long as theirs says.
fn rests(ours: &DaskCluster, wanted: &DaskCluster) -> bool {
    let rest = ours.status.as_ref().and_then(|status| status.idle.as_ref());
    let is_asleep = rest.is_some_and(|rest| rest.asleep && rest.generation == ours.metadata.generation);
    ours.spec.idle.is_some() && ours.spec == wanted.spec && is_asleep
}

/// Deletes theirs, with all that it owns.
fn end(observed: &Cluster<'_>, ours: &DaskCluster) -> Plan {
    let after = ours.spec.idle.as_ref().map(|idle| idle.after.to_string()).unwrap_or_default();
    let message = format!("the cluster has been idle for {after}: it is deleted");
    Plan {
        writes: vec![Write::delete(TheirKind::Cluster, observed.object)],
        notes: vec![Note::normal(Reason::Idle, message)],
        wants_look: !observed.is_live,
        ..Plan::default()
    }
}
