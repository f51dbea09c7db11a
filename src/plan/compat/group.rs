//! Groups of workers, and how many there are.

use serde_json::json;

use super::pod::Role;
use super::remark::Notes;
use super::theirs::{AutoscalerSpec, Object, WorkerGroupSpec};
use crate::api::WorkersSpec;
use crate::api::worker_group::Autoscale;
use crate::plan::pods::worker::DEFAULT_GROUP;

/// The most characters of the name of a group.
const NAME_MAX: usize = 30;

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

/// Writes how many workers there are.
pub(super) fn set_replicas(workers: &mut WorkersSpec, replicas: Option<i64>, notes: &mut Notes) {
    match replicas.map(i32::try_from) {
        None => {}
        Some(Ok(replicas)) => workers.replicas = Some(replicas),
        Some(Err(_)) => notes.refused("replicas", "this is no number of workers"),
    }
}

/// Scales the default group instead. `notes` are of the autoscaler.
pub(super) fn autoscale(workers: &mut WorkersSpec, theirs: &AutoscalerSpec, notes: &mut Notes) {
    if theirs.maximum == 0 {
        workers.replicas = Some(0);
        let message = "a maximum of 0 is no autoscaling: written as replicas: 0";
        return notes.changed("spec.maximum", "replicas", message);
    }
    let read = serde_json::from_value(json!({"minimum": theirs.minimum, "maximum": theirs.maximum}));
    let Some(autoscale) = notes.or_refused::<Autoscale>("spec", read) else { return };
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
