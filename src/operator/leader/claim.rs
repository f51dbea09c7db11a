//! What this process may do: until when it may write, and what it knows of the Lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Why a request was not made, or its answer not waited for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this operator does not lead, so it writes nothing")]
pub(crate) struct DoesNotLead;

/// The claim of this process to lead. It ends by itself, by the monotonic clock: a process that was stopped
/// for long knows that it leads no more before anybody tells it.
pub struct Claim {
    origin: Instant,
    facts: watch::Sender<Facts>,
    leads: Arc<AtomicBool>,
}

/// Times are since the origin of the claim.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// Zero: this process does not lead.
    until: Duration,
    /// When the API server last said something about the Lease.
    answered: Option<Duration>,
    /// Who holds the Lease; nobody when it is empty.
    holder: String,
}

impl Claim {
    /// Of a process that does not lead yet.
    pub fn new() -> Self {
        Self::until(Duration::ZERO)
    }

    /// Of a process that asks nobody.
    pub fn forever() -> Self {
        Self::until(Duration::MAX)
    }

    fn until(until: Duration) -> Self {
        let leads = Arc::new(AtomicBool::new(!until.is_zero()));
        let facts = watch::Sender::new(Facts { until, ..Facts::default() });
        Self { origin: Instant::now(), facts, leads }
    }

    /// The time since the origin.
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The moment that lies so long after the origin.
    pub fn moment(&self, since_origin: Duration) -> Instant {
        // A claim for ever has no end that the clock could show.
        self.origin.checked_add(since_origin).unwrap_or_else(|| self.origin + Duration::from_secs(1 << 32))
    }

    /// Whether this process may write now.
    pub fn is_current(&self) -> bool {
        self.now() < self.facts.borrow().until
    }

    /// Fails when this process may not write now.
    pub(crate) fn check(&self) -> Result<(), DoesNotLead> {
        if self.is_current() { Ok(()) } else { Err(DoesNotLead) }
    }

    /// What metrics read: whether this process leads, as far as the last look at the Lease told.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.leads.clone()
    }

    /// This process leads until then.
    pub(in crate::operator) fn extend(&self, until: Duration) {
        self.facts.send_modify(|facts| facts.until = until);
        self.leads.store(true, Ordering::Relaxed);
    }

    /// This process leads no more.
    pub(super) fn end(&self) {
        self.facts.send_modify(|facts| facts.until = Duration::ZERO);
        self.leads.store(false, Ordering::Relaxed);
    }

    /// The API server said this about the Lease.
    pub(in crate::operator) fn learn(&self, holder: &str) {
        let now = self.now();
        self.facts.send_modify(|facts| {
            facts.answered = Some(now);
            if facts.holder != holder {
                holder.clone_into(&mut facts.holder);
            }
        });
    }

    /// Who held the Lease when the API server last told, if it did within this time.
    pub fn holder(&self, within: Duration) -> Option<String> {
        let facts = self.facts.borrow();
        let answered = facts.answered?;
        (self.now().saturating_sub(answered) < within).then(|| facts.holder.clone())
    }

    /// Waits until this process leads.
    pub async fn begins(&self) {
        // The sender lives as long as `self`.
        let _ = self.facts.subscribe().wait_for(|facts| self.now() < facts.until).await;
    }

    /// Waits until this process leads no more.
    pub(super) async fn ends(&self) {
        let mut facts = self.facts.subscribe();
        loop {
            let until = facts.borrow_and_update().until;
            if self.now() >= until {
                return;
            }
            tokio::select! {
                biased;
                () = sleep_until(self.moment(until)) => {}
                _ = facts.changed() => {}
            }
        }
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}
