use proptest::prelude::*;

use super::*;

const AFTER: Duration = Duration::from_secs(60);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn bounds(minimum: usize, maximum: usize) -> Bounds {
    Bounds { minimum, maximum, scale_down_after: Some(AFTER) }
}

#[test]
fn more_is_wanted_at_once_and_less_after_a_while() {
    let bounds = bounds(1, 10);
    assert_eq!(decide(bounds, 2, &[(at(0), 5)], at(0)), (5, Next::Change));
    let demand = [(at(0), 5), (at(10), 2)];
    assert_eq!(decide(bounds, 5, &demand, at(69)), (5, Next::At(at(70))));
    assert_eq!(decide(bounds, 5, &demand, at(70)).0, 2);
}

#[test]
fn a_group_falls_to_the_most_of_the_window_only() {
    let demand = [(at(0), 8), (at(10), 2), (at(40), 4), (at(50), 1)];
    // Since 10 s less than 8 has been enough; within the last minute 4 was wanted.
    assert_eq!(decide(bounds(0, 10), 8, &demand, at(75)), (4, Next::At(at(110))));
    assert_eq!(decide(bounds(0, 10), 4, &demand, at(110)), (1, Next::Change));
}

#[test]
fn without_a_demand_the_size_stays_within_its_bounds() {
    assert_eq!(decide(bounds(2, 4), 0, &[], at(0)), (2, Next::Change));
    assert_eq!(decide(bounds(2, 4), 9, &[], at(0)), (4, Next::Change));
    assert_eq!(decide(bounds(2, 4), 3, &[], at(0)), (3, Next::Change));
}

/// Targets as real schedulers gave them, one a second, for three loads on two workers of two threads:
/// `tests/dask/record_targets.py`.
const RECORDED: &str = include_str!("recorded_targets.jsonl");

/// Plays a series, a target each `every` seconds, and gives the sizes.
fn play(bounds: Bounds, series: &[usize], every: i64) -> Vec<usize> {
    let mut demand: Vec<Demand> = Vec::new();
    let mut size = bounds.minimum;
    let mut sizes = Vec::new();
    for (step, target) in series.iter().enumerate() {
        let now = at(every * i64::try_from(step).unwrap());
        if demand.last().is_none_or(|(_, last)| last != target) {
            demand.push((now, *target));
        }
        size = decide(bounds, size, &demand, now).0;
        sizes.push(size);
    }
    sizes
}

#[test]
fn recorded_loads_are_followed_without_thrash() {
    let bounds = Bounds { scale_down_after: Some(Duration::from_secs(8)), ..bounds(0, 6) };
    for line in RECORDED.lines() {
        let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
        let targets = recorded["targets"].as_array().unwrap();
        let series: Vec<usize> =
            targets.iter().map(|target| usize::try_from(target.as_u64().unwrap()).unwrap()).collect();
        let ended = series.iter().chain(std::iter::repeat_n(&0, 10)).copied().collect::<Vec<_>>();
        let sizes = play(bounds, &ended, 1);
        // Bursts five seconds apart swing the target twelve times, and the size not once before the end.
        let rises = sizes.windows(2).filter(|pair| pair[1] > pair[0]).count();
        assert_eq!(rises, 1, "{line} gave {sizes:?}");
        assert_eq!(sizes.last(), Some(&0), "{line} gave {sizes:?}");
    }
}

proptest! {
    #[test]
    fn a_size_is_within_its_bounds_and_covers_the_target(
        series in prop::collection::vec(0_usize..30, 1..80),
        minimum in 0_usize..5,
        more in 0_usize..20,
    ) {
        let bounds = bounds(minimum, minimum + more);
        let sizes = play(bounds, &series, 5);
        for (size, target) in sizes.iter().zip(&series) {
            prop_assert!((minimum..=minimum + more).contains(size));
            prop_assert!(*size >= bounds.clamp(*target), "the load is never left without workers it could have");
        }
        // It never falls below what was wanted within the window: twelve steps of five seconds.
        for (step, pair) in sizes.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]) {
            let begin = (step + 1).saturating_sub(11);
            let most = series[begin..=step + 1].iter().copied().map(|target| bounds.clamp(target)).max().unwrap();
            prop_assert!(pair[1] >= most, "at {step}: {} after {series:?}", pair[1]);
        }
    }

    #[test]
    fn a_constant_target_is_reached_and_kept(
        before in prop::collection::vec(0_usize..30, 0..40),
        target in 0_usize..30,
    ) {
        let bounds = bounds(1, 20);
        let mut series = before.clone();
        series.extend(std::iter::repeat_n(target, 40));
        let sizes = play(bounds, &series, 5);
        let calm = &sizes[before.len() + 13..];
        prop_assert!(calm.iter().all(|size| *size == bounds.clamp(target)), "{sizes:?}");
        let falls = sizes[before.len()..].windows(2).filter(|pair| pair[1] > pair[0]).count();
        prop_assert!(falls <= 1, "it rises once at the most: {sizes:?}");
    }
}
