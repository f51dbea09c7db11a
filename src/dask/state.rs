//! What a scheduler tells of its tasks: the answers of `dump_state` and `get_task_prefix_states`. Pure.
//!
//! `dump_state` is a debugging operation, "not type stable" by its own words; so nothing in its answer is
//! required, a part that is missing or of another shape is nothing, and the parts are summed while they are
//! read: an answer of a million tasks costs the memory of its bytes only.
//!
//! What it costs is decided by what is left out. A name that is excluded is excluded at *all* depths, so a
//! question keeps one member of each kind of object and names all the others. Names of members that a later
//! release adds come along, and are skipped.
use super::lenient::{ENTRIES_MAX, Scalar, Seen, TEXT_BYTES_MAX, each};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// The most resources that are told apart; clusters have a handful.
const RESOURCES_MAX: usize = 1_000;

/// Clients that a scheduler makes up itself (source): what was fired and forgotten, what a published data
/// set, a `Variable` or a `Queue` of Dask holds, and the clients that tasks open on their workers, which stay
/// for as long as the worker lives.
const PSEUDO_CLIENTS: [&str; 5] = ["fire-and-forget", "published-", "variable-", "queue-", "Client-worker-"];

/// Members of the scheduler that are never of use here.
const SCHEDULER: &[&str] = &[
    "events",
    "extensions",
    "log",
    "memory",
    "plugins",
    "transition_counter",
    "transition_log",
    "type",
    "id",
    "address",
    "services",
    "started",
    "n_workers",
    "total_threads",
    "total_memory",
    "status",
    "thread_id",
];

/// Members of a group of tasks, but `states`.
const GROUP: &[&str] = &[
    "all_durations",
    "dependencies",
    "done",
    "duration",
    "last_worker",
    "last_worker_tasks_left",
    "name",
    "nbytes_in_memory",
    "nbytes_total",
    "prefix",
    "span_id",
    "start",
    "stop",
    "types",
];

/// Members of a client: all of them, since its id is a key.
const CLIENT: &[&str] = &["client_key", "last_seen", "versions", "wants_what"];

/// Members of a worker, but `used_resources`.
const WORKER: &[&str] = &[
    "actors",
    "bandwidth",
    "executing",
    "extra",
    "has_what",
    "host",
    "last_seen",
    "local_directory",
    "long_running",
    "memory_limit",
    "metrics",
    "name",
    "nanny",
    "nbytes",
    "needs_what",
    "nthreads",
    "occupancy",
    "pid",
    "processing",
    "resources",
    "scheduler",
    "scheduler_ref",
    "server_id",
    "task_prefix_count",
    "time_delay",
];

/// Members of a task, but `state` and `resource_restrictions`.
const TASK: &[&str] = &[
    "actor",
    "annotations",
    "dependencies",
    "dependents",
    "erred_on",
    "exception",
    "exception_blame",
    "exception_text",
    "group",
    "group_key",
    "has_lost_dependencies",
    "host_restrictions",
    "key",
    "loose_restrictions",
    "metadata",
    "nbytes",
    "prefix",
    "prefix_key",
    "priority",
    "processing_on",
    "retries",
    "run_id",
    "run_spec",
    "suspicious",
    "traceback",
    "traceback_text",
    "type",
    "validate",
    "waiters",
    "waiting_on",
    "who_has",
    "who_wants",
    "worker_restrictions",
];

/// Which part of the state is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// How many tasks are in which state, and the ids of the clients.
    States,
    /// How many tasks are in which state, and what the tasks that lie with workers use of their resources.
    Used,
    /// The state and the restrictions of every single task.
    Tasks,
}

/// The arguments of `dump_state`.
#[derive(Debug, Serialize)]
pub(super) struct Dump {
    exclude: Names,
}

impl Dump {
    pub(super) fn of(part: Part) -> Self {
        let kept: [&[&str]; 5] = match part {
            Part::States => [SCHEDULER, GROUP, CLIENT, &["tasks", "workers"], &[]],
            Part::Used => [SCHEDULER, GROUP, WORKER, &["tasks", "clients"], &[]],
            Part::Tasks => [SCHEDULER, TASK, &["workers", "clients", "task_groups"], &[], &[]],
        };
        Self { exclude: Names(kept.concat()) }
    }
}

/// Names as a set of Python. A list would do, and be searched from its front for every member of every task:
/// 1.75 s in place of 1.05 s for 20,000 tasks (measured on 2024.3.1).
#[derive(Debug)]
struct Names(Vec<&'static str>);

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("__Set__", &true)?;
        map.serialize_entry("as-list", &self.0)?;
        map.end()
    }
}

/// The answer of `dump_state`: what was asked for, as far as it was told.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Snapshot {
    #[serde(default, deserialize_with = "groups")]
    pub(super) task_groups: Option<TaskStates>,
    #[serde(default, deserialize_with = "clients")]
    pub(super) clients: Option<BTreeSet<String>>,
    #[serde(default, deserialize_with = "used")]
    pub(super) workers: Option<Amounts>,
    #[serde(default, deserialize_with = "tasks")]
    pub(super) tasks: Option<Amounts>,
}

/// Amounts of resources by name.
pub(super) type Amounts = BTreeMap<String, f64>;

/// How many tasks there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TaskStates {
    /// Lying with a worker.
    pub(super) processing: u64,
    /// Waiting for other tasks.
    pub(super) waiting: u64,
    /// Ready, and held back by the scheduler until a worker has room.
    pub(super) queued: u64,
    /// Ready, and there is no worker that may run them.
    pub(super) no_worker: u64,
    /// In any state, finished ones too. Those that were forgotten are gone, and counted on by Dask.
    pub(super) total: u64,
}

impl TaskStates {
    pub(super) fn in_flight(self) -> u64 {
        [self.processing, self.waiting, self.queued, self.no_worker].into_iter().fold(0, u64::saturating_add)
    }

    fn add(&mut self, other: Self) {
        for (to, from) in [
            (&mut self.processing, other.processing),
            (&mut self.waiting, other.waiting),
            (&mut self.queued, other.queued),
            (&mut self.no_worker, other.no_worker),
            (&mut self.total, other.total),
        ] {
            *to = to.saturating_add(from);
        }
    }
}

/// States and how many tasks are in them; anything else counts nothing.
impl<'de> Deserialize<'de> for TaskStates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut states = Self::default();
        deserializer.deserialize_any(each(|state: String, count: Scalar| {
            let count = count.into_count().unwrap_or(0);
            if state != "forgotten" {
                states.total = states.total.saturating_add(count);
            }
            match state.as_str() {
                "processing" => states.processing = count,
                "waiting" => states.waiting = count,
                "queued" => states.queued = count,
                "no-worker" => states.no_worker = count,
                _ => {}
            }
        }))?;
        Ok(states)
    }
}

/// The answer of `get_task_prefix_states`, summed.
#[derive(Debug)]
pub(super) struct PrefixStates(pub(super) TaskStates);

impl<'de> Deserialize<'de> for PrefixStates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sum = TaskStates::default();
        deserializer.deserialize_any(each(|_, states: TaskStates| sum.add(states)))?;
        Ok(Self(sum))
    }
}

/// One group of tasks: its `states`.
struct Group(TaskStates);

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut group = TaskStates::default();
        deserializer.deserialize_any(each(|member: String, states: TaskStates| {
            if member == "states" {
                group = states;
            }
        }))?;
        Ok(Self(group))
    }
}

/// One member of a worker or a task: a text, or amounts, or nothing.
struct Member {
    text: Option<String>,
    amounts: Option<Amounts>,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut amounts = Amounts::new();
        let seen = deserializer.deserialize_any(each(|name, amount: Scalar| {
            let amount = amount.into_float().filter(|amount| amount.is_finite());
            if has_room(&amounts, &name) {
                amounts.extend(amount.map(|amount| (name, amount)));
            }
        }))?;
        Ok(match seen {
            Seen::Map => Self { text: None, amounts: Some(amounts) },
            Seen::Text(text) => Self { text: Some(text), amounts: None },
            Seen::Other => Self { text: None, amounts: None },
        })
    }
}

/// What one worker's tasks use.
struct Used(Option<Amounts>);

impl<'de> Deserialize<'de> for Used {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut used = None;
        deserializer.deserialize_any(each(|name: String, member: Member| {
            if name == "used_resources" {
                used = member.amounts;
            }
        }))?;
        Ok(Self(used))
    }
}

/// What one task asks for, if it is in flight.
struct Asked(Amounts);

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut in_flight, mut asked) = (false, Amounts::new());
        deserializer.deserialize_any(each(|name: String, member: Member| match name.as_str() {
            "state" => {
                in_flight = matches!(member.text.as_deref(), Some("processing" | "queued" | "no-worker"));
            }
            "resource_restrictions" => asked = member.amounts.unwrap_or_default(),
            _ => {}
        }))?;
        Ok(Self(if in_flight { asked } else { Amounts::new() }))
    }
}

fn groups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TaskStates>, D::Error> {
    let mut sum = TaskStates::default();
    let seen = deserializer.deserialize_any(each(|_, group: Group| sum.add(group.0)))?;
    Ok(seen.is_map().then_some(sum))
}

fn clients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeSet<String>>, D::Error> {
    let mut ids = BTreeSet::new();
    let seen = deserializer.deserialize_any(each(|id: String, _: Scalar| {
        let counts = ids.len() < ENTRIES_MAX && id.len() <= TEXT_BYTES_MAX;
        if counts && !PSEUDO_CLIENTS.iter().any(|pseudo| id.starts_with(pseudo)) {
            ids.insert(id);
        }
    }))?;
    Ok(seen.is_map().then_some(ids))
}

/// Nothing where only one of the workers does not tell: a sum without it would be wrong.
fn used<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amounts>, D::Error> {
    let mut sum = Some(Amounts::new());
    let seen = deserializer.deserialize_any(each(|_, worker: Used| match (&mut sum, worker.0) {
        (Some(sum), Some(used)) => add(sum, used),
        _ => sum = None,
    }))?;
    Ok(sum.filter(|_| seen.is_map()))
}

fn tasks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amounts>, D::Error> {
    let mut sum = Amounts::new();
    let seen = deserializer.deserialize_any(each(|_, task: Asked| add(&mut sum, task.0)))?;
    Ok(seen.is_map().then_some(sum))
}

/// Whether an amount of this resource is taken in: a million of them would not fit.
fn has_room(amounts: &Amounts, name: &str) -> bool {
    (amounts.len() < RESOURCES_MAX || amounts.contains_key(name)) && name.len() <= TEXT_BYTES_MAX
}

/// Adds amounts; a worker also tells the resources that nothing uses, which nobody asks for.
fn add(sum: &mut Amounts, amounts: Amounts) {
    for (name, amount) in amounts.into_iter().filter(|(_, amount)| *amount > 0.0) {
        if !has_room(sum, &name) {
            continue;
        }
        *sum.entry(name).or_default() += amount;
    }
}

#[cfg(test)]
mod tests;
