//! Laws of the line, over any history of joining, leaving, turns and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::ROUND;
use super::line::{Line, Ticket};

const NAMESPACES: usize = 4;

#[derive(Clone, Debug)]
enum Act {
    Join { class: usize, namespace: usize, urgent: bool },
    Leave(usize),
    Next,
    End(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3_usize, 0..NAMESPACES, any::<bool>())
            .prop_map(|(class, namespace, urgent)| Act::Join { class, namespace, urgent }),
        1 => any::<usize>().prop_map(Act::Leave),
        3 => Just(Act::Next),
        2 => any::<usize>().prop_map(Act::End),
    ]
}

fn name(index: usize) -> Arc<str> {
    Arc::from(format!("ns-{index}"))
}

/// What waits, as a list.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    class: usize,
    namespace: usize,
    urgent: bool,
    id: usize,
}

proptest! {
    #[test]
    fn all_that_joins_has_its_turn_once_in_order_and_never_more_than_there_are_places(
        acts in proptest::collection::vec(act(), 0..300),
        places in 1..12_usize,
    ) {
        let mut line: Line<Entry> = Line::new(3, ROUND);
        let mut tickets: Vec<(Ticket, usize)> = Vec::new();
        let (mut model, mut at_work): (Vec<Entry>, Vec<usize>) = (Vec::new(), Vec::new());
        for (id, act) in acts.into_iter().enumerate() {
            match act {
                Act::Join { class, namespace, urgent } => {
                    let entry = Entry { class, namespace, urgent, id };
                    let ticket = line.join(class, &name(namespace), urgent, entry.clone());
                    tickets.push((ticket, id));
                    model.push(entry);
                }
                Act::Leave(which) if !tickets.is_empty() => {
                    let (ticket, id) = tickets[which % tickets.len()].clone();
                    let waits = model.iter().position(|entry| entry.id == id);
                    prop_assert_eq!(line.leave(&ticket).map(|entry| entry.id), waits.map(|_| id));
                    waits.map(|place| model.remove(place));
                }
                Act::Leave(_) => {}
                Act::Next => match line.next(places) {
                    Some((namespace, entry)) => {
                        prop_assert_eq!(&*namespace, &*name(entry.namespace));
                        let place = model.iter().position(|other| *other == entry);
                        prop_assert!(place.is_some(), "{:?} waits no more", entry);
                        // The first of its namespace and class: urgent before usual, and by age.
                        let first = model.iter().filter(|other| {
                            (other.class, other.namespace) == (entry.class, entry.namespace)
                        });
                        let first = first.min_by_key(|other| (!other.urgent, other.id));
                        prop_assert_eq!(first, Some(&entry));
                        model.remove(place.unwrap());
                        at_work.push(entry.namespace);
                        prop_assert!(at_work.len() <= places);
                    }
                    None => {
                        let crowded = at_work.len() >= places - places / 4;
                        let may = |entry: &Entry| !crowded || !at_work.contains(&entry.namespace);
                        prop_assert!(at_work.len() >= places || !model.iter().any(may), "nobody may wait");
                    }
                },
                Act::End(which) if !at_work.is_empty() => {
                    line.end(&name(at_work.remove(which % at_work.len())));
                }
                Act::End(_) => {}
            }
            prop_assert_eq!((line.len(), line.at_work()), (model.len(), at_work.len()));
        }
    }

    #[test]
    fn whoever_waits_has_its_turn_after_a_bounded_number_of_others(
        bursts in proptest::collection::vec((0..3_usize, 0..NAMESPACES, 1..80_usize), 1..12),
        class in 0..3_usize,
    ) {
        let mut line = Line::new(3, ROUND);
        for (class, namespace, count) in bursts {
            for _ in 0..count {
                line.join(class, &name(namespace), false, false);
            }
        }
        line.join(class, &name(99), false, true);
        let mut others = 0;
        while let Some((namespace, is_it)) = line.next(1) {
            line.end(&namespace);
            if is_it {
                break;
            }
            others += 1;
        }
        // All namespaces have a turn of its class, and its class has one in each round.
        prop_assert!(others <= (NAMESPACES + 1) * ROUND.len(), "{others} went before");
    }
}

/// A line in which one namespace has joined so many times.
fn burst(count: usize) -> Line<usize> {
    let mut line = Line::new(3, ROUND);
    for item in 0..count {
        line.join(0, &name(0), false, item);
    }
    line
}

#[test]
fn another_namespace_is_next_while_a_thousand_wait() {
    let mut line = burst(1_000);
    assert_eq!(line.next(8).map(|(_, item)| item), Some(0));
    line.join(0, &name(1), false, 7_777);
    let next: Vec<usize> = std::iter::from_fn(|| line.next(8)).map(|(_, item)| item).take(2).collect();
    assert!(next.contains(&7_777), "{next:?}");
}

#[test]
fn a_namespace_does_not_take_all_places() {
    let mut line = burst(1_000);
    assert_eq!(std::iter::from_fn(|| line.next(8)).count(), 6);
    line.join(0, &name(1), false, 7_777);
    assert_eq!(line.next(8).map(|(_, item)| item), Some(7_777));
    line.end(&name(0));
    assert!(line.next(8).is_none(), "one of the six is to wait for a place that is not kept");
    line.end(&name(0));
    assert!(line.next(8).is_some());
}

#[test]
fn run_now_overtakes_the_burst_of_its_own_namespace() {
    let mut line = burst(1_000);
    line.next(8);
    line.join(0, &name(0), true, 7_777);
    assert_eq!(line.next(8).map(|(_, item)| item), Some(7_777));
}

#[test]
fn work_goes_first_and_the_rest_is_not_starved() {
    let mut line = Line::new(3, ROUND);
    for class in [2, 1, 0] {
        for _ in 0..100 {
            line.join(class, &name(0), false, class);
        }
    }
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..120 {
        let (namespace, class) = line.next(1).unwrap();
        line.end(&namespace);
        *counts.entry(class).or_default() += 1;
    }
    assert_eq!(counts, [(0, 90), (1, 20), (2, 10)].into());
    let rest: BTreeSet<usize> = std::iter::from_fn(|| line.next(1_000)).map(|(_, class)| class).collect();
    assert_eq!(rest, [0, 1, 2].into());
}
