//! Random schedules against other people's programs: croniter and cronsim for cron, dateutil for recurrence
//! rules and for steps of the calendar, and plain arithmetic for elapsed intervals. The latter three are in
//! `dateutil.rs`.
//!
//! Where one of them answers otherwise, a named rule must say why; a difference without a rule fails the
//! test. `DASKFLOW_ORACLES_PYTHON` names the Python that `tests/schedule/venv.sh` makes; without it the test
//! is left out and says so (`DASKFLOW_ORACLES_REQUIRED=1`: it fails). `DASKFLOW_ORACLES_SEED` gives other
//! schedules.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "dateutil.rs"]
mod dateutil;
#[path = "oracle.rs"]
mod oracle;
#[path = "random.rs"]
mod random;
#[path = "rules.rs"]
mod rules;

use std::collections::BTreeMap;

use self::rules::Rule;
use daskflow::plan::schedule::{Clock, ClockSpec, CronError, ScheduleError, Timing};
use fastrand::Rng;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

const CASES: usize = 10_000;

/// A question about a cron schedule.
#[derive(Clone, Debug, Serialize)]
struct CronCase {
    kind: &'static str,
    text: String,
    zone: &'static str,
    /// Seconds since 1970.
    at: i64,
}

impl CronCase {
    fn zone(&self) -> TimeZone {
        TimeZoneDatabase::bundled().get(self.zone).unwrap()
    }

    /// An answer on the clocks of the zone.
    fn shown(&self, answer: Answer) -> String {
        match answer {
            Answer::At(at) => Timestamp::from_second(at).unwrap().to_zoned(self.zone()).to_string(),
            other => format!("{other:?}"),
        }
    }
}

/// One program's answers.
#[derive(Debug, Deserialize)]
struct Answers {
    next: Answer,
    previous: Answer,
}

/// A tick, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "serde_json::Value")]
enum Answer {
    At(i64),
    None,
    /// The program does not come back.
    Endless,
}

impl From<serde_json::Value> for Answer {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Number(at) => Self::At(at.as_i64().unwrap()),
            _ => Self::Endless,
        }
    }
}

impl Answer {
    fn of(tick: Option<Timestamp>) -> Self {
        tick.map_or(Self::None, |tick| Self::At(tick.as_second()))
    }
}

#[derive(Deserialize)]
struct CronAnswer {
    croniter: Answers,
    cronsim: Answers,
    /// Of the zone at the question's instant, in seconds: both sides must know the same zones.
    offset: i32,
}

/// Which way a tick is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Next,
    Previous,
}

/// Our answer.
fn ours(case: &CronCase, direction: Direction) -> Answer {
    let clock = match Clock::parse(&ClockSpec::new("c", Timing::Cron(case.text.clone()), case.zone)) {
        Ok(clock) => clock,
        Err(ScheduleError::Cron(CronError::NeverFires(_))) => return Answer::None,
        Err(error) => panic!("{}: {error}", case.text),
    };
    let second = |at| Timestamp::from_second(at).unwrap();
    Answer::of(match direction {
        Direction::Next => clock.next_after(second(case.at)),
        Direction::Previous => clock.latest_in(Timestamp::MIN, second(case.at - 1)),
    })
}

fn seed() -> u64 {
    oracle::env("DASKFLOW_ORACLES_SEED").map_or(2027, |seed| seed.parse().unwrap())
}

/// What became of all comparisons.
#[derive(Default)]
struct Tally {
    agree: u32,
    by_rule: BTreeMap<Rule, u32>,
    unexplained: Vec<String>,
}

impl Tally {
    fn compare(&mut self, program: &'static str, case: &CronCase, direction: Direction, theirs: Answer) {
        let ours = ours(case, direction);
        if ours == theirs {
            self.agree += 1;
            return;
        }
        let rule = match program {
            "croniter" => rules::of_croniter(case, direction, theirs),
            _ => rules::of_cronsim(case, direction, theirs),
        };
        match rule {
            Some(rule) => *self.by_rule.entry(rule).or_default() += 1,
            None => self.unexplained.push(format!(
                "{program}, {direction:?}: `{}` in {} at {}: ours {}, theirs {}",
                case.text,
                case.zone,
                case.shown(Answer::At(case.at)),
                case.shown(ours),
                case.shown(theirs),
            )),
        }
    }

    fn tell(&self) {
        let total = self.agree as usize + self.unexplained.len();
        let explained: u32 = self.by_rule.values().sum();
        oracle::say(&format!(
            "seed {}: {} answers, {} as ours, {explained} otherwise by a rule, {} without one",
            seed(),
            total + explained as usize,
            self.agree,
            self.unexplained.len()
        ));
        for (rule, count) in &self.by_rule {
            oracle::say(&format!("{count:6} {rule}"));
        }
    }
}

#[test]
fn cron_agrees_with_croniter_and_cronsim() {
    let Some(python) = oracle::python() else { return };
    let mut random = Rng::with_seed(seed());
    let case = |_| {
        let (zone, text) = (random::zone(&mut random), random::cron(&mut random));
        CronCase { kind: "cron", text, zone, at: random::instant(&mut random, zone) }
    };
    let cases: Vec<CronCase> = (0..CASES).map(case).collect();
    let answers: Vec<CronAnswer> = oracle::ask(python, &cases);
    let mut tally = Tally::default();
    for (case, answer) in cases.iter().zip(&answers) {
        let offset = case.zone().to_offset(Timestamp::from_second(case.at).unwrap());
        assert_eq!(offset.seconds(), answer.offset, "the pinned tzdata and that of jiff differ: {case:?}");
        for (program, theirs) in [("croniter", &answer.croniter), ("cronsim", &answer.cronsim)] {
            tally.compare(program, case, Direction::Next, theirs.next);
            tally.compare(program, case, Direction::Previous, theirs.previous);
        }
    }
    tally.tell();
    let unexplained = &tally.unexplained;
    assert!(unexplained.is_empty(), "no rule says why:\n{}", unexplained.join("\n"));
}
