//! How long an object is left alone after failures, and what it lacked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::Kind;
use crate::daemon::clock::Chance;
use crate::plan::Wants;

/// The first wait after a failure.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Kind, namespace and name.
pub(super) type Id = (Kind, String, String);

/// How often each object has failed and not succeeded since.
#[derive(Default)]
pub(super) struct Backoff {
    failures: Mutex<HashMap<Id, Failures>>,
}

/// The failures of one object in a row.
#[derive(Default)]
struct Failures {
    count: u32,
    /// What its plans rested on and was not looked at.
    lacked: Wants,
}

impl Backoff {
    /// Counts a failure of this object, and says how many there were in a row.
    pub(super) fn failed(&self, object: &Id) -> u32 {
        let mut failures = self.lock();
        let count = &mut failures.entry(object.clone()).or_default().count;
        *count = count.saturating_add(1);
        *count
    }

    /// A plan for this object rested on what was not looked at. That is looked at from now on, until the
    /// object succeeds: the caches alone do not lead there.
    pub(super) fn lacks(&self, object: &Id, wants: Wants) {
        self.lock().entry(object.clone()).or_default().lacked |= wants;
    }

    /// What was lacking since this object succeeded.
    pub(super) fn lacked(&self, object: &Id) -> Wants {
        self.lock().get(object).map(|failures| failures.lacked).unwrap_or_default()
    }

    /// Forgets the failures of this object.
    pub(super) fn succeeded(&self, object: &Id) {
        self.lock().remove(object);
    }

    /// How many objects of each kind have failed and not succeeded since.
    pub(super) fn by_kind(&self) -> BTreeMap<Kind, i64> {
        let mut kinds = BTreeMap::new();
        // One whose caches were behind has not failed for that.
        for (kind, ..) in self.lock().iter().filter(|(_, failures)| failures.count > 0).map(|(id, _)| id) {
            *kinds.entry(*kind).or_default() += 1;
        }
        kinds
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait after the `count`th failure in a row: doubling from a second to five minutes, with full
/// jitter, so that a thousand objects that fail together do not come back together.
pub(super) fn backoff(count: u32, chance: &Chance) -> Duration {
    backoff_within(count, BACKOFF_MAX, chance)
}

/// The same, but at most `longest`.
pub(super) fn backoff_within(count: u32, longest: Duration, chance: &Chance) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1).min(16)));
    doubled.min(longest).mul_f64(chance.jitter()).max(Duration::from_millis(50))
}
