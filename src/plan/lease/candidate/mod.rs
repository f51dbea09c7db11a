//! One candidate: what it has asked and seen, and what it does next.

mod projection;

use std::time::Duration;

use super::{Decision, Loss, ObservedLease, Timing};

pub use projection::{Projection, Prospect};

/// A request that was made. Several may be under way, and be answered in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    number: u64,
    /// How often the candidate's knowledge had changed.
    epoch: u64,
    sent: Duration,
}

impl Asked {
    /// When it was made.
    pub fn sent(&self) -> Duration {
        self.sent
    }
}

/// What a candidate knows about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Knowledge {
    /// Nothing.
    Nothing,
    /// That there is none.
    Gone,
    /// That it is as it was seen last.
    There,
}

/// The Lease may not be as it was seen last: a write is on its way, or was refused.
#[derive(Clone, Debug)]
struct Doubt {
    /// Only who asked after this request is told anything new by an unchanged Lease.
    number: u64,
    /// From here on nobody expects the write to be carried out.
    until: Duration,
    /// The Lease was seen unchanged since.
    unchanged: bool,
}

/// The last version of the Lease that was seen, and since when it is unchanged.
#[derive(Clone, Debug)]
struct Sighting {
    lease: ObservedLease,
    since: Duration,
}

/// A write that may have been carried out.
#[derive(Clone, Debug)]
struct Write {
    mark: i64,
    sent: Duration,
}

/// One candidate: what it has seen, and whether it leads.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    knowledge: Knowledge,
    doubt: Option<Doubt>,
    seen: Option<Sighting>,
    /// Counts the changes of what it knows. An answer to what was asked in an earlier epoch may be older than
    /// that.
    epoch: u64,
    /// How many requests it has made.
    asked: u64,
    /// The request that was made last, until something new is known.
    awaited: Option<Asked>,
    /// The writes whose marks would prolong its claim.
    writes: Vec<Write>,
    /// The end of its claim, while it leads.
    leads_until: Option<Duration>,
    /// Not before this time.
    next: Duration,
    /// Whether it would take the Lease.
    stands: bool,
    /// When it gives up releasing the Lease, once it was asked to stop.
    stops_until: Option<Duration>,
}

impl Candidate {
    /// A candidate that has seen nothing. Two that live at the same time must differ in identity; one that
    /// comes after the certain death of another may take its identity, and has its Lease at once.
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self {
            identity: identity.into(),
            timing,
            knowledge: Knowledge::Nothing,
            doubt: None,
            seen: None,
            epoch: 0,
            asked: 0,
            awaited: None,
            writes: Vec::new(),
            leads_until: None,
            next: Duration::ZERO,
            stands: true,
            stops_until: None,
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

    /// From now on it leads no more, and releases what it holds: it was asked to stop.
    pub fn stop(&mut self, now: Duration) {
        if self.stops_until.is_some() {
            return;
        }
        self.forget_writes(now);
        // A Lease that it has just asked for may be its own.
        let may_hold = self.leads_until.take().is_some() || !self.writes.is_empty();
        self.stops_until = Some(if may_hold { now + self.timing.renew_deadline } else { now });
        self.next = now;
    }

    /// Whether it was asked to stop.
    pub fn stops(&self) -> bool {
        self.stops_until.is_some()
    }

    /// What to do now.
    pub fn decide(&self, now: Duration) -> Decision {
        match (self.stops_until, self.leads_until) {
            (Some(until), _) => self.decide_to_release(now, until),
            (None, Some(until)) => self.decide_as_leader(now, until),
            (None, None) => self.decide_as_candidate(now),
        }
    }

    fn decide_as_candidate(&self, now: Duration) -> Decision {
        if now < self.pauses_until() {
            return Decision::Wait(self.pauses_until());
        }
        if !self.stands {
            return Decision::Read;
        }
        match (self.knows(now), &self.seen) {
            (Knowledge::Gone, _) if now >= self.others_may_lead_until() => Decision::Create,
            (Knowledge::There, Some(seen)) if seen.lease.holder == self.identity => Decision::Renew,
            (Knowledge::There, Some(_)) if now >= self.others_may_lead_until() => Decision::Acquire,
            _ => Decision::Read,
        }
    }

    fn decide_as_leader(&self, now: Duration, until: Duration) -> Decision {
        let holder = self.seen.as_ref().map(|seen| &seen.lease.holder);
        match (self.knows(now), holder) {
            (Knowledge::There, Some(holder)) if *holder != self.identity => {
                Decision::Lost(Loss::Taken(holder.clone()))
            }
            _ if now >= until => Decision::Lost(Loss::Deadline),
            _ if now < self.pauses_until() => Decision::Wait(self.pauses_until().min(until)),
            (Knowledge::There, Some(_)) => Decision::Renew,
            (Knowledge::Gone, _) => Decision::Create,
            _ => Decision::Read,
        }
    }

    fn decide_to_release(&self, now: Duration, until: Duration) -> Decision {
        let is_mine = self.holder() == self.identity;
        match self.knows(now) {
            _ if now >= until => Decision::Stop,
            Knowledge::Gone => Decision::Stop,
            Knowledge::There if !is_mine => Decision::Stop,
            _ if now < self.pauses_until() => Decision::Wait(self.pauses_until().min(until)),
            Knowledge::There => Decision::Release,
            Knowledge::Nothing => Decision::Read,
        }
    }

    /// The Lease is being read.
    pub fn reads(&mut self, now: Duration) -> Asked {
        self.asked += 1;
        let asked = Asked { number: self.asked, epoch: self.epoch, sent: now };
        self.awaited = Some(asked.clone());
        asked
    }

    /// The Lease is being written, over the [version](Self::rests_on) that was seen last. No two writes have
    /// the same mark.
    pub fn writes(&mut self, mark: i64, now: Duration) -> Asked {
        let asked = self.reads(now);
        self.forget_writes(now);
        self.writes.push(Write { mark, sent: now });
        let until = now + self.timing.lateness();
        self.doubt = Some(Doubt { number: asked.number, until, unchanged: false });
        asked
    }

    /// The Lease was read; none: there is none. `at` is when the answer was there. Whether this is news: the
    /// Lease that was seen last is this one now.
    pub fn saw(&mut self, asked: &Asked, lease: Option<ObservedLease>, at: Duration, jitter: f64) -> bool {
        let renewed = lease.as_ref().and_then(|lease| self.sending_of(lease));
        if let Some(sent) = renewed {
            self.prolong(sent, at);
        }
        let knowledge = if lease.is_some() { Knowledge::There } else { Knowledge::Gone };
        let version = lease.as_ref().map(|lease| lease.version.as_str());
        let is_unchanged = knowledge == self.knowledge && version == self.rests_on();
        let is_older_than_doubt = self.doubt.as_ref().is_some_and(|doubt| asked.number <= doubt.number);
        if asked.epoch != self.epoch || is_unchanged && is_older_than_doubt {
            return false;
        }
        self.awaited = None;
        let waits = |doubt: &&mut Doubt| is_unchanged && at < doubt.until && self.stops_until.is_none();
        if let Some(doubt) = self.doubt.as_mut().filter(waits) {
            // The write may still be on its way.
            (doubt.unchanged, self.next) = (true, doubt.until);
            return true;
        }
        self.doubt = None;
        if !is_unchanged {
            (self.knowledge, self.epoch) = (knowledge, self.epoch + 1);
            if let Some(lease) = lease {
                self.seen = Some(Sighting { lease, since: at });
            }
        }
        let pause = at + self.timing.pause(jitter);
        self.next = match renewed {
            Some(sent) if self.leads_until.is_some() => sent + self.timing.renew_interval,
            _ if self.stands => pause.min(self.others_may_lead_until()),
            _ => pause,
        };
        true
    }

    /// A write of the Lease succeeded and left it so. `at` is when the answer was there. Whether this is
    /// news, as above.
    pub fn wrote(&mut self, asked: &Asked, lease: ObservedLease, at: Duration) -> bool {
        self.prolong(asked.sent, at);
        if asked.epoch != self.epoch {
            return false;
        }
        (self.knowledge, self.doubt, self.awaited) = (Knowledge::There, None, None);
        self.epoch += 1;
        self.seen = Some(Sighting { lease, since: at });
        self.next = if self.leads_until.is_some() { asked.sent + self.timing.renew_interval } else { at };
        true
    }

    /// A write was refused, since the Lease is not what it was. The reason may be the write itself, if
    /// something on the way has sent it twice.
    pub fn conflicted(&mut self, asked: &Asked, at: Duration) {
        if asked.epoch == self.epoch {
            self.doubt = Some(Doubt { number: self.asked, until: at, unchanged: false });
            (self.awaited, self.next) = (None, at);
        }
    }

    /// A request failed or is waited for no longer. If it was a write, it may have been carried out or still
    /// be.
    pub fn failed(&mut self, asked: &Asked, at: Duration, jitter: f64) {
        let is_awaited = self.awaited.as_ref() == Some(asked);
        let mut tries_again = is_awaited;
        if let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.number == asked.number) {
            // Whoever asked nothing else meanwhile tries the same again.
            (doubt.until, doubt.unchanged) = (at, doubt.unchanged || is_awaited);
            tries_again = doubt.unchanged;
        }
        if tries_again {
            (self.awaited, self.next) = (None, at + self.timing.pause(jitter));
        }
    }

    /// The end of its claim, while it leads. From then on it must write nothing.
    pub fn leads_until(&self) -> Option<Duration> {
        self.leads_until
    }

    /// The version that the next write rests on; none: the Lease is to be created.
    pub fn rests_on(&self) -> Option<&str> {
        let seen = self.seen.as_ref().filter(|_| self.knowledge == Knowledge::There)?;
        Some(&seen.lease.version)
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

    /// What is known of the Lease now.
    fn knows(&self, now: Duration) -> Knowledge {
        match &self.doubt {
            Some(doubt) if now < doubt.until || !doubt.unchanged => Knowledge::Nothing,
            _ => self.knowledge,
        }
    }

    /// Until then nothing is asked.
    fn pauses_until(&self) -> Duration {
        self.awaited.as_ref().map_or(self.next, |asked| asked.sent + self.timing.patience)
    }

    /// The end of the time in which somebody else may lead, as far as was seen. It is there even if the Lease
    /// is gone.
    fn others_may_lead_until(&self) -> Duration {
        match &self.seen {
            Some(Sighting { lease, since }) if !lease.holder.is_empty() && lease.holder != self.identity => {
                since.saturating_add(lease.duration.unwrap_or(self.timing.lease))
            }
            _ => Duration::ZERO,
        }
    }

    /// When the write of this candidate was sent that the Lease shows.
    fn sending_of(&self, lease: &ObservedLease) -> Option<Duration> {
        let mark = lease.mark.filter(|_| lease.holder == self.identity)?;
        self.writes.iter().find(|write| write.mark == mark).map(|write| write.sent)
    }

    /// A write that was sent then has been carried out.
    fn prolong(&mut self, sent: Duration, at: Duration) {
        let until = sent + self.timing.renew_deadline;
        // A claim that would be over already does not begin.
        if self.stops_until.is_none() && (self.leads_until.is_some() || at < until) {
            self.leads_until = self.leads_until.max(Some(until));
        }
    }

    /// A write from before the last renew deadline prolongs nothing.
    fn forget_writes(&mut self, now: Duration) {
        self.writes.retain(|write| now < write.sent + self.timing.renew_deadline);
    }
}
