//! The real clock, and waiting with a deadline.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks at what cannot be watched.
const POLL: Duration = Duration::from_millis(200);

/// The time of day.
#[allow(clippy::disallowed_methods, reason = "these tests compare what is written with the real time")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Sleeps until a time of day.
pub async fn sleep_until(instant: Timestamp) {
    if let Ok(rest) = Duration::try_from(instant.duration_since(now())) {
        sleep(rest).await;
    }
}

/// The next instant after `after` that is a whole multiple of `interval_s` seconds since 1970.
pub fn next_multiple(after: Timestamp, interval_s: i64) -> Timestamp {
    Timestamp::from_second((after.as_second().div_euclid(interval_s) + 1) * interval_s).unwrap()
}

/// Seconds from one instant to another.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    SignedDuration::as_secs_f64(&to.duration_since(from))
}

/// What is waited for, and how long.
#[derive(Clone, Debug)]
pub struct Patience {
    what: String,
    limit: Duration,
}

/// Waits at most that long for something, which the words describe when it does not come.
pub fn within(limit_s: u64, what: impl Into<String>) -> Patience {
    Patience { what: what.into(), limit: Duration::from_secs(limit_s) }
}

impl Patience {
    fn give_up(&self, last_seen: &str) -> ! {
        panic!("not within {:?}: {}; last seen: {last_seen}", self.limit, self.what)
    }
}

/// Looks again and again until there is an answer. `Err` says what was seen instead.
pub async fn poll<T>(patience: Patience, look: impl AsyncFn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience.limit;
    let mut last_seen = String::from("nothing: the first look did not end");
    loop {
        match timeout_at(deadline, look()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(seen)) => last_seen = seen,
            Err(_) => patience.give_up(&last_seen),
        }
        if Instant::now() + POLL > deadline {
            patience.give_up(&last_seen);
        }
        sleep(POLL).await;
    }
}

/// Watches one object until `judge` has an answer. It gets None while the object does not exist.
pub async fn watch_until<K, T>(
    api: Api<K>,
    name: &str,
    patience: Patience,
    judge: impl Fn(Option<&K>) -> Option<T>,
) -> T
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug + Send + 'static,
{
    let deadline = Instant::now() + patience.limit;
    let mut last_seen = String::from("no answer to the watch");
    let mut changes = Box::pin(watch_object(api, name).default_backoff());
    while let Ok(Some(change)) = timeout_at(deadline, changes.next()).await {
        match change {
            Ok(object) => {
                if let Some(answer) = judge(object.as_ref()) {
                    return answer;
                }
                last_seen =
                    object.map_or_else(|| format!("{name} does not exist"), |object| describe(&object));
            }
            Err(error) => last_seen = format!("an error: {error}"),
        }
    }
    patience.give_up(&last_seen)
}

/// What matters of an object in one line: its status, or all of it if it has none.
pub fn describe<K: Serialize>(object: &K) -> String {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match value["status"].take() {
        Value::Null => format!("{name} without a status"),
        status => format!("{name} with status {status}"),
    }
}
