//! The one place that asks the machine for the time and for randomness.

use jiff::Timestamp;

/// The present moment.
#[allow(clippy::disallowed_methods, reason = "this is the one place where time enters")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Random bits for names.
pub fn seed() -> u64 {
    fastrand::u64(..)
}

/// A random part between nothing and all, for waiting times.
pub fn jitter() -> f64 {
    fastrand::f64()
}
