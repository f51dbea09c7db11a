//! How many tasks a worker runs, by what it measures of itself and tells with every heartbeat.
use super::lenient::{Scalar, each};
use serde::de::{Deserialize, Deserializer};

/// Where a worker tells in which states its tasks are, and how many in each.
const COUNTS: &str = "task_counts";

/// The states of tasks that a thread is at work on, or a coroutine. `long-running`: it has seceded.
/// `resumed`: it had been given up, and is wanted after all. Those that wait at the worker are `ready`,
/// `constrained` or `waiting`.
const RUNNING: [&str; 3] = ["executing", "long-running", "resumed"];

/// Reads a worker's metrics. Nothing where they do not tell.
pub(super) fn running<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let mut running = None;
    deserializer.deserialize_any(each(|metric: String, Counts(count)| {
        if metric == COUNTS {
            running = count;
        }
    }))?;
    Ok(running)
}

/// The running ones among counts by state. Nothing where there are no counts.
struct Counts(Option<u64>);

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut running = 0_u64;
        let seen = deserializer.deserialize_any(each(|state: String, count: Scalar| {
            if RUNNING.contains(&state.as_str()) {
                // One that cannot be read is not none.
                running = running.saturating_add(count.into_count().unwrap_or(1));
            }
        }))?;
        Ok(Self(seen.is_map().then_some(running)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{WorkerInfo, read};
    use serde_json::{Value, json};

    fn running(metrics: &Value) -> Option<u64> {
        let payload = rmp_serde::to_vec_named(&json!({"name": "w", "metrics": metrics})).unwrap();
        read::<WorkerInfo>(&payload).unwrap().running
    }

    #[test]
    fn tasks_that_wait_at_a_worker_do_not_run() {
        let counts = json!({"executing": 2, "ready": 7, "waiting": 1, "memory": 9, "long-running": 1});
        let metrics = json!({"cpu": 1.5, "bandwidth": {"executing": 8}, "task_counts": counts, "time": 3});
        assert_eq!(running(&metrics), Some(3));
        assert_eq!(running(&json!({"task_counts": {"memory": 1}})), Some(0));
        assert_eq!(running(&json!({"task_counts": {}})), Some(0));
    }

    #[test]
    fn what_is_not_told_is_not_none() {
        assert_eq!(running(&json!({})), None);
        assert_eq!(running(&json!({"executing": 2, "ready": 1})), None, "2022.9 and before");
        assert_eq!(running(&json!(null)), None);
        assert_eq!(running(&json!({"task_counts": 3})), None);
        assert_eq!(running(&json!({"task_counts": {"executing": "many"}})), Some(1));
    }
}
