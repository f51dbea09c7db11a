//! One clock of a schedule: checked once, then asked for its ticks.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use thiserror::Error;

use super::cron::{CronError, CronFields};
use super::zone::ZonedCron;
use crate::api::schedule::DaylightSaving;

/// When a clock ticks, as its user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// Every so much elapsed time, in whole seconds, at least one.
    Interval(Duration),
    /// The text of a cron schedule, not yet read.
    Cron(String),
}

/// What a clock says, independent of the kind of object that says it.
#[derive(Debug, Clone)]
pub struct ClockSpec<'a> {
    /// The clock's name, unique in its schedule.
    pub name: &'a str,
    /// When it ticks.
    pub timing: Timing,
    /// The IANA name of the zone in which cron is read, such as `Europe/Paris`. Intervals have no use for it, yet a
    /// name that is no zone is refused there too.
    pub zone: &'a str,
    /// The first instant that may be a tick. It is also the anchor of an interval, which otherwise is
    /// 1970-01-01T00:00:00Z. A fraction of a second is dropped.
    pub start_at: Option<Timestamp>,
    /// The last instant that may be a tick.
    pub end_at: Option<Timestamp>,
    /// Nothing is due while this is set; see [`super::due`].
    pub suspend: bool,
    /// What cron does where the zone skips or repeats an hour.
    pub daylight_saving: DaylightSaving,
}

impl<'a> ClockSpec<'a> {
    /// A clock that says nothing more: without bounds, not suspended, each fixed time once a day.
    pub fn new(name: &'a str, timing: Timing, zone: &'a str) -> Self {
        Self {
            name,
            timing,
            zone,
            start_at: None,
            end_at: None,
            suspend: false,
            daylight_saving: DaylightSaving::default(),
        }
    }
}

/// Why a [`ClockSpec`] is no clock. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// The cron text is at fault.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The interval is less than a second.
    #[error("the interval {0:?} is too short; write at least 1s")]
    IntervalTooShort(Duration),
    /// The interval is not a whole number of seconds, which is the resolution of the names of runs.
    #[error("the interval {0:?} has a fraction of a second; write whole seconds")]
    IntervalFraction(Duration),
    /// The interval is longer than time is represented.
    #[error("the interval {0:?} is too long")]
    IntervalTooLong(Duration),
    /// No zone has this name.
    #[error("the time zone `{zone}` is unknown; write an IANA name such as {suggestion}")]
    UnknownZone {
        /// What was written.
        zone: String,
        /// A zone with a like name, or an example.
        suggestion: String,
    },
    /// The clock stops before it starts.
    #[error("endAt {end} is before startAt {start}; write a later endAt")]
    EndBeforeStart {
        /// The `startAt` that was written.
        start: Timestamp,
        /// The `endAt` that was written.
        end: Timestamp,
    },
}

impl ScheduleError {
    /// The field at fault, as users write it: `cron`, `interval`, `timeZone` or `endAt`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Cron(_) => "cron",
            Self::IntervalTooShort(_) | Self::IntervalFraction(_) | Self::IntervalTooLong(_) => "interval",
            Self::UnknownZone { .. } => "timeZone",
            Self::EndBeforeStart { .. } => "endAt",
        }
    }
}

/// A clock whose every answer is right by construction: it exists only if its [`ClockSpec`] was valid.
#[derive(Debug, Clone)]
pub struct Clock {
    name: String,
    ticks: Ticks,
    /// The last second before the clock starts.
    before_start: Option<Timestamp>,
    end: Option<Timestamp>,
    suspended: bool,
}

#[derive(Debug, Clone)]
enum Ticks {
    /// Seconds since 1970 and between ticks; the step is at least one.
    Interval {
        anchor: i64,
        step: i64,
    },
    Cron(ZonedCron),
}

impl Clock {
    /// Checks what a clock says.
    ///
    /// # Errors
    ///
    /// The first fault found, see [`ScheduleError`]: also a cron that no date satisfies (`0 0 30 2 *`).
    pub fn parse(spec: &ClockSpec<'_>) -> Result<Self, ScheduleError> {
        let zone = find_zone(spec.zone)?;
        let start = spec.start_at.map(whole_second);
        if let (Some(start), Some(end)) = (spec.start_at, spec.end_at)
            && end < start
        {
            return Err(ScheduleError::EndBeforeStart { start, end });
        }
        let ticks = match &spec.timing {
            Timing::Interval(interval) => Ticks::Interval {
                anchor: start.unwrap_or(Timestamp::UNIX_EPOCH).as_second(),
                step: interval_seconds(*interval)?,
            },
            Timing::Cron(text) => Ticks::Cron(ZonedCron { fields: CronFields::parse(text)?, zone }),
        };
        Ok(Self {
            name: spec.name.to_owned(),
            ticks,
            before_start: start.map(|start| second(start.as_second() - 1).unwrap_or(Timestamp::MIN)),
            end: spec.end_at,
            suspended: spec.suspend,
        })
    }

    /// The clock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the user has suspended this clock. Its ticks can still be asked for; none of them is [`super::due`].
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The first tick strictly later than `t`; none when the clock has ended.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let after = self.not_before_start(t);
        let tick = match &self.ticks {
            Ticks::Interval { anchor, step } => {
                let passed = after.as_second().checked_sub(*anchor)?.div_euclid(*step);
                second(passed.checked_add(1)?.checked_mul(*step)?.checked_add(*anchor)?)
            }
            Ticks::Cron(cron) => cron.next_after(after),
        };
        tick.filter(|tick| self.end.is_none_or(|end| *tick <= end))
    }

    /// The latest tick that is later than `after` and not later than `until`.
    ///
    /// It is searched for backwards from `until`, so the length of the gap costs nothing.
    pub fn latest_in(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let after = self.not_before_start(after);
        let until = self.not_after_end(until);
        if until <= after {
            return None;
        }
        let tick = match &self.ticks {
            Ticks::Interval { anchor, step } => {
                let passed = until.as_second().checked_sub(*anchor)?.div_euclid(*step);
                second(passed.checked_mul(*step)?.checked_add(*anchor)?)
            }
            Ticks::Cron(cron) => cron.latest_until(until),
        };
        tick.filter(|tick| *tick > after)
    }

    /// How many ticks are later than `after` and not later than `until`. Counting stops at `limit`, which bounds the
    /// work.
    pub fn count_in(&self, after: Timestamp, until: Timestamp, limit: u32) -> u32 {
        if let Ticks::Interval { anchor, step } = &self.ticks {
            let passed = |t: Timestamp| t.as_second().saturating_sub(*anchor).div_euclid(*step);
            let ticks =
                passed(self.not_after_end(until)).saturating_sub(passed(self.not_before_start(after)));
            return u32::try_from(ticks.max(0)).unwrap_or(u32::MAX).min(limit);
        }
        let mut count = 0;
        let mut last = after;
        while count < limit {
            match self.next_after(last) {
                Some(tick) if tick <= until => (count, last) = (count + 1, tick),
                _ => break,
            }
        }
        count
    }

    fn not_before_start(&self, t: Timestamp) -> Timestamp {
        let t = whole_second(t);
        self.before_start.map_or(t, |start| start.max(t))
    }

    fn not_after_end(&self, t: Timestamp) -> Timestamp {
        whole_second(self.end.map_or(t, |end| end.min(t)))
    }
}

fn interval_seconds(interval: Duration) -> Result<i64, ScheduleError> {
    if interval.as_secs() == 0 {
        return Err(ScheduleError::IntervalTooShort(interval));
    }
    if interval.subsec_nanos() != 0 {
        return Err(ScheduleError::IntervalFraction(interval));
    }
    i64::try_from(interval.as_secs()).map_err(|_| ScheduleError::IntervalTooLong(interval))
}

/// The zones as they were when the program was built: no files are read, and no two machines differ.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of this IANA name.
///
/// # Errors
///
/// [`ScheduleError::UnknownZone`], with a zone of a like name.
pub fn find_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    match ZONES.get(name) {
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ => Err(ScheduleError::UnknownZone {
            zone: name.chars().take(64).collect(),
            suggestion: similar_zone(name).unwrap_or_else(|| "Europe/Paris".to_owned()),
        }),
    }
}

/// A zone whose city is what was written: `Paris`, `Europe/Tokyo`, `new york`.
fn similar_zone(name: &str) -> Option<String> {
    let city = name.rsplit('/').next()?.trim().replace(' ', "_");
    let mut zones = ZONES.available();
    zones
        .find(|zone| zone.as_str().rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city)))
        .map(|zone| zone.to_string())
}

/// The second that `t` is in.
fn whole_second(t: Timestamp) -> Timestamp {
    let seconds = t.as_second();
    second(if t.subsec_nanosecond() < 0 { seconds - 1 } else { seconds }).unwrap_or(Timestamp::MIN)
}

fn second(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests;
