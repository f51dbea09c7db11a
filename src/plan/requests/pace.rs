//! How many requests may be on their way at the same time: as many as the API server answers about as fast as
//! it can.
//!
//! It is the rule of TCP and of Netflix' concurrency limits: one more after each round in which all places
//! were in use, a quarter less after a round that was slow, half after a refusal (429, 503, 504, and 500 with
//! `Retry-After`) or where no answer came, once for all that was under way then. A round is as many answers
//! as there are places, to requests that were made since the limit last went down: what was asked before
//! tells nothing of what is asked now.
//!
//! An answer is slow if it takes [`SLOW`] times as long as the fastest to a request of the same [`Kind`], and
//! a round if a quarter of it is of kinds of which most answers were. So it is known without a figure for
//! what is normal, which would be wrong for a slow etcd or for a fast one, and a webhook that takes a second
//! for each pod makes nothing else slow.
//!
//! The fastest does not age: under lasting load the fastest of late is one of many at the same time, and what
//! is slow would begin later with each look. Where answers are slow with the fewest requests under way it is
//! not for us: that is how fast the API server is now, and only there it is measured anew.

use std::time::Duration;

/// With how many it begins.
pub const FIRST: usize = 16;
/// The fewest.
pub const LEAST: usize = 4;
/// The most: kube-apiserver serves 200 writes and 400 reads at the same time, of everybody.
pub const MOST: usize = 64;
/// How much longer than the fastest is slow.
pub const SLOW: u32 = 4;
/// Nothing below is slow.
pub const SWIFT: Duration = Duration::from_millis(100);
/// The longest time for which nothing is asked because the API server wishes so.
pub const CLOSED_MAX: Duration = Duration::from_secs(60);
/// Of how many kinds the fastest is kept. The operator makes requests of some 40; what comes after these is
/// not judged.
pub const KINDS_MAX: usize = 128;

/// A kind of request: those of a kind take about as long as each other where the API server has little else
/// to do. What they take otherwise depends on etcd, which even a read of one object asks, and on the webhooks
/// for the resource, which a dry run passes as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    /// The verb, as Kubernetes has it.
    pub verb: &'static str,
    /// The resource, with its subresource.
    pub resource: &'a str,
    /// Whether nothing is to be stored.
    pub is_dry: bool,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was done.
    Done(Kind<'a>),
    /// It was answered, and how fast tells nothing: a list, a refusal of an object.
    Answered,
    /// The API server has too much to do, and wants to be left alone for so long.
    Busy(Option<Duration>),
    /// No answer came.
    Lost,
}

/// Answers of one round, to requests of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answers: usize,
    slow: usize,
    fastest: Option<Duration>,
}

impl Tally {
    fn is_slow(&self) -> bool {
        self.slow * 2 > self.answers
    }
}

/// What is known of a kind of request.
#[derive(Clone, Debug)]
struct Known {
    verb: &'static str,
    resource: String,
    is_dry: bool,
    fastest: Option<Duration>,
    round: Tally,
}

impl Known {
    fn of(kind: Kind<'_>) -> Self {
        let Kind { verb, resource, is_dry } = kind;
        Self { verb, resource: resource.to_owned(), is_dry, fastest: None, round: Tally::default() }
    }

    fn kind(&self) -> Kind<'_> {
        Kind { verb: self.verb, resource: &self.resource, is_dry: self.is_dry }
    }

    /// An answer took so long. Gives whether that is slow.
    fn saw(&mut self, took: Duration) -> bool {
        let bound = self.fastest.map(|fastest| fastest.saturating_mul(SLOW).max(SWIFT));
        self.fastest = Some(faster(self.fastest, took));
        bound.is_some_and(|bound| took > bound)
    }
}

fn faster(fastest: Option<Duration>, took: Duration) -> Duration {
    fastest.map_or(took, |fastest| fastest.min(took))
}

/// How many requests may be under way, and from when on.
#[derive(Clone, Debug)]
pub struct Pace {
    limit: usize,
    known: Vec<Known>,
    /// Answers of this round, of all kinds.
    answers: usize,
    /// Whether all places were in use at some time of this round.
    full: bool,
    /// When the limit last went down.
    cut: Duration,
    /// When it was last halved.
    halved: Duration,
    closed_until: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            limit: FIRST,
            known: Vec::new(),
            answers: 0,
            full: false,
            cut: Duration::ZERO,
            halved: Duration::ZERO,
            closed_until: Duration::ZERO,
        }
    }
}

impl Pace {
    /// How many may be under way.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Until when nothing is to be asked, if it is not over.
    pub fn closed_until(&self, now: Duration) -> Option<Duration> {
        Some(self.closed_until).filter(|until| *until > now)
    }

    /// All places are in use.
    pub fn is_full(&mut self) {
        self.full = true;
    }

    /// A request that was made at `sent` has come to this.
    pub fn ended(&mut self, outcome: Outcome<'_>, sent: Duration, now: Duration) {
        match outcome {
            Outcome::Answered => {}
            Outcome::Done(kind) => self.done(kind, sent, now),
            Outcome::Lost => self.halve(sent, now),
            Outcome::Busy(wait) => {
                let wait = wait.unwrap_or_default().min(CLOSED_MAX);
                self.closed_until = self.closed_until.max(now + wait);
                self.halve(sent, now);
            }
        }
    }

    fn done(&mut self, kind: Kind<'_>, sent: Duration, now: Duration) {
        let cut = self.cut;
        let Some(known) = self.known_of(kind) else { return };
        let took = now.saturating_sub(sent);
        let is_slow = known.saw(took);
        if sent < cut {
            return;
        }
        known.round.answers += 1;
        known.round.slow += usize::from(is_slow);
        known.round.fastest = Some(faster(known.round.fastest, took));
        self.answers += 1;
        if self.answers >= self.limit {
            self.end_of_round(now);
        }
    }

    fn known_of(&mut self, kind: Kind<'_>) -> Option<&mut Known> {
        let at = self.known.iter().position(|known| known.kind() == kind).unwrap_or(self.known.len());
        if at == self.known.len() && at < KINDS_MAX {
            self.known.push(Known::of(kind));
        }
        self.known.get_mut(at)
    }

    fn end_of_round(&mut self, now: Duration) {
        if self.was_slow() {
            if self.limit == LEAST {
                for known in self.known.iter_mut().filter(|known| known.round.is_slow()) {
                    known.fastest = known.round.fastest;
                }
            }
            self.lower(self.limit * 3 / 4, now);
        } else {
            if self.full {
                self.limit = (self.limit + 1).min(MOST);
            }
            self.begin_round();
        }
    }

    /// Whether a quarter of this round is of kinds of which most answers were slow. Not most of the round:
    /// reads stay fast, and are more than half of it, when etcd has too many writes. Nor any kind: one that
    /// is rare may be slow by chance.
    fn was_slow(&self) -> bool {
        let slow = self.known.iter().filter(|known| known.round.is_slow());
        slow.map(|known| known.round.answers).sum::<usize>() * 4 >= self.answers
    }

    /// Half as many, once for all that was under way. It has a mark of its own: rounds end, and quarters are
    /// taken, long before a request is known to be lost.
    fn halve(&mut self, sent: Duration, now: Duration) {
        if sent >= self.halved {
            self.halved = now;
            self.lower(self.limit / 2, now);
        }
    }

    fn lower(&mut self, limit: usize, now: Duration) {
        let limit = limit.max(LEAST);
        if limit < self.limit {
            (self.limit, self.cut) = (limit, now);
        }
        self.begin_round();
    }

    fn begin_round(&mut self) {
        (self.answers, self.full) = (0, false);
        for known in &mut self.known {
            known.round = Tally::default();
        }
    }
}

#[cfg(test)]
mod tests;
