//! Which of the workers that are closed to new tasks still run one.
//!
//! The scheduler knows which tasks lie with a worker, and not which of them have begun: those that had not
//! are never begun at a worker that is closed, and lie there until it goes (measured). What a worker runs it
//! tells with its heartbeats. The last one may be from a time before the worker knew that it is closed, and a
//! task may have begun since. So a worker is believed from its second heartbeat on after it was seen to be
//! closed: that one was begun after the first had been answered.

use std::collections::BTreeMap;

use crate::dask::message::WorkerInfo;

/// The status of a worker that gets no more tasks, and whose data moves away.
const CLOSING: &str = "closing_gracefully";
/// The heartbeats after which a worker is believed.
const BEATS: u32 = 2;

/// What was heard of the closed workers of one scheduler, by address: where a worker is started anew it has
/// another.
#[derive(Debug, Default)]
pub(super) struct Closed(BTreeMap<String, Heard>);

#[derive(Debug)]
struct Heard {
    last_seen: f64,
    /// Heartbeats that came since it was first seen to be closed, those not counted that nobody saw.
    beats: u32,
}

impl Closed {
    /// Takes in what a scheduler says of its workers, and gives how many tasks the closed ones run, by name,
    /// where that is certain.
    pub(super) fn hear(&mut self, workers: &BTreeMap<String, WorkerInfo>) -> BTreeMap<String, u64> {
        let is_closed = |address: &String| workers.get(address).is_some_and(is_closing);
        self.0.retain(|address, _| is_closed(address));
        let mut running = BTreeMap::new();
        for (address, worker) in workers.iter().filter(|(_, worker)| is_closing(worker)) {
            let Some(last_seen) = worker.last_seen else { continue };
            let heard = self.0.entry(address.clone()).or_insert(Heard { last_seen, beats: 0 });
            if last_seen > heard.last_seen {
                *heard = Heard { last_seen, beats: heard.beats.saturating_add(1) };
            }
            if let Some(tasks) = worker.running.filter(|_| heard.beats >= BEATS) {
                running.insert(worker.name.to_string(), tasks);
            }
        }
        running
    }
}

/// Whether a worker is given no more tasks.
pub(super) fn is_closing(worker: &WorkerInfo) -> bool {
    worker.status.as_deref() == Some(CLOSING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workers(status: &str, last_seen: f64, running: u64) -> BTreeMap<String, WorkerInfo> {
        let worker = json!({"name": "w", "status": status, "last_seen": last_seen,
            "metrics": {"task_counts": {"executing": running, "ready": 5}}});
        BTreeMap::from([("tcp://w:1".to_owned(), serde_json::from_value(worker).unwrap())])
    }

    #[test]
    fn a_closed_worker_is_believed_from_its_second_heartbeat_on() {
        let mut closed = Closed::default();
        let mut hear =
            |status, last_seen, running| closed.hear(&workers(status, last_seen, running)).get("w").copied();
        assert_eq!(hear("closing_gracefully", 1.0, 0), None, "from before it was closed");
        assert_eq!(hear("closing_gracefully", 1.0, 0), None);
        assert_eq!(hear("closing_gracefully", 2.0, 0), None, "it may have been under way");
        assert_eq!(hear("closing_gracefully", 3.0, 1), Some(1));
        assert_eq!(hear("closing_gracefully", 3.0, 0), Some(0));
        assert_eq!(hear("running", 4.0, 0), None, "it was opened again");
        assert_eq!(hear("closing_gracefully", 5.0, 0), None, "and closed once more");
    }

    #[test]
    fn one_that_does_not_tell_is_not_believed() {
        let mut closed = Closed::default();
        for last_seen in 0..5 {
            let mut all = workers("closing_gracefully", f64::from(last_seen), 0);
            all.get_mut("tcp://w:1").unwrap().running = None;
            assert!(closed.hear(&all).is_empty());
        }
    }
}
