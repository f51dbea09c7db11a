//! Recurrence rules and intervals against dateutil and plain arithmetic. dateutil knows the wall only; the
//! oracle maps its times to instants by our rule, with the zones of Python: in a gap the first instant after
//! it, of two passes the first.
//!
//! The forms in which dateutil is known to mean something else are not asked for: weekdays with a number
//! beside ones without (`BYDAY=MO,2TU`: RFC 5545 wants either, dateutil both), weeks counted from the end of
//! the year, and weeks 52 and 53, which dateutil confuses in the first days of a year, as it takes the length
//! of the wrong one.

use std::collections::BTreeMap;

use daskflow::api::duration::parse_duration;
use daskflow::api::interval::parse_interval;
use daskflow::plan::schedule::{Clock, ClockSpec, RruleError, ScheduleError, Timing};
use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use super::{Answer, Direction, oracle, random, rules, seed};

const RRULES: usize = 6_000;
const CALENDARS: usize = 2_000;
const ELAPSED: usize = 2_000;

/// A question about a clock.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// `rrule`, `calendar` or `elapsed`.
    pub kind: &'static str,
    pub text: String,
    pub zone: &'static str,
    /// This and the others: seconds since 1970.
    pub at: i64,
    /// `startAt`, the anchor too.
    pub start: Option<i64>,
    /// `endAt`.
    pub end: Option<i64>,
}

impl Case {
    pub fn clock(&self) -> Result<Clock, ScheduleError> {
        let timing = match self.kind {
            "rrule" => Timing::Rrule(self.text.clone()),
            "calendar" => parse_interval(&self.text).unwrap().into(),
            _ => Timing::Interval(parse_duration(&self.text).unwrap()),
        };
        let spec = ClockSpec::new("c", timing, self.zone);
        Clock::parse(&ClockSpec { start_at: self.start.map(second), end_at: self.end.map(second), ..spec })
    }

    fn tz(&self) -> TimeZone {
        TimeZoneDatabase::bundled().get(self.zone).unwrap()
    }

    fn shown(&self, at: Answer) -> String {
        match at {
            Answer::At(at) => second(at).to_zoned(self.tz()).to_string(),
            other => format!("{other:?}"),
        }
    }
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

#[derive(Debug, Deserialize)]
struct Answered {
    next: Answer,
    previous: Answer,
    /// No tick later than this was looked for. Dateutil may stop for that reason only.
    until: Option<i64>,
    /// Times that a rule with a COUNT names on the wall up to there.
    occurrences: Option<u32>,
    offset: i32,
}

/// A named difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// See [`rules::Rule::PythonAtNuuk`].
    PythonAtNuuk,
    /// The rule is refused because COUNT is too far away to be listed. Within the horizon dateutil does not
    /// reach it.
    CountTooFar,
}

#[derive(Default)]
struct Tally {
    agree: u32,
    /// Of those that agree: the answer of both is that there is a tick, that there is none, and that it is
    /// not near.
    found: u32,
    far: u32,
    by_rule: BTreeMap<Rule, u32>,
    unexplained: Vec<String>,
}

impl Tally {
    fn compare(&mut self, case: &Case, answered: &Answered) {
        let clock = case.clock();
        for (direction, theirs) in
            [(Direction::Next, answered.next), (Direction::Previous, answered.previous)]
        {
            let ours = match &clock {
                Ok(clock) => Answer::of(match direction {
                    Direction::Next => clock.next_after(second(case.at)),
                    Direction::Previous => clock.latest_in(Timestamp::MIN, second(case.at - 1)),
                }),
                Err(ScheduleError::Rrule(RruleError::NeverComes(_))) => Answer::None,
                Err(ScheduleError::Rrule(RruleError::CountTooFar(count))) => {
                    assert!(answered.occurrences.unwrap() < *count, "{case:?}");
                    *self.by_rule.entry(Rule::CountTooFar).or_default() += 1;
                    continue;
                }
                Err(error) => panic!("{}: {error}", case.text),
            };
            let far = direction == Direction::Next
                && theirs == Answer::None
                && matches!((ours, answered.until), (Answer::At(at), Some(until)) if at > until);
            if ours == theirs || far {
                self.agree += 1;
                self.found += u32::from(matches!(theirs, Answer::At(_)));
                self.far += u32::from(far);
            } else if rules::at_nuuk(case.zone, theirs) {
                *self.by_rule.entry(Rule::PythonAtNuuk).or_default() += 1;
            } else {
                self.unexplained.push(format!(
                    "{direction:?}: {case:?} at {}: ours {}, theirs {}",
                    case.shown(Answer::At(case.at)),
                    case.shown(ours),
                    case.shown(theirs)
                ));
            }
        }
    }
}

/// Asks about so many cases. At least half of the answers must be ticks, or the cases ask for nothing.
fn agree(kind: &str, count: usize, case: fn(&mut Rng) -> Case) {
    let Some(python) = oracle::python() else { return };
    let mut random = Rng::with_seed(seed());
    let cases: Vec<Case> = (0..count).map(|_| case(&mut random)).collect();
    let answers: Vec<Answered> = oracle::ask(python, &cases);
    let mut tally = Tally::default();
    for (case, answered) in cases.iter().zip(&answers) {
        let offset = case.tz().to_offset(second(case.at)).seconds();
        assert_eq!(offset, answered.offset, "the pinned tzdata and that of jiff differ: {case:?}");
        tally.compare(case, answered);
    }
    let Tally { agree, found, far, by_rule, unexplained } = &tally;
    oracle::say(&format!(
        "{kind}, seed {}: {count} cases, {agree} answers as ours ({found} ticks, {far} beyond the horizon), by a rule \
         {by_rule:?}, {} without one",
        seed(),
        unexplained.len()
    ));
    assert!(unexplained.is_empty(), "no rule says why:\n{}", unexplained.join("\n"));
    assert!(*found as usize > count, "only {found} ticks");
}

#[test]
fn rrules_agree_with_dateutil() {
    agree("rrule", RRULES, random::rrule);
}

#[test]
fn steps_of_the_calendar_agree_with_dateutil() {
    agree("calendar", CALENDARS, random::calendar);
}

#[test]
fn elapsed_intervals_agree_with_arithmetic() {
    agree("elapsed", ELAPSED, random::elapsed);
}
