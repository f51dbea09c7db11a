//! Which tick of a clock counts now.
//!
//! The rule is "the latest one": after an outage of any length, one run is started for the newest tick, and the ones
//! before it are counted as missed. A tick is considered once. Whoever asks keeps [`ClockState`] and moves
//! `last_tick` to [`Due::latest`] when it has acted, whether that tick was started or was too late.

use std::time::Duration;

use jiff::Timestamp;

use super::Clock;

/// Missed ticks are counted up to here; a schedule of every second passes it in three hours.
pub const MISSED_MAX: u32 = 10_000;

/// What is remembered about a clock between two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockState {
    /// When the clock began to count in its present form: created, edited or resumed. No tick up to here is ever due.
    pub since: Timestamp,
    /// The last tick that was considered: started, or counted as missed.
    pub last_tick: Option<Timestamp>,
}

/// The answer of [`due`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// The tick to start now: the latest one, if it is within the deadline.
    pub tick: Option<Timestamp>,
    /// The latest tick that has passed, in time or too late. It is the next [`ClockState::last_tick`].
    pub latest: Option<Timestamp>,
    /// How many ticks passed without being started, `latest` included if it is too late. At most [`MISSED_MAX`].
    pub missed: u32,
    /// The first tick that lies ahead, and has not been considered yet.
    pub next: Option<Timestamp>,
}

/// Says which tick of `clock` is due at `now`: the latest one after both `since` and `last_tick`.
///
/// `starting_deadline` is how late a tick may be started; without one, any tick may. A clock that was set back changes
/// nothing: ticks up to `last_tick` stay considered, and `next` is later than all of them. A suspended clock has
/// nothing due and nothing ahead.
pub fn due(clock: &Clock, state: &ClockState, now: Timestamp, starting_deadline: Option<Duration>) -> Due {
    if clock.is_suspended() {
        return Due::default();
    }
    let considered = state.last_tick.map_or(state.since, |last| last.max(state.since));
    let next = clock.next_after(now.max(considered));
    let Some(latest) = clock.latest_in(considered, now) else {
        return Due { next, ..Due::default() };
    };
    let passed = clock.count_in(considered, now, MISSED_MAX);
    let tick = Some(latest).filter(|tick| in_time(*tick, now, starting_deadline));
    let started = u32::from(tick.is_some());
    Due { tick, latest: Some(latest), missed: passed.saturating_sub(started), next }
}

fn in_time(tick: Timestamp, now: Timestamp, starting_deadline: Option<Duration>) -> bool {
    let late = now.duration_since(tick).unsigned_abs();
    starting_deadline.is_none_or(|deadline| late <= deadline)
}

#[cfg(test)]
mod tests;
