//! Groups of workers, and how many there are.

use serde_json::json;

use super::pod::Role;
use super::remark::Notes;
use super::theirs::{AutoscalerSpec, Object, WorkerGroupSpec};
use crate::api::worker_group::Autoscale;
use crate::api::{WorkersSpec, labels};
use crate::plan::names::{LABEL_MAX, short_hash};
use crate::plan::pods::worker::DEFAULT_GROUP;

/// The most characters of the name of a group.
const NAME_MAX: usize = 30;
/// The most workers of a group.
const REPLICAS_MAX: i32 = 10_000;
/// Hexadecimal digits behind the name of a group that could not have its own.
const HASH: usize = 12;

/// The name of the group of theirs that is made with a cluster.
pub(super) fn default_name(cluster: &str) -> String {
    format!("{cluster}-{DEFAULT_GROUP}")
}

/// The name of a group of theirs within the cluster that serves it. It follows from the names alone, so that
/// no group that comes later takes the name of another one, and with it its workers.
///
/// One that begins with the name of its cluster, as most do, loses that. Any other ends with a hash of the
/// whole, and so does one that would be too long, no name of a group, or like one with a hash.
pub(super) fn served_name(cluster: &str, full: &str) -> String {
    let own = full.strip_prefix(cluster).and_then(|rest| rest.strip_prefix('-'));
    let is_good = |name: &&str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_named = !name.is_empty() && name.len() <= NAME_MAX && *name != DEFAULT_GROUP;
        is_named && name.bytes().all(is_inner) && !name.starts_with('-') && !name.ends_with('-')
    };
    let has_hash = |name: &&str| {
        let end = name.rsplit_once('-').map(|(_, end)| end);
        end.is_some_and(|end| end.len() == HASH && end.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if let Some(name) = own.filter(is_good).filter(|name| !has_hash(name)) {
        return name.to_owned();
    }
    let head = own.unwrap_or(full).chars().map(|letter| if letter == '.' { '-' } else { letter });
    let head: String = head.take(NAME_MAX - HASH - 1).collect();
    let head = head.trim_matches('-');
    let hash = short_hash(full, HASH);
    if head.is_empty() { hash } else { format!("{head}-{hash}") }
}

/// The name of a group of theirs within its cluster: theirs stand beside those of all clusters, and mostly
/// begin with the name of their own.
pub(super) fn name(
    cluster: &str,
    group: &Object<WorkerGroupSpec>,
    taken: &[String],
    notes: &mut Notes,
) -> String {
    let full = group.name();
    let is_free =
        |name: &&str| !name.is_empty() && *name != DEFAULT_GROUP && !taken.iter().any(|taken| taken == name);
    let own = full.strip_prefix(cluster).and_then(|rest| rest.strip_prefix('-')).filter(is_free);
    let name = own.unwrap_or(full);
    if name.len() > NAME_MAX {
        let message = format!(
            "the name of a group has at most {NAME_MAX} characters beside the cluster's: choose a shorter one"
        );
        notes.refused("metadata.name", message);
    } else if name == DEFAULT_GROUP {
        notes.refused(
            "metadata.name",
            "the group of the cluster itself is called default: choose another name",
        );
    } else if name != full {
        let message =
            format!("the label dask.org/workergroup-name of its pods has the value {name}, and had {full}");
        notes.changed("metadata.name", "", message);
    }
    name.to_owned()
}

/// Lets the pods of a group be called after the one of theirs, and have its name as a label, by which their
/// clients select them.
pub(super) fn label(workers: &mut WorkersSpec, theirs: &str) {
    if theirs.len() > LABEL_MAX {
        return;
    }
    let mut at = workers.template.get_or_insert_with(|| json!({}));
    for field in ["metadata", "labels"] {
        let Some(fields) = at.as_object_mut() else { return };
        at = fields.entry(field).or_insert_with(|| json!({}));
    }
    if let Some(labels) = at.as_object_mut() {
        labels.insert(labels::WORKER_GROUP.to_owned(), json!(theirs));
    }
}

/// Says that [`label`] cannot write the name; `notes` are of the object.
pub(super) fn say_label(theirs: &str, notes: &mut Notes) {
    if theirs.len() > LABEL_MAX {
        let message = format!(
            "a label has at most {LABEL_MAX} characters: {} of its pods has a shorter name of this group, and no \
             Deployment shows them",
            labels::WORKER_GROUP
        );
        notes.changed("metadata.name", "", message);
    }
}

/// Writes how many workers there are.
pub(super) fn set_replicas(workers: &mut WorkersSpec, replicas: Option<i64>, notes: &mut Notes) {
    let Some(replicas) = replicas else { return };
    match i32::try_from(replicas).ok().filter(|replicas| (0..=REPLICAS_MAX).contains(replicas)) {
        Some(replicas) => workers.replicas = Some(replicas),
        None => notes.refused("replicas", format!("a group has 0 to {REPLICAS_MAX} workers")),
    }
}

/// Scales the default group instead. `notes` are of the autoscaler.
pub(super) fn autoscale(workers: &mut WorkersSpec, theirs: &AutoscalerSpec, notes: &mut Notes) {
    if theirs.maximum == 0 {
        workers.replicas = Some(0);
        let message = "a maximum of 0 is no autoscaling: written as replicas: 0";
        return notes.changed("spec.maximum", "replicas", message);
    }
    if theirs.minimum > theirs.maximum {
        return notes.refused("spec.minimum", "this is more than the maximum");
    }
    if i64::from(theirs.maximum) > i64::from(REPLICAS_MAX) {
        return notes.refused("spec.maximum", format!("a group has at most {REPLICAS_MAX} workers"));
    }
    let bounds = json!({"minimum": theirs.minimum, "maximum": theirs.maximum});
    let Some(autoscale) = notes.or_refused::<Autoscale>("spec", &bounds) else { return };
    workers.autoscale = Some(autoscale);
    let replicas = workers.replicas.take().filter(|replicas| u32::try_from(*replicas) != Ok(theirs.minimum));
    if let Some(replicas) = replicas {
        let message =
            format!("the group starts with the minimum, and not with the {replicas} workers of replicas");
        notes.changed("spec", "autoscale", message);
    }
}

/// What a worker uses where nothing is written, which is not the same in both.
pub(super) fn compare_limits(workers: &WorkersSpec, role: &Role, notes: &mut Notes) {
    let has_limit = |resource: &str| workers.resources.limits.contains_key(resource);
    let is_daskworker = role.program.is_some();
    let has_option = |name: &str| workers.args.iter().any(|word| word.starts_with(name));
    if is_daskworker && workers.threads.is_none() && !has_limit("cpu") && !has_option("--nthreads") {
        let message = "with neither --nthreads nor a limit of CPU a worker had a thread for each core of its node, and has one \
                       now: set threads";
        notes.changed(&role.part.field, "", message);
    }
    if is_daskworker && workers.memory.is_none() && !has_limit("memory") && !has_option("--memory-limit") {
        let message = "with neither --memory-limit nor a limit of memory a worker takes the memory of its node for its own: set \
                       memory";
        notes.changed(&role.part.field, "", message);
    }
}
