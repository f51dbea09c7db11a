//! A Dask scheduler as far as the planner can tell it apart from the real one: who is registered, who holds
//! which data, who has tasks, and how workers are retired.

use std::collections::{BTreeMap, BTreeSet};

/// How the scheduler answers when it is asked to retire workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answers {
    #[default]
    Prompt,
    /// It has done so, and says so later.
    TooLate,
    /// It goes on copying, and says what came of it later.
    NotYet,
    /// The connection fails.
    Never,
}

/// Whom it names when it is asked whom it can spare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spares {
    #[default]
    All,
    /// Those alone that have no task.
    TheIdle,
    Nobody,
    /// It does not answer.
    Untold,
}

/// Whether its release can close workers to new tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    #[default]
    Possible,
    Impossible,
}

/// One start of a scheduler.
#[derive(Clone, Debug, Default)]
pub struct Dask {
    /// Which start of its container it is.
    pub start: String,
    /// Tasks of each registered worker.
    pub workers: BTreeMap<String, u64>,
    /// Tasks that wait for a worker.
    pub queued: u64,
    /// Who holds each result.
    pub keys: BTreeMap<u64, BTreeSet<String>>,
    pub clients: BTreeSet<String>,
    /// The workers that it is letting go.
    pub closing: BTreeSet<String>,
    /// The workers that it gives no more tasks.
    pub closed: BTreeSet<String>,
    /// The workers that it has let go and that have not come back. They serve nothing.
    pub let_go: BTreeSet<String>,
    pub next_key: u64,
}

impl Dask {
    pub fn is_idle(&self) -> bool {
        self.queued == 0 && self.workers.values().all(|tasks| *tasks == 0)
    }

    pub fn registered(&self) -> BTreeSet<String> {
        self.workers.keys().cloned().collect()
    }

    pub fn compute(&mut self, index: usize) {
        let closed = &self.closed;
        let mut open = self.workers.iter_mut().filter(|(name, _)| !closed.contains(*name));
        match open.nth(index) {
            Some((_, tasks)) => *tasks += 1,
            None => self.queued += 1,
        }
    }

    /// All tasks that have a worker end, each with a result; every other result has a replica.
    pub fn tasks_end(&mut self) {
        let all: Vec<String> = self.workers.keys().cloned().collect();
        let closed = &self.closed;
        if let Some((_, tasks)) = self.workers.iter_mut().find(|(name, _)| !closed.contains(*name)) {
            *tasks += std::mem::take(&mut self.queued);
        }
        for (index, name) in all.iter().enumerate() {
            for _ in 0..std::mem::take(self.workers.get_mut(name).unwrap()) {
                self.next_key += 1;
                let other = all[(index + 1) % all.len()].clone();
                let holders = [Some(name.clone()), (self.next_key.is_multiple_of(2)).then_some(other)];
                self.keys.insert(self.next_key, holders.into_iter().flatten().collect());
            }
        }
    }

    /// A worker is gone: what it alone held is lost, and its tasks wait for another.
    pub fn loses(&mut self, worker: &str) {
        self.queued += self.workers.remove(worker).unwrap_or(0);
        self.closing.remove(worker);
        self.closed.remove(worker);
        self.keys.retain(|_, holders| {
            holders.remove(worker);
            !holders.is_empty()
        });
    }

    /// Copies what only these workers hold to the others, and lets those go that hold nothing alone any more.
    pub fn retire(&mut self, workers: &[String]) -> Vec<String> {
        let gone = self.flush(workers);
        for worker in &gone {
            self.loses(worker);
        }
        self.let_go.extend(gone.iter().cloned());
        gone
    }

    /// Copies what only these workers hold to the others, and gives those that hold nothing alone any more no
    /// more tasks.
    pub fn close(&mut self, workers: &[String]) -> Vec<String> {
        let closed = self.flush(workers);
        self.closed.extend(closed.iter().cloned());
        closed
    }

    /// Moves what these workers hold to one that stays; what others hold as well is dropped. Gives those that
    /// hold nothing any more.
    fn flush(&mut self, workers: &[String]) -> Vec<String> {
        let leaving = |name: &String| {
            [&self.closing, &self.closed].iter().any(|all| all.contains(name)) || workers.contains(name)
        };
        let stays = self.workers.keys().find(|name| !leaving(name)).cloned();
        let mut flushed = Vec::new();
        for worker in workers.iter().filter(|name| self.workers.contains_key(*name)) {
            let alone = |holders: &BTreeSet<String>| holders.contains(worker) && holders.len() == 1;
            let moves = self.keys.values_mut().filter(|holders| alone(holders));
            match &stays {
                Some(to) => moves.for_each(|holders| holders.extend([to.clone()])),
                None if moves.count() > 0 => continue,
                None => {}
            }
            for holders in self.keys.values_mut() {
                holders.remove(worker);
            }
            flushed.push(worker.clone());
        }
        flushed
    }

    /// Its workers in the order in which it would close them.
    pub fn closable(&self, spares: Spares) -> Option<Vec<String>> {
        let held = |name: &String| self.keys.values().filter(|holders| holders.contains(name)).count();
        let mut all: Vec<&String> = match spares {
            Spares::Untold => return None,
            Spares::Nobody => Vec::new(),
            Spares::TheIdle => {
                self.workers.iter().filter(|(_, tasks)| **tasks == 0).map(|(name, _)| name).collect()
            }
            Spares::All => self.workers.keys().collect(),
        };
        all.sort_by_key(|name| (self.workers[*name] > 0, held(name)));
        Some(all.into_iter().cloned().collect())
    }
}
