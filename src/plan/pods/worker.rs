//! A worker's pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, ExecAction, Lifecycle, LifecycleHandler, Pod, PodSpec,
    PodTemplateSpec, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::Value;

use super::mounts::Certificate;
use super::scheduler::component_labels;
use super::written::{self, Pages, SCHEDULER_ADDRESS, WORKER_NAME};
use super::{
    Violation, container, is_of_theirs, keep_restart_policy, label, merge, mounts, of_cluster, shape_hash,
};
use crate::api::common::Amount;
use crate::api::worker_group::{Drain, ScratchMedium};
use crate::api::{DaskCluster, DaskClusterSpec, WorkersSpec, labels};
use crate::plan::names;
use crate::plan::site::{Folder, Site};

/// The name of the worker's container.
pub const CONTAINER: &str = labels::WORKER;
/// The group of `spec.workers`.
pub const DEFAULT_GROUP: &str = "default";
/// Characters of the random end of a worker's name.
const SUFFIX_LENGTH: usize = 5;
/// The volume for what a worker spills.
const SCRATCH: &str = "scratch";
/// What a worker's pod runs before it ends, whoever ends it: measured on real pods, 40 of 60 results were
/// kept without it when one of three workers was deleted, and all with it.
const LEAVE: &str = include_str!("leave.py");
/// Starts a worker with the limits of its container, for what the spec does not say.
const LIMITS: &str = include_str!("limits.py");
/// The words that it replaces.
const THREADS: &str = "{threads}";
const MEMORY: &str = "{memory}";
/// Kubernetes' own grace period, in seconds, where the template gives none.
const GRACE_S: i64 = 30;
/// The options by which a worker says where it listens.
const PLACE: [&str; 7] = [
    "--host",
    "--interface",
    "--dashboard-address",
    "--worker-port",
    "--nanny-port",
    "--listen-address",
    "--contact-address",
];
/// What a worker's port is called that has no number before the worker runs: no port has this name.
const FREE_PORT: &str = "any-free-one";
/// How much of the grace period is left to the worker's own end, in seconds.
const END_S: i64 = 5;

/// The hash of all that shapes the pods of a group: see [`super::scheduler::template_hash`]. How many there
/// are and how they leave does not. A field that is not written must not be in it, so that a new release,
/// which knows more fields, replaces no pod.
pub fn template_hash(
    spec: &DaskClusterSpec,
    workers: &WorkersSpec,
    certificate: Option<&Certificate>,
) -> String {
    let shape = WorkersSpec {
        replicas: None,
        autoscale: None,
        drain: Drain::default(),
        drain_timeout: None,
        ..workers.clone()
    };
    let shape = ((&spec.image, spec.image_pull_policy, &spec.image_pull_secrets, &spec.env), shape);
    shape_hash(spec, &shape, certificate)
}

/// A new worker's pod. Its name ends in characters drawn from `seed`, because a scheduler refuses the name of
/// a worker that it still holds; the name is also the worker's name in Dask.
///
/// `OnFailure`: a retired worker ends with exit code 0 and must not come back as a new one.
///
/// # Errors
///
/// A [`Violation`] of the group's arguments or template.
pub fn pod(
    cluster: &DaskCluster,
    site: Site,
    certificate: Option<&Certificate>,
    (group, workers): (&str, &WorkersSpec),
    seed: u64,
) -> Result<Pod, Violation> {
    let spec = &cluster.spec;
    let field = field(group);
    check_arguments(&workers.args, &format!("{field}.args"))?;
    let cluster_name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let address = site.scheduler_address((&namespace, &cluster_name), certificate.is_some());
    let (name, labels) = identity(cluster, (group, workers), seed);
    let limits = Limits::of(spec, workers);
    let arguments = arguments((workers, site), &limits, &address, &name);
    let mut main = container::dask(CONTAINER, (spec, site), limits.program(), arguments);
    let own =
        [container::env(SCHEDULER_ADDRESS, address.as_str()), container::env(WORKER_NAME, name.as_str())];
    main.env = Some(container::merge_env([own.as_slice(), &spec.env]));
    main.ports = site.worker_port().map(|port| vec![container::port("http-worker", port)]);
    let pages = Pages::of_worker(spec, workers);
    main.readiness_probe = site.worker_port().map(|port| container::health_probe(port, &pages));
    main.resources = Some(workers.resources.to_requirements());
    main.lifecycle = leave_before_the_end((spec, site), workers, &address, &name);
    main.volume_mounts = workers.scratch.as_ref().map(|_| {
        vec![VolumeMount {
            name: SCRATCH.to_owned(),
            mount_path: site.path(Folder::Scratch).to_owned(),
            ..VolumeMount::default()
        }]
    });
    let mut pod = PodSpec {
        volumes: scratch(workers).map(|volume| vec![volume]),
        priority_class_name: workers.priority_class_name.clone(),
        topology_spread_constraints: spread(workers, &labels),
        ..container::pod(main, "OnFailure", &spec.image_pull_secrets)
    };
    if let Some(certificate) = certificate {
        mounts::Files::from(certificate).mount(&mut pod, site, &["WORKER", "CLIENT"]);
    }
    let mut template = PodTemplateSpec { metadata: None, spec: Some(pod) };
    let written = merge::Written {
        resources: &workers.resources,
        env: &spec.env,
        priority_class_name: workers.priority_class_name.as_ref(),
    };
    merge::defaults(&mut template, spec.pod_defaults.as_ref(), CONTAINER, &written)?;
    let field = format!("{field}.template");
    let main = (CONTAINER, spec.entrypoint);
    written::check_programs(workers.template.as_ref(), main, &field)?;
    check_arguments(&written::added_arguments(workers.template.as_ref(), main), &field)?;
    merge::over(&mut template, workers.template.as_ref(), &field)?;
    let containers = template.spec.iter_mut().flat_map(|spec| &mut spec.containers);
    for main in containers.filter(|container| container.name == CONTAINER) {
        written::check_worker(main, &name, &field)?;
        if group_of_theirs(cluster, workers).is_some() {
            put_own_variables_last(main);
        }
        listen(main, site);
    }
    keep_restart_policy(&mut template, CONTAINER, "OnFailure");
    label(&mut template, labels);
    label(
        &mut template,
        [(labels::TEMPLATE_HASH.to_owned(), template_hash(spec, workers, certificate))].into(),
    );
    mounts::finish(&mut template, certificate);
    Ok(of_cluster(cluster, name, template))
}

/// Where the fields of a group stand in the spec.
pub fn field(group: &str) -> String {
    if group == DEFAULT_GROUP { "spec.workers".to_owned() } else { format!("spec.workerGroups[{group}]") }
}

fn arguments(
    (workers, site): (&WorkersSpec, Site),
    limits: &Limits,
    address: &str,
    name: &str,
) -> Vec<String> {
    let mut arguments = vec![address.to_owned(), "--name".to_owned(), name.to_owned()];
    let threads = limits.threads.map_or_else(|| THREADS.to_owned(), |threads| threads.to_string());
    arguments.extend(["--nthreads".to_owned(), threads]);
    arguments
        .extend(["--memory-limit".to_owned(), limits.memory.clone().unwrap_or_else(|| MEMORY.to_owned())]);
    let page = format!(":{}", site.worker_port().unwrap_or_default());
    arguments.extend(["--dashboard-address".to_owned(), page]);
    if !workers.dask_resources.is_empty() {
        let amounts = workers.dask_resources.iter().map(|(name, amount)| format!("{name}={amount}"));
        arguments.extend(["--resources".to_owned(), amounts.collect::<Vec<_>>().join(" ")]);
    }
    if let Some(nanny) = workers.nanny {
        arguments.push(if nanny { "--nanny" } else { "--no-nanny" }.to_owned());
    }
    if workers.scratch.is_some() {
        arguments.extend(["--local-directory".to_owned(), site.path(Folder::Scratch).to_owned()]);
    }
    arguments.extend(workers.args.iter().cloned());
    arguments
}

/// As dask-kubernetes has them: those of its users come first.
fn put_own_variables_last(main: &mut Container) {
    let is_own = |variable: &EnvVar| [SCHEDULER_ADDRESS, WORKER_NAME].contains(&variable.name.as_str());
    main.env.iter_mut().for_each(|all| all.sort_by_key(is_own));
}

/// Where all processes share an address, a worker listens at whatever port is free, whatever is written. What
/// a command of the template's own says nothing of stays so: it may be a program that knows no such option.
fn listen(main: &mut Container, site: Site) {
    let Some(host) = site.host() else { return };
    let ours = ["--host", host, "--dashboard-address", &format!("{host}:0")].map(str::to_owned);
    written::listen_at(main, &PLACE, &ours);
    written::ask_at(main, |_| Some(IntOrString::String(FREE_PORT.to_owned())));
}

/// Results move to other workers before the container is told to end: on a drained node, too. A container has
/// one such step: the template's own takes its place.
fn leave_before_the_end(
    (cluster, site): (&DaskClusterSpec, Site),
    workers: &WorkersSpec,
    address: &str,
    name: &str,
) -> Option<Lifecycle> {
    let spec = workers.template.as_ref().and_then(|template| template.get("spec"));
    if spec.is_some_and(has_own_step) {
        return None;
    }
    let grace = spec.and_then(|spec| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64));
    let timeout = (grace.unwrap_or(GRACE_S) - END_S).max(1).to_string();
    let python = container::python(site, cluster.python.as_ref());
    let command = [python.as_str(), "-c", LEAVE, address, name, &timeout];
    let exec = ExecAction { command: Some(command.map(str::to_owned).to_vec()) };
    Some(Lifecycle {
        pre_stop: Some(LifecycleHandler { exec: Some(exec), ..LifecycleHandler::default() }),
        ..Lifecycle::default()
    })
}

fn has_own_step(spec: &Value) -> bool {
    let containers = spec.get("containers").and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| {
        container.get("name").and_then(Value::as_str) == Some(CONTAINER)
            && container.pointer("/lifecycle/preStop").is_some()
    })
}

/// The name and the labels of a worker's pod.
fn identity(
    cluster: &DaskCluster,
    (group, workers): (&str, &WorkersSpec),
    seed: u64,
) -> (String, BTreeMap<String, String>) {
    let cluster_name = cluster.name_any();
    let mut labels = component_labels(&cluster_name, labels::WORKER);
    let Some(theirs) = group_of_theirs(cluster, workers) else {
        labels.insert(labels::WORKER_GROUP.to_owned(), group.to_owned());
        return (names::worker_name(&cluster_name, group, &suffix(seed)), labels);
    };
    labels.insert(labels::WORKER_GROUP.to_owned(), theirs.to_owned());
    labels.insert(labels::GROUP.to_owned(), group.to_owned());
    let name = names::worker_name_of_theirs(theirs, &suffix(seed));
    labels.insert(labels::WORKER_NAME.to_owned(), name.clone());
    (name, labels)
}

/// The `DaskWorkerGroup` of dask-kubernetes that a group is made for, which the template of the group names.
pub fn group_of_theirs<'a>(cluster: &DaskCluster, workers: &'a WorkersSpec) -> Option<&'a str> {
    if !is_of_theirs(cluster) {
        return None;
    }
    let labels = workers.template.as_ref()?.pointer("/metadata/labels")?;
    labels.get(labels::WORKER_GROUP)?.as_str()
}

/// The group that a worker's pod belongs to.
pub fn group_of_pod(pod: &Pod) -> &str {
    let label = |name: &str| pod.labels().get(name).map(String::as_str);
    label(labels::GROUP).or_else(|| label(labels::WORKER_GROUP)).unwrap_or(DEFAULT_GROUP)
}

fn scratch(workers: &WorkersSpec) -> Option<Volume> {
    let scratch = workers.scratch.as_ref()?;
    let medium = (scratch.medium == ScratchMedium::Memory).then(|| "Memory".to_owned());
    Some(Volume {
        name: SCRATCH.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium,
            size_limit: Some(Quantity(scratch.size.to_string())),
        }),
        ..Volume::default()
    })
}

/// Rules of spreading that count the workers of this group of this cluster.
fn spread(workers: &WorkersSpec, labels: &BTreeMap<String, String>) -> Option<Vec<TopologySpreadConstraint>> {
    let counted = [labels::CLUSTER_NAME, labels::WORKER_GROUP];
    let counted = counted.iter().filter_map(|key| labels.get_key_value(*key));
    let selector = LabelSelector {
        match_labels: Some(counted.map(|(key, value)| (key.clone(), value.clone())).collect()),
        ..LabelSelector::default()
    };
    let constraints = workers.topology_spread.iter().map(|spread| TopologySpreadConstraint {
        topology_key: spread.topology_key.clone(),
        max_skew: spread.max_skew,
        when_unsatisfiable: spread.when_unsatisfiable.as_str().to_owned(),
        label_selector: Some(selector.clone()),
        ..TopologySpreadConstraint::default()
    });
    let constraints: Vec<_> = constraints.collect();
    (!constraints.is_empty()).then_some(constraints)
}

/// What a worker may use, as far as the spec says. What it does not say, the container is asked for when it
/// starts: others, such as a `LimitRange`, may have given it a limit.
struct Limits {
    /// Threads: as asked for, else the CPU limit rounded up.
    threads: Option<i32>,
    /// Memory: as asked for, else the memory limit.
    memory: Option<String>,
}

impl Limits {
    fn of(spec: &DaskClusterSpec, workers: &WorkersSpec) -> Self {
        let limit = |resource: &str| {
            written::limit(workers.template.as_ref(), CONTAINER, resource)
                .or_else(|| workers.resources.limits.get(resource).cloned())
                .or_else(|| written::limit(spec.pod_defaults.as_ref(), CONTAINER, resource))
        };
        let threads = workers.threads.or_else(|| limit("cpu").as_ref().and_then(cores));
        let memory = workers.memory.clone().or_else(|| limit("memory").map(|limit| limit.to_string()));
        Self { threads: threads.map(|threads| threads.max(1)), memory }
    }

    fn program(&self) -> [&'static str; 2] {
        if self.threads.is_some() && self.memory.is_some() {
            ["-m", "distributed.cli.dask_worker"]
        } else {
            ["-c", LIMITS]
        }
    }
}

/// A CPU quantity (`2`, `1.5`, `1500m`) in whole cores, rounded up.
fn cores(quantity: &Amount) -> Option<i32> {
    let cores = quantity.size()?;
    #[allow(clippy::cast_possible_truncation, reason = "bounded on the line itself")]
    (cores.is_finite() && cores > 0.0).then(|| cores.ceil().min(1024.0) as i32)
}

/// Refuses arguments that would give the worker another name than its pod's: it could not be told from a
/// stranger.
fn check_arguments(arguments: &[String], field: &str) -> Result<(), Violation> {
    let renames = |argument: &&String| {
        ["--name", "--nworkers", "--nprocs"].iter().any(|option| argument.starts_with(option))
    };
    match arguments.iter().find(renames) {
        None => Ok(()),
        Some(argument) => Err(Violation::invalid(
            field,
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
mod tests;
