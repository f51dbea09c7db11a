//! The work of one question is bounded, whatever a clock and its filters say. Nothing is timed: work is
//! counted.

use proptest::prelude::*;

use crate::api::schedule::TickFilter;
use crate::plan::schedule::RRULE_LENGTH_MAX;
use crate::plan::schedule::Timing;
use crate::plan::schedule::budget::{LOOKS_MAX, work};
use crate::plan::schedule::clock::*;

const TEXTS: &str = include_str!("../../../../../tests/schedule/hostile.txt");
const FILTERS: &str = include_str!("../../../../../tests/schedule/hostile_filters.jsonl");
const ZONES: [&str; 2] = ["America/New_York", "Pacific/Apia"];
const TIMES: [&str; 3] = ["2027-03-14T12:00:00Z", "1969-12-31T23:59:59Z", "9999-12-01T00:00:00Z"];

/// Work that a look pays for at the most: a turn between clock and filter costs twenty looks and does less
/// than that.
const WORK_MAX: usize = 2 * LOOKS_MAX as usize;

/// Questions that reading a clock asks at the most: does it tick, does its rule tick, does it pass the
/// filters.
const QUESTIONS_OF_PARSING: usize = 3;

type Filters = (Option<TickFilter>, Option<TickFilter>, Option<Adjustment>);

fn filters() -> Vec<Filters> {
    FILTERS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn timing(text: &str) -> Timing {
    match text.strip_prefix("cron:") {
        Some(cron) => Timing::Cron(cron.to_owned()),
        None => Timing::Rrule(text.replace("\\n", "\n")),
    }
}

/// What the costliest of some questions took.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    /// Looks that were spent.
    looks: u32,
    /// Work that was done.
    work: usize,
}

/// Reads a clock, which is work as well.
fn read(timing: &Timing, zone: &str, (only, except, adjust): &Filters) -> Option<Clock> {
    let (only, except, adjust) = (only.as_ref(), except.as_ref(), *adjust);
    let spec = ClockSpec { only, except, adjust, ..ClockSpec::new("c", timing.clone(), zone) };
    work::take();
    let clock = Clock::parse(&spec);
    let parsing = work::take();
    assert!(parsing <= QUESTIONS_OF_PARSING * WORK_MAX, "{spec:?}: reading it took {parsing}");
    clock.ok()
}

/// Asks for ticks on both sides of an instant, each question with so many looks.
fn ask(clock: &Clock, t: Timestamp, looks: u32) -> Cost {
    let mut most = Cost::default();
    let mut question = |answer: &dyn Fn(&mut Budget)| {
        let mut budget = Budget::of(looks);
        work::take();
        answer(&mut budget);
        most = Cost { looks: most.looks.max(looks - budget.left()), work: most.work.max(work::take()) };
    };
    question(&|budget| {
        let next = clock.next_within(t, budget);
        assert!(next.is_none_or(|tick| tick > t), "{clock:?}: {next:?} after {t}");
    });
    question(&|budget| {
        let latest = clock.latest_within(Timestamp::MIN, t, budget);
        assert!(latest.is_none_or(|tick| tick <= t), "{clock:?}: {latest:?} until {t}");
    });
    most
}

/// The clocks of the corpus that can be read, each with each filter.
fn corpus() -> impl Iterator<Item = (&'static str, &'static str, Filters)> {
    let texts = TEXTS.lines().filter(|line| !line.starts_with('#'));
    texts.flat_map(|text| {
        ZONES.iter().flat_map(move |zone| filters().into_iter().map(move |filter| (text, *zone, filter)))
    })
}

#[test]
fn no_hostile_question_does_more_work_than_its_looks_pay_for() {
    let mut spent = 0;
    for (text, zone, filter) in corpus() {
        let Some(clock) = read(&timing(text), zone, &filter) else { continue };
        for t in TIMES {
            let cost = ask(&clock, t.parse().unwrap(), LOOKS_MAX);
            assert!(cost.work <= WORK_MAX, "{text} in {zone} with {filter:?} at {t}: {cost:?}");
            spent += usize::from(cost.looks == LOOKS_MAX);
        }
    }
    assert!(spent > 0, "no text is hostile enough to spend everything");
}

/// With more looks the same question goes on, beyond the bound of the other tests.
#[test]
fn it_is_the_budget_that_ends_a_search() {
    let endless = timing("RRULE:FREQ=MINUTELY;BYSETPOS=2\\nRDATE:20270101T000000");
    let clock = read(&endless, "Etc/UTC", &(None, None, None)).unwrap();
    let t = "2027-03-14T12:00:00Z".parse().unwrap();
    assert_eq!(ask(&clock, t, LOOKS_MAX).looks, LOOKS_MAX);
    let unbounded = ask(&clock, t, 20 * LOOKS_MAX);
    assert_eq!(unbounded.looks, 20 * LOOKS_MAX);
    assert!(unbounded.work > WORK_MAX, "{unbounded:?}");
}

#[test]
fn a_text_beyond_the_limit_is_not_read() {
    let text = format!("FREQ=DAILY;BYMONTHDAY={}", ["1"; RRULE_LENGTH_MAX].join(","));
    let spec = ClockSpec::new("c", Timing::Rrule(text), "UTC");
    assert!(Clock::parse(&spec).unwrap_err().to_string().contains("and may have 1000"));
}

/// A time in the past, now or in the far future.
fn times() -> impl Strategy<Value = Timestamp> {
    (0i64..4_000_000_000).prop_map(|seconds| Timestamp::from_second(seconds).unwrap())
}

fn check(timing: &Timing, t: Timestamp) -> Result<(), TestCaseError> {
    for filter in filters() {
        let Some(clock) = read(timing, "America/New_York", &filter) else { continue };
        let cost = ask(&clock, t, LOOKS_MAX);
        prop_assert!(cost.work <= WORK_MAX, "{:?} with {:?}: {:?}", timing, filter, cost);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,80}", t in times()) {
        check(&Timing::Cron(text.clone()), t)?;
        check(&Timing::Rrule(format!("FREQ=DAILY;{text}")), t)?;
        check(&Timing::Rrule(text), t)?;
    }

    #[test]
    fn any_text_like_a_rule_gets_an_answer(
        freq in "(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY|MINUTELY)",
        parts in "(;(INTERVAL|COUNT|BYMONTH|BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYDAY|BYHOUR|BYSETPOS)=[-0-9,MOTUSA]{1,6}){0,4}",
        t in times(),
    ) {
        check(&Timing::Rrule(format!("FREQ={freq}{parts}")), t)?;
        // With a tick of its own, a rule that never comes is read.
        check(&Timing::Rrule(format!("RRULE:FREQ={freq}{parts}\nRDATE:20270101T000000")), t)?;
    }

    #[test]
    fn any_text_like_a_cron_gets_an_answer(
        minute in "(\\*|\\*/[1-9][0-9]?|[0-5]?[0-9])",
        hour in "(\\*|\\*/[1-9]|[0-9]|1[0-9])",
        day in "(\\*|[1-9]|[12][0-9]|30|31|29,31)",
        month in "(\\*|[1-9]|2|2,4|11)",
        weekday in "(\\*|[0-6]|1-5)",
        t in times(),
    ) {
        check(&Timing::Cron(format!("{minute} {hour} {day} {month} {weekday}")), t)?;
    }
}
