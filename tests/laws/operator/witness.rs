//! What has become of all objects, from the changes of the API's store, in their order; and what must never
//! be seen there.
//!
//! It knows nothing of the operator but what anybody can see. What breaks a law is kept, and fails the
//! history when the world looks next: a panic here would be the operator's.

use std::collections::{BTreeMap, BTreeSet};

use daskflow::api::flow::Concurrency;
use daskflow::api::labels;
use daskflow::cluster_api::{Changed, ClusterApi};
use jiff::Timestamp;
use serde_json::Value;

use super::history::{CLOCKS, History, Rules, TICKING_S};
use super::laws::Laws;
use super::starts::Starts;
use crate::dask::Schedulers;

/// A run as it was seen last.
#[derive(Clone, Debug, Default)]
pub struct Run {
    uid: String,
    /// The phase; empty before the first status.
    pub phase: String,
    reason: String,
    clock: String,
    tick: Option<Timestamp>,
    backfill: String,
    cancel: bool,
    deleted_by_people: bool,
    /// Whether it is there still.
    pub exists: bool,
}

impl Run {
    /// Whether its phase is final.
    pub fn is_over(&self) -> bool {
        is_final(&self.phase)
    }
}

/// A pod as it was seen last.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is seen by itself")]
pub struct Pod {
    /// Whether it is of a Job that does not count.
    pub is_orphan: bool,
    /// What it is: `runner`, `scheduler` or `worker`.
    pub component: String,
    /// The run of a runner.
    pub run: String,
    /// Whether its container was started.
    pub runs: bool,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether it is being deleted.
    pub leaves: bool,
    /// How often its container was started anew.
    pub restarts: i64,
    /// How many pods were seen before it.
    pub number: u64,
    /// The image of its container.
    pub image: String,
}

impl Pod {
    fn is_scheduler_at_work(&self) -> bool {
        self.component == labels::SCHEDULER && self.runs && !self.ended
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("10.0.{}.{}", self.number / 250, self.number % 250 + 1)
    }
}

/// All that was seen, and what was wrong with it.
pub struct Witness {
    rules: Rules,
    /// What is looked at beside.
    pub laws: Laws,
    seen: u64,
    changed: u64,
    /// The runs by their names.
    pub runs: BTreeMap<String, Run>,
    /// The pods that are there.
    pub pods: BTreeMap<String, Pod>,
    /// How many pods there ever were.
    pub pods_seen: u64,
    jobs: BTreeSet<String>,
    /// The Jobs whose run was not there any more when they came.
    orphans: BTreeSet<String>,
    /// Every tick that became a run.
    pub ticks: BTreeSet<(String, Timestamp)>,
    /// Of each clock the last tick that stands in the status of the Flow.
    written: BTreeMap<String, Timestamp>,
    /// The statuses of the Flow: how many ticks were missed, how many runs were given up.
    pub counted: (i64, i64),
    /// The runs that were given up before they started.
    pub skipped: BTreeSet<String>,
    /// How many workers the cluster is to have, if that is a fixed number.
    pub wanted_workers: usize,
    schedulers: Schedulers,
    /// Who holds the Lease, if there is one.
    leader: Option<String>,
    starts: Starts,
    wrong: Vec<String>,
}

/// Whether a run in this phase has ended.
pub fn is_final(phase: &str) -> bool {
    ["Succeeded", "Failed", "Cancelled", "TimedOut", "Skipped"].contains(&phase)
}

/// How many ticks there are at the most.
fn most_ticks() -> i64 {
    CLOCKS.iter().map(|(_, seconds)| TICKING_S / seconds + 1).sum()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

fn number_of(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// The largest status that a Flow or a run of these histories may have, in bytes of JSON.
const STATUS_MAX: usize = 16_384;

impl Witness {
    /// One that has seen nothing yet of this history and of these schedulers.
    pub fn new(history: &History, schedulers: Schedulers) -> Self {
        Self {
            rules: history.rules,
            laws: Laws::of(history, schedulers.clone()),
            seen: 0,
            changed: 0,
            runs: BTreeMap::new(),
            pods: BTreeMap::new(),
            pods_seen: 0,
            jobs: BTreeSet::new(),
            orphans: BTreeSet::new(),
            ticks: BTreeSet::new(),
            written: BTreeMap::new(),
            counted: (0, 0),
            skipped: BTreeSet::new(),
            wanted_workers: 0,
            schedulers,
            leader: None,
            starts: Starts::default(),
            wrong: Vec::new(),
        }
    }

    /// The first thing that was wrong.
    pub fn wrong(&self) -> Option<&String> {
        self.wrong.first()
    }

    fn must(&mut self, holds: bool, law: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(law());
        }
    }

    /// Somebody is about to delete this run.
    pub fn is_deleted_by_people(&mut self, name: &str) {
        if let Some(run) = self.runs.get_mut(name) {
            run.deleted_by_people = true;
        }
        self.laws.is_deleted_by_people(name);
    }

    /// An operator sends a write.
    pub fn sent(&mut self, who: &str, plural: &str) {
        let leads = self.leader.as_deref().is_none_or(|leader| leader == who);
        let is_work = plural != "leases";
        self.must(leads || !is_work || !self.rules.election, || {
            format!("{who} writes {plural} and does not lead")
        });
    }

    /// Looks at what is not in the store, too.
    pub fn look_around(&mut self, api: &ClusterApi, now: Timestamp) {
        self.look(api);
        if let Err(law) = self.laws.look(now) {
            self.wrong.push(law);
        }
    }

    /// An operator has asked for more than so much in one second.
    pub fn asks_too_much(&mut self, who: &str, most: u32) {
        self.must(false, || format!("{who} asks for more than {most} things in a second"));
    }

    /// An operator has read this run, from the API itself.
    pub fn has_read(&mut self, who: &str, name: &str) {
        if let Some(run) = self.runs.get(name).filter(|run| run.exists && !run.is_over()) {
            self.starts.has_read(who, &run.uid);
        }
    }

    /// An operator asks for this Job.
    pub fn starts(&mut self, who: &str, job: &Value) {
        let owner = text(job, "/metadata/ownerReferences/0/uid");
        let is_open = self.runs.values().any(|run| run.uid == owner && run.exists && !run.is_over());
        let could_not_know = self.starts.may_rest_on(who, owner);
        self.must(is_open || could_not_know, || {
            format!("{who} starts {}, whose run has gone or ended", text(job, "/metadata/name"))
        });
    }

    /// Takes in what has changed since the last look.
    pub fn look(&mut self, api: &ClusterApi) {
        if api.version() == self.seen {
            return;
        }
        let changes = api.changes_after(self.seen.max(1)).unwrap();
        for change in changes {
            self.seen = change.version;
            if !matches!(change.kind, "Event" | "Lease") {
                self.changed = change.version;
            }
            self.take(&change);
            if let Err(law) = self.laws.take(&change) {
                self.wrong.push(law);
            }
        }
    }

    /// The version of the last change that says something new: of neither an event nor the Lease.
    pub fn last_change(&self) -> u64 {
        self.changed
    }

    fn take(&mut self, change: &Changed) {
        match change.kind {
            "FlowRun" => self.take_run(change),
            "Pod" => self.take_pod(change),
            "Job" if change.before.is_none() => self.take_job(change),
            "Flow" => self.take_flow(change),
            "DaskCluster" => self.take_cluster(change),
            "Lease" => {
                let holder =
                    change.after.as_ref().map(|lease| text(lease, "/spec/holderIdentity").to_owned());
                self.leader = holder.filter(|holder| !holder.is_empty());
            }
            _ => {}
        }
    }

    /// A Job comes to be, of which each run has one of a name. One that arrives so late that its run has been
    /// deleted meanwhile does not count: nothing in Kubernetes keeps a creation from being late, and it is
    /// collected with its pod.
    fn take_job(&mut self, change: &Changed) {
        let owner = change.after.as_ref().map_or("", |job| text(job, "/metadata/ownerReferences/0/uid"));
        if owner.is_empty() {
            // A stranger's.
            return;
        }
        if self.runs.values().any(|run| run.exists && run.uid == owner) {
            let is_new = self.jobs.insert(format!("{} of {owner}", change.name));
            self.must(is_new, || format!("the Job {} was created twice", change.name));
        } else {
            self.orphans.insert(change.name.clone());
        }
    }

    fn take_flow(&mut self, change: &Changed) {
        let Some(flow) = &change.after else { return };
        self.counted = (number_of(flow, "/status/missed"), number_of(flow, "/status/skipped"));
        let clocks = flow.pointer("/status/clocks").and_then(Value::as_array).into_iter().flatten();
        let last = |clock: &Value| Some((text(clock, "/name").to_owned(), time(clock, "/lastTick")?));
        self.written = clocks.filter_map(last).collect();
        self.check_size(change, flow);
        let (missed, ticks) = (self.counted.0, most_ticks());
        self.must(missed <= ticks, || format!("{missed} are counted as missed of {ticks} ticks"));
        let admitted = self.holding_places(flow);
        let places = self.rules.places_of_flow();
        self.must(places.is_none_or(|places| admitted <= places), || format!("{admitted} runs are admitted"));
    }

    /// How many of the runs that are admitted have not ended, or have a runner that has not. The others may
    /// be listed by who has not heard of their end yet, and take nothing but time from those that wait.
    fn holding_places(&self, object: &Value) -> usize {
        let alive = self.alive();
        let has_ended = |name: &str| {
            self.runs.get(name).is_some_and(|run| run.is_over() || !run.exists) && !alive.contains(&name)
        };
        let admitted = object.pointer("/status/admitted").and_then(Value::as_array).into_iter().flatten();
        admitted.filter_map(Value::as_str).filter(|name| !has_ended(name)).count()
    }

    fn take_cluster(&mut self, change: &Changed) {
        let Some(cluster) = &change.after else { return };
        self.check_size(change, cluster);
        self.wanted_workers =
            usize::try_from(number_of(cluster, "/spec/workers/replicas")).unwrap_or_default();
        let admitted = self.holding_places(cluster);
        let places = self.rules.cluster.and_then(|cluster| cluster.max_active_runs);
        let fits =
            places.is_none_or(|places| i32::try_from(admitted).is_ok_and(|admitted| admitted <= places));
        self.must(fits, || format!("{admitted} runs are admitted to the cluster"));
    }

    fn check_size(&mut self, change: &Changed, object: &Value) {
        let bytes = object.get("status").map_or(0, |status| status.to_string().len());
        self.must(bytes <= STATUS_MAX, || format!("the status of {} has {bytes} bytes", change.name));
    }

    fn take_run(&mut self, change: &Changed) {
        let name = &change.name;
        let Some(object) = &change.after else {
            let may_go = self.runs.get(name).is_some_and(|run| run.is_over() || run.deleted_by_people);
            self.must(may_go, || format!("the run {name} was deleted and had not ended"));
            self.runs.entry(name.clone()).or_default().exists = false;
            return;
        };
        let before = self.runs.get(name).filter(|run| run.exists).cloned().unwrap_or_default();
        let run = Run {
            uid: text(object, "/metadata/uid").to_owned(),
            phase: text(object, "/status/phase").to_owned(),
            reason: text(object, "/status/reason").to_owned(),
            clock: text(object, "/spec/clock").to_owned(),
            tick: text(object, "/spec/scheduledTime").parse().ok(),
            cancel: object.pointer("/spec/cancel") == Some(&Value::Bool(true)),
            backfill: text(object, "/spec/backfill").to_owned(),
            deleted_by_people: before.deleted_by_people,
            exists: true,
        };
        if change.before.is_none() {
            self.check_begin(name, &run);
        }
        let job = text(object, "/status/job");
        let is_there = job.is_empty() || self.jobs.contains(&format!("{job} of {}", run.uid));
        self.must(is_there, || format!("{name} says that {job} is its Job, and that never was there"));
        let stays = !before.is_over() || before.phase == run.phase;
        self.must(stays, || format!("{name} was {} and is {}", before.phase, run.phase));
        self.check_end(name, &run);
        self.check_size(change, object);
        self.runs.insert(name.clone(), run);
    }

    /// A run comes to be: of a tick that has none yet, or of a backfill, whose laws are elsewhere. A tick may
    /// become a run again whose first one people have deleted before any status could tell of it.
    fn check_begin(&mut self, name: &str, run: &Run) {
        let Some(tick) = run.tick else { return };
        let is_unwritten = self.written.get(&run.clock).is_none_or(|last| *last < tick);
        let is_lost = is_unwritten && self.runs.get(name).is_some_and(|before| before.deleted_by_people);
        let of_clock = (run.clock.clone(), tick);
        if run.backfill.is_empty() {
            let is_new = self.ticks.insert(of_clock) || is_lost;
            self.must(is_new, || format!("the tick {tick} of {} became a run twice", run.clock));
        }
    }

    /// A run that was given up was so for a cause that its Flow allows.
    fn check_end(&mut self, name: &str, run: &Run) {
        let policy = self.rules.concurrency;
        if run.phase == "Skipped" {
            self.skipped.insert(name.to_owned());
        }
        let replaces = policy == Concurrency::Replace;
        let newest_only = replaces || policy == Concurrency::Forbid;
        let (phase, reason) = (run.phase.as_str(), run.reason.as_str());
        self.must(reason != "Replaced" || replaces, || format!("{name} was replaced under {policy:?}"));
        self.must(reason != "Superseded" || newest_only, || {
            format!("{name} was superseded under {policy:?}")
        });
        let asked = run.cancel || replaces;
        self.must(phase != "Cancelled" || asked, || format!("{name} was cancelled, and by nobody"));
        let is_newer = |(clock, tick): &(String, Timestamp)| *clock == run.clock && Some(*tick) > run.tick;
        let gave_way = matches!(reason, "Superseded" | "Replaced");
        let to_its_own = !gave_way || self.ticks.iter().any(is_newer);
        self.must(to_its_own, || format!("{name} gave way to another clock"));
    }

    fn take_pod(&mut self, change: &Changed) {
        let Some(object) = &change.after else {
            if let Some(pod) = self.pods.remove(&change.name).filter(|pod| !pod.leaves) {
                self.check_deletion(change, &pod);
            }
            return;
        };
        let number = self.pods.get(&change.name).map_or(self.pods_seen, |pod| pod.number);
        if change.before.is_none() {
            self.pods_seen += 1;
        }
        let label = |key: &str| {
            object
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get(key)?.as_str())
                .unwrap_or_default()
        };
        let phase = text(object, "/status/phase");
        let pod = Pod {
            is_orphan: self.orphans.contains(label("batch.kubernetes.io/job-name")),
            component: label(labels::COMPONENT).to_owned(),
            run: label(labels::RUN).to_owned(),
            runs: phase == "Running",
            ended: matches!(phase, "Succeeded" | "Failed"),
            leaves: is_leaving(object),
            restarts: number_of(object, "/status/containerStatuses/0/restartCount"),
            number,
            image: text(object, "/spec/containers/0/image").to_owned(),
        };
        if pod.leaves && change.before.as_ref().is_some_and(|before| !is_leaving(before)) {
            self.check_deletion(change, &pod);
        }
        self.pods.insert(change.name.clone(), pod);
        if change.before.is_none() {
            self.check_alive();
        }
    }

    /// A worker's pod is deleted only once its scheduler has let it go, and that of a scheduler only once it
    /// has ended or may be replaced.
    fn check_deletion(&mut self, change: &Changed, pod: &Pod) {
        if self.laws.do_all_pods_go() {
            return;
        }
        if pod.is_scheduler_at_work()
            && let Err(law) = self.laws.replaces_scheduler(&change.name)
        {
            self.wrong.push(law);
        }
        if pod.component != labels::WORKER || pod.ended {
            return;
        }
        let state = self.scheduler().and_then(|scheduler| self.schedulers.at(&scheduler.address()));
        let is_free = state.is_none_or(|state| !state.workers.contains_key(&change.name));
        self.must(is_free, || format!("{} is deleted, and its scheduler has not let it go", change.name));
    }

    /// The pod of the Dask scheduler, if it runs.
    pub fn scheduler(&self) -> Option<&Pod> {
        self.pods.values().find(|pod| pod.is_scheduler_at_work())
    }

    /// The runs of the runners that are alive.
    pub fn alive(&self) -> Vec<&str> {
        let counts = |pod: &&Pod| pod.component == labels::RUNNER && !pod.ended && !pod.is_orphan;
        let runners = self.pods.values().filter(counts);
        runners.map(|pod| pod.run.as_str()).collect()
    }

    fn check_alive(&mut self) {
        let alive: Vec<String> = self.alive().into_iter().map(str::to_owned).collect();
        let runs: BTreeSet<&String> = alive.iter().collect();
        self.must(runs.len() == alive.len(), || format!("two runners of one run are alive: {alive:?}"));
        let places = self.rules.places();
        let fits = places.is_none_or(|places| alive.len() <= places);
        self.must(fits, || format!("{alive:?} are alive together"));
    }

    /// The runs and Jobs that there were, and how the runs ended.
    pub fn outcome(&self) -> BTreeSet<String> {
        // Uids differ where other requests were made between.
        let jobs = self.jobs.iter().filter_map(|job| job.split(' ').next()).map(str::to_owned);
        self.runs.iter().map(|(name, run)| format!("{name} {}", run.phase)).chain(jobs).collect()
    }

    /// The runs that are there and have not ended.
    pub fn open(&self) -> Vec<&str> {
        let open = self.runs.iter().filter(|(_, run)| run.exists && !run.is_over());
        open.map(|(name, _)| name.as_str()).collect()
    }
}
