//! A small Kubernetes with one `DaskCluster`: its pods, the kubelet that starts and ends them, the scheduler
//! in one of them, the people who use it, and what an operator has in its memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use daskflow::api::labels;
use daskflow::api::{DaskCluster, FlowRun, FlowRunSpec, FlowRunStatus, Phase};
use daskflow::plan::cluster::load::Questions;
use daskflow::plan::cluster::{Load, Retirements, Said, SchedulerView, Wish};
use daskflow::plan::pods::scheduler;
use daskflow::plan::pods::state::{self, PodLife};
use daskflow::plan::{Next, Victim};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateWaiting, ContainerStatus, Pod, PodStatus, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::Happening;
use super::dask::{Answers, Closing, Dask, Spares};

/// What the API server holds, or a cache of it.
#[derive(Clone)]
pub struct Stored {
    pub cluster: Arc<DaskCluster>,
    pub pods: BTreeMap<String, Arc<Pod>>,
    pub service: Option<Arc<Service>>,
    pub network_policy: Option<Arc<NetworkPolicy>>,
    pub runs: BTreeMap<String, Arc<FlowRun>>,
}

/// What the operator keeps of a start of a scheduler, and loses with it.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    pub start: String,
    pub view: SchedulerView,
    pub load: Load,
    /// What the scheduler said last: whether it had a task, and whether a client.
    pub polled: Option<(bool, bool)>,
    pub questions: Option<Questions>,
    pub retirements: Retirements,
    pub calls: Vec<Call>,
}

/// A request about workers that the operator has not heard the answer to.
#[derive(Clone, Debug)]
pub struct Call {
    pub wish: Wish,
    pub workers: Vec<Victim>,
    /// What the scheduler has made of it. None: it is still at it.
    pub said: Option<Said>,
}

pub struct World {
    pub now: Timestamp,
    pub truth: Stored,
    pub cache: Stored,
    pub version: i64,
    pub seed: u64,
    pub dask: Option<Dask>,
    pub reachable: bool,
    pub answers: Answers,
    pub spares: Spares,
    /// Whether this release tells its clients, and who is busy.
    pub talks: bool,
    pub closing: Closing,
    /// How many workers the scheduler wants, and how much of a resource.
    pub target: (u64, u8),
    /// So many pods may exist.
    pub quota: Option<usize>,
    pub followed: Option<Followed>,
    pub last_run_end: Option<Timestamp>,
    pub next: Next,
    /// When the last client came, if that can be known, and when the scheduler was last asked.
    pub last_client: Option<Timestamp>,
    pub polled_at: Timestamp,
    /// The cluster was deleted.
    pub over: bool,
}

/// The bad image, which never starts.
pub const BAD: &str = "bad";

impl World {
    pub fn new(spec: daskflow::api::DaskClusterSpec) -> Self {
        let now: Timestamp = "2026-12-01T09:00:00Z".parse().unwrap();
        let mut cluster = DaskCluster::new("c", spec);
        cluster.metadata.namespace = Some("n".into());
        cluster.metadata.uid = Some("cluster".into());
        cluster.metadata.generation = Some(1);
        cluster.metadata.resource_version = Some("1".into());
        let truth = Stored {
            cluster: Arc::new(cluster),
            pods: BTreeMap::new(),
            service: None,
            network_policy: None,
            runs: BTreeMap::new(),
        };
        Self {
            now,
            cache: truth.clone(),
            truth,
            version: 1,
            seed: 1,
            dask: None,
            reachable: true,
            answers: Answers::default(),
            spares: Spares::default(),
            talks: true,
            closing: Closing::default(),
            target: (0, 0),
            quota: None,
            followed: None,
            last_run_end: None,
            next: Next::Change,
            last_client: None,
            polled_at: now,
            over: false,
        }
    }

    pub fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass(seconds) => self.pass(*seconds),
            Happening::Look(writes) => self.look(*writes),
            Happening::CacheCatchesUp => self.cache = self.truth.clone(),
            Happening::Restart => {
                self.cache = self.truth.clone();
                self.followed = None;
            }
            Happening::Edit(edit) => self.edit(|spec| edit.make(spec)),
            Happening::AllStart => self.all_start(),
            Happening::Start(index) => self.with_pod(*index, World::start),
            Happening::Register(index) => self.with_pod(*index, World::register),
            Happening::Gone(index) => self.with_pod(*index, World::is_gone),
            Happening::Crash(index) => self.with_pod(*index, World::crash),
            Happening::Evict(index) => self.with_pod(*index, |world, name| world.ends(name, "Failed")),
            Happening::PolicyGone => self.truth.network_policy = None,
            Happening::UserDeletes(index) => self.with_pod(*index, World::delete_pod),
            Happening::SchedulerDies(crashes) => {
                let end = |world: &mut Self| {
                    if *crashes { world.crash("c-scheduler") } else { world.delete_pod("c-scheduler") }
                };
                end(self);
            }
            Happening::Reachable(reachable) => {
                self.reachable = *reachable;
                self.poll();
            }
            Happening::Retires(answers) => self.answers = *answers,
            Happening::Spares(spares) => self.spares = *spares,
            Happening::Talks(talks) => {
                self.talks = *talks;
                self.last_client = None;
            }
            Happening::Closes(closing) => self.closing = *closing,
            Happening::Target(workers, gpus) => self.target = (*workers, *gpus),
            Happening::Quota(quota) => self.quota = *quota,
            Happening::ClientComes => self.client_comes(),
            Happening::ClientsGo => self.with_dask(|dask| dask.clients.clear()),
            Happening::Compute(index) => self.with_dask(|dask| dask.compute(*index)),
            Happening::TasksEnd => self.with_dask(Dask::tasks_end),
            Happening::Release => self.with_dask(|dask| dask.keys.clear()),
            Happening::TheyRetire => self.answers_come(),
            Happening::Run(index, phase) => self.run(*index, *phase),
        }
    }

    fn with_dask(&mut self, change: impl FnOnce(&mut Dask)) {
        if let Some(dask) = &mut self.dask {
            change(dask);
        }
    }

    fn with_pod(&mut self, index: usize, change: impl FnOnce(&mut Self, &str)) {
        let workers = self.truth.pods.values().filter(|pod| state::is_component(pod, labels::WORKER));
        let Some(name) = workers.map(|pod| pod.name_any()).nth(index) else { return };
        change(self, &name);
    }

    /// Time passes, and whoever is followed is asked over and over.
    pub fn pass(&mut self, seconds: i64) {
        self.poll();
        self.now += SignedDuration::from_secs(seconds);
        self.poll();
    }

    pub fn edit(&mut self, change: impl FnOnce(&mut daskflow::api::DaskClusterSpec)) {
        let mut cluster = DaskCluster::clone(&self.truth.cluster);
        change(&mut cluster.spec);
        if cluster.spec != self.truth.cluster.spec {
            cluster.metadata.generation = cluster.metadata.generation.map(|generation| generation + 1);
            self.write(cluster);
        }
    }

    pub fn write(&mut self, mut cluster: DaskCluster) {
        self.version += 1;
        cluster.metadata.resource_version = Some(self.version.to_string());
        self.truth.cluster = Arc::new(cluster);
    }

    fn change_pod(&mut self, name: &str, change: impl FnOnce(&mut Pod)) {
        if let Some(pod) = self.truth.pods.get_mut(name) {
            change(Arc::make_mut(pod));
        }
    }

    /// The kubelet does all that it can, and workers register.
    pub fn all_start(&mut self) {
        let mut names: Vec<String> = self.truth.pods.keys().cloned().collect();
        names.sort_by_key(|name| name != "c-scheduler");
        for name in names {
            self.start(&name);
            self.register(&name);
            self.is_gone(&name);
            self.exits(&name);
        }
    }

    /// A container starts, if its image is good.
    fn start(&mut self, name: &str) {
        let Some(pod) = self.truth.pods.get(name).filter(|pod| pod.status.is_none()) else { return };
        if state::life(pod) != PodLife::Alive {
            return;
        }
        let image = pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        let is_scheduler = state::is_component(pod, labels::SCHEDULER);
        self.change_pod(name, |pod| pod.status = Some(container_status(pod, image == BAD)));
        if image != BAD && is_scheduler {
            let start = start_of(&self.truth.pods[name]).unwrap();
            self.dask = Some(Dask { start, ..Dask::default() });
        }
    }

    /// A worker that runs finds its scheduler, unless it was retired.
    fn register(&mut self, name: &str) {
        let Some(pod) = self.truth.pods.get(name).filter(|pod| is_running_worker(pod)) else { return };
        let was_known = pod.annotations().contains_key("known");
        let retired = was_known && self.dask.as_ref().is_some_and(|dask| !dask.workers.contains_key(name));
        let Some(dask) = self.dask.as_mut().filter(|_| !retired) else { return };
        dask.workers.entry(name.to_owned()).or_default();
        dask.let_go.remove(name);
        self.change_pod(name, |pod| drop(pod.annotations_mut().insert("known".into(), String::new())));
    }

    /// A pod that is being deleted is gone.
    fn is_gone(&mut self, name: &str) {
        if self.truth.pods.get(name).is_some_and(|pod| state::life(pod) == PodLife::Leaving) {
            self.truth.pods.remove(name);
            self.dies(name);
        }
    }

    /// A worker that its scheduler has let go ends by itself.
    fn exits(&mut self, name: &str) {
        let known = self.dask.as_ref().is_some_and(|dask| dask.workers.contains_key(name));
        let retired =
            self.truth.pods.get(name).is_some_and(|pod| {
                is_running_worker(pod) && pod.annotations().contains_key("known") && !known
            });
        if retired && self.dask.is_some() {
            self.ends(name, "Succeeded");
        }
    }

    /// The process in a pod is no more, and with it what it held.
    fn dies(&mut self, name: &str) {
        if name == "c-scheduler" {
            self.dask = None;
            // Whoever was registered looks for the next one.
            for pod in self.truth.pods.values_mut().filter(|pod| pod.annotations().contains_key("known")) {
                Arc::make_mut(pod).annotations_mut().remove("known");
            }
        } else if let Some(dask) = &mut self.dask {
            dask.loses(name);
        }
    }

    /// A container ends and is started again in its pod.
    fn crash(&mut self, name: &str) {
        let Some(pod) = self.truth.pods.get(name) else { return };
        if !is_running(pod) {
            return;
        }
        self.dies(name);
        self.change_pod(name, |pod| {
            pod.annotations_mut().remove("known");
            let statuses = pod.status.as_mut().and_then(|status| status.container_statuses.as_mut());
            statuses.unwrap()[0].restart_count += 1;
        });
        if name == "c-scheduler" {
            let start = start_of(&self.truth.pods[name]).unwrap();
            self.dask = Some(Dask { start, ..Dask::default() });
        }
    }

    fn ends(&mut self, name: &str, phase: &str) {
        let Some(pod) = self.truth.pods.get(name) else { return };
        if state::life(pod) != PodLife::Alive {
            return;
        }
        self.dies(name);
        self.change_pod(name, |pod| {
            pod.status = Some(PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() });
        });
    }

    /// Its process is killed at once, which is the worst that can be.
    pub fn delete_pod(&mut self, name: &str) {
        let now = self.now;
        if self.truth.pods.contains_key(name) {
            self.dies(name);
        }
        self.change_pod(name, |pod| {
            pod.metadata.deletion_timestamp.get_or_insert(Time(now));
        });
    }

    fn client_comes(&mut self) {
        if let Some(dask) = &mut self.dask {
            self.seed += 1;
            dask.clients.insert(format!("Client-{}", self.seed));
            self.last_client = self.talks.then_some(self.now);
        }
    }

    /// A run of a Flow: it waits, is at work, is suspended, or has ended.
    fn run(&mut self, index: u8, phase: Phase) {
        let name = format!("run-{index}");
        if phase.is_final() {
            if self.truth.runs.remove(&name).is_some() {
                self.last_run_end = Some(self.now);
            }
            return;
        }
        let mut run = FlowRun::new(&name, FlowRunSpec { flow: "f".into(), ..FlowRunSpec::default() });
        let job = (phase == Phase::Running).then(|| format!("{name}-1"));
        run.status =
            Some(FlowRunStatus { phase, job, cluster: Some("c".into()), ..FlowRunStatus::default() });
        self.truth.runs.insert(name, Arc::new(run));
    }
}

/// Which start of the scheduler runs in its pod.
pub fn start_of(pod: &Pod) -> Option<String> {
    state::start_of(pod, scheduler::CONTAINER)
}

pub fn is_running(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let runs = containers.is_some_and(|all| all[0].state.as_ref().unwrap().running.is_some());
    runs && state::life(pod) == PodLife::Alive
}

pub fn is_running_worker(pod: &Pod) -> bool {
    state::is_component(pod, labels::WORKER) && is_running(pod)
}

fn container_status(pod: &Pod, bad: bool) -> PodStatus {
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let state = if bad {
        let waiting = ContainerStateWaiting {
            reason: Some("ImagePullBackOff".into()),
            message: Some("Back-off pulling image \"bad\": not found".into()),
        };
        ContainerState { waiting: Some(waiting), ..ContainerState::default() }
    } else {
        let running = ContainerStateRunning { started_at: None };
        ContainerState { running: Some(running), ..ContainerState::default() }
    };
    PodStatus {
        phase: Some(if bad { "Pending" } else { "Running" }.into()),
        pod_ip: Some("10.0.0.1".into()),
        container_statuses: Some(vec![ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap(),
            state: Some(state),
            ..ContainerStatus::default()
        }]),
        ..PodStatus::default()
    }
}
