//! Which ticks of a clock have succeeded, remembered longer than their runs.
//!
//! As text: the first instant, then steps in seconds to the later ones,
//! `2026-10-01T00:00:00Z+86400*30+172800` for every day but one. What cannot be read counts for nothing.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::flow::ClockStatus;

/// The most ticks that are remembered of a clock, the newest ones: two backfills of the largest size.
const TICKS_MAX: usize = 2_000;
/// The longest text. 32 clocks of a Flow then have 128 KiB of the 1.5 MiB that an object may have.
const BYTES_MAX: usize = 4_096;

/// The ticks of one clock that have succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::plan) struct Record {
    ticks: BTreeSet<Timestamp>,
    /// From when on all are there. None: from the beginning.
    since: Option<Timestamp>,
}

impl Record {
    /// What the status of a clock holds.
    pub fn of(clock: &ClockStatus) -> Self {
        let ticks = clock.succeeded.as_deref().map(parse).unwrap_or_default();
        Self { ticks, since: clock.recorded_since.as_ref().map(|time| time.0) }
    }

    /// Whether this tick is known to have succeeded.
    pub fn contains(&self, tick: Timestamp) -> bool {
        self.ticks.contains(&tick)
    }

    /// Whether a tick that succeeded would be known: it is not from before the beginning.
    pub fn reaches(&self, tick: Timestamp) -> bool {
        self.since.is_none_or(|since| tick >= since)
    }

    /// Remembers a tick. Whether that is news.
    pub fn add(&mut self, tick: Timestamp) -> bool {
        self.ticks.insert(tick)
    }

    /// Whether the tick is not there, and would be if it were added: that it is from before the beginning
    /// does not say so, since a record that begins late has room for earlier ones.
    pub fn would_gain(&self, tick: Timestamp) -> bool {
        let mut with = self.clone();
        with.add(tick) && {
            with.trim();
            with.contains(tick)
        }
    }

    /// Into the status of the clock, as far as there is room.
    pub fn write(mut self, clock: &mut ClockStatus) {
        let text = self.trim();
        clock.succeeded = (!text.is_empty()).then_some(text);
        clock.recorded_since = self.since.map(Time);
    }

    /// Drops the oldest ones until there is room for all; what is left, as text.
    fn trim(&mut self) -> String {
        let mut dropped = self.ticks.len().saturating_sub(TICKS_MAX);
        loop {
            for _ in 0..dropped {
                self.ticks.pop_first();
            }
            if dropped > 0 {
                self.since = self.since.max(self.ticks.first().copied());
            }
            let text = written(&self.ticks);
            if text.len() <= BYTES_MAX {
                return text;
            }
            dropped = self.ticks.len() / 8 + 1;
        }
    }
}

fn written(ticks: &BTreeSet<Timestamp>) -> String {
    let mut steps: Vec<(i64, usize)> = Vec::new();
    for (before, tick) in ticks.iter().zip(ticks.iter().skip(1)) {
        let step = tick.as_second().saturating_sub(before.as_second());
        match steps.last_mut() {
            Some((known, count)) if *known == step => *count += 1,
            _ => steps.push((step, 1)),
        }
    }
    let step = |(step, count): (i64, usize)| {
        if count == 1 { format!("+{step}") } else { format!("+{step}*{count}") }
    };
    let first = ticks.first().map(ToString::to_string).unwrap_or_default();
    steps.into_iter().map(step).fold(first, |text, step| text + &step)
}

fn parse(text: &str) -> BTreeSet<Timestamp> {
    let mut ticks = BTreeSet::new();
    let mut parts = text.split('+');
    let Some(mut last) = parts.next().and_then(|first| first.parse::<Timestamp>().ok()) else { return ticks };
    ticks.insert(last);
    for part in parts {
        let (step, count) = part.split_once('*').unwrap_or((part, "1"));
        let (Ok(step), Ok(count)) = (step.parse::<u32>(), count.parse::<usize>()) else { break };
        for _ in 0..count.min(TICKS_MAX.saturating_sub(ticks.len())) {
            let Ok(next) = last.checked_add(SignedDuration::from_secs(i64::from(step))) else { return ticks };
            last = next;
            ticks.insert(last);
        }
    }
    ticks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock() -> ClockStatus {
        ClockStatus {
            name: "c".into(),
            hash: String::new(),
            since: Time(Timestamp::UNIX_EPOCH),
            last_tick: None,
            next_tick: None,
            succeeded: None,
            recorded_since: None,
            times_hash: None,
            runs: 0,
        }
    }

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    #[test]
    fn regular_ticks_are_a_short_text() {
        let mut record = Record::default();
        for day in (0..300).filter(|day| *day != 100) {
            assert!(record.add(second(day * 86_400)));
        }
        assert!(!record.add(second(0)), "no news");
        let mut clock = clock();
        record.clone().write(&mut clock);
        assert_eq!(clock.succeeded.as_deref(), Some("2026-09-21T14:13:20Z+86400*99+172800+86400*198"));
        assert_eq!(Record::of(&clock), record);
        assert!(record.reaches(Timestamp::MIN));
    }

    #[test]
    fn the_oldest_are_dropped_and_that_is_known() {
        let mut record = Record::default();
        for hour in 0..2_500 {
            record.add(second(hour * 3_600));
        }
        let mut clock = clock();
        record.write(&mut clock);
        let kept = Record::of(&clock);
        assert_eq!(kept.ticks.len(), TICKS_MAX);
        assert!(kept.contains(second(500 * 3_600)) && kept.reaches(second(500 * 3_600)));
        assert!(!kept.contains(second(499 * 3_600)) && !kept.reaches(second(499 * 3_600)));
    }

    #[test]
    fn a_record_that_begins_late_gains_what_ended_before_its_beginning_until_it_is_full() {
        let mut record = Record { since: Some(second(7_200)), ..Record::default() };
        assert!(record.would_gain(second(0)) && record.would_gain(second(7_200)));
        record.add(second(0));
        assert!(!record.would_gain(second(0)));
        for hour in 1..=i64::try_from(TICKS_MAX).unwrap() {
            record.add(second(hour * 3_600));
        }
        assert!(!record.would_gain(second(-3_600)), "the oldest would go at once");
        assert!(record.would_gain(second(10_000 * 3_600)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_bounded(seconds in prop::collection::btree_set(0..100_000_000_i64, 0..1_500)) {
            let mut record = Record::default();
            for tick in &seconds {
                record.add(second(*tick));
            }
            let mut clock = clock();
            record.write(&mut clock);
            prop_assert!(clock.succeeded.as_ref().is_none_or(|text| text.len() <= BYTES_MAX));
            let read = Record::of(&clock);
            for tick in seconds.into_iter().map(second) {
                prop_assert_eq!(read.contains(tick), read.reaches(tick));
            }
        }

        #[test]
        fn any_text_can_be_read(text in "(2026-10-01T00:00:00Z)?[-+*0-9TZ:]{0,40}") {
            let clock = ClockStatus { succeeded: Some(text), ..clock() };
            prop_assert!(Record::of(&clock).ticks.len() <= TICKS_MAX);
        }
    }
}
