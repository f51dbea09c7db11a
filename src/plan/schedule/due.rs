//! Which ticks of a clock count now.
//!
//! A tick is considered once. Whoever asks keeps [`ClockState`] and moves `last_tick` to [`Due::latest`] when
//! it has acted, whether that tick was started or was too late. Of several ticks that passed while nobody
//! looked, [`CatchUp`] says which are started; the others are counted as missed. No gap costs more than
//! counting to [`MISSED_MAX`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Clock;

/// Missed ticks are counted up to here; a schedule of every second passes it in three hours.
pub const MISSED_MAX: u32 = 10_000;

/// Under [`CatchUp::None`], and without a starting deadline, a tick is on time for so long. It covers a
/// restart of the operator and a change of leaders, which takes up to 15 s.
pub const ON_TIME: Duration = Duration::from_secs(30);

/// The least that lies between two moments.
const INSTANT: SignedDuration = SignedDuration::from_nanos(1);

/// What is remembered about a clock between two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockState {
    /// When the clock began to count in its present form: created, edited or resumed. No tick up to here is
    /// ever due.
    pub since: Timestamp,
    /// The last tick that was considered: started, or counted as missed.
    pub last_tick: Option<Timestamp>,
}

/// Which of the ticks that passed are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// The newest one.
    #[default]
    Latest,
    /// None, except one that is on time.
    None,
    /// The newest ones, up to so many.
    All(u32),
}

/// What decides which of the ticks that passed are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// How late a tick may be started; without one, any tick may.
    pub starting_deadline: Option<Duration>,
    /// Which of them, if there are several.
    pub catch_up: CatchUp,
    /// How much later than its time a tick is started.
    pub offset: Duration,
    /// How many more ticks may ever be started; without a number, any.
    pub room: Option<u32>,
}

impl Rules {
    /// How late a tick may be started.
    fn deadline(&self) -> Option<Duration> {
        match self.catch_up {
            CatchUp::None => Some(self.starting_deadline.unwrap_or(ON_TIME)),
            CatchUp::Latest | CatchUp::All(_) => self.starting_deadline,
        }
    }

    /// The earliest tick that is not too late at `now`. None: no tick ever is.
    pub fn in_time_from(&self, now: Timestamp) -> Option<Timestamp> {
        let late = self.deadline()?.saturating_add(self.offset);
        Some(now.checked_sub(late).unwrap_or(Timestamp::MIN))
    }
}

impl From<Option<Duration>> for Rules {
    /// The latest tick, if it is within this deadline.
    fn from(starting_deadline: Option<Duration>) -> Self {
        Self { starting_deadline, ..Self::default() }
    }
}

/// The answer of [`due`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The newest tick to start now.
    pub tick: Option<Timestamp>,
    /// The ticks before it that are started as well, oldest first: only under [`CatchUp::All`].
    pub earlier: Vec<Timestamp>,
    /// The latest tick that has passed, in time or too late. It is the next [`ClockState::last_tick`].
    pub latest: Option<Timestamp>,
    /// How many ticks passed without being started, `latest` included if it is too late. At most
    /// [`MISSED_MAX`].
    pub missed: u32,
    /// Those of `missed` that were too late to be started; the others gave way to newer ones.
    pub too_late: u32,
    /// When the first tick that lies ahead, and has not been considered yet, is to be started: the tick
    /// itself and [`Rules::offset`].
    pub next: Option<Timestamp>,
}

/// Says which ticks of `clock` are due at `now`, of those after both `since` and `last_tick`.
///
/// A clock that was set back changes nothing: ticks up to `last_tick` stay considered, and `next` is later
/// than all of them. A suspended clock has nothing due and nothing ahead, and neither has one without room;
/// its ticks are neither started nor missed.
pub fn due(clock: &Clock, state: &ClockState, now: Timestamp, rules: impl Into<Rules>) -> Due {
    let rules = rules.into();
    if clock.is_suspended() {
        return Due::default();
    }
    let limit = rules.in_time_from(now);
    let now = now.checked_sub(rules.offset).unwrap_or(Timestamp::MIN);
    let considered = state.last_tick.map_or(state.since, |last| last.max(state.since));
    if rules.room == Some(0) {
        // What passes now is considered: more room later starts nothing retroactively.
        return Due { latest: clock.latest_in(considered, now), ..Due::default() };
    }
    let ahead = |room: bool| {
        let next = clock.next_after(now.max(considered)).filter(|_| room)?;
        next.checked_add(rules.offset).ok()
    };
    let Some(latest) = clock.latest_in(considered, now) else {
        return Due { next: ahead(true), ..Due::default() };
    };
    let mut ticks = started(clock, considered, now, &rules);
    ticks.reverse();
    let count = u32::try_from(ticks.len()).unwrap_or(u32::MAX);
    let missed = clock.count_in(considered, now, MISSED_MAX).saturating_sub(count);
    let before = limit.filter(|_| missed > 0).and_then(|limit| limit.checked_sub(INSTANT).ok());
    let too_late = before.map_or(0, |before| clock.count_in(considered, before, MISSED_MAX).min(missed));
    Due {
        tick: ticks.pop(),
        earlier: ticks,
        latest: Some(latest),
        missed,
        too_late,
        next: ahead(rules.room.is_none_or(|room| room > count)),
    }
}

/// The ticks to start, newest first.
fn started(clock: &Clock, considered: Timestamp, now: Timestamp, rules: &Rules) -> Vec<Timestamp> {
    let most = match rules.catch_up {
        CatchUp::Latest | CatchUp::None => 1,
        CatchUp::All(limit) => limit,
    };
    let most = rules.room.map_or(most, |room| room.min(most));
    let deadline = rules.deadline();
    let before = |tick: &Timestamp| {
        clock.latest_in(considered, tick.checked_sub(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MIN))
    };
    let in_time = |tick: &Timestamp| {
        let late = now.duration_since(*tick).unsigned_abs();
        deadline.is_none_or(|deadline| late <= deadline)
    };
    std::iter::successors(clock.latest_in(considered, now), before)
        .take_while(in_time)
        .take(usize::try_from(most).unwrap_or(usize::MAX))
        .collect()
}

#[cfg(test)]
mod tests;
