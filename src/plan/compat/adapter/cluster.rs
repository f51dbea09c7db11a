//! A `DaskCluster` of theirs: ours for it, what belongs to it, and what is said of it.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::core::DynamicObject;

use super::kind::TheirKind;
use super::living;
use super::observed::{CREATED, Cluster, ERROR, PENDING, RUNNING, is_reachable};
use super::parts::{self, Changes, Freed};
use super::wanted::{Wanted, autoscalers, wanted};
use super::write::{Plan, Write, status_of};
use crate::api::{DaskCluster, Reason, labels};
use crate::plan::compat::group::default_name;
use crate::plan::conditions::Failure;
use crate::plan::names::CLUSTER_NAME_MAX;
use crate::plan::pods::worker::DEFAULT_GROUP;
use crate::plan::{Applied, Note, Object, Step, Victim, VictimKind};

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

/// What is to be done about a cluster of theirs.
pub fn plan(observed: &Cluster<'_>) -> Plan {
    let cluster = observed.object;
    let mut plan = Plan::default();
    if cluster.metadata.deletion_timestamp.is_some() {
        let_all_go(observed, &mut plan);
        return plan;
    }
    let Some(owner) = TheirKind::Cluster.controller_ref(cluster) else { return plan };
    if let Some(note) = refused_name(TheirKind::Cluster, cluster) {
        plan.notes.push(note);
        plan.phase(cluster, ERROR);
        return plan;
    }
    let there = There::of(observed, &owner);
    if matches!(there, There::Nothing) && living::may_be(observed) {
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
    let wanted = wanted(observed, (&owner, there.own()), &mut plan);
    if let (There::Own(ours), Some(wanted)) = (there, &wanted)
        && rests(ours, &wanted.cluster)
    {
        return end(observed, ours);
    }
    plan.writes.extend(Changes::of(TheirKind::Cluster, cluster).let_go(observed.freed).write());
    plan.notes.extend(parts::served_twice(cluster, observed.freed));
    // Clients wait for it: nothing that may be refused comes before.
    plan.phase(cluster, phase(observed, there, wanted.is_some()));
    change_parts(observed, &owner, wanted.as_ref(), &mut plan);
    if let Some(wanted) = wanted.as_ref() {
        write_ours(observed, (&owner, there), wanted, &mut plan);
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

/// What is to be said of the name of a cluster that their operator would not take, or of a job, whose name is
/// that of its cluster. Whatever else Kubernetes may say of a name, it says itself.
pub(super) fn refused_name(kind: TheirKind, object: &DynamicObject) -> Option<Note> {
    let name = object.name_any();
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_taken = name.len() <= CLUSTER_NAME_MAX
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_taken {
        return None;
    }
    let message = format!(
        "metadata.name: the name of a {} has at most {CLUSTER_NAME_MAX} lower-case letters, digits and '-', and begins and ends \
         with a letter or a digit: nothing is made for this one",
        kind.as_str()
    );
    Some(Note::warning(Reason::InvalidSpec, message))
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

    fn own(self) -> Option<&'a DaskCluster> {
        match self {
            Self::Own(ours) => Some(ours),
            Self::Nothing | Self::Former | Self::Another => None,
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

/// A cluster that is being deleted takes all of it along: nothing may hold that up.
fn let_all_go(observed: &Cluster<'_>, plan: &mut Plan) {
    // Last the cluster: without its finalizer they are looked at no more.
    let all = observed.parts().map(|(kind, object)| Changes::of(kind, object));
    let all = all.chain([Changes::of(TheirKind::Cluster, observed.object)]);
    plan.writes.extend(all.filter_map(|changes| changes.let_go(&Freed::new()).write()));
}

/// Brings the objects beside the cluster in line. Nothing may hold up the end of one that is about to go.
fn change_parts(observed: &Cluster<'_>, owner: &OwnerReference, wanted: Option<&Wanted>, plan: &mut Plan) {
    let cluster = observed.object;
    let default = default_name(&cluster.name_any());
    if !observed.groups.iter().any(|group| group.name_any() == default) {
        plan.writes.push(parts::default_group(cluster, owner));
    }
    for (kind, object) in observed.parts() {
        let mut changes = Changes::of(kind, object).let_go(observed.freed);
        if !parts::is_of_former(&object.metadata, owner) {
            changes = changes.owned_by(owner);
            if kind == TheirKind::Group && object.name_any() == default {
                changes = change_default(changes, (observed, object), owner, wanted, plan);
            }
        }
        plan.writes.extend(changes.write());
        let twice = parts::served_twice(object, observed.freed);
        plan.beside.extend(twice.map(|note| (kind.reference(object), note)));
    }
}

/// What the group that is made with the cluster has from it.
fn change_default<'a>(
    mut changes: Changes<'a>,
    (observed, group): (&Cluster<'_>, &DynamicObject),
    owner: &OwnerReference,
    wanted: Option<&Wanted>,
    plan: &mut Plan,
) -> Changes<'a> {
    changes = changes.scaled_by(observed.object);
    // What cannot be honoured is not passed on.
    if wanted.is_some() {
        changes = changes.shaped_by(observed.object);
    }
    if let Some(wanted) = followed(observed, owner).filter(|wanted| parts::replicas(group) != *wanted) {
        // Who scales deletes the autoscaler first, which another watch tells of.
        plan.wants_look |= !observed.is_live;
        changes = changes.followed(wanted);
    }
    changes
}

/// How many workers the autoscaler of the cluster wants now.
fn followed(observed: &Cluster<'_>, owner: &OwnerReference) -> Option<i64> {
    autoscalers(observed, owner).first()?;
    let ours = observed.ours.filter(|ours| ours.spec.workers.autoscale.is_some())?;
    let status = ours.status.as_ref()?;
    if status.observed_generation != ours.metadata.generation {
        return None;
    }
    let group = status.groups.iter().find(|group| group.name == DEFAULT_GROUP)?;
    Some(group.desired.into())
}

/// Makes ours, or makes it what it should be again.
fn write_ours(
    observed: &Cluster<'_>,
    (owner, there): (&OwnerReference, There<'_>),
    wanted: &Wanted,
    plan: &mut Plan,
) {
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
    write_beside(observed, owner, wanted.beside.as_ref(), plan);
}

/// Brings the Service `NAME-service` in line: one that is not asked for any more goes.
fn write_beside(observed: &Cluster<'_>, owner: &OwnerReference, wanted: Option<&Service>, plan: &mut Plan) {
    let hash = |service: &Service| service.annotations().get(labels::TEMPLATE_HASH).cloned();
    match (wanted, observed.beside) {
        (Some(wanted), there) if there.and_then(hash) != hash(wanted) => {
            plan.step(Step::Apply(Box::new(Applied::Service(wanted.clone()))));
        }
        (None, Some(there)) if parts::is_owned(&there.metadata, owner) && hash(there).is_some() => {
            plan.wants_look |= !observed.is_live;
            let (name, uid) = (there.name_any(), there.uid());
            plan.step(Step::Delete(Victim { kind: VictimKind::Service, name, uid }));
        }
        _ => {}
    }
}

/// Ours as it should be, where it is not. What others have written on it besides its spec stays.
fn changed(ours: &DaskCluster, wanted: &DaskCluster) -> Option<DaskCluster> {
    let mut changed = ours.clone();
    changed.spec = wanted.spec.clone();
    if let Some(labels) = &wanted.metadata.labels {
        changed.labels_mut().extend(labels.clone());
    }
    changed.annotations_mut().remove(labels::POD_METADATA);
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
