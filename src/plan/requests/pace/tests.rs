//! The rule of the pace, against API servers that are simulated.

use proptest::prelude::*;
use rstest::rstest;

use super::{CLOSED_MAX, FIRST, KINDS_MAX, Kind, LEAST, MOST, Outcome, Pace};
use std::time::Duration;

const READ: Kind<'_> = Kind { verb: "get", resource: "flowruns", is_dry: false };
const DRY: Kind<'_> = Kind { verb: "create", resource: "jobs", is_dry: true };
const WRITES: [Kind<'_>; 6] = [
    Kind { verb: "create", resource: "jobs", is_dry: false },
    Kind { verb: "create", resource: "pods", is_dry: false },
    Kind { verb: "patch", resource: "flowruns/status", is_dry: false },
    Kind { verb: "patch", resource: "flows/status", is_dry: false },
    Kind { verb: "delete", resource: "flowruns", is_dry: false },
    Kind { verb: "create", resource: "events", is_dry: false },
];
const WRITE: Kind<'_> = WRITES[0];

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn times(took: Duration, count: usize) -> Duration {
    took * u32::try_from(count).unwrap()
}

/// Of a hundred, at random: the same in each run.
fn percent(number: usize) -> usize {
    let mut state = (number as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    usize::try_from((state ^ (state >> 31)) % 100).unwrap()
}

/// One of the first so many writes.
fn write(number: usize, kinds: usize) -> Kind<'static> {
    WRITES[percent(number + 1_000_000) % kinds]
}

/// A pace that saw each kind when the API server had nothing else to do.
fn rested(took: Duration) -> Pace {
    let mut pace = Pace::default();
    for kind in [READ, DRY].into_iter().chain(WRITES) {
        pace.ended(Outcome::Done(kind), Duration::ZERO, took.min(if kind == READ { ms(3) } else { took }));
    }
    pace
}

/// A client that always has more to ask, for so long. `next` gives the kind of the request with this number,
/// and how long it takes when so many writes are under way, itself included. Gives the limit after each
/// answer, and the time.
fn ask(
    pace: &mut Pace,
    from: Duration,
    long: Duration,
    next: impl Fn(usize, usize) -> (Kind<'static>, Duration),
) -> (Vec<usize>, Duration) {
    let (mut now, mut limits, mut number) = (from, Vec::new(), 0);
    let mut under_way: Vec<(Duration, Duration, Kind<'_>)> = Vec::new();
    while now < from + long {
        while under_way.len() < pace.limit() {
            let writes = under_way.iter().filter(|(_, _, kind)| *kind != READ).count();
            let (kind, took) = next(number, writes + 1);
            under_way.push((now + took, now, kind));
            number += 1;
        }
        pace.is_full();
        let ends = |at: &usize| (under_way[*at].0, under_way[*at].1);
        let first = (0..under_way.len()).min_by_key(ends).unwrap();
        let (ends, sent, kind) = under_way.swap_remove(first);
        now = now.max(ends);
        pace.ended(Outcome::Done(kind), sent, now);
        limits.push(pace.limit());
    }
    (limits, now)
}

/// One core that takes 10 ms for a request: more at the same time make each slower, and nothing faster.
fn one_core(_: usize, under_way: usize) -> (Kind<'static>, Duration) {
    (WRITE, times(ms(10), under_way))
}

/// The mean of the later half: where the limit stays.
fn mean(limits: &[usize]) -> usize {
    let later = &limits[limits.len() / 2..];
    later.iter().sum::<usize>() / later.len()
}

#[test]
fn an_api_server_that_stays_fast_gets_more_at_the_same_time() {
    let mut pace = Pace::default();
    ask(&mut pace, Duration::ZERO, ms(10_000), |number, _| (write(number, 6), ms(20)));
    assert_eq!(pace.limit(), MOST);
}

#[test]
fn an_api_server_that_becomes_slower_with_more_gets_less() {
    // It was seen alone first.
    let mut pace = rested(ms(10));
    let (limits, _) = ask(&mut pace, ms(10), ms(600_000), one_core);
    assert!(limits.len() > 50_000, "{}", limits.len());
    // What is slow begins at 100 ms: ten at the same time.
    assert!(limits[100..].iter().all(|limit| (LEAST..=14).contains(limit)), "{:?}", limits.iter().max());
}

#[rstest]
#[case::of_one_kind(1)]
#[case::of_all_kinds(6)]
fn load_that_lasts_does_not_make_the_pace_forget_what_is_fast(#[case] kinds: usize) {
    let mut pace = rested(ms(6));
    // 170 requests a second, as an API server on two cores, and no two take the same time.
    let (limits, _) = ask(&mut pace, ms(6), ms(900_000), |number, under_way| {
        (write(number, kinds), times(ms(6), under_way) * u32::try_from(50 + percent(number)).unwrap() / 100)
    });
    assert!(limits.iter().all(|limit| *limit <= 24), "{:?}", limits.iter().max());
    assert!((8..=20).contains(&mean(&limits)), "{}", mean(&limits));
}

#[rstest]
#[case::half_of_it(50, 1)]
#[case::half_of_it_and_all_kinds_of_writes(50, 6)]
#[case::most_of_it(65, 1)]
#[case::most_of_it_and_all_kinds_of_writes(65, 6)]
#[case::some_of_it(22, 6)]
fn reads_that_stay_fast_do_not_hide_that_etcd_has_too_much_to_do(#[case] reads: usize, #[case] kinds: usize) {
    let mut pace = rested(ms(50));
    // 20 writes a second, whatever is asked.
    let (limits, _) = ask(&mut pace, ms(50), ms(120_000), |number, writes| {
        if percent(number) < reads { (READ, ms(3)) } else { (write(number, kinds), times(ms(50), writes)) }
    });
    assert!(limits.iter().all(|limit| *limit <= 32), "{:?}", limits.iter().max());
    assert!(mean(&limits) <= 20, "{}", mean(&limits));
}

#[test]
fn a_burst_ends_and_the_pace_recovers() {
    let mut pace = rested(ms(5));
    let (_, now) = ask(&mut pace, ms(5), ms(6_000), |_, _| (WRITE, ms(900)));
    let slow = pace.limit();
    assert!(slow < FIRST / 2, "{slow}");
    ask(&mut pace, now, ms(1_000), |_, _| (WRITE, ms(5)));
    assert!(pace.limit() > FIRST, "{}", pace.limit());
}

#[rstest]
#[case::of_one_kind(1)]
#[case::of_all_kinds(6)]
fn an_etcd_that_is_slow_whatever_is_asked_of_it_is_no_reason_to_ask_less_for_ever(#[case] kinds: usize) {
    let mut pace = rested(ms(5));
    let (limits, _) = ask(&mut pace, ms(5), ms(600_000), |number, _| {
        if percent(number) < 22 { (READ, ms(3)) } else { (write(number, kinds), ms(2_750)) }
    });
    assert!(mean(&limits) > 2 * FIRST, "{}", mean(&limits));
}

#[rstest]
#[case::and_still_is(1, 60)]
#[case::and_is_slow_for_good(20, 300)]
fn an_api_server_that_was_fast_once_is_not_measured_by_that_for_ever(#[case] before: u64, #[case] then: u64) {
    let mut pace = Pace::default();
    let (_, now) = ask(&mut pace, ms(0), ms(500), |number, _| (write(number, 3), ms(before)));
    let (limits, _) = ask(&mut pace, now, ms(90_000), |number, _| (write(number, 3), ms(then)));
    assert!(mean(&limits) > 2 * FIRST, "{}", mean(&limits));
}

#[test]
fn a_slow_webhook_is_no_reason_to_ask_less_of_anything() {
    let mut pace = rested(ms(10));
    // Installed while the operator runs, for what most requests are.
    let (limits, _) = ask(&mut pace, ms(10), ms(300_000), |number, _| {
        if percent(number) < 80 { (WRITES[number % 2], ms(1_000)) } else { (WRITES[2], ms(10)) }
    });
    assert!(mean(&limits) > 2 * FIRST, "{}", mean(&limits));
}

#[rstest]
#[case::from_the_first(FIRST)]
#[case::from_the_least(LEAST)]
fn a_slow_webhook_of_one_namespace_does_not_keep_the_others_back(#[case] begin: usize) {
    let mut pace = rested(ms(10));
    while pace.limit() > begin {
        pace.ended(Outcome::Lost, ms(10), ms(10));
    }
    let (limits, _) = ask(&mut pace, ms(10), ms(120_000), |number, _| {
        let kind = if percent(number + 7) < 30 { READ } else { write(number, 6) };
        (kind, if percent(number) < 5 { ms(10_000) } else { ms(10) })
    });
    assert!(mean(&limits) > 2 * FIRST, "{}", mean(&limits));
}

#[test]
fn a_single_slow_answer_changes_nothing() {
    let mut pace = rested(ms(9));
    for at in 0..100 {
        let sent = times(ms(10), at);
        let took = if at == 50 { ms(5_000) } else { ms(9) };
        pace.ended(Outcome::Done(WRITES[at % 6]), sent, sent + took);
    }
    assert_eq!(pace.limit(), FIRST);
}

#[test]
fn a_rare_kind_that_is_slow_changes_nothing() {
    let mut pace = rested(ms(9));
    for at in 0..200 {
        let sent = times(ms(10), at);
        let (kind, took) = if at % 8 == 0 { (WRITES[5], ms(900)) } else { (WRITES[at % 5], ms(9)) };
        pace.ended(Outcome::Done(kind), sent, sent + took);
    }
    assert_eq!(pace.limit(), FIRST);
}

/// So many answers that take so long, with all places in use.
fn answers(pace: &mut Pace, now: &mut Duration, kind: Kind<'_>, count: usize, took: Duration) {
    pace.is_full();
    for _ in 0..count {
        pace.ended(Outcome::Done(kind), *now, *now + took);
    }
    *now += took;
}

#[test]
fn only_what_is_slow_with_the_fewest_is_measured_anew() {
    let (mut pace, mut now) = (rested(ms(10)), ms(10));
    while pace.limit() > LEAST {
        pace.ended(Outcome::Lost, now, now);
    }
    answers(&mut pace, &mut now, WRITE, LEAST - 1, ms(1_000));
    answers(&mut pace, &mut now, WRITES[1], 1, ms(90));
    assert_eq!(pace.limit(), LEAST);
    for kind in [WRITES[1], WRITES[2]] {
        answers(&mut pace, &mut now, WRITE, LEAST, ms(1_000));
        assert_eq!(pace.limit(), LEAST + 1, "one second is not slow any more");
        answers(&mut pace, &mut now, kind, LEAST + 1, ms(300));
        assert_eq!(pace.limit(), LEAST, "300 ms are: {kind:?}");
    }
}

/// So many swift answers, with places to spare: rounds in which the limit stays as it is.
fn swift(pace: &mut Pace, from: Duration, answers: u32) -> Duration {
    for at in 0..answers {
        pace.ended(Outcome::Done(WRITE), from + ms(10) * at, from + ms(10) * (at + 1));
    }
    from + ms(10) * answers
}

#[test]
fn refusals_halve_once_for_all_that_was_under_way() {
    let mut pace = Pace::default();
    let sent = swift(&mut pace, ms(0), 10);
    let mut now = sent;
    for _ in 0..10 {
        // Rounds end in the meantime.
        now = swift(&mut pace, now, 40);
        pace.ended(Outcome::Busy(None), sent, now);
        assert_eq!(pace.limit(), FIRST / 2);
    }
    let sent = now;
    for _ in 0..10 {
        now = swift(&mut pace, now, 40);
        pace.ended(Outcome::Lost, sent, now);
        assert_eq!(pace.limit(), LEAST);
    }
    pace.ended(Outcome::Lost, now, now + ms(30_000));
    assert_eq!(pace.limit(), LEAST);
}

#[test]
fn a_request_without_an_answer_halves_whatever_was_answered_meanwhile() {
    let mut pace = Pace::default();
    swift(&mut pace, ms(10), 200);
    assert_eq!(pace.limit(), FIRST);
    pace.ended(Outcome::Lost, ms(10), ms(30_010));
    assert_eq!(pace.limit(), FIRST / 2);
}

#[test]
fn a_request_without_an_answer_halves_what_a_slow_round_has_left() {
    let mut pace = rested(ms(10));
    for _ in 0..FIRST {
        pace.ended(Outcome::Done(WRITE), ms(10), ms(2_000));
    }
    assert_eq!(pace.limit(), FIRST * 3 / 4);
    pace.ended(Outcome::Lost, ms(10), ms(30_010));
    assert_eq!(pace.limit(), FIRST * 3 / 8);
}

#[test]
fn what_was_asked_before_the_limit_went_down_does_not_lower_it_again() {
    let mut pace = rested(ms(10));
    pace.ended(Outcome::Busy(None), ms(100), ms(200));
    for _ in 0..FIRST {
        pace.ended(Outcome::Done(WRITE), ms(100), ms(2_000));
    }
    assert_eq!(pace.limit(), FIRST / 2);
    for _ in 0..FIRST / 2 {
        pace.ended(Outcome::Done(WRITE), ms(200), ms(2_100));
    }
    assert_eq!(pace.limit(), FIRST / 2 * 3 / 4);
}

#[test]
fn nothing_is_asked_for_as_long_as_the_api_server_wishes() {
    let mut pace = Pace::default();
    assert_eq!(pace.closed_until(ms(0)), None);
    pace.ended(Outcome::Busy(Some(ms(2_000))), ms(10), ms(30));
    pace.ended(Outcome::Busy(Some(ms(1_000))), ms(10), ms(40));
    assert_eq!(pace.closed_until(ms(50)), Some(ms(2_030)));
    assert_eq!(pace.closed_until(ms(2_030)), None);
    pace.ended(Outcome::Busy(Some(Duration::from_secs(86_400))), ms(10), ms(3_000));
    assert_eq!(pace.closed_until(ms(3_000)), Some(ms(3_000) + CLOSED_MAX));
}

#[rstest]
#[case::than_reads(Kind { verb: "get", ..WRITE })]
#[case::than_dry_runs(DRY)]
#[case::than_writes_of_another_resource(WRITES[1])]
fn requests_that_take_longer_are_not_slow(#[case] fast: Kind<'static>) {
    let mut pace = Pace::default();
    let mut now = Duration::ZERO;
    for _ in 0..500 {
        pace.is_full();
        pace.ended(Outcome::Done(fast), now, now + ms(1));
        pace.ended(Outcome::Done(WRITE), now, now + ms(150));
        pace.ended(Outcome::Done(WRITE), now, now + ms(150));
        now += ms(160);
    }
    assert!(pace.limit() > FIRST, "{}", pace.limit());
}

#[test]
fn more_kinds_than_are_kept_are_not_judged() {
    let mut pace = Pace::default();
    let resources: Vec<String> = (0..2 * KINDS_MAX).map(|number| format!("resource-{number}")).collect();
    let answer = |pace: &mut Pace, resource: &String, took: u64| {
        let kind = Kind { verb: "create", resource, is_dry: false };
        pace.ended(Outcome::Done(kind), ms(1_000), ms(1_000 + took));
    };
    for resource in &resources {
        answer(&mut pace, resource, 10);
    }
    for resource in &resources[KINDS_MAX..] {
        answer(&mut pace, resource, 1_000);
    }
    assert_eq!(pace.limit(), FIRST);
    for resource in &resources[..KINDS_MAX] {
        answer(&mut pace, resource, 1_000);
    }
    assert!(pace.limit() < FIRST, "{}", pace.limit());
}

fn outcome() -> impl Strategy<Value = Outcome<'static>> {
    prop_oneof![
        4 => proptest::sample::select(WRITES.to_vec()).prop_map(Outcome::Done),
        2 => Just(Outcome::Done(READ)),
        1 => Just(Outcome::Done(DRY)),
        1 => Just(Outcome::Answered),
        1 => Just(Outcome::Lost),
        1 => proptest::option::of(0_u64..10_000_000).prop_map(|wait| Outcome::Busy(wait.map(ms))),
    ]
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_and_no_wait_is_longer_than_the_longest(
        outcomes in proptest::collection::vec((outcome(), 0_u64..40_000, 0_u64..500, any::<bool>()), 0..400),
    ) {
        let (mut pace, mut now) = (Pace::default(), Duration::ZERO);
        for (outcome, took, pause, full) in outcomes {
            now += ms(pause);
            let before = pace.limit();
            if full {
                pace.is_full();
            }
            pace.ended(outcome, now.saturating_sub(ms(took)), now);
            prop_assert!((LEAST..=MOST).contains(&pace.limit()));
            prop_assert!(pace.limit() <= before + 1, "it grows one by one");
            prop_assert!(pace.limit() >= before / 2, "it is halved at most");
            prop_assert!(pace.closed_until(now).is_none_or(|until| until <= now + CLOSED_MAX));
        }
    }
}
