//! One clock of a schedule: checked once, then asked for its ticks.

use jiff::Timestamp;

use super::budget::Budget;
use super::error::ScheduleError;
use super::filter::Filter;
use super::sieve::Sieve;
use super::spec::ClockSpec;
use super::ticks::{Source, Ticks, second, whole_second};
use super::zone::Zone;
use crate::api::schedule::Adjustment;

/// A clock whose every answer is right by construction: it exists only if its [`ClockSpec`] was valid.
#[derive(Debug, Clone)]
pub struct Clock {
    name: String,
    source: Source,
    zone: Zone,
    /// What the schedule lets through; none if that is everything.
    filter: Option<Filter>,
    /// Whether ticks of a weekend move to the Monday after it.
    moves: bool,
    end: Option<Timestamp>,
    suspended: bool,
}

impl Clock {
    /// Checks what a clock says.
    ///
    /// # Errors
    ///
    /// The first fault found, see [`ScheduleError`]: also a cron that no date satisfies (`0 0 30 2 *`), and
    /// filters that let no tick through.
    pub fn parse(spec: &ClockSpec<'_>) -> Result<Self, ScheduleError> {
        let zone = Zone::find(spec.zone)?;
        let start = spec.start_at.map(whole_second);
        if let (Some(start), Some(end)) = (spec.start_at, spec.end_at)
            && end < start
        {
            return Err(ScheduleError::EndBeforeStart { start, end });
        }
        let filters = spec.only.is_some() || spec.except.is_some() || spec.adjust.is_some();
        let clock = Self {
            name: spec.name.to_owned(),
            source: Source {
                ticks: Ticks::parse(spec, &zone)?,
                before_start: start.map(|start| second(start.as_second() - 1).unwrap_or(Timestamp::MIN)),
            },
            zone,
            filter: filters.then(|| Filter::parse(spec.only, spec.except)).transpose()?,
            moves: spec.adjust == Some(Adjustment::NextWeekday),
            end: spec.end_at,
            suspended: spec.suspend,
        };
        if clock.filter.is_some() && clock.source_ticks() && clock.next_after(EPOCH_OF_CLOCKS).is_none() {
            return Err(match (spec.only, spec.except) {
                (Some(_), _) => ScheduleError::NothingPasses { clock: clock.name, field: "only" },
                (None, Some(_)) => ScheduleError::NothingPasses { clock: clock.name, field: "except" },
                (None, None) => ScheduleError::MovedBeyondEnd { clock: clock.name },
            });
        }
        Ok(clock)
    }

    /// The clock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the user has suspended this clock. Its ticks can still be asked for; none of them is
    /// [`super::due`].
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The first tick strictly later than `t`; none when the clock has ended.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        self.next_within(t, &mut Budget::question())
    }

    /// The latest tick that is later than `after` and not later than `until`.
    ///
    /// It is searched for backwards from `until`, so the length of the gap costs nothing.
    pub fn latest_in(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.latest_within(after, until, &mut Budget::question())
    }

    /// How many ticks are later than `after` and not later than `until`. Counting stops at `limit`, which
    /// bounds the work, and earlier where filters let so few ticks through that looking for them takes too
    /// long.
    pub fn count_in(&self, after: Timestamp, until: Timestamp, limit: u32) -> u32 {
        if let (Ticks::Elapsed(interval), None) = (&self.source.ticks, &self.filter) {
            let start = self.source.before_start.map_or(after, |start| start.max(after));
            let count = interval.count(whole_second(start), self.not_after_end(until));
            return u32::try_from(count).unwrap_or(u32::MAX).min(limit);
        }
        let mut purse = Budget::counting();
        let mut count = 0;
        let mut last = after;
        while count < limit {
            let found = purse.question_from(|budget| self.next_within(last, budget));
            match found {
                Some(tick) if tick <= until => (count, last) = (count + 1, tick),
                _ => break,
            }
        }
        count
    }

    fn next_within(&self, t: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let after = whole_second(t);
        let tick = match self.sieve() {
            Some(sieve) => sieve.next_after(after, budget),
            None => self.source.next_after(after, budget),
        };
        tick.filter(|tick| self.end.is_none_or(|end| *tick <= end))
    }

    fn latest_within(&self, after: Timestamp, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let (after, until) = (whole_second(after), self.not_after_end(until));
        if until <= after {
            return None;
        }
        let tick = match self.sieve() {
            Some(sieve) => sieve.latest_until(until, budget),
            None => self.source.latest_until(until, budget),
        };
        tick.filter(|tick| *tick > after)
    }

    fn sieve(&self) -> Option<Sieve<'_>> {
        let (source, zone, moves) = (&self.source, &self.zone, self.moves);
        self.filter.as_ref().map(|filter| Sieve { source, zone, filter, moves })
    }

    /// Whether the clock ticks at all within its bounds, were it not for its filters.
    fn source_ticks(&self) -> bool {
        let first = self.source.next_after(EPOCH_OF_CLOCKS, &mut Budget::question());
        first.is_some_and(|tick| self.end.is_none_or(|end| tick <= end))
    }

    fn not_after_end(&self, t: Timestamp) -> Timestamp {
        whole_second(self.end.map_or(t, |end| end.min(t)))
    }
}

/// Where the search begins for any tick at all: the year in which zones settled on whole minutes, and long
/// before any cluster.
const EPOCH_OF_CLOCKS: Timestamp = Timestamp::UNIX_EPOCH;

#[cfg(test)]
mod tests;
