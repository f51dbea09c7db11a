//! A `DaskCluster` of theirs, with its groups and its autoscaler, as one of ours.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::pod::{Part, Ports, Role};
use super::remark::{Effect, Notes};
use super::rights::{self, Right};
use super::theirs::{AutoscalerSpec, ClusterSpec, Extra, Object, WorkerGroupSpec, WorkerSpec};
use super::{group, labels, options, pod, service};
use crate::api::common::Entrypoint;
use crate::api::dask_cluster::{Idle, IdleAction, SchedulerSpec};
use crate::api::worker_group::WorkerGroup;
use crate::api::{DaskClusterSpec, PullPolicy, WorkersSpec};
use crate::plan::pods::written::{SCHEDULER_ADDRESS, WORKER_NAME};
use crate::plan::pods::{scheduler, worker};

/// The ports of a scheduler's pod.
const SCHEDULER_PORTS: Ports = Ports { ours: &service::PORTS, health: 8787, health_name: "http-dashboard" };
/// The port of a worker's pod.
const WORKER_PORTS: Ports =
    Ports { ours: &[("http-worker", 8788)], health: 8788, health_name: "http-dashboard" };

/// A cluster of theirs, and what belongs to it.
pub(super) struct Given<'a> {
    pub spec: &'a ClusterSpec,
    /// Whether each role has all of its own but the image: in a cluster of a run, whose pod is given what is
    /// written for all pods of its cluster, and in one that lives, where another group is to change no pod.
    pub is_apart: bool,
    /// Whether it is followed from now on: see [`super::translate_served`].
    pub is_served: bool,
    /// Of the object that it stands in: its labels and annotations are those of all pods.
    pub metadata: &'a ObjectMeta,
    /// The cluster's name; none where that is known only at run time.
    pub name: Option<&'a str>,
    /// What theirs is called, by which its groups are.
    pub called: &'a str,
    pub parts: Parts<'a>,
}

/// What belongs to a cluster of theirs and is an object of its own.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Its default group, as a cluster that lives has it.
    pub default_group: Option<&'a Object<WorkerGroupSpec>>,
    pub groups: Vec<&'a Object<WorkerGroupSpec>>,
    pub autoscaler: Option<&'a Object<AutoscalerSpec>>,
}

/// One of ours.
pub(super) struct Made {
    pub spec: DaskClusterSpec,
    /// A Service beside it.
    pub service: Option<core::ServiceSpec>,
    /// What its pods had without a word about it.
    pub lost: BTreeSet<Right>,
}

/// A group, before what all pods have in common is known.
struct Group<'a> {
    name: String,
    role: Role,
    workers: WorkersSpec,
    extra: Option<&'a Extra>,
    /// The group of theirs that clients look for, where it is served.
    theirs: Option<String>,
}

/// What is the same in all pods.
struct Common {
    image: String,
    pull_policy: Option<PullPolicy>,
    pull_secrets: Vec<core::LocalObjectReference>,
    env: Vec<core::EnvVar>,
}

/// Translates a cluster. `notes` are of its spec.
pub(super) fn translate(given: &Given<'_>, notes: &mut Notes) -> Option<Made> {
    let mut of_scheduler = notes.within("scheduler", "scheduler");
    let scheduler = pod::role(&given.spec.scheduler.spec, scheduler::CONTAINER, &mut of_scheduler);
    let mut of_workers = notes.within("worker", "workers");
    let names = (worker::DEFAULT_GROUP, given.name.filter(|_| given.is_served).map(group::default_name));
    let mut groups = vec![read_group(&given.spec.worker, names, &mut of_workers)];
    let mut parts = vec![of_scheduler, of_workers];
    for (group, of_group) in further_groups(given, notes) {
        // A cluster that lives goes on without one that cannot be read.
        if group.is_some() || !given.is_served {
            groups.push(group);
            parts.push(of_group);
        } else {
            notes.take(of_group);
        }
    }
    let groups: Option<Vec<Group<'_>>> = groups.into_iter().collect();
    let made = scheduler.zip(groups).map(|roles| assemble(given, roles, &mut parts));
    for part in parts {
        notes.take(part);
    }
    let mut made = made?;
    say_of_all(&made.spec, notes);
    set_size(given, &mut made.spec.workers, notes);
    set_idle(given.spec.idle_timeout, &mut made.spec, notes);
    Some(made)
}

/// The groups beside the default one, each with what is said of it.
fn further_groups<'a>(given: &Given<'a>, notes: &Notes) -> Vec<(Option<Group<'a>>, Notes)> {
    let cluster = given.called;
    let mut taken: Vec<String> = given.parts.groups.iter().map(|group| group.name().to_owned()).collect();
    let mut read = Vec::with_capacity(given.parts.groups.len());
    for object in &given.parts.groups {
        let mut of_object = notes.beside(object.at, "", "workerGroups");
        let name = if given.is_served {
            group::say_label(object.name(), &mut of_object);
            group::served_name(cluster, object.name())
        } else {
            group::name(cluster, object, &taken, &mut of_object)
        };
        let mut of_group = notes.beside(object.at, "spec.worker", &format!("workerGroups[{name}]"));
        let theirs = given.is_served.then(|| object.name().to_owned());
        let group = read_group(&object.spec.worker, (&name, theirs), &mut of_group);
        of_group.take(of_object);
        read.push((group, of_group));
        taken.push(name);
    }
    read
}

fn read_group<'a>(
    theirs: &'a WorkerSpec,
    (name, name_of_theirs): (&str, Option<String>),
    notes: &mut Notes,
) -> Option<Group<'a>> {
    let role = pod::role(&theirs.spec, worker::CONTAINER, notes)?;
    let mut workers = WorkersSpec { resources: role.part.resources.clone(), ..WorkersSpec::default() };
    group::set_replicas(&mut workers, theirs.replicas, notes);
    let extra = theirs.metadata.as_ref();
    Some(Group { name: name.to_owned(), role, workers, extra, theirs: name_of_theirs })
}

/// What is written once for all pods and stood in each.
fn say_of_all(spec: &DaskClusterSpec, notes: &mut Notes) {
    if spec.entrypoint.is_some() {
        let message = "pods without a command start the ENTRYPOINT of their image, as before. Where that does nothing you need, take \
                       this line out: Python is started directly, and a scheduler that hangs is restarted";
        notes.changed("worker.spec", "entrypoint", message);
    }
    if spec.python.is_some() {
        let message = "the Python beside the program that was started";
        notes.changed("worker.spec", "python", message);
    }
}

/// Puts the roles together. `notes` are of the scheduler, the default group, and each other group.
fn assemble(given: &Given<'_>, (scheduler, groups): (Role, Vec<Group<'_>>), notes: &mut [Notes]) -> Made {
    let parts: Vec<&Part> =
        [&scheduler.part].into_iter().chain(groups.iter().map(|group| &group.role.part)).collect();
    let common = Common::of(&parts, given.is_apart);
    let lost = parts.iter().copied().flat_map(rights::lost).collect();
    // Of a cluster that lives a further group changes no other pod.
    let decisive = if given.is_served { 1 } else { groups.len() };
    let pod_defaults = labels::template(Some(&labels::of_pods(given.metadata)))
        .filter(|_| !given.is_served)
        .map(|metadata| json!({"metadata": metadata}));
    let mut spec = DaskClusterSpec {
        image: common.image.clone(),
        image_pull_policy: common.pull_policy,
        image_pull_secrets: common.pull_secrets.clone(),
        env: common.env.clone(),
        entrypoint: parts
            .iter()
            .take(1 + decisive)
            .any(|part| part.start.command.is_none())
            .then_some(Entrypoint::Image),
        pod_defaults,
        ..DaskClusterSpec::default()
    };
    let programs = groups.iter().take(decisive).map(|group| &group.role.program).chain([&scheduler.program]);
    spec.python = { programs }.find_map(|program| program.as_ref()?.python.clone());
    let mut service = None;
    let mut notes = notes.iter_mut();
    if let Some(notes) = notes.next() {
        say_entrypoint(&spec, &scheduler.part, notes);
        (spec.scheduler, service) = of_scheduler(given, scheduler, &common, notes);
    }
    for (mut group, notes) in groups.into_iter().zip(notes) {
        let is_further = group.name != worker::DEFAULT_GROUP;
        if !(given.is_served && is_further && start_apart(&spec, &mut group.role, notes)) {
            say_entrypoint(&spec, &group.role.part, notes);
        }
        of_group(&mut group, &common, notes);
        if !is_further {
            spec.workers = group.workers;
        } else if !(given.is_served && notes.is_refused()) {
            spec.worker_groups.push(WorkerGroup { name: group.name, workers: group.workers });
        }
    }
    Made { spec, service, lost }
}

/// A role that went without the image's entrypoint, beside others that went by it.
fn say_entrypoint(spec: &DaskClusterSpec, part: &Part, notes: &mut Notes) {
    if spec.entrypoint.is_some() && part.start.command.is_some() {
        let message = "this command started without the ENTRYPOINT of its image, which other pods of the cluster need: now it \
                       runs in all pods that start Dask";
        notes.changed(&format!("{}.command", part.field), "", message);
    }
}

/// Lets a further group start as it was started, where the other pods of its cluster start otherwise: with
/// another Python, or without the `ENTRYPOINT` of their image. Whether it does.
fn start_apart(spec: &DaskClusterSpec, role: &mut Role, notes: &mut Notes) -> bool {
    let has_other_python = role.program.as_ref().is_some_and(|program| program.python != spec.python);
    let needs_entrypoint = role.part.start.command.is_none() && spec.entrypoint.is_none();
    if !has_other_python && !needs_entrypoint {
        return false;
    }
    let field = format!("{}.{}", role.part.field, role.part.start.field());
    if let Some(program) = role.program.take() {
        // Its options stay where they are, but for those that no worker can have.
        let mut read = notes.within("", "");
        options::of_worker(&program, &field, &mut WorkersSpec::default(), &mut read);
        read.all.retain(|remark| remark.effect == Effect::Refused);
        notes.take(read);
    }
    // An empty command is that of the image.
    role.part.start.command.get_or_insert_default();
    true
}

fn of_scheduler(
    given: &Given<'_>,
    role: Role,
    common: &Common,
    notes: &mut Notes,
) -> (SchedulerSpec, Option<core::ServiceSpec>) {
    let Role { mut part, program } = role;
    rights::say_needs(&part, notes);
    let field = format!("{}.{}", part.field, part.start.field());
    let mut read = options::Read::default();
    if let Some(program) = &program {
        read = options::of_scheduler(program, &field, notes);
    } else {
        part.keep_start();
    }
    let ports = [(read.port, options::COMM), (read.moved, options::PAGES)];
    let moved = ports.into_iter().filter_map(|(before, now)| Some((before?, i32::from(now))));
    let moved: Vec<(i32, i32)> = moved.collect();
    part.leave_out(&SCHEDULER_PORTS, &moved, notes);
    common.leave_in(&mut part);
    let theirs = &given.spec.scheduler;
    let of_theirs = service::Given {
        spec: &theirs.service,
        name: given.name,
        annotations: labels::of_service(given.metadata, theirs.metadata.as_ref()),
        moved: moved.into_iter().collect(),
    };
    let (service, beside) = service::translate(of_theirs, notes);
    let spec = SchedulerSpec {
        resources: part.resources.clone(),
        args: read.args,
        service,
        template: part.template(scheduler::CONTAINER, theirs.metadata.as_ref()),
    };
    (spec, beside)
}

fn of_group(group: &mut Group<'_>, common: &Common, notes: &mut Notes) {
    let Group { role, workers, extra, theirs, .. } = group;
    rights::say_needs(&role.part, notes);
    let field = format!("{}.{}", role.part.field, role.part.start.field());
    let mut moved = None;
    if let Some(program) = &role.program {
        moved = options::of_worker(program, &field, workers, notes);
    } else {
        options::complete(&mut role.part.start, &field, notes);
        role.part.keep_start();
    }
    group::compare_limits(workers, role, notes);
    let part = &mut role.part;
    let moved: Vec<(i32, i32)> = moved.map(|before| (before, WORKER_PORTS.health)).into_iter().collect();
    part.leave_out(&WORKER_PORTS, &moved, notes);
    say_what_pods_lack(part, notes);
    workers.priority_class_name = part.pod.priority_class_name.take();
    common.leave_in(part);
    workers.template = part.template(worker::CONTAINER, *extra);
    if let Some(theirs) = theirs {
        group::label(workers, theirs);
    }
}

/// What the pods of workers of theirs have, and these do not.
fn say_what_pods_lack(part: &Part, notes: &mut Notes) {
    let others = serde_json::to_string(&part.pod.containers).unwrap_or_default();
    for name in [WORKER_NAME, SCHEDULER_ADDRESS] {
        if others.contains(name) {
            let message = format!(
                "{name} is set in the container {} alone: give it to the others yourself",
                worker::CONTAINER
            );
            notes.changed("spec.containers", "template", message);
        }
    }
    let step = part.main.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
    if step {
        let message =
            "this takes the place of the step by which a worker moves its results before its pod ends";
        notes.changed(&format!("{}.lifecycle.preStop", part.field), "template", message);
    }
    if part.pod.host_network == Some(true) {
        let message = "two workers on one node want the same port 8788: only one of them starts";
        notes.changed("spec.hostNetwork", "template", message);
    }
}

/// How many workers the default group has.
fn set_size(given: &Given<'_>, workers: &mut WorkersSpec, notes: &mut Notes) {
    let live = given.parts.default_group.filter(|group| group.spec.worker.replicas.is_some());
    if let Some(group) = live.filter(|group| group.spec.worker.replicas != given.spec.worker.replicas) {
        let mut of_group = notes.beside(group.at, "spec.worker", "workers");
        group::set_replicas(workers, group.spec.worker.replicas, &mut of_group);
        let message = "the group was scaled after its cluster had been written: its size is taken";
        of_group.changed("replicas", "replicas", message);
        notes.take(of_group);
    }
    if let Some(autoscaler) = given.parts.autoscaler {
        let mut of_autoscaler = notes.beside(autoscaler.at, "", "workers");
        group::autoscale(workers, &autoscaler.spec, &mut of_autoscaler);
        notes.take(of_autoscaler);
    }
}

fn set_idle(seconds: Option<i64>, spec: &mut DaskClusterSpec, notes: &mut Notes) {
    match seconds.unwrap_or_default() {
        0 => {}
        seconds if seconds > 0 => {
            spec.idle = Some(Idle { after: format!("{seconds}s").into(), action: IdleAction::Delete });
        }
        seconds => {
            let message =
                format!("{seconds} seconds are no time to wait; left out, so that the cluster stays");
            notes.changed("idleTimeout", "", message);
        }
    }
}

impl Common {
    /// Of these pods, of which the second is that of the default workers: their image is the cluster's, and
    /// nothing else is where each has its own.
    fn of(parts: &[&Part], is_apart: bool) -> Self {
        let workers = parts.get(1).or(parts.first());
        let image = workers.map(|part| part.image.clone()).unwrap_or_default();
        let Some(first) = workers.filter(|_| !is_apart) else {
            return Self { image, pull_policy: None, pull_secrets: Vec::new(), env: Vec::new() };
        };
        let same_policy = parts.iter().all(|part| part.pull_policy == first.pull_policy);
        let same_secrets = parts.iter().all(|part| part.pull_secrets == first.pull_secrets);
        // One that is made of others has to stay behind them.
        let is_alone =
            |variable: &&core::EnvVar| !variable.value.as_deref().unwrap_or_default().contains("$(");
        let in_all = |variable: &&core::EnvVar| parts.iter().all(|part| part.env.contains(variable));
        Self {
            image,
            pull_policy: first.pull_policy.filter(|_| same_policy),
            pull_secrets: if same_secrets { first.pull_secrets.clone() } else { Vec::new() },
            env: first.env.iter().filter(is_alone).filter(in_all).cloned().collect(),
        }
    }

    /// Leaves in a pod what is not the same in all.
    fn leave_in(&self, part: &mut Part) {
        if part.image != self.image {
            part.main.image = Some(part.image.clone());
        }
        if part.pull_policy != self.pull_policy {
            part.main.image_pull_policy = part.pull_policy.map(|policy| policy.as_str().to_owned());
        }
        if part.pull_secrets != self.pull_secrets {
            part.pod.image_pull_secrets = Some(part.pull_secrets.clone());
        }
        let own = part.env.iter().filter(|variable| !self.env.contains(variable));
        let own: Vec<core::EnvVar> = own.cloned().collect();
        part.main.env = (!own.is_empty()).then_some(own);
    }
}
