//! Whether the loops of the process turn.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

/// A loop that was not heard of for so long is stuck. None of them waits longer than a few seconds.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Between two beats of a loop that has no rhythm of its own.
const RHYTHM: Duration = Duration::from_secs(5);

/// When each loop was last heard of.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<BTreeMap<&'static str, Instant>>);

impl Heartbeats {
    /// This loop turns. The first time makes it known.
    pub fn beat(&self, name: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Instant::now());
    }

    /// Beats for as long as it is polled: for a task that polls many things, and this beside them.
    pub async fn keep(&self, name: &'static str) {
        let mut rhythm = interval(RHYTHM);
        loop {
            rhythm.tick().await;
            self.beat(name);
        }
    }

    /// A loop that is stuck, and for how long.
    pub fn stalled(&self) -> Option<(&'static str, Duration)> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silences = beats.iter().map(|(name, beat)| (*name, beat.elapsed()));
        silences.max_by_key(|(_, silence)| *silence).filter(|(_, silence)| *silence > SILENCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_not_heard_of_is_stuck() {
        let heartbeats = Heartbeats::default();
        heartbeats.beat("one");
        heartbeats.beat("two");
        advance(Duration::from_secs(60)).await;
        assert_eq!(heartbeats.stalled(), None);
        heartbeats.beat("two");
        advance(Duration::from_secs(1)).await;
        assert_eq!(heartbeats.stalled(), Some(("one", Duration::from_secs(61))));
        heartbeats.beat("one");
        assert_eq!(heartbeats.stalled(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_polled_beats() {
        let heartbeats = Heartbeats::default();
        let beating = tokio::time::timeout(Duration::from_secs(3600), heartbeats.keep("task"));
        assert!(beating.await.is_err());
        assert_eq!(heartbeats.stalled(), None);
        advance(Duration::from_secs(61)).await;
        assert!(heartbeats.stalled().is_some());
    }
}
