//! What happens to a cluster: edits, clients and tasks, pods that crash, are evicted or deleted, quotas, and
//! answers of its scheduler that go wrong.

use std::time::Duration;

use daskflow::api::labels;
use fastrand::Rng;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::dask::{Fault, Operation, Spares};
use crate::operator::history::{CLUSTER, Happening, History, Rules, Shared};
use crate::operator::world::World;

use super::Act;

/// The image that never starts.
pub const BAD: &str = "bad:1";

/// The name of the other group, whose workers have a GPU each.
pub const OTHER: &str = "gpu";

/// Something that happens to a cluster. An index is that of a worker's pod.
#[derive(Clone, Copy, Debug)]
pub enum OnCluster {
    /// Its spec is edited.
    Edit(Edit),
    /// The container of a worker ends badly, and starts anew in its pod.
    Crash(usize),
    /// A worker's pod fails.
    Evict(usize),
    /// Somebody deletes a worker's pod, and it is killed at once.
    DeletePod(usize),
    /// Somebody deletes the `NetworkPolicy`.
    DeletePolicy,
    /// So many pods of the cluster may exist.
    Quota(Option<u8>),
    /// A client comes, or all go.
    Client(bool),
    /// The scheduler wants so many workers, and its tasks ask for so many GPUs.
    Target(u8, u8),
    /// The clients let go of all results.
    Release,
    /// Whom the scheduler can spare.
    Spares(Spares),
    /// The next answers to this question go wrong.
    Answer(Operation, Fault),
}

/// What is written into the spec.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// The size of the default group, or of the other one.
    Replicas {
        other: bool,
        replicas: u8,
    },
    Autoscale {
        other: bool,
        minimum: u8,
        more: u8,
    },
    TakeOutTheOther,
    Image(&'static str),
    /// Shapes the workers alone.
    WorkerArgs(u8),
    /// Shapes the scheduler alone.
    SchedulerArgs(u8),
    Drain {
        other: bool,
        waits: bool,
    },
    Idle(Option<&'static str>),
    Rollout(&'static str),
    Suspend(bool),
    Policy(bool),
}

/// The workers of a group; the other one comes to be with its first edit.
fn workers(spec: &mut Value, is_other: bool) -> &mut Value {
    if !is_other {
        return &mut spec["workers"];
    }
    if spec["workerGroups"].as_array().is_none_or(Vec::is_empty) {
        spec["workerGroups"] = json!([{"name": OTHER, "daskResources": {"GPU": 1.0}, "replicas": 1}]);
    }
    &mut spec["workerGroups"][0]
}

/// What is not set is not written.
fn take_out_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(take_out_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(take_out_nulls),
        _ => {}
    }
}

impl Edit {
    fn make(self, spec: &mut Value) {
        match self {
            Self::Replicas { other, replicas } => {
                let workers = workers(spec, other);
                workers["replicas"] = replicas.into();
                workers["autoscale"] = Value::Null;
            }
            Self::Autoscale { other, minimum, more } => {
                let workers = workers(spec, other);
                workers["replicas"] = Value::Null;
                workers["autoscale"] = json!({
                    "minimum": minimum, "maximum": minimum + more,
                    "targetDuration": "5s", "scaleDownAfter": "15s",
                });
            }
            Self::TakeOutTheOther => spec["workerGroups"] = json!([]),
            Self::Image(image) => spec["image"] = image.into(),
            Self::WorkerArgs(word) => spec["workers"]["args"] = json!([format!("--{word}")]),
            Self::SchedulerArgs(word) => spec["scheduler"]["args"] = json!([format!("--{word}")]),
            Self::Drain { other, waits } => {
                let workers = workers(spec, other);
                workers["drain"] = if waits { "Wait" } else { "Restart" }.into();
                workers["drainTimeout"] = "25s".into();
            }
            Self::Idle(action) => {
                spec["idle"] = action.map_or(Value::Null, |action| json!({"after": "15s", "action": action}));
            }
            Self::Rollout(rollout) => spec["rollout"] = rollout.into(),
            Self::Suspend(suspend) => spec["suspend"] = suspend.into(),
            Self::Policy(enabled) => spec["networkPolicy"] = json!({"enabled": enabled}),
        }
    }

    fn of(rng: &mut Rng) -> Self {
        let other = rng.u8(..3) == 0;
        match rng.u8(..24) {
            0..=5 => Self::Replicas { other, replicas: rng.u8(..5) },
            6..=8 => Self::Autoscale { other, minimum: rng.u8(..3), more: rng.u8(1..4) },
            9 => Self::TakeOutTheOther,
            10..=13 => Self::Image(["flows:1", "flows:2", "flows:3", BAD][rng.usize(..4)]),
            14..=15 => Self::WorkerArgs(rng.u8(..3)),
            16..=17 => Self::SchedulerArgs(rng.u8(..3)),
            18..=19 => Self::Drain { other, waits: rng.u8(..3) > 0 },
            20..=21 => {
                Self::Idle([None, Some("ScaleToZero"), Some("Suspend"), Some("Delete")][rng.usize(..4)])
            }
            22 => match rng.u8(..3) {
                0 => Self::Policy(rng.bool()),
                _ => Self::Rollout(["WhenIdle", "Immediate"][rng.usize(..2)]),
            },
            _ => Self::Suspend(rng.bool()),
        }
    }
}

impl OnCluster {
    fn of(rng: &mut Rng, is_faulty: bool) -> Self {
        let wait = Duration::from_secs(rng.u64(2..20));
        match rng.u8(..if is_faulty { 28 } else { 16 }) {
            0..=8 => Self::Edit(Edit::of(rng)),
            9..=11 => Self::Client(rng.bool()),
            12..=14 => Self::Target(rng.u8(..6), rng.u8(..3)),
            15 => Self::Release,
            16..=18 => Self::Crash(rng.usize(..5)),
            19 => Self::Evict(rng.usize(..5)),
            20 => Self::DeletePod(rng.usize(..5)),
            21 => Self::DeletePolicy,
            22 => Self::Quota([None, Some(1), Some(3), Some(4)][rng.usize(..4)]),
            23 => Self::Spares([Spares::All, Spares::TheIdle, Spares::NoOne][rng.usize(..3)]),
            24 => Self::Answer(Operation::WorkersToClose, [Fault::Never, Fault::Fails][rng.usize(..2)]),
            25 => Self::Answer(Operation::DumpState, Fault::Lacks),
            _ => {
                let slow = [Fault::Slow(wait), Fault::Late(wait), Fault::Lost, Fault::Never];
                Self::Answer(Operation::RetireWorkers, slow[rng.usize(..4)])
            }
        }
    }
}

/// The history of a seed in which much happens to a cluster.
pub fn history(seed: u64) -> History {
    let mut rng = Rng::with_seed(seed ^ 0xc105_7e25_0000_0000);
    let is_faulty = seed.is_multiple_of(2);
    let cluster = Shared { max_active_runs: [None, Some(1)][rng.usize(..2)], workers: rng.i32(0..4) };
    let rules = Rules::of(&mut rng);
    let rules = Rules { cluster: Some(cluster), stranger: false, ..rules };
    // A Flow that is suspended leaves the cluster to its other users.
    let mut happenings = vec![Happening::SuspendFlow(rng.u8(..3) > 0)];
    for _ in 0..rng.usize(..3) {
        happenings.push(Happening::People(Act::Cluster(OnCluster::Edit(Edit::of(&mut rng)))));
    }
    for _ in 0..rng.usize(4..36) {
        happenings.push(match rng.u8(..20) {
            0..=6 => Happening::Pass(rng.u64(200..9_000)),
            7..=9 => Happening::Compute(rng.usize(..4)),
            10 => Happening::TasksEnd,
            11 if is_faulty => Happening::of(&mut rng, &rules, false),
            12 if is_faulty => Happening::SchedulerEnds { with_pod: rng.bool() },
            13 if is_faulty => Happening::Door(rng.bool()),
            14 => Happening::SuspendFlow(rng.bool()),
            15 => Happening::People(Act::OtherWords),
            _ => Happening::People(Act::Cluster(OnCluster::of(&mut rng, is_faulty))),
        });
    }
    History { seed, rules, happenings }
}

impl World {
    /// Lets something happen to the cluster.
    pub(super) async fn on_cluster(&self, act: OnCluster) {
        match act {
            OnCluster::Edit(edit) => self.edit_cluster(|spec| edit.make(spec)).await,
            OnCluster::Crash(index) => {
                if let Some(name) = self.worker(index) {
                    self.kubelet.crash(&name).await;
                }
            }
            OnCluster::Evict(index) => {
                if let Some(name) = self.worker(index) {
                    self.kubelet.evict(&name).await;
                }
            }
            OnCluster::DeletePod(index) => {
                if let Some(name) = self.worker(index) {
                    self.kubelet.kill(&name).await;
                }
            }
            OnCluster::DeletePolicy => {
                let path = format!("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/{CLUSTER}");
                let request = Request::builder().method(Method::DELETE).uri(path).body(Vec::new());
                let _ = self.client.request::<Value>(request.unwrap()).await;
            }
            OnCluster::Quota(pods) => self.wires.quota(pods),
            OnCluster::Client(comes) => self.change_scheduler(|state| {
                if comes {
                    state.clients.insert(format!("Client-{}", state.clients.len()));
                } else {
                    state.clients.clear();
                }
            }),
            OnCluster::Target(workers, gpus) => self.change_scheduler(|state| {
                state.target = Some(workers.into());
                state.wanted = [("GPU".to_owned(), f64::from(gpus))].into();
            }),
            OnCluster::Release => self.change_scheduler(|state| state.results.clear()),
            OnCluster::Spares(spares) => self.change_scheduler(|state| state.spares = spares),
            OnCluster::Answer(operation, fault) => {
                self.with_scheduler(|all, place| all.fault_once(place, operation, fault));
            }
        }
        let lets_go = matches!(
            act,
            OnCluster::Crash(_) | OnCluster::Evict(_) | OnCluster::DeletePod(_) | OnCluster::Release
        );
        if lets_go {
            self.witness().laws.forgive();
        }
    }

    /// Somebody edits the cluster as it is.
    async fn edit_cluster(&self, change: impl Fn(&mut Value)) {
        let path = format!("daskclusters/{CLUSTER}");
        // Somebody else may be quicker.
        for _ in 0..5 {
            let Ok(mut cluster) = self.write(Method::GET, &path, &Value::Null).await else { return };
            change(&mut cluster["spec"]);
            take_out_nulls(&mut cluster["spec"]);
            if self.write(Method::PUT, &path, &cluster).await.is_ok() {
                return;
            }
        }
        panic!("the cluster cannot be edited");
    }

    /// The name of the worker's pod of this index that has not ended.
    fn worker(&self, index: usize) -> Option<String> {
        let witness = self.witness();
        let workers = witness.pods.iter().filter(|(_, pod)| pod.component == labels::WORKER && !pod.ended);
        workers.map(|(name, _)| name.clone()).nth(index)
    }

    /// The cluster is made so that runs can end on it, and nobody else uses it any more.
    pub async fn let_cluster_work(&self) {
        let Some(shared) = self.rules().cluster else { return };
        self.wires.quota(None);
        let path = format!("daskclusters/{CLUSTER}");
        if self.write(Method::GET, &path, &Value::Null).await.is_err() {
            // Nobody used it, and it was deleted; whoever wants it applies it again.
            self.write(Method::POST, "daskclusters", &shared.object()).await.unwrap();
        }
        self.edit_cluster(|spec| {
            if spec["suspend"] == true {
                spec["suspend"] = false.into();
            }
            if spec["image"] == BAD {
                spec["image"] = "flows:2".into();
            }
        })
        .await;
        self.change_scheduler(|state| {
            state.clients.clear();
            (state.target, state.spares) = (None, Spares::All);
            state.wanted.clear();
        });
    }
}
