//! A worker's pod.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::ResourceExt;

use super::scheduler::component_labels;
use super::{
    Violation, WORKER_HTTP_PORT, container, content_hash, keep_restart_policy, label, merge, of_cluster,
    scheduler_address,
};
use crate::api::common::Amount;
use crate::api::{DaskCluster, DaskClusterSpec, WorkersSpec, labels};
use crate::plan::names;

/// The name of the worker's container.
pub const CONTAINER: &str = "worker";
/// The group of `spec.workers`.
pub const DEFAULT_GROUP: &str = "default";
/// Characters of the random end of a worker's name.
const SUFFIX_LENGTH: usize = 5;

/// The hash of all that shapes a worker's pod: see [`super::scheduler::template_hash`]. The number of workers does not.
pub fn template_hash(spec: &DaskClusterSpec) -> String {
    let workers = &spec.workers;
    content_hash(&(
        (&spec.image, spec.image_pull_policy, &spec.image_pull_secrets, &spec.env),
        (workers.threads, &workers.memory, &workers.resources, &workers.args, &workers.template),
    ))
}

/// A new worker's pod. Its name ends in characters drawn from `seed`, because a scheduler refuses the name of a
/// worker that it still holds; the name is also the worker's name in Dask.
///
/// `OnFailure`: a retired worker ends with exit code 0 and must not come back as a new one.
///
/// # Errors
///
/// A [`Violation`] of `spec.workers.template`.
pub fn pod(cluster: &DaskCluster, seed: u64) -> Result<Pod, Violation> {
    let spec = &cluster.spec;
    check_arguments(&spec.workers)?;
    let cluster_name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let name = names::worker_name(&cluster_name, DEFAULT_GROUP, &suffix(seed));
    let mut arguments = vec![scheduler_address(&namespace, &cluster_name), "--name".to_owned(), name.clone()];
    arguments.extend(["--nthreads".to_owned(), threads(&spec.workers).to_string()]);
    arguments.extend(["--memory-limit".to_owned(), memory(&spec.workers)]);
    arguments.extend(["--dashboard-address".to_owned(), format!(":{WORKER_HTTP_PORT}")]);
    arguments.extend(spec.workers.args.iter().cloned());
    let mut main = container::dask(CONTAINER, spec, "distributed.cli.dask_worker", arguments);
    main.ports = Some(vec![container::port("http-worker", WORKER_HTTP_PORT)]);
    main.readiness_probe = Some(container::health_probe(WORKER_HTTP_PORT));
    main.resources = Some(spec.workers.resources.to_requirements());
    let mut template = PodTemplateSpec {
        metadata: None,
        spec: Some(container::pod(main, "OnFailure", &spec.image_pull_secrets)),
    };
    merge::over(&mut template, spec.workers.template.as_ref(), "spec.workers.template")?;
    keep_restart_policy(&mut template, "OnFailure");
    label(&mut template, component_labels(&cluster_name, labels::WORKER));
    label(&mut template, [(labels::WORKER_GROUP.to_owned(), DEFAULT_GROUP.to_owned())].into());
    label(&mut template, [(labels::TEMPLATE_HASH.to_owned(), template_hash(spec))].into());
    Ok(of_cluster(cluster, name, template))
}

/// Threads of a worker: as asked for, else the CPU limit rounded up, else 1.
fn threads(workers: &WorkersSpec) -> i32 {
    let limit = workers.resources.limits.get("cpu").and_then(cores);
    workers.threads.or(limit).unwrap_or(1).max(1)
}

/// Memory of a worker: as asked for, else the memory limit, else what Dask finds in the container.
fn memory(workers: &WorkersSpec) -> String {
    let limit = workers.resources.limits.get("memory").map(Amount::to_string);
    workers.memory.clone().or(limit).unwrap_or_else(|| "auto".to_owned())
}

/// A CPU quantity (`2`, `1.5`, `1500m`) in whole cores, rounded up.
fn cores(quantity: &Amount) -> Option<i32> {
    let text = quantity.to_string();
    let cores = match text.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().ok()? / 1000.0,
        None => text.parse::<f64>().ok()?,
    };
    #[allow(clippy::cast_possible_truncation, reason = "bounded on the line itself")]
    (cores.is_finite() && cores > 0.0).then(|| cores.ceil().min(1024.0) as i32)
}

/// Refuses arguments that would give the worker another name than its pod's: it could not be told from a stranger.
fn check_arguments(workers: &WorkersSpec) -> Result<(), Violation> {
    let renames = |argument: &&String| {
        ["--name", "--nworkers", "--nprocs"].iter().any(|option| argument.starts_with(option))
    };
    match workers.args.iter().find(renames) {
        None => Ok(()),
        Some(argument) => Err(Violation::invalid(
            "spec.workers.args",
            format!("{argument} cannot be set: a worker is called as its pod, and there is one in a pod"),
        )),
    }
}

/// Five characters of a-z and 0-9 from a random number.
fn suffix(seed: u64) -> String {
    let mut rest = seed;
    let mut digit = || {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        rest /= 36;
        char::from_digit(digit, 36).unwrap_or('x')
    };
    (0..SUFFIX_LENGTH).map(|_| digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(limits: &[(&str, Amount)]) -> WorkersSpec {
        let mut workers = WorkersSpec::default();
        workers.resources.limits =
            limits.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        workers
    }

    #[test]
    fn threads_follow_the_cpu_limit_rounded_up() {
        assert_eq!(threads(&workers(&[])), 1);
        assert_eq!(threads(&workers(&[("cpu", Amount::Number(3))])), 3);
        assert_eq!(threads(&workers(&[("cpu", Amount::Text("1500m".into()))])), 2);
        assert_eq!(threads(&workers(&[("cpu", Amount::Text("0.5".into()))])), 1);
        assert_eq!(threads(&WorkersSpec { threads: Some(4), ..WorkersSpec::default() }), 4);
    }

    #[test]
    fn memory_follows_the_memory_limit() {
        assert_eq!(memory(&workers(&[])), "auto");
        assert_eq!(memory(&workers(&[("memory", Amount::Text("4Gi".into()))])), "4Gi");
    }

    #[test]
    fn suffixes_are_five_characters_of_a_label() {
        assert_eq!(suffix(0), "00000");
        assert!(suffix(u64::MAX).chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
        assert_ne!(suffix(1), suffix(2));
    }
}
