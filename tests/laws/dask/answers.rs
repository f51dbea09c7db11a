//! What a scheduler answers, as messages. Pure.
//!
//! Members and their kinds are those of recorded answers (`tests/dask/frames`). What an operator makes no use
//! of, such as pickles, is left out.

use std::collections::BTreeMap;

use daskflow::dask::Version;
use serde_json::{Value, json};

use super::faults::Operation;
use super::state::{SchedulerState, Worker};

/// From here on the idle are told from the busy.
const CHECK_IDLE_SINCE: Version = Version::new(2023, 4, 1);
/// From here on totals are told, and workers left out where that is asked for.
const TOTALS_SINCE: Version = Version::new(2025, 4, 0);
/// From here on the state is told without what is to be left out.
const DUMP_STATE_SINCE: Version = Version::new(2022, 2, 1);

/// When this world began, in seconds since the epoch by its schedulers' clocks.
const EPOCH_S: f64 = 1_795_339_400.0;
/// The time between two heartbeats of a worker, in seconds.
const BEAT_S: f64 = 0.5;

/// How much of the workers is told.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Detail {
    /// All, as of so many seconds after the beginning of the world.
    Full(f64),
    /// What a subscriber is sent: no metrics.
    Subscription,
}

/// What an operation failed with.
pub(super) fn failure(text: &str) -> Value {
    json!({
        "status": "uncaught-error", "exception": null, "traceback": null,
        "exception_text": text, "traceback_text": "",
    })
}

/// The answer to a question, which changes nothing; nil to what this release does not have.
pub(super) fn answer(
    state: &SchedulerState,
    (operation, request): (Operation, &Value),
    elapsed_s: f64,
) -> Value {
    match operation {
        Operation::Versions => versions(state.release),
        Operation::Identity => match request.get("n_workers").and_then(Value::as_i64) {
            Some(_) if state.release < TOTALS_SINCE => {
                failure("TypeError(\"Scheduler.identity() got an unexpected keyword argument 'n_workers'\")")
            }
            Some(0) => {
                let mut identity = identity(state, Detail::Full(elapsed_s));
                identity["workers"] = json!({});
                identity
            }
            _ => identity(state, Detail::Full(elapsed_s)),
        },
        Operation::Ncores => by_address(state, |worker| json!(worker.threads)),
        Operation::Processing => processing(state, request),
        Operation::AdaptiveTarget => json!(state.adaptive_target()),
        Operation::WorkersToClose => workers_to_close(state, request),
        Operation::CheckIdle if state.release >= CHECK_IDLE_SINCE && state.is_idle() => json!(EPOCH_S),
        Operation::DumpState if state.release >= DUMP_STATE_SINCE => dump_state(state, request),
        Operation::PrefixStates => {
            let processing: u64 = state.workers.values().map(|worker| worker.tasks).sum();
            let memory = state.results.len();
            json!({"f": {"memory": memory, "erred": 0, "released": 0, "processing": processing, "waiting": 0}})
        }
        _ => Value::Null,
    }
}

/// The scheduler and its workers.
pub(super) fn identity(state: &SchedulerState, detail: Detail) -> Value {
    let mut identity = json!({
        "type": "Scheduler", "id": state.id, "address": "tcp://0.0.0.0:8786",
        "services": {"dashboard": 8787}, "started": EPOCH_S,
        "workers": infos(state, state.workers.keys(), detail),
    });
    if state.release >= TOTALS_SINCE {
        identity["n_workers"] = json!(state.workers.len());
        identity["total_threads"] = json!(state.workers.values().map(|worker| worker.threads).sum::<u64>());
        identity["total_memory"] = json!(0);
    }
    identity
}

/// What is told of these workers, by address; of those that are not registered, nothing.
pub(super) fn infos<'a>(
    state: &SchedulerState,
    names: impl IntoIterator<Item = &'a String>,
    detail: Detail,
) -> Value {
    let known = names.into_iter().filter_map(|name| Some((name, state.workers.get(name)?)));
    let infos: BTreeMap<&str, Value> =
        known.map(|(name, worker)| (worker.address.as_str(), info(name, worker, detail))).collect();
    json!(infos)
}

fn info(name: &str, worker: &Worker, detail: Detail) -> Value {
    let is_closing = worker.leaving || worker.closed.is_some();
    let host = worker.address.rsplit_once(':').map_or("", |(host, _)| host).trim_start_matches("tcp://");
    let mut info = json!({
        "type": "Worker", "id": name, "name": name, "host": host, "resources": worker.resources,
        "local_directory": "/tmp/dask-scratch-space", "nthreads": worker.threads, "memory_limit": 0,
        "services": {"dashboard": 8787}, "status": if is_closing { "closing_gracefully" } else { "running" },
        "nanny": null,
    });
    if let Detail::Full(elapsed_s) = detail {
        let ready = worker.tasks.saturating_sub(worker.running());
        info["last_seen"] = json!(EPOCH_S + (elapsed_s / BEAT_S).floor() * BEAT_S);
        info["metrics"] = json!({"task_counts": {"executing": worker.running(), "ready": ready}});
    }
    info
}

fn versions(release: Version) -> Value {
    let release = release.to_string();
    json!({
        "host": {"python": "3.11.7.final.0"},
        "packages": {"python": "3.11.7.final.0", "dask": release, "distributed": release},
    })
}

fn by_address(state: &SchedulerState, of: impl Fn(&Worker) -> Value) -> Value {
    let all: BTreeMap<&str, Value> =
        state.workers.values().map(|worker| (worker.address.as_str(), of(worker))).collect();
    json!(all)
}

/// The keys of the tasks that lie with each worker.
fn processing(state: &SchedulerState, request: &Value) -> Value {
    let keys = |worker: &Worker| json!((0..worker.tasks).map(|task| format!("f-{task}")).collect::<Vec<_>>());
    let mut all = by_address(state, keys);
    let Some(asked) = request.get("workers").and_then(Value::as_array) else { return all };
    let mut some = json!({});
    for address in asked.iter().filter_map(Value::as_str) {
        match all.get_mut(address) {
            Some(tasks) => some[address] = tasks.take(),
            None => return failure(&format!("KeyError('{address}')")),
        }
    }
    some
}

/// With a number it is obeyed, by idle workers first; without one, idle ones alone are named.
fn workers_to_close(state: &SchedulerState, request: &Value) -> Value {
    let number = request.get("n").and_then(Value::as_u64);
    let is_idle = |name: &String| state.workers.get(name).is_some_and(|worker| worker.tasks == 0);
    let mut names = state.closing_order();
    match number {
        Some(number) => names.truncate(usize::try_from(number).unwrap_or(usize::MAX)),
        None => names.retain(is_idle),
    }
    if request.get("attribute").is_some_and(|attribute| attribute == "name") {
        return json!(names);
    }
    let addresses = names.iter().filter_map(|name| state.workers.get(name)).map(|worker| &worker.address);
    json!(addresses.collect::<Vec<_>>())
}

/// The state of the tasks, of the workers and of the clients, without what is to be left out.
fn dump_state(state: &SchedulerState, request: &Value) -> Value {
    let excluded = request.pointer("/exclude/as-list").or(request.get("exclude")).and_then(Value::as_array);
    let is_told = |part: &str| !excluded.is_some_and(|parts| parts.iter().any(|excluded| excluded == part));
    let mut dump = json!({"type": "Scheduler", "id": state.id});
    if is_told("task_groups") {
        let processing: u64 = state.workers.values().map(|worker| worker.tasks).sum();
        dump["task_groups"] = json!({"f": {"states": {
            "memory": state.results.len(), "no-worker": state.unrunnable, "erred": 0, "forgotten": 0,
            "processing": processing, "released": 0, "waiting": 0, "queued": state.queued,
        }}});
    }
    if is_told("clients") {
        // One that each scheduler makes up is always there.
        let made_up = std::iter::once("fire-and-forget");
        let clients: BTreeMap<&str, Value> =
            state.clients.iter().map(String::as_str).chain(made_up).map(|id| (id, json!({}))).collect();
        dump["clients"] = json!(clients);
    }
    if is_told("workers") {
        let first = state.workers.values().next().map(|worker| &worker.address);
        let used =
            |worker: &Worker| if first == Some(&worker.address) { json!(state.wanted) } else { json!({}) };
        dump["workers"] = by_address(state, |worker| json!({"used_resources": used(worker)}));
    }
    if is_told("tasks") {
        let asks = json!({"f-0": {"state": "no-worker", "resource_restrictions": state.wanted}});
        dump["tasks"] = if state.wanted.is_empty() { json!({}) } else { asks };
    }
    dump
}
