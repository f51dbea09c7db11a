//! Who leads: the decisions of one candidate for the Lease.
//!
//! The rule is that of client-go's leader election: a Lease is over when *this candidate* has seen it
//! unchanged for as long as it says, by its own monotonic clock. `renewTime` is written for people and read
//! by nobody, since the clocks of two machines need not agree. What keeps two from leading at once:
//!
//! - Each write names the `resourceVersion` that it rests on, so that of two candidates one is refused.
//! - A leader's claim ends [`Timing::renew_deadline`] after it *sent* the last renewal that is known to be
//!   carried out. Nobody can have seen that renewal earlier, and nobody takes the Lease before having seen it
//!   unchanged for the longer [`Timing::lease`].
//!
//! A renewal is known to be carried out by its answer, however late that is, or because the Lease has its
//! mark: the `renewTime`, which no two writes of a process have in common. It is compared with those that
//! this process wrote, and with no clock. So a write that was carried out and answered by nobody, or by a
//! conflict with itself, counts as well, and it too counts from when it was sent.
//!
//! A request is never given up for another: a slow API server would carry out what nobody waits for. After
//! [`Timing::patience`] the Lease is read beside it, over another connection. No write goes over one that may
//! be on its way, before [`Timing::lateness`]: of the two one would be refused, perhaps the one that is
//! answered first.
//!
//! Clocks must run at about the same rate, and on while a process is stopped, as Linux' `CLOCK_MONOTONIC`
//! does. A Lease that is deleted by hand while somebody leads is not seen by a candidate that starts at this
//! moment: it cannot know.
//!
//! Times are durations since an origin that only this candidate knows.

mod candidate;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use candidate::{Asked, Candidate, Projection, Prospect};

/// How long the parts of an election take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait after the last renewal that they saw. Whole seconds: it is written into the
    /// Lease.
    pub lease: Duration,
    /// How long after the sending of its last renewal a leader may go on, and how long an answer is waited
    /// for. Shorter than `lease`.
    pub renew_deadline: Duration,
    /// Between two renewals.
    pub renew_interval: Duration,
    /// The longest time between two looks of a candidate that waits, and between a failure and the next try.
    pub retry: Duration,
    /// How long an answer is waited for before the Lease is read beside it.
    pub patience: Duration,
}

impl Timing {
    /// Seconds of the Lease, unless somebody says otherwise.
    ///
    /// After a kill, the Lease is taken `lease` after the other candidate has seen the last renewal, for
    /// which it looks every `retry`: within 13 s and a request, which leaves room in the 15 s that are
    /// promised, also for a look that is lost with its connection. A Lease that was released is taken within
    /// `retry` and a request. A leader stays while each answer comes within `lateness`, and one request that
    /// gets lost does not end it. Between `renew_deadline` and `lease` lie 3 s in which nobody leads: time
    /// for what was sent before the deadline to arrive.
    pub const LEASE_S: u16 = 12;

    /// The timing of a Lease of so many seconds; the other figures keep their proportion to it.
    pub fn of_seconds(lease_s: u16) -> Self {
        let lease = Duration::from_secs(u64::from(lease_s.max(1)));
        Self {
            lease,
            renew_deadline: lease * 3 / 4,
            renew_interval: lease / 5,
            retry: lease / 12,
            patience: lease / 6,
        }
    }

    /// What is written into the Lease.
    pub fn lease_seconds(&self) -> i32 {
        i32::try_from(self.lease.as_secs()).unwrap_or(i32::MAX)
    }

    /// How late answers may be for minutes on end: the next renewal is sent when the last one is answered, so
    /// two of them must find room in the renew deadline. What was not answered for so long is written anew.
    pub fn lateness(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// A pause of at most `retry`. The jitter, from 0 to 1, shortens it by up to a quarter, so that
    /// candidates that began together do not ask together.
    fn pause(&self, jitter: f64) -> Duration {
        self.retry.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0))
    }
}

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLease {
    /// The `resourceVersion`.
    pub version: String,
    /// Who holds it; nobody when it is empty.
    pub holder: String,
    /// `leaseDurationSeconds`, if it makes sense.
    pub duration: Option<Duration>,
    /// How often it changed hands.
    pub transitions: i32,
    /// Its `renewTime` in microseconds: which write it shows.
    pub mark: Option<i64>,
}

/// What a candidate does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Get the Lease.
    Read,
    /// Create the Lease, held by this candidate.
    Create,
    /// Take the Lease that was seen last: it is free or over.
    Acquire,
    /// Renew the Lease that was seen last, which this candidate holds.
    Renew,
    /// Write that nobody holds the Lease that was seen last.
    Release,
    /// Nothing until this time, or until something is answered.
    Wait(Duration),
    /// Nothing any more: it was asked to stop, and holds no Lease as far as can be known.
    Stop,
    /// This candidate leads no more: the process must end.
    Lost(Loss),
}

/// Why a leader leads no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The Lease could not be renewed in time.
    #[error("the Lease could not be renewed in time")]
    Deadline,
    /// Somebody else holds the Lease.
    #[error("the Lease is held by {0} now")]
    Taken(String),
}
