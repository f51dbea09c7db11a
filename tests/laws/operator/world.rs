//! A small world under a paused clock: the API in this process with its controllers, a node, and operators,
//! which are the real ones, start anew whenever they have ended, and speak to the API over wires on which all
//! goes wrong that a history says.

mod settle;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use daskflow::cluster_api::{ClusterApi, jobs};
use daskflow::daemon::clock::{Chance, Clock};
use daskflow::operator::{Candidature, LeaseOptions, Options, Place, Sites, Surroundings, run};
use daskflow::plan::site::Site;
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::history::{CLUSTER, Happening, History, PARALLELISM, Rules, TICKING_S};
use super::kubelet::Kubelet;
use super::past::Past;
use super::wire::{Life, Wires};
use super::witness::{Pod, Witness};
use crate::dask::{Door, Operation, SchedulerState, Schedulers};

/// How often the controllers and the node look.
const STEP: Duration = Duration::from_millis(250);

/// The name that the Job of the first run is to have.
const FIRST_JOB: &str = "etl-20261201t090015-1";

/// What an operator is made of.
#[derive(Clone)]
struct Replica {
    number: usize,
    seed: u64,
    election: bool,
    wires: Wires,
    schedulers: Schedulers,
    clock: Wall,
    life: Arc<Mutex<Life>>,
    /// Until when there is none.
    away: Arc<Mutex<Instant>>,
}

/// The time of day of the operators' machines, which may be set.
#[derive(Clone)]
struct Wall {
    start: Timestamp,
    began: Instant,
    /// By how many seconds it is wrong.
    set: Arc<AtomicI64>,
}

impl Wall {
    fn right(&self) -> Timestamp {
        self.start.checked_add(self.began.elapsed()).unwrap()
    }

    fn shown(&self) -> Timestamp {
        self.right().checked_add(SignedDuration::from_secs(self.set.load(Ordering::Relaxed))).unwrap()
    }
}

impl Replica {
    /// Starts one operator after the other.
    async fn keep(self) {
        for count in 0_u64.. {
            let until = *self.away.lock().unwrap();
            sleep_until(until).await;
            let life = Life::default();
            *self.life.lock().unwrap() = life.clone();
            let who = format!("{}{count}", ['a', 'b'][self.number]);
            let task = tokio::spawn(run(self.options(&who, count, &life).await, CancellationToken::new()));
            life.is(task.abort_handle());
            // It died, or has lost its Lease.
            let _ = task.await;
            life.end();
            sleep(Duration::from_millis(500 + 1_700 * (self.seed.wrapping_add(count) % 5))).await;
        }
    }

    async fn options(&self, who: &str, count: u64, life: &Life) -> Options {
        let clock = self.clock.clone();
        let connector = self.schedulers.connector();
        let client = self.wires.client(who, life);
        let candidate = client.clone();
        let lease = LeaseOptions {
            name: "daskflow".to_owned(),
            namespace: Some("default".to_owned()),
            identity: who.to_owned(),
            lease_s: 12,
        };
        let candidature =
            Candidature { lease, client: Box::new(move || Ok(candidate.clone())), place: Place::Task };
        Options {
            client,
            lease: Some(candidature).filter(|_| self.election),
            namespaces: vec!["default".to_owned()],
            dask_kubernetes: false,
            surroundings: Surroundings {
                sites: Sites::all(Site::Kubernetes),
                clock: Clock::showing(move || clock.shown()),
                chance: Chance::seeded(
                    self.seed.wrapping_mul(31).wrapping_add(count * 2 + self.number as u64),
                ),
                schedulers: connector.clone(),
                addresses: connector,
            },
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        }
    }
}

/// The world.
pub struct World {
    history: History,
    api: ClusterApi,
    pub(super) client: Client,
    witness: Arc<Mutex<Witness>>,
    pub(super) wires: Wires,
    pub(super) schedulers: Schedulers,
    wall: Wall,
    pub(super) kubelet: Kubelet,
    lives: Vec<Arc<Mutex<Life>>>,
    away: Arc<Mutex<Instant>>,
    pub(super) created: Timestamp,
    end: Timestamp,
    stepped: u64,
}

impl World {
    /// A world in which all is well as yet: the Flow is there, and the operator has looked at it once.
    pub async fn begin(history: &History) -> Self {
        let start: Timestamp = "2026-12-01T09:00:03Z".parse().unwrap();
        let wall = Wall { start, began: Instant::now(), set: Arc::default() };
        let of_api = wall.clone();
        let api = ClusterApi::new(move || of_api.right(), history.seed);
        let schedulers = Schedulers::new();
        let witness = Arc::new(Mutex::new(Witness::new(history, schedulers.clone())));
        let wires = Wires::new(api.clone(), witness.clone());
        let client = api.client();
        let end = start.checked_add(SignedDuration::from_secs(TICKING_S)).unwrap();
        let mut world = Self {
            kubelet: Kubelet::new(history.seed, client.clone(), witness.clone(), schedulers.clone()),
            schedulers,
            away: Arc::new(Mutex::new(Instant::now())),
            lives: (0..history.rules.operators).map(|_| Arc::default()).collect(),
            history: history.clone(),
            stepped: 0,
            created: start,
            end,
            api,
            client,
            witness,
            wires,
            wall,
        };
        if let Some(cluster) = history.rules.cluster {
            world.write(Method::POST, "daskclusters", &cluster.object()).await.unwrap();
        } else {
            world.schedulers.start("dask");
            world.schedulers.change("dask", |state| state.register("worker", "tcp://10.9.0.1:40001"));
        }
        if history.rules.stranger {
            world.stranger(Method::POST).await;
        }
        world.write(Method::POST, "flows", &history.rules.flow(end)).await.unwrap();
        for (number, life) in world.lives.iter().enumerate() {
            let replica = Replica {
                number,
                seed: history.seed,
                election: history.rules.election,
                wires: world.wires.clone(),
                schedulers: world.schedulers.clone(),
                clock: world.wall.clone(),
                life: life.clone(),
                away: world.away.clone(),
            };
            tokio::spawn(replica.keep());
        }
        // Of a Flow that was never looked at nobody can tell a tick that was missed from one whose run is
        // forgotten.
        world.pass(Duration::from_secs(3)).await;
        world
    }

    /// What was asked by operators.
    pub fn log(&self) -> Vec<String> {
        self.wires.log()
    }

    /// The runs and Jobs that there were, and how the runs ended.
    pub fn outcome(&self) -> BTreeSet<String> {
        self.witness.lock().unwrap().outcome()
    }

    /// The first thing that was wrong.
    pub fn wrong(&self) -> Option<String> {
        self.witness.lock().unwrap().wrong().cloned()
    }

    /// Asks the API for an object of ours, or writes it.
    pub(super) async fn write(&self, method: Method, path: &str, object: &Value) -> kube::Result<Value> {
        let path = format!("/apis/daskflow.dev/v1alpha1/namespaces/default/{path}");
        let form = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", form);
        self.client.request(request.body(object.to_string().into_bytes()).unwrap()).await
    }

    /// Changes an object of ours, which may be there no more.
    pub(super) async fn patch(&self, path: &str, change: &Value) {
        let _ = self.write(Method::PATCH, path, change).await;
    }

    /// Lets time pass, in which the controllers and the node do their work.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(STEP.min(end - Instant::now())).await;
            self.kubelet.look().await;
            if self.api.version() != self.stepped {
                while jobs::step(&self.api).changed > 0 || self.api.collect() > 0 {}
                self.stepped = self.api.version();
            }
            self.witness.lock().unwrap().look_around(&self.api, self.wall.right());
        }
    }

    pub(super) fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().unwrap()
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.history.rules
    }

    /// The unfinished run of this index, if there are so many.
    fn open(&self, index: usize) -> Option<String> {
        self.witness.lock().unwrap().open().get(index).map(|name| (*name).to_owned())
    }

    /// Lets something happen.
    pub async fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Pass(milliseconds) => self.pass(Duration::from_millis(milliseconds)).await,
            Happening::Arm(armed) => self.wires.arm(armed),
            Happening::Silence(kind, seconds) => {
                self.wires.silence(kind, Duration::from_secs(seconds.into()));
            }
            Happening::WatchesEnd => self.api.break_watches(),
            Happening::ChangesAreForgotten => self.forget_changes(),
            Happening::Past(past) => self.see_past(past).await,
            Happening::ListsAreBehind(versions) => self.wires.lists_are_behind(versions.into()),
            Happening::Kill(number) => {
                if let Some(life) = self.lives.get(number) {
                    life.lock().unwrap().end();
                }
            }
            Happening::Away(seconds) => {
                *self.away.lock().unwrap() = Instant::now() + Duration::from_secs(seconds.into());
                self.kill_all();
            }
            Happening::SetClock(seconds) => self.wall.set.store(seconds, Ordering::Relaxed),
            Happening::SchedulerEnds { with_pod } => self.kubelet.scheduler_ends(with_pod).await,
            Happening::Retirement(fails) => self.with_scheduler(|all, place| {
                all.fault_once(place, Operation::RetireWorkers, fails.fault());
            }),
            Happening::Door(opens) => self.with_scheduler(|all, place| {
                all.door(place, if opens { Door::Open } else { Door::Drops });
            }),
            Happening::Workers(count) => {
                let path = format!("daskclusters/{CLUSTER}");
                self.patch(&path, &json!({"spec": {"workers": {"replicas": count}}})).await;
            }
            Happening::Compute(index) => self.with_scheduler(|all, place| {
                all.change(place, |state| state.compute(index));
            }),
            Happening::TasksEnd => self.tasks_end(),
            Happening::Backfill => self.backfill().await,
            Happening::People(act) => self.act(act).await,
            Happening::Cancel(index) => self.change(index, &json!({"spec": {"cancel": true}})).await,
            Happening::DeleteRun(index) => self.delete_run(index).await,
            Happening::SuspendRun(index, suspend) => {
                self.change(index, &json!({"spec": {"suspend": suspend}})).await;
            }
            Happening::SuspendFlow(suspend) => {
                self.patch("flows/etl", &json!({"spec": {"suspend": suspend}})).await;
            }
        }
        self.witness.lock().unwrap().look_around(&self.api, self.wall.right());
    }

    fn kill_all(&self) {
        self.lives.iter().for_each(|life| life.lock().unwrap().end());
    }

    /// All watches end, and what has changed until now is forgotten.
    fn forget_changes(&self) {
        self.witness.lock().unwrap().look(&self.api);
        self.api.compact();
        self.api.break_watches();
    }

    async fn see_past(&mut self, past: Past) {
        past.silence(&self.wires);
        match past {
            Past::Missed(seconds) => {
                self.pass(Duration::from_secs(seconds.into())).await;
                self.forget_changes();
            }
            Past::Returns { versions, .. } => {
                self.wires.lists_are_behind(versions.into());
                self.kill_all();
            }
        }
    }

    async fn delete_run(&self, index: usize) {
        let Some(name) = self.open(index) else { return };
        self.witness.lock().unwrap().is_deleted_by_people(&name);
        self.write(Method::DELETE, &format!("flowruns/{name}"), &json!({})).await.unwrap();
    }

    async fn backfill(&self) {
        let at =
            |seconds: i64| self.created.checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string();
        let backfill = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowBackfill",
            "metadata": {"name": "again", "namespace": "default"},
            "spec": {"flow": "etl", "from": at(-10), "to": at(35), "clocks": ["c"], "parallelism": PARALLELISM},
        });
        // There is one at the most.
        let _ = self.write(Method::POST, "flowbackfills", &backfill).await;
    }

    /// A Job of somebody else, which has the name that the Job of the first run is to have.
    async fn stranger(&self, method: Method) {
        let path = "/apis/batch/v1/namespaces/default/jobs";
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "another:1"}]});
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": FIRST_JOB},
            "spec": {"suspend": true, "template": {"spec": pod}},
        });
        let (path, body) = match method {
            Method::POST => (path.to_owned(), job.to_string().into_bytes()),
            _ => (format!("{path}/{FIRST_JOB}"), Vec::new()),
        };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.client.request::<Value>(request.body(body).unwrap()).await.unwrap();
    }

    pub(super) fn with_scheduler(&self, change: impl FnOnce(&Schedulers, &str)) {
        let place = self.witness.lock().unwrap().scheduler().map(Pod::address);
        if let Some(place) = place {
            change(&self.schedulers, &place);
        }
    }

    pub(super) fn change_scheduler(&self, change: impl FnOnce(&mut SchedulerState)) {
        self.with_scheduler(|all, place| {
            all.change(place, change);
        });
    }

    fn tasks_end(&self) {
        self.change_scheduler(SchedulerState::tasks_end);
        // Before anybody acts on it.
        self.witness().look_around(&self.api, self.wall.right());
    }

    async fn change(&self, index: usize, patch: &Value) {
        if let Some(name) = self.open(index) {
            self.patch(&format!("flowruns/{name}"), patch).await;
        }
    }
}
