//! What a candidate's future depends on, for a model that explores its states: two candidates that are alike
//! in this act alike, whatever is answered to them and whenever.
//!
//! Numbers of requests and epochs are compared with one another only, and a time that is over is as good as
//! any other that is. So the first become how they compare, and the second how long they last.

use std::cmp::Ordering;
use std::time::Duration;

use super::{Asked, Candidate, Knowledge};

/// What a candidate's future depends on, beside the version that [it rests on](Candidate::rests_on), and what
/// its [writes](Candidate::worth_of) and [requests](Candidate::prospect) would still mean to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Projection<'a> {
    knowledge: Knowledge,
    holder: &'a str,
    others_may_lead: Duration,
    /// How long a write may be on its way, and whether the Lease was seen unchanged since.
    doubt: Option<(Duration, bool)>,
    /// Whether something is awaited, and how long nothing is asked.
    pause: (bool, Duration),
    /// How long its last write would prolong its claim.
    writes: Option<Duration>,
    leads: Option<Duration>,
    stands: bool,
    stops: Option<Duration>,
}

/// What the end of a request would mean to the candidate that has made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prospect {
    /// Whether nothing new is known since it was made.
    is_current: bool,
    is_awaited: bool,
    /// Whether it is the last one.
    is_last: bool,
    /// Whether it was made before, with or after the one that left a doubt.
    to_doubt: Option<Ordering>,
    /// How long its write would prolong a claim, and its answer is waited for.
    counts: Duration,
}

impl Prospect {
    /// Whether it means nothing that the request fails, now or later. Of an answer, this one says nothing.
    pub fn may_fail(&self) -> bool {
        !self.is_awaited && !self.is_last && self.to_doubt != Some(Ordering::Equal)
    }

    /// Whether a Lease that was read for it is no news, unless it shows one of the candidate's writes.
    pub fn is_outdated(&self) -> bool {
        !self.is_current
    }
}

impl Candidate {
    /// What its future depends on.
    pub fn project(&self, now: Duration) -> Projection<'_> {
        let rest = |time: Duration| time.saturating_sub(now);
        let last = self.writes.last();
        Projection {
            knowledge: self.knowledge,
            holder: self.holder(),
            others_may_lead: rest(self.others_may_lead_until()),
            doubt: self.doubt.as_ref().map(|doubt| (rest(doubt.until), doubt.unchanged)),
            pause: (self.awaited.is_some(), rest(self.pauses_until())),
            writes: last.map(|write| rest(write.sent + self.timing.renew_deadline)),
            leads: self.leads_until.map(rest),
            stands: self.stands,
            stops: self.stops_until.map(rest),
        }
    }

    /// What the end of this request of its own would mean to it.
    pub fn prospect(&self, asked: &Asked, now: Duration) -> Prospect {
        Prospect {
            is_current: asked.epoch == self.epoch,
            is_awaited: self.awaited.as_ref() == Some(asked),
            is_last: asked.number == self.asked,
            to_doubt: self.doubt.as_ref().map(|doubt| asked.number.cmp(&doubt.number)),
            counts: (asked.sent + self.timing.renew_deadline).saturating_sub(now),
        }
    }

    /// How long its write of this mark would prolong its claim; none: it is not known to it any more.
    pub fn worth_of(&self, mark: i64, now: Duration) -> Option<Duration> {
        let write = self.writes.iter().find(|write| write.mark == mark)?;
        Some((write.sent + self.timing.renew_deadline).saturating_sub(now))
    }
}
