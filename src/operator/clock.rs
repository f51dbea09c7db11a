//! The one place that asks the machine for the time and for randomness.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// The latest moment that was given out.
static LATEST: Mutex<Timestamp> = Mutex::new(Timestamp::MIN);

/// The present moment. It never goes back while the process lives, even where the machine's clock is set back: a tick
/// that was dealt with cannot become due once more.
#[allow(clippy::disallowed_methods, reason = "this is the one place where time enters")]
pub fn now() -> Timestamp {
    let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    *latest = Timestamp::now().max(*latest);
    *latest
}

/// Random bits for names.
pub fn seed() -> u64 {
    fastrand::u64(..)
}

/// A random part between nothing and all, for waiting times.
pub fn jitter() -> f64 {
    fastrand::f64()
}
