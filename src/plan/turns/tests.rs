use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { at_work: 8, all: 12 };

fn key(namespace: &str, name: &str) -> Key {
    (Arc::from(namespace), Arc::from(name))
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All that begins now, by name.
fn begun(turns: &mut Turns) -> Vec<String> {
    std::iter::from_fn(|| turns.begin()).map(|(key, _)| key.1.to_string()).collect()
}

#[test]
fn a_flow_of_another_namespace_is_looked_at_at_once_while_a_thousand_are_due() {
    let mut turns = Turns::new(BOUNDS);
    for number in 0..1_000 {
        turns.wake(&key("busy", &format!("flow-{number}")), false);
        turns.begin();
        turns.end(&key("busy", &format!("flow-{number}")), Some(s(60)));
    }
    turns.wake(&key("team", "flow"), false);
    turns.begin();
    turns.end(&key("team", "flow"), Some(s(60)));
    assert_eq!((turns.begin(), turns.next_due()), (None, Some(s(60))));
    turns.pass(s(60));
    assert_eq!(turns.waiting(), 1_001);
    let first = begun(&mut turns);
    assert_eq!(first.len(), 6, "a quarter is kept for others: {first:?}");
    assert!(first[..2].contains(&"flow".to_owned()), "{first:?}");
}

#[test]
fn what_is_urgent_overtakes_also_where_it_waited_before() {
    let mut turns = Turns::new(Bounds { at_work: 1, all: 1 });
    for name in ["a", "b", "c"] {
        turns.wake(&key("team", name), false);
    }
    turns.wake(&key("team", "c"), true);
    turns.wake(&key("team", "c"), false);
    assert_eq!(turns.begin(), Some((key("team", "c"), true)));
    assert_eq!(turns.waiting(), 2);
}

#[test]
fn what_wakes_an_object_while_it_is_looked_at_counts_afterwards() {
    let mut turns = Turns::new(BOUNDS);
    let a = key("team", "a");
    turns.wake(&a, false);
    assert_eq!(begun(&mut turns), ["a"]);
    turns.wake(&a, false);
    assert_eq!(begun(&mut turns), [""; 0]);
    turns.end(&a, Some(s(5)));
    assert_eq!(begun(&mut turns), ["a"]);
    turns.end(&a, None);
    assert_eq!((turns.next_due(), turns.objects.len()), (None, 0));
}

#[test]
fn the_earliest_of_several_times_counts() {
    let mut turns = Turns::new(BOUNDS);
    let a = key("team", "a");
    turns.wake(&a, false);
    turns.begin();
    turns.end(&a, Some(s(60)));
    turns.pass(s(59));
    assert_eq!(begun(&mut turns), [""; 0]);
    turns.wake(&a, false);
    assert_eq!(begun(&mut turns), ["a"]);
    assert_eq!(turns.next_due(), None);
}

#[test]
fn who_only_tells_gives_its_place_to_the_next_and_not_without_end() {
    let mut turns = Turns::new(Bounds { at_work: 2, all: 3 });
    for name in ["a", "b", "c", "d", "e"] {
        turns.wake(&key("team", name), false);
    }
    assert_eq!(begun(&mut turns), ["a", "b"]);
    turns.only_tells(&key("team", "a"));
    turns.only_tells(&key("team", "a"));
    assert_eq!(begun(&mut turns), ["c"]);
    turns.only_tells(&key("team", "b"));
    assert_eq!(begun(&mut turns), [""; 0], "three looks in all");
    turns.end(&key("team", "a"), None);
    assert_eq!(begun(&mut turns), ["d"]);
}

#[derive(Clone, Debug)]
enum Act {
    Wake(usize, bool),
    Begin,
    Tell(usize),
    End(usize, Option<u64>),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..12_usize, any::<bool>()).prop_map(|(which, urgent)| Act::Wake(which, urgent)),
        4 => Just(Act::Begin),
        1 => any::<usize>().prop_map(Act::Tell),
        3 => (any::<usize>(), proptest::option::of(1..100_u64)).prop_map(|(which, then)| Act::End(which, then)),
        1 => (1..50_u64).prop_map(Act::Pass),
    ]
}

proptest! {
    /// Nothing is looked at by two, nothing that was woken is forgotten, and no more looks begin than may.
    #[test]
    fn whatever_is_woken_is_looked_at_after_that(acts in proptest::collection::vec(act(), 0..200)) {
        let name = |which: usize| key(&format!("ns-{}", which % 3), &format!("flow-{which}"));
        let mut turns = Turns::new(Bounds { at_work: 4, all: 6 });
        // Each object that is owed a look since it was woken; the looks that are under way, and those that only tell.
        let (mut owed, mut looks, mut due): (BTreeSet<Key>, BTreeMap<Key, bool>, BTreeMap<Key, u64>) =
            Default::default();
        let mut now = 0;
        let settle = [Act::Begin, Act::End(0, None)].iter().cycle().take(80).cloned();
        for act in acts.into_iter().chain(settle) {
            match act {
                Act::Wake(which, urgent) => {
                    turns.wake(&name(which), urgent);
                    owed.insert(name(which));
                    due.remove(&name(which));
                }
                Act::Begin => {
                    if let Some((key, _)) = turns.begin() {
                        prop_assert!(owed.remove(&key), "{:?} was not woken", key);
                        prop_assert!(looks.insert(key, true).is_none(), "two look at one");
                        prop_assert!(looks.len() <= 6 && looks.values().filter(|at_work| **at_work).count() <= 4);
                    }
                }
                Act::Tell(which) if !looks.is_empty() => {
                    let key = looks.keys().nth(which % looks.len()).unwrap().clone();
                    turns.only_tells(&key);
                    looks.insert(key, false);
                }
                Act::End(which, then) if !looks.is_empty() => {
                    let key = looks.keys().nth(which % looks.len()).unwrap().clone();
                    turns.end(&key, then.map(|after| s(now + after)));
                    looks.remove(&key);
                    if let Some(after) = then.filter(|_| !owed.contains(&key)) {
                        due.insert(key, now + after);
                    }
                }
                Act::Tell(_) | Act::End(..) => {}
                Act::Pass(seconds) => {
                    now += seconds;
                    turns.pass(s(now));
                    let come: Vec<Key> =
                        due.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
                    for key in &come {
                        due.remove(key);
                    }
                    owed.extend(come);
                }
            }
            prop_assert_eq!(turns.next_due(), due.values().min().map(|at| s(*at)));
        }
        prop_assert!(owed.is_empty(), "forgotten: {:?}", owed);
        prop_assert_eq!(turns.objects.len(), due.len(), "nothing is kept of what is done");
    }
}
