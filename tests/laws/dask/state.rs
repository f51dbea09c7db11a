//! One start of a scheduler: who is registered, who has tasks, who holds which result, and how workers leave.
//! Pure. What real schedulers do here was measured: `tests/dask/real*.rs`.

use std::collections::{BTreeMap, BTreeSet};

use daskflow::dask::Version;

/// The release that a scheduler is of unless its test says otherwise.
const RELEASE: Version = Version::new(2026, 8, 0);

/// Whom it names when it is asked which workers may close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spares {
    #[default]
    All,
    /// Those alone that have no task.
    TheIdle,
    NoOne,
}

/// A worker that is registered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    /// Where it says that it listens, such as `tcp://10.0.0.7:40001`.
    pub address: String,
    pub threads: u64,
    /// Amounts of its resources, such as GPU.
    pub resources: BTreeMap<String, f64>,
    /// The tasks that lie with it: those that it runs, one on each thread, and those that wait there.
    pub tasks: u64,
    /// Those of them that it still runs since it was closed to new ones; the others never begin at it. None:
    /// it is open.
    pub closed: Option<u64>,
    /// Whether its data moves to others, after which it goes.
    pub leaving: bool,
}

impl Worker {
    /// How many tasks it runs.
    pub fn running(&self) -> u64 {
        self.closed.unwrap_or(self.tasks.min(self.threads))
    }

    fn is_open(&self) -> bool {
        self.closed.is_none() && !self.leaving
    }
}

/// One start of a scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerState {
    /// The identity of this start.
    pub id: String,
    pub release: Version,
    /// Its workers by name, which no two have in common.
    pub workers: BTreeMap<String, Worker>,
    /// Tasks that are ready, and wait for a worker that has room.
    pub queued: u64,
    /// Tasks that no worker may run.
    pub unrunnable: u64,
    /// What tasks that are ready ask for together, such as GPU.
    pub wanted: BTreeMap<String, f64>,
    /// Who holds each result.
    pub results: BTreeMap<u64, BTreeSet<String>>,
    /// The ids of the clients that are connected.
    pub clients: BTreeSet<String>,
    /// How many workers it wants, where that is not one for each task.
    pub target: Option<u64>,
    pub spares: Spares,
    /// The workers that it has told to stop. Their processes end by themselves, with exit code 0.
    pub let_go: BTreeSet<String>,
    last_result: u64,
}

impl SchedulerState {
    pub fn new(id: String) -> Self {
        Self {
            id,
            release: RELEASE,
            workers: BTreeMap::new(),
            queued: 0,
            unrunnable: 0,
            wanted: BTreeMap::new(),
            results: BTreeMap::new(),
            clients: BTreeSet::new(),
            target: None,
            spares: Spares::All,
            let_go: BTreeSet::new(),
            last_result: 0,
        }
    }

    /// A worker of one thread comes. A name that is taken by another address is refused, as by a real
    /// scheduler.
    pub fn register(&mut self, name: &str, address: &str) -> bool {
        if let Some(known) = self.workers.get(name) {
            return known.address == address;
        }
        self.let_go.remove(name);
        let worker = Worker { address: address.to_owned(), threads: 1, ..Worker::default() };
        self.workers.insert(name.to_owned(), worker);
        true
    }

    pub fn registered(&self) -> BTreeSet<String> {
        self.workers.keys().cloned().collect()
    }

    /// Tasks in flight: with workers, queued, or without a worker that may run them.
    pub fn in_flight(&self) -> u64 {
        self.queued + self.unrunnable + self.workers.values().map(|worker| worker.tasks).sum::<u64>()
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight() == 0
    }

    /// How many workers it wants.
    pub fn adaptive_target(&self) -> u64 {
        self.target.unwrap_or(self.in_flight())
    }

    /// A task comes, and lies with the open worker of this index, or waits.
    pub fn compute(&mut self, index: usize) {
        match self.workers.values_mut().filter(|worker| worker.is_open()).nth(index) {
            Some(worker) => worker.tasks += 1,
            None => self.queued += 1,
        }
    }

    /// All tasks that a worker may run end, each with a result; every other result has a replica. What lies
    /// with a closed worker and had not begun stays there.
    pub fn tasks_end(&mut self) {
        let queued = std::mem::take(&mut self.queued);
        match self.workers.values_mut().find(|worker| worker.is_open()) {
            Some(worker) => worker.tasks += queued,
            None => self.queued = queued,
        }
        let names: Vec<String> = self.workers.keys().cloned().collect();
        for (index, (name, worker)) in self.workers.iter_mut().enumerate() {
            let ended = match &mut worker.closed {
                Some(running) => std::mem::take(running),
                None => worker.tasks,
            };
            worker.tasks -= ended;
            for _ in 0..ended {
                self.last_result += 1;
                let other = names[(index + 1) % names.len()].clone();
                let replica = Some(other).filter(|_| self.last_result.is_multiple_of(2));
                let holders = [name.clone()].into_iter().chain(replica).collect();
                self.results.insert(self.last_result, holders);
            }
        }
    }

    /// A worker is not there any more: what it alone held is lost, and its tasks wait for another.
    pub fn loses(&mut self, name: &str) {
        self.queued += self.workers.remove(name).map_or(0, |worker| worker.tasks);
        self.results.retain(|_, holders| {
            holders.remove(name);
            !holders.is_empty()
        });
    }

    /// The data of these workers begins to move to others.
    pub fn begin_to_retire(&mut self, names: &[String]) {
        for name in names {
            if let Some(worker) = self.workers.get_mut(name) {
                worker.leaving = true;
            }
        }
    }

    /// Copies what only these workers hold to others, and lets those go that hold nothing alone any more.
    pub fn retire(&mut self, names: &[String]) -> Vec<String> {
        let gone = self.flush(names);
        for name in &gone {
            self.loses(name);
        }
        self.let_go.extend(gone.iter().cloned());
        gone
    }

    /// Copies what only these workers hold to others, and gives those that hold nothing alone any more no
    /// more tasks.
    pub fn close(&mut self, names: &[String]) -> Vec<String> {
        let closed = self.flush(names);
        for name in &closed {
            if let Some(worker) = self.workers.get_mut(name) {
                worker.closed = Some(worker.running());
            }
        }
        closed
    }

    /// Moves what these workers hold to one that stays; what others hold as well is dropped. Gives those that
    /// hold nothing any more. The others are open again, unless they were closed before.
    fn flush(&mut self, names: &[String]) -> Vec<String> {
        let stays = self.workers.iter().find(|(name, worker)| worker.is_open() && !names.contains(name));
        let stays = stays.map(|(name, _)| name.clone());
        let mut flushed = Vec::new();
        for name in names {
            let Some(worker) = self.workers.get_mut(name) else { continue };
            worker.leaving = false;
            let is_alone = |holders: &&mut BTreeSet<String>| holders.contains(name) && holders.len() == 1;
            let only = self.results.values_mut().filter(is_alone);
            match &stays {
                Some(to) => only.for_each(|holders| holders.extend([to.clone()])),
                None if only.count() > 0 => continue,
                None => {}
            }
            for holders in self.results.values_mut() {
                holders.remove(name);
            }
            flushed.push(name.clone());
        }
        flushed
    }

    /// Its workers in the order in which they had better go: idle ones first, then those with the least data.
    pub fn closing_order(&self) -> Vec<String> {
        let results = |name: &str| self.results.values().filter(|holders| holders.contains(name)).count();
        let is_spared = |worker: &Worker| match self.spares {
            Spares::All => true,
            Spares::TheIdle => worker.tasks == 0,
            Spares::NoOne => false,
        };
        let mut spared: Vec<_> = self.workers.iter().filter(|(_, worker)| is_spared(worker)).collect();
        spared.sort_by_key(|(name, worker)| (worker.tasks > 0, results(name)));
        spared.into_iter().map(|(name, _)| name.clone()).collect()
    }
}
