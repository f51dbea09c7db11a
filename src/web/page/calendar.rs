//! The days of the last weeks, each with what its runs came to.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, civil};
use serde::Serialize;

use super::past::Past;
use crate::api::Phase;

/// How many weeks are shown, the present one among them.
const WEEKS: i64 = 8;
/// How large a day is with the gap after it.
const STEP: i64 = 16;

/// A day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Day {
    /// Which.
    pub date: civil::Date,
    /// How many of its runs succeeded.
    pub good: usize,
    /// How many did not.
    pub bad: usize,
    /// Where it is drawn.
    #[serde(skip)]
    pub x: i64,
    /// The same.
    #[serde(skip)]
    pub y: i64,
}

impl Day {
    /// Its colour.
    pub fn class(&self) -> &'static str {
        match (self.good, self.bad) {
            (0, 0) => "n",
            (_, 0) => "s",
            (0, _) => "f",
            _ => "m",
        }
    }

    /// What it came to.
    pub fn words(&self) -> String {
        match (self.good, self.bad) {
            (0, 0) => format!("{}: no run", self.date),
            (good, 0) => format!("{}: {good} succeeded", self.date),
            (good, bad) => format!("{}: {good} succeeded, {bad} failed", self.date),
        }
    }
}

/// The days of the last weeks in a zone, from a Monday on. A run counts on the day on which it ended.
pub fn calendar(all: &[Past], zone: &TimeZone, now: Timestamp) -> Vec<Day> {
    let today = now.to_zoned(zone.clone()).date();
    let before = i64::from(today.weekday().to_monday_zero_offset()) + 7 * (WEEKS - 1);
    let Ok(first) = today.checked_sub(before.days()) else { return Vec::new() };
    let mut days: Vec<Day> = (0..=before)
        .filter_map(|day| {
            let date = first.checked_add(day.days()).ok()?;
            Some(Day { date, good: 0, bad: 0, x: day / 7 * STEP, y: day % 7 * STEP })
        })
        .collect();
    for run in all {
        let Some(ended) = run.finished.filter(|_| run.phase.is_final()) else { continue };
        let date = ended.to_zoned(zone.clone()).date();
        let Ok(at) = days.binary_search_by_key(&date, |day| day.date) else { continue };
        let Some(day) = days.get_mut(at) else { continue };
        match run.phase {
            Phase::Succeeded => day.good += 1,
            Phase::Failed | Phase::TimedOut => day.bad += 1,
            _ => {}
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::web::page::past::past;

    #[test]
    fn a_run_counts_on_the_day_of_its_zone() {
        let flow = json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
            "spec": {"cluster": {"ref": {"name": "a"}}},
            // 2026-11-29T23:30:00Z, a Sunday, which is Monday in Paris; and one of last year.
            "status": {"recent": ["-2||Succeeded||1795994000|1795995000", "-3||Failed||1795994000|1795995000", "-1||Failed||1700000000|1700000001"]},
        });
        let all = past(&serde_json::from_value(flow).unwrap(), &[]);
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let of = |zone: &str| calendar(&all, &TimeZone::get(zone).unwrap(), now);
        let (utc, paris) = (of("UTC"), of("Europe/Paris"));
        assert_eq!((utc.len(), utc[0].date.to_string()), (50, "2026-10-12".to_owned()));
        assert_eq!((utc[48].good, utc[48].bad, utc[48].class()), (1, 1, "m"));
        assert_eq!((paris[49].words(), paris[48].class()), ("2026-11-30: 1 succeeded, 1 failed".into(), "n"));
        assert_eq!((utc[48].x, utc[48].y, utc[49].x, utc[49].y), (6 * 16, 6 * 16, 7 * 16, 0));
        assert_eq!(utc.iter().map(|day| day.good + day.bad).sum::<usize>(), 2);
    }
}
