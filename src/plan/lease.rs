//! Who leads: the decisions of one candidate for the Lease.
//!
//! The rule is that of client-go's leader election: a Lease is over when *this candidate* has seen it unchanged for as
//! long as it says, by its own monotonic clock. `renewTime` is written for people and read by nobody, since the clocks of
//! two machines need not agree. What keeps two from leading at once:
//!
//! - Each write names the `resourceVersion` that it rests on, so that of two candidates one is refused.
//! - A leader's claim ends [`Timing::renew_deadline`] after it *sent* the last renewal that was answered. Nobody can have
//!   seen that renewal earlier, and nobody takes the Lease before having seen it unchanged for the longer
//!   [`Timing::lease`].
//!
//! Clocks must run at about the same rate, and on while a process is stopped, as Linux' `CLOCK_MONOTONIC` does. A Lease that
//! is deleted by hand while somebody leads is not seen by a candidate that starts at this moment: it cannot know.
//!
//! Times are durations since an origin that only this candidate knows.

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// How long the parts of an election take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait after the last renewal that they saw. Whole seconds: it is written into the Lease.
    pub lease: Duration,
    /// How long after the sending of its last answered renewal a leader may go on. Shorter than `lease`.
    pub renew_deadline: Duration,
    /// Between two renewals.
    pub renew_interval: Duration,
    /// The longest time between two looks of a candidate that waits, and between a failure and the next try.
    pub retry: Duration,
    /// How long one request may take.
    pub request: Duration,
}

impl Timing {
    /// Seconds of the Lease, unless somebody says otherwise.
    ///
    /// After a kill, the Lease is taken `lease` after the other candidate has seen the last renewal, for which it looks
    /// every `retry`: within 13 s and a request, which leaves room in the 15 s that are promised. A Lease that was
    /// released is taken within `retry` and a request. Two renewals in a row may fail before a leader is lost. Between
    /// `renew_deadline` and `lease` lie 3 s in which nobody leads: time for what was sent before the deadline to arrive.
    pub const LEASE_S: u16 = 12;

    /// The timing of a Lease of so many seconds; the other figures keep their proportion to it.
    pub fn of_seconds(lease_s: u16) -> Self {
        let lease = Duration::from_secs(u64::from(lease_s.max(1)));
        Self {
            lease,
            renew_deadline: lease * 3 / 4,
            renew_interval: lease / 5,
            retry: lease / 12,
            request: lease / 6,
        }
    }

    /// What is written into the Lease.
    pub fn lease_seconds(&self) -> i32 {
        i32::try_from(self.lease.as_secs()).unwrap_or(i32::MAX)
    }

    /// A pause of at most `retry`. The jitter, from 0 to 1, shortens it by up to a quarter, so that candidates that began
    /// together do not ask together.
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
    /// Nothing until this time.
    Wait(Duration),
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

/// What a candidate knows about the Lease at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// That it is not as it was seen last, or nothing at all.
    Nothing,
    /// That there is none.
    Gone,
    /// That it is as it was seen last.
    There,
}

/// The last version of the Lease that was seen, and since when it is unchanged.
#[derive(Clone, Debug)]
struct Sighting {
    lease: ObservedLease,
    since: Duration,
}

/// One candidate: what it has seen, and whether it leads.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    knowledge: Knowledge,
    seen: Option<Sighting>,
    /// The end of its claim, while it leads.
    leads_until: Option<Duration>,
    /// Not before this time.
    next: Duration,
    /// Whether it would take the Lease.
    stands: bool,
}

impl Candidate {
    /// A candidate that has seen nothing. Two that live at the same time must differ in identity; one that comes after
    /// the certain death of another may take its identity, and has its Lease at once.
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self {
            identity: identity.into(),
            timing,
            knowledge: Knowledge::Nothing,
            seen: None,
            leads_until: None,
            next: Duration::ZERO,
            stands: true,
        }
    }

    /// The same, that only looks until it [stands](Self::stand): it could not work yet.
    pub fn observer(identity: impl Into<String>, timing: Timing) -> Self {
        Self { stands: false, ..Self::new(identity, timing) }
    }

    /// From now on it takes the Lease when it can.
    pub fn stand(&mut self) {
        if !self.stands {
            (self.stands, self.next) = (true, Duration::ZERO);
        }
    }

    /// Whether it takes the Lease when it can.
    pub fn stands(&self) -> bool {
        self.stands
    }

    /// What to do now.
    pub fn decide(&self, now: Duration) -> Decision {
        if let Some(until) = self.leads_until {
            return self.decide_as_leader(now, until);
        }
        if now < self.next {
            return Decision::Wait(self.next);
        }
        if !self.stands {
            return Decision::Read;
        }
        match (self.knowledge, &self.seen) {
            (Knowledge::Gone, _) if now >= self.others_may_lead_until() => Decision::Create,
            (Knowledge::There, Some(seen)) if seen.lease.holder == self.identity => Decision::Renew,
            (Knowledge::There, Some(_)) if now >= self.others_may_lead_until() => Decision::Acquire,
            _ => Decision::Read,
        }
    }

    fn decide_as_leader(&self, now: Duration, until: Duration) -> Decision {
        let holder = self.seen.as_ref().map(|seen| &seen.lease.holder);
        match (self.knowledge, holder) {
            (Knowledge::There, Some(holder)) if *holder != self.identity => {
                Decision::Lost(Loss::Taken(holder.clone()))
            }
            _ if now >= until => Decision::Lost(Loss::Deadline),
            _ if now < self.next => Decision::Wait(self.next.min(until)),
            (Knowledge::There, Some(_)) => Decision::Renew,
            (Knowledge::Gone, _) => Decision::Create,
            _ => Decision::Read,
        }
    }

    /// The Lease was read; none: there is none. `at` is when the answer was there.
    pub fn saw(&mut self, lease: Option<ObservedLease>, at: Duration, jitter: f64) {
        self.knowledge = if lease.is_some() { Knowledge::There } else { Knowledge::Gone };
        if let Some(lease) = lease
            && self.seen.as_ref().is_none_or(|seen| seen.lease.version != lease.version)
        {
            self.seen = Some(Sighting { lease, since: at });
        }
        let pause = at + self.timing.pause(jitter);
        self.next = if self.stands { pause.min(self.others_may_lead_until()) } else { pause };
    }

    /// A write of the Lease succeeded and left it so. `sent` is when the request was made, `at` when the answer was there.
    pub fn wrote(&mut self, lease: ObservedLease, sent: Duration, at: Duration) {
        self.knowledge = Knowledge::There;
        self.seen = Some(Sighting { lease, since: at });
        self.leads_until = Some(sent + self.timing.renew_deadline);
        self.next = sent + self.timing.renew_interval;
    }

    /// A write was refused, since the Lease is not what it was.
    pub fn conflicted(&mut self, at: Duration) {
        self.knowledge = Knowledge::Nothing;
        self.next = at;
    }

    /// A request failed or was not answered. If it was a write, it may have been carried out or still be.
    pub fn failed(&mut self, at: Duration, jitter: f64) {
        self.next = at + self.timing.pause(jitter);
    }

    /// It leads no more, because it was asked to stop.
    pub fn stopped(&mut self) {
        self.leads_until = None;
    }

    /// The end of its claim, while it leads. From then on it must write nothing.
    pub fn leads_until(&self) -> Option<Duration> {
        self.leads_until
    }

    /// Whether the Lease, as far as is known, is held by this candidate.
    pub fn holds(&self) -> bool {
        self.knowledge == Knowledge::There
            && self.seen.as_ref().is_some_and(|seen| seen.lease.holder == self.identity)
    }

    /// Who holds the Lease that was seen last; nobody when it is empty, or is no more.
    pub fn holder(&self) -> &str {
        match &self.seen {
            Some(seen) if self.knowledge != Knowledge::Gone => &seen.lease.holder,
            _ => "",
        }
    }

    /// How often the Lease has changed hands once this candidate has written it.
    pub fn transitions(&self) -> i32 {
        match &self.seen {
            Some(seen) if seen.lease.holder == self.identity => seen.lease.transitions,
            Some(seen) => seen.lease.transitions.saturating_add(1),
            None => 0,
        }
    }

    /// Its name in the Lease.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// How long everything takes.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The end of the time in which somebody else may lead, as far as was seen. It is there even if the Lease is gone.
    fn others_may_lead_until(&self) -> Duration {
        match &self.seen {
            Some(Sighting { lease, since }) if !lease.holder.is_empty() && lease.holder != self.identity => {
                since.saturating_add(lease.duration.unwrap_or(self.timing.lease))
            }
            _ => Duration::ZERO,
        }
    }
}
