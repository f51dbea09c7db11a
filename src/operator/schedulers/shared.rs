//! What the tasks of one scheduler share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long connecting, and each step of subscribing, may take.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// Namespace and name of a cluster.
pub(super) type Key = (String, String);
/// What one task writes and others read.
pub(super) type Shared<T> = Arc<Mutex<T>>;

/// Locks it, also where a task that had it panicked: each of them is written as a whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
