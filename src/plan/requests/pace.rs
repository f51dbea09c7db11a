//! How many requests may be on their way at the same time: as many as the API server answers about as fast as it can.
//!
//! It is the rule of TCP and of Netflix' concurrency limits: one more after each round in which all places were in use, a
//! quarter less after a round in which most answers were slow, half after a refusal (429, 503) or where no answer came. A
//! round is as many answers as there are places, to requests that were made since it began: what was asked before a change
//! tells nothing of it.
//!
//! Slow is what takes [`SLOW`] times as long as the fastest of late, reads and writes apart. So it is known without a figure
//! for what is normal, which would be wrong for a slow etcd or for a fast one. Where answers are slow with the fewest
//! requests under way it is not for us: that is how fast the API server is now.

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
/// After this time the fastest is looked for anew.
const LATELY: Duration = Duration::from_secs(60);

/// What a request costs the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// One object, from its cache.
    Read,
    /// One object, through etcd.
    Write,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done(Cost),
    /// It was answered, and how fast tells nothing: a list, a refusal of an object.
    Answered,
    /// The API server has too much to do, and wants to be left alone for so long.
    Busy(Option<Duration>),
    /// No answer came.
    Lost,
}

/// The fastest answers of late.
#[derive(Clone, Copy, Debug, Default)]
struct Fastest {
    now: Option<Duration>,
    before: Option<Duration>,
    since: Duration,
}

impl Fastest {
    fn saw(&mut self, took: Duration, now: Duration) {
        if now.saturating_sub(self.since) >= LATELY {
            (self.before, self.now, self.since) = (self.now, None, now);
        }
        self.now = Some(self.now.map_or(took, |fastest| fastest.min(took)));
    }

    /// Above which an answer is slow.
    fn bound(&self) -> Duration {
        let fastest = self.now.into_iter().chain(self.before).min().unwrap_or_default();
        (fastest * SLOW).max(SWIFT)
    }
}

/// One round of answers.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    began: Duration,
    answers: usize,
    slow: usize,
    /// Whether all places were in use at some time.
    full: bool,
    /// The fastest of the round, reads and writes.
    fastest: [Option<Duration>; 2],
}

/// How many requests may be under way, and from when on.
#[derive(Clone, Debug)]
pub struct Pace {
    limit: usize,
    round: Round,
    fastest: [Fastest; 2],
    closed_until: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            limit: FIRST,
            round: Round::default(),
            fastest: [Fastest::default(); 2],
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
        self.round.full = true;
    }

    /// A request that was made at `sent` has come to this.
    pub fn ended(&mut self, outcome: Outcome, sent: Duration, now: Duration) {
        match outcome {
            Outcome::Answered => {}
            Outcome::Done(cost) => self.done(cost as usize, sent, now),
            Outcome::Lost => self.halve(sent, now),
            Outcome::Busy(wait) => {
                let wait = wait.unwrap_or_default().min(CLOSED_MAX);
                self.closed_until = self.closed_until.max(now + wait);
                self.halve(sent, now);
            }
        }
    }

    fn done(&mut self, cost: usize, sent: Duration, now: Duration) {
        let took = now.saturating_sub(sent);
        let Some(fastest) = self.fastest.get_mut(cost) else { return };
        let is_slow = took > fastest.bound() && fastest.now.or(fastest.before).is_some();
        fastest.saw(took, now);
        if sent < self.round.began {
            return;
        }
        self.round.answers += 1;
        self.round.slow += usize::from(is_slow);
        if let Some(fastest) = self.round.fastest.get_mut(cost) {
            *fastest = Some(fastest.map_or(took, |fastest| fastest.min(took)));
        }
        if self.round.answers >= self.limit {
            self.end_of_round(now);
        }
    }

    fn end_of_round(&mut self, now: Duration) {
        if self.round.slow * 2 > self.round.answers {
            if self.limit == LEAST {
                for (fastest, of_round) in self.fastest.iter_mut().zip(self.round.fastest) {
                    if of_round.is_some() {
                        *fastest = Fastest { now: of_round, before: None, since: now };
                    }
                }
            }
            self.limit = (self.limit * 3 / 4).max(LEAST);
        } else if self.round.full {
            self.limit = (self.limit + 1).min(MOST);
        }
        self.round = Round { began: now, ..Round::default() };
    }

    /// Half as many, once for all that was under way.
    fn halve(&mut self, sent: Duration, now: Duration) {
        if sent >= self.round.began {
            self.limit = (self.limit / 2).max(LEAST);
            self.round = Round { began: now, ..Round::default() };
        }
    }
}
