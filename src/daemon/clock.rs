//! The one place that asks the machine for the time and for randomness. Both are given to an operator, which
//! asks for neither by itself: so two operators in one process need not agree on the time, and a test has it
//! as it likes.
//!
//! Keys of certificates are made of the machine's own randomness, whatever is given.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use jiff::Timestamp;
use tokio::time::Instant;

/// The time of day, as its owner knows it. A clone shows the same time.
#[derive(Clone)]
pub struct Clock(Arc<Shown>);

struct Shown {
    source: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// The latest moment that was given out.
    latest: Mutex<Timestamp>,
}

impl Clock {
    /// The machine's.
    #[allow(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    pub fn of_machine() -> Self {
        Self::showing(Timestamp::now)
    }

    /// One that shows `start` now, and goes on as tokio's time does, which a test can pause and advance.
    pub fn starting_at(start: Timestamp) -> Self {
        let begun = Instant::now();
        Self::showing(move || start.checked_add(begun.elapsed()).unwrap_or(Timestamp::MAX))
    }

    /// One that shows what `source` gives, but never goes back.
    pub fn showing(source: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shown { source: Box::new(source), latest: Mutex::new(Timestamp::MIN) }))
    }

    /// The present moment. It never goes back, even where the machine's clock is set back: a tick that was
    /// dealt with cannot become due once more.
    pub fn now(&self) -> Timestamp {
        let mut latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (self.0.source)().max(*latest);
        *latest
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// Where random numbers come from. A clone draws from the same source. Not for secrets.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<Rng>>);

impl Chance {
    /// Others each time.
    pub fn of_machine() -> Self {
        Self(Arc::new(Mutex::new(Rng::new())))
    }

    /// The same each time that `seed` is the same.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rng::with_seed(seed))))
    }

    /// Random bits for names.
    pub fn seed(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    /// A random part between nothing and all, for waiting times.
    pub fn jitter(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stands_still() {
        let second = Arc::new(AtomicI64::new(5));
        let shown = second.clone();
        let clock = Clock::showing(move || Timestamp::from_second(shown.load(Ordering::Relaxed)).unwrap());
        assert_eq!(clock.now().as_second(), 5);
        second.store(3, Ordering::Relaxed);
        assert_eq!(clock.clone().now().as_second(), 5);
        second.store(6, Ordering::Relaxed);
        assert_eq!(clock.now().as_second(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_goes_on_with_the_time_of_the_runtime() {
        let (one, other) = (Clock::starting_at(Timestamp::UNIX_EPOCH), Clock::starting_at(Timestamp::MAX));
        advance(Duration::from_secs(90)).await;
        assert_eq!(one.now().as_second(), 90);
        assert_eq!(other.now(), Timestamp::MAX);
    }

    #[test]
    fn chance_is_the_same_from_the_same_seed() {
        let draw = |seed| {
            let chance = Chance::seeded(seed);
            (chance.seed(), chance.clone().seed(), chance.jitter().to_bits())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0.0..1.0).contains(&Chance::of_machine().jitter()));
    }
}
