//! What one who sizes a cluster asks: is there work, for whom, who is busy, who goes first.
//!
//! These questions are put together from those of [`super::rpc`], by what the scheduler's release can tell.
//! They change nothing, and decide nothing.
use super::error::Error;
use super::message::{NoArguments, WorkerName};
use super::rpc::Scheduler;
use super::state::{Dump, Part, PrefixStates, Snapshot};
use super::version::{CHECK_IDLE_BY_ITSELF_SINCE, CHECK_IDLE_SINCE, DUMP_STATE_SINCE};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many tasks are asked about one by one at most: it takes the scheduler about 70 µs for each (measured),
/// in which it does nothing else, and so 3.5 s for these.
pub const TASKS_MAX: u64 = 50_000;

/// More workers than any scheduler has.
const ALL_WORKERS: u64 = 1 << 31;

/// The span of `distributed.adaptive.target-duration`'s default.
const TARGET_DURATION: Duration = Duration::from_secs(5);

/// What a scheduler has to do, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Tasks that are processing, waiting, queued or without a worker that may run them. Below 2022.2.1 those
    /// without such a worker are not seen, so there it is too small; with no workers at all it is at least 1
    /// while there is work.
    pub in_flight: u64,
    /// The part of them that lacks a worker which may run them, such as one with the resources they ask for.
    /// With no workers at all, tasks without restrictions are among them or held back (measured, both on
    /// 2026.8.0). Only where it is not 0 is [`Scheduler::wanted_resources`] dear. Always 0 below 2022.2.1.
    pub no_worker: u64,
    /// The ids of the clients that are connected. Left out are those that the scheduler makes up
    /// ("fire-and-forget", data sets that were published, variables, queues) and those that tasks open on
    /// workers. `None` when this release cannot tell.
    pub clients: Option<BTreeSet<String>>,
}

impl Scheduler {
    /// What there is to do and who is connected, as of now.
    ///
    /// From 2022.2.1 on by `dump_state` without all that is dear. With 20,000 tasks in one group, of which
    /// 19,996 are queued, and one client: 345 bytes in 1.0 ms on 2024.3.1, 393 bytes in 0.7 ms on 2026.8.0
    /// (measured; medians, with the network and the decoding by Python). It grows by about 110 bytes for each
    /// group of tasks, not with the tasks. Before 2022.2.1, and where a scheduler refuses `dump_state`, it is
    /// [`Self::coarse_activity`].
    ///
    /// A scheduler that cannot write its answer hangs up instead: [`Error::StateUntold`]. The
    /// connection is lost then, and [`Self::coarse_activity`] over a new one is the way on.
    pub async fn activity(&mut self) -> Result<Activity, Error> {
        let mut clients = None;
        if self.version().await? >= DUMP_STATE_SINCE {
            let snapshot = self.snapshot(Part::States).await?.unwrap_or_default();
            if let Some(states) = snapshot.task_groups {
                let (in_flight, no_worker) = (states.in_flight(), states.no_worker);
                return Ok(Activity { in_flight, no_worker, clients: snapshot.clients });
            }
            clients = snapshot.clients;
        }
        self.coarse_activity().await.map(|activity| Activity { clients, ..activity })
    }

    /// What there is to do, as far as every release can tell: the tasks that lie with workers and those that
    /// wait for others. Tasks that the scheduler holds back (from 2022.9.0 on) or that no worker may run are
    /// not among them, so 0 does not mean idle while there are workers; with none at all it is at least
    /// [`Self::adaptive_target`].
    ///
    /// Dearer than [`Self::activity`]: the names of all tasks that lie with workers, 1 MB for 20,000
    /// (measured on 2022.2.0).
    pub async fn coarse_activity(&mut self) -> Result<Activity, Error> {
        let processing = self.processing(None).await?;
        let PrefixStates(states) = self.ask("get_task_prefix_states", &NoArguments {}).await?;
        let mut in_flight = processing.values().copied().fold(states.waiting, u64::saturating_add);
        if processing.is_empty() {
            in_flight = in_flight.max(self.adaptive_target(TARGET_DURATION).await?);
        }
        Ok(Activity { in_flight, ..Activity::default() })
    }

    /// Whether there is nothing to do and who is connected, as [`Self::activity`] has it, with nothing for
    /// what this scheduler cannot tell for sure. With `coarse` it is not asked for its state, which it could
    /// not write before.
    ///
    /// A scheduler from 2023.4.1 on that refuses to tell its state is asked [`Self::check_idle`]. One from
    /// 2022.2.1 on to that, of which only a part of the tasks can be seen, is never said to be idle. Older
    /// ones are, with the limits of [`Self::coarse_activity`].
    pub async fn idleness(
        &mut self,
        coarse: bool,
    ) -> Result<(Option<bool>, Option<BTreeSet<String>>), Error> {
        let version = self.version().await?;
        let mut clients = None;
        if version >= DUMP_STATE_SINCE && !coarse {
            let snapshot = self.snapshot(Part::States).await?.unwrap_or_default();
            if let Some(states) = snapshot.task_groups {
                return Ok((Some(states.in_flight() == 0), snapshot.clients));
            }
            clients = snapshot.clients;
        }
        if version >= CHECK_IDLE_SINCE {
            return Ok((Some(self.check_idle().await?.is_some()), clients));
        }
        let is_idle = self.coarse_activity().await?.in_flight == 0;
        let sees_all = version < DUMP_STATE_SINCE;
        Ok(((sees_all || !is_idle).then_some(is_idle), clients))
    }

    /// How much of each worker resource the tasks ask for that are ready to run (`resources={"GPU": 1}`),
    /// summed over those that lie with a worker and those that no worker may run. Tasks that still wait for
    /// others are not counted. Needs 2022.2.1.
    ///
    /// While every task has a worker that may run it ([`Activity::no_worker`] is 0) that costs as little as
    /// [`Self::activity`]: 374 bytes and 1.3 ms on 2024.3.1, 0.9 ms on 2026.8.0, and 50 bytes for each worker
    /// more. Otherwise every task must be looked at, 83 bytes each. That is **dear**: with 20,000 tasks 1.7
    /// MB and 1.0 s of the scheduler's time on 2024.3.1, 1.4 s on 2026.8.0 (measured), in which it does
    /// nothing else. So ask when there is a worker group with resources to be sized and
    /// [`Activity::no_worker`] is not 0, and seldom. With more than [`TASKS_MAX`] tasks the scheduler is
    /// spared: [`Error::TooManyTasks`].
    pub async fn wanted_resources(&mut self) -> Result<BTreeMap<String, f64>, Error> {
        let version = self.version().await?;
        if version < DUMP_STATE_SINCE {
            return Err(Error::Unsupported { op: "dump_state", since: DUMP_STATE_SINCE, version });
        }
        let untold = || Error::UnknownOperation { op: "dump_state".to_owned() };
        let snapshot = self.snapshot(Part::Used).await?.ok_or_else(untold)?;
        let states = snapshot.task_groups.ok_or_else(untold)?;
        // A task that was stolen is booked off at its thief, not at its victim, and stays booked when the
        // thief is retired (seen on 2026.8.0). So what nothing uses counts for nothing.
        if states.in_flight() == 0 {
            return Ok(BTreeMap::new());
        }
        // Tasks with restrictions are never queued (source): they lie with a worker, or no worker may run
        // them.
        if let Some(used) = snapshot.workers.filter(|_| states.no_worker == 0) {
            return Ok(used);
        }
        if states.total > TASKS_MAX {
            return Err(Error::TooManyTasks { tasks: states.total, limit: TASKS_MAX });
        }
        let snapshot = self.snapshot(Part::Tasks).await?.ok_or_else(untold)?;
        snapshot.tasks.ok_or_else(untold)
    }

    /// Whether there is nothing to do: no task lies with a worker, is held back or lacks a worker. Results
    /// that clients keep, data and clients that are connected do not count.
    ///
    /// From 2023.4.1 on by [`Self::check_idle`], with its limits: up to 2024.1.0 the question itself restarts
    /// the count of "idle since", and a scheduler whose own `idle-timeout` has passed may stop at it. Before
    /// that by [`Self::activity`], which below 2022.2.1 does not see tasks that ask for a resource that none
    /// of the workers has.
    pub async fn is_idle(&mut self) -> Result<bool, Error> {
        let version = self.version().await?;
        if version < CHECK_IDLE_SINCE {
            return self.activity().await.map(|activity| activity.in_flight == 0);
        }
        if self.check_idle().await?.is_some() {
            return Ok(true);
        }
        // Nil also means that something has happened since the last look. Who looks only when asked is asked
        // again.
        Ok(version < CHECK_IDLE_BY_ITSELF_SINCE && self.check_idle().await?.is_some())
    }

    /// How many tasks lie with each of these workers, running or waiting there, by name. Names that no worker
    /// has are left out.
    pub async fn busy(&mut self, names: &BTreeSet<String>) -> Result<BTreeMap<String, u64>, Error> {
        let workers = self.identity().await?.workers;
        let addresses: BTreeMap<String, String> = workers
            .into_iter()
            .map(|(address, worker)| (address, worker.name.to_string()))
            .filter(|(_, name)| names.contains(name))
            .collect();
        if addresses.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked: Vec<String> = addresses.keys().cloned().collect();
        let tasks = match self.processing(Some(&asked)).await {
            // One of them has gone in the meantime, and the answer for the others with it.
            Err(Error::Remote { .. }) => self.processing(None).await?,
            tasks => tasks?,
        };
        let counted = addresses.into_iter().filter_map(|(address, name)| Some((name, *tasks.get(&address)?)));
        Ok(counted.collect())
    }

    /// The names of all workers, in the order in which they had better go: idle ones first, then busy ones,
    /// each from the least data held to the most. A caller that wants some of one group takes the first of
    /// that group. Changes nothing.
    ///
    /// Left out are workers that the scheduler would never close itself: from 2024.1.0 on those with a task
    /// that waits for tasks of its own (`worker_client`), from 2024.4.2 on those within a P2P shuffle
    /// (source).
    pub async fn closing_order(&mut self) -> Result<Vec<WorkerName>, Error> {
        // It obeys a number that is larger than the cluster, so the number of workers need not be asked
        // first.
        self.workers_to_close(ALL_WORKERS).await
    }

    /// A part of the scheduler's state; nothing where it refuses to tell.
    async fn snapshot(&mut self, part: Part) -> Result<Option<Snapshot>, Error> {
        if !self.is_usable() {
            return Err(Error::Closed(None));
        }
        match self.ask("dump_state", &Dump::of(part)).await {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(Error::Remote { .. } | Error::UnknownOperation { .. }) => Ok(None),
            Err(
                error @ (Error::Closed(_)
                | Error::Decode(_)
                | Error::TooLarge(_)
                | Error::TooManyEntries { .. }),
            ) => Err(Error::StateUntold(Box::new(error))),
            Err(error) => Err(error),
        }
    }
}
