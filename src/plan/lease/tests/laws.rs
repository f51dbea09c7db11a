//! Histories of candidates, requests that are late, lost, sent twice or answered by nobody, processes that
//! are stopped or killed, and clocks that run at different rates: never may two lead. And where each answer
//! comes within 4 s, the first leader stays.
//!
//! Wall clocks do not occur: no decision gets to see one.

mod world;

use proptest::prelude::*;

use crate::plan::lease::*;
use world::{STEP, Trouble, What, World};

/// Deadline and duration of the Lease so close that the rule alone, and no room between them, keeps two from
/// leading. Clocks drift by a hundredth each way, which is a quarter of a second in 12.
const TIGHT: Timing = Timing {
    lease: Duration::from_secs(12),
    renew_deadline: Duration::from_millis(11_500),
    renew_interval: Duration::from_secs(3),
    retry: Duration::from_secs(1),
    patience: Duration::from_secs(2),
};

fn troubles(candidates: usize) -> impl Strategy<Value = Vec<Trouble>> {
    let what = prop_oneof![
        3 => Just(What::Stopped),
        2 => Just(What::Unsent),
        2 => Just(What::Unanswered),
        2 => Just(What::Slow),
        1 => Just(What::SlowToAnswer),
        1 => Just(What::Doubled),
        1 => Just(What::Dead),
        1 => Just(What::Releases),
        1 => Just(What::Touched),
    ];
    let trouble =
        (0..candidates, 0_u64..100_000, 50_u64..40_000, what).prop_map(|(who, from, lasts, what)| Trouble {
            who,
            from: Duration::from_millis(from),
            lasts: Duration::from_millis(lasts),
            what,
        });
    prop::collection::vec(trouble, 0..12)
}

fn worlds() -> impl Strategy<Value = (Vec<f64>, Vec<Trouble>, bool)> {
    (2_usize..=3)
        .prop_flat_map(|count| (prop::collection::vec(0.99..1.01, count), troubles(count), any::<bool>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_lead_and_somebody_does_in_the_end((rates, troubles, tight) in worlds()) {
        let timing = if tight { TIGHT } else { Timing::of_seconds(Timing::LEASE_S) };
        World::new(timing, &rates, troubles).live()?;
    }
}

/// Each request on its way for up to 4 s and back, however that is divided.
fn lateness() -> impl Strategy<Value = Vec<(Duration, Duration)>> {
    let steps = |count: u32| STEP * count;
    let late = (1_u32..80).prop_flat_map(|sum| (0..=sum).prop_map(move |there| (there, sum - there)));
    let late = late.prop_map(move |(there, back)| (steps(there), steps(back)));
    let latest = (0_u32..=80).prop_map(move |there| (steps(there), steps(80 - there)));
    prop_oneof![
        prop::collection::vec(late, 1..40),
        prop::collection::vec(latest.clone(), 1..40),
        latest.prop_map(|one| vec![one]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_leader_is_lost_while_each_answer_comes_within_4_s(
        late in lateness(),
        rates in prop::collection::vec(0.99..1.01, 1..=3_usize),
        pauses in prop::collection::vec(0_u64..300, 1..20),
    ) {
        let mut world = World::new(Timing::of_seconds(Timing::LEASE_S), &rates, vec![]);
        world.late = late;
        world.pauses = pauses.into_iter().map(Duration::from_millis).collect();
        world.live()?;
        prop_assert_eq!((world.changes, world.losses), (1, 0));
        // Who is alone meets nobody, and not itself either.
        prop_assert!(rates.len() > 1 || world.conflicts == 0, "{} conflicts", world.conflicts);
        prop_assert_eq!(world.lease.map(|lease| lease.transitions), Some(0));
    }
}

#[test]
fn without_trouble_the_first_leader_stays() {
    let mut world = World::new(TIGHT, &[1.0, 1.0, 1.0], vec![]);
    world.live().unwrap();
    assert_eq!(world.changes, 1);
    assert_eq!(world.lease.unwrap().transitions, 0);
}

#[test]
fn a_leader_that_is_stopped_is_replaced_in_time() {
    for moment in 0..60 {
        let from = Duration::from_secs(20) + STEP * moment;
        let leader = World::new(TIGHT, &[1.0, 1.0], vec![]).live().unwrap();
        let stop = Trouble { who: leader, from, lasts: Duration::from_secs(60), what: What::Stopped };
        let mut world = World::new(Timing::of_seconds(Timing::LEASE_S), &[1.0, 1.0], vec![stop]);
        let mut now = Duration::ZERO;
        while now < from + Duration::from_secs(15) {
            world.trouble(now);
            world.arrive(now).unwrap();
            (0..2).for_each(|who| world.turn(who, now));
            now += STEP;
        }
        assert!(world.processes[1 - leader].leads(now), "stopped at {from:?}");
        assert_eq!(world.lease.unwrap().transitions, 1);
    }
}
