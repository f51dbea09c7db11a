//! Laws of the line, over any history of joining, leaving, turns and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;

use super::{Line, Rank, Ticket};
use crate::plan::requests::ROUND;

const NAMESPACES: usize = 4;

#[derive(Clone, Debug)]
enum Act {
    Join { class: usize, namespace: usize, rank: Rank },
    Leave(usize),
    Raise(usize),
    Next,
    End(usize),
}

fn rank() -> impl Strategy<Value = Rank> {
    prop_oneof![Just(Rank::Usual), Just(Rank::Urgent)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..3_usize, 0..NAMESPACES, rank())
            .prop_map(|(class, namespace, rank)| Act::Join { class, namespace, rank }),
        1 => any::<usize>().prop_map(Act::Leave),
        1 => any::<usize>().prop_map(Act::Raise),
        6 => Just(Act::Next),
        4 => any::<usize>().prop_map(Act::End),
    ]
}

fn name(index: usize) -> Arc<str> {
    Arc::from(format!("ns-{index}"))
}

/// Something that waits, or has begun.
#[derive(Clone, Debug)]
struct Entry {
    class: usize,
    namespace: usize,
    ticket: Ticket,
    id: usize,
    /// Later is after.
    joined: usize,
    /// How many turns that its class claims and that it might have may go to others before its own.
    patience: usize,
}

impl Entry {
    fn queue(&self) -> (usize, usize) {
        (self.class, self.namespace)
    }
}

/// The line, and what is to be true of it.
struct World {
    line: Line<usize>,
    places: usize,
    waiting: Vec<Entry>,
    at_work: Vec<Entry>,
    turn: usize,
    joined: usize,
    /// By class and namespace: how many that are urgent were in a row before one that is not and waited.
    overtook: BTreeMap<(usize, usize), usize>,
}

impl World {
    fn new(places: usize) -> Self {
        let (waiting, at_work, overtook) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { line: Line::new(3, ROUND), places, waiting, at_work, turn: 0, joined: 0, overtook }
    }

    /// How many of a class and namespace wait as this.
    fn ahead(&self, queue: (usize, usize), rank: Rank) -> usize {
        self.waiting.iter().filter(|entry| entry.queue() == queue && entry.ticket.rank() == rank).count()
    }

    /// How many turns of its class may go to others before one that joins now: each other namespace has one
    /// for each turn of its own, of which those that are urgent have three of four.
    fn patience(&self, queue: (usize, usize), rank: Rank) -> usize {
        let ahead = self.ahead(queue, rank);
        let turns = match rank {
            Rank::Urgent => ahead + 2 + ahead / 3,
            Rank::Usual => 4 * (ahead + 1),
        };
        turns * NAMESPACES - 1
    }

    fn join(&mut self, class: usize, namespace: usize, rank: Rank, id: usize) {
        let patience = self.patience((class, namespace), rank);
        let ticket = self.line.join(class, &name(namespace), rank, id);
        self.joined += 1;
        self.waiting.push(Entry { class, namespace, ticket, id, joined: self.joined, patience });
    }

    fn leave(&mut self, which: usize) {
        let entry = self.waiting.remove(which);
        assert_eq!(self.line.leave(&entry.ticket), Some(entry.id));
        assert_eq!(self.line.leave(&entry.ticket), None);
        self.forget_overtaken(entry.queue());
    }

    /// Nothing is overtaken where nothing waits.
    fn forget_overtaken(&mut self, queue: (usize, usize)) {
        if self.ahead(queue, Rank::Usual) == 0 {
            self.overtook.remove(&queue);
        }
    }

    fn raise(&mut self, which: usize) {
        let mut entry = self.waiting.remove(which);
        if entry.ticket.rank() == Rank::Usual {
            self.joined += 1;
            entry.joined = self.joined;
            entry.patience = self.patience(entry.queue(), Rank::Urgent);
            self.forget_overtaken(entry.queue());
        }
        self.line.raise(&mut entry.ticket);
        assert_eq!(entry.ticket.rank(), Rank::Urgent);
        self.waiting.push(entry);
    }

    /// Whether this one may be next, if it is its turn.
    fn may(&self, entry: &Entry) -> bool {
        let of_class = self.at_work.iter().filter(|other| other.class == entry.class).count();
        let share = [self.places, self.places * 3 / 8, self.places / 8][entry.class].max(1);
        let is_crowded = self.at_work.len() >= self.places - self.places / 4;
        let has_place = self.at_work.iter().any(|other| other.namespace == entry.namespace);
        self.at_work.len() < self.places && of_class < share && !(is_crowded && has_place)
    }

    /// Who is to go first of a class and namespace.
    fn first(&self, queue: (usize, usize)) -> Option<&Entry> {
        let overtook = self.overtook.get(&queue).copied().unwrap_or_default();
        let first =
            if overtook == 3 && self.ahead(queue, Rank::Usual) > 0 { Rank::Usual } else { Rank::Urgent };
        let of_queue = self.waiting.iter().filter(|other| other.queue() == queue);
        of_queue.min_by_key(|other| (other.ticket.rank() != first, other.joined))
    }

    fn next(&mut self) -> Option<usize> {
        let claims = ROUND[self.turn % ROUND.len()];
        let may: BTreeSet<usize> =
            self.waiting.iter().filter(|entry| self.may(entry)).map(|entry| entry.id).collect();
        let Some(id) = self.line.next(self.places) else {
            assert!(may.is_empty(), "these may begin: {may:?}");
            return None;
        };
        assert!(may.contains(&id), "{id} has left, or has no place");
        let entry = self.waiting.iter().find(|entry| entry.id == id).unwrap().clone();
        let queue = entry.queue();
        assert_eq!(self.first(queue).unwrap().id, id, "the first of its class and namespace");
        let of_claim = self.waiting.iter().filter(|other| other.class == claims);
        if of_claim.clone().any(|other| may.contains(&other.id)) {
            assert_eq!(entry.class, claims);
        }
        let overtakes = entry.ticket.rank() == Rank::Urgent && self.ahead(queue, Rank::Usual) > 0;
        let overtook = self.overtook.entry(queue).or_default();
        *overtook = if overtakes { *overtook + 1 } else { 0 };
        self.waiting.retain(|other| other.id != id);
        for other in self.waiting.iter_mut().filter(|other| other.class == claims && may.contains(&other.id))
        {
            other.patience = other.patience.checked_sub(1).expect("it has its turn before");
        }
        self.at_work.push(entry);
        self.turn += 1;
        Some(id)
    }

    fn end(&mut self, which: usize) {
        let entry = self.at_work.remove(which);
        assert_eq!(self.line.leave(&entry.ticket), None);
        self.line.end(&entry.ticket);
    }

    fn act(&mut self, act: &Act, id: usize) {
        match act {
            Act::Join { class, namespace, rank } => self.join(*class, *namespace, *rank, id),
            Act::Leave(which) if !self.waiting.is_empty() => self.leave(which % self.waiting.len()),
            Act::Raise(which) if !self.waiting.is_empty() => self.raise(which % self.waiting.len()),
            Act::Next => drop(self.next()),
            Act::End(which) if !self.at_work.is_empty() => self.end(which % self.at_work.len()),
            Act::Leave(_) | Act::Raise(_) | Act::End(_) => {}
        }
        assert_eq!((self.line.len(), self.line.at_work()), (self.waiting.len(), self.at_work.len()));
    }
}

proptest! {
    /// Each that joins has its turn once and in order, after a bounded number of others, and no more begin
    /// than may.
    #[test]
    fn whoever_waits_has_its_turn_in_order_and_after_a_bounded_number_of_others(
        acts in proptest::collection::vec(act(), 0..400),
        places in 1..20_usize,
    ) {
        let mut world = World::new(places);
        for (id, act) in acts.iter().enumerate() {
            world.act(act, id);
        }
        // All that waits has its turn.
        while !world.waiting.is_empty() || !world.at_work.is_empty() {
            while world.next().is_some() {}
            world.end(0);
        }
    }

    /// What takes for ever in the classes after the first, or in other namespaces, leaves a place.
    #[test]
    fn what_never_ends_leaves_a_place_to_work_and_to_others(
        slow in proptest::collection::vec((1..3_usize, rank()), 0..200),
        places in 4..80_usize,
    ) {
        let mut line = Line::new(3, ROUND);
        for (class, rank) in slow {
            line.join(class, &name(0), rank, false);
        }
        while line.next(places).is_some() {}
        prop_assert!(line.at_work() <= places / 2, "{} of {places}", line.at_work());
        for _ in 0..places {
            line.join(0, &name(0), Rank::Usual, true);
        }
        prop_assert_eq!(line.next(places), Some(true));
        while line.next(places).is_some() {}
        prop_assert_eq!(line.at_work(), places - places / 4);
        line.join(0, &name(1), Rank::Usual, true);
        prop_assert_eq!(line.next(places), Some(true));
    }
}

/// The most turns until a class has had the first claim to so many, wherever the round stands.
fn turns_until(class: usize, count: usize) -> usize {
    let of_class = |start: usize| (start + 1..).filter(move |turn| ROUND[(turn - 1) % ROUND.len()] == class);
    let from = |start: usize| of_class(start).nth(count - 1).map(|end| end - start);
    (0..ROUND.len()).filter_map(from).max().unwrap_or_default()
}

/// However long all that end join again, so many go before one, and no more: each turn of its own comes after
/// one of each other namespace, and these after the turns of other classes.
#[rstest]
fn the_most_that_go_before(#[values(0, 1, 2, 3, 7)] ahead: usize) {
    let mut line = Line::new(3, ROUND);
    // Of each: what it is, and the turn before which it has joined.
    let mut joined: Vec<(Ticket, (usize, usize, Rank), usize)> = Vec::new();
    let join = |line: &mut Line<usize>, joined: &mut Vec<_>, of: (usize, usize, Rank), turn: usize| {
        joined.push((line.join(of.0, &name(of.1), of.2, joined.len()), of, turn));
    };
    for number in 0..3 * NAMESPACES * (ahead + 1) {
        let (class, namespace) = (number % 3, number / 3 % NAMESPACES);
        join(&mut line, &mut joined, (class, namespace, Rank::Usual), 0);
        join(&mut line, &mut joined, (class, namespace, Rank::Urgent), 0);
    }
    let mut most: BTreeMap<(usize, Rank), usize> = BTreeMap::new();
    for turn in 0..5_000 {
        let (ticket, of, since) = joined[line.next(1).unwrap()].clone();
        let most = most.entry((of.0, of.2)).or_default();
        *most = (*most).max(turn - since);
        line.end(&ticket);
        join(&mut line, &mut joined, of, turn + 1);
    }
    for class in 0..3 {
        let before = |own: usize| turns_until(class, own * NAMESPACES) - 1;
        assert_eq!(most[&(class, Rank::Urgent)], before(ahead + 2 + ahead / 3));
        assert_eq!(most[&(class, Rank::Usual)], before(4 * (ahead + 1)));
    }
}

/// A line in which one namespace has joined so many times, and the tickets.
fn burst(count: usize) -> (Line<usize>, Vec<Ticket>) {
    let mut line = Line::new(3, ROUND);
    let tickets = (0..count).map(|item| line.join(0, &name(0), Rank::Usual, item)).collect();
    (line, tickets)
}

#[test]
fn another_namespace_is_next_while_a_thousand_wait() {
    let (mut line, _) = burst(1_000);
    assert_eq!(line.next(8), Some(0));
    line.join(0, &name(1), Rank::Usual, 7_777);
    let next: Vec<usize> = std::iter::from_fn(|| line.next(8)).take(2).collect();
    assert!(next.contains(&7_777), "{next:?}");
}

#[test]
fn a_namespace_does_not_take_all_places() {
    let (mut line, tickets) = burst(1_000);
    assert_eq!(std::iter::from_fn(|| line.next(8)).count(), 6);
    line.join(0, &name(1), Rank::Usual, 7_777);
    assert_eq!(line.next(8), Some(7_777));
    line.end(&tickets[0]);
    assert!(line.next(8).is_none(), "one of the six is to wait for a place that is not kept");
    line.end(&tickets[1]);
    assert!(line.next(8).is_some());
}

#[test]
fn a_quarter_of_the_places_stays_free_however_many_namespaces_wait_that_have_one() {
    let (mut line, _) = burst(1_000);
    for namespace in 1..3 {
        for item in 0..1_000 {
            line.join(0, &name(namespace), Rank::Usual, item);
        }
    }
    assert_eq!(std::iter::from_fn(|| line.next(8)).count(), 6);
    for namespace in 3..6 {
        line.join(0, &name(namespace), Rank::Usual, 7_777);
    }
    assert_eq!(std::iter::from_fn(|| line.next(8)).collect::<Vec<_>>(), [7_777; 2]);
}

#[test]
fn run_now_overtakes_the_burst_of_its_own_namespace() {
    let (mut line, mut tickets) = burst(1_000);
    line.next(8);
    line.join(0, &name(0), Rank::Urgent, 7_777);
    line.raise(&mut tickets[500]);
    line.raise(&mut tickets[0]);
    assert_eq!((tickets[500].rank(), tickets[0].rank()), (Rank::Urgent, Rank::Usual), "the first has begun");
    assert_eq!((line.next(8), line.next(8), line.next(8)), (Some(7_777), Some(500), Some(1)));
}

#[test]
fn run_nows_without_end_leave_one_turn_of_four_to_the_ticks_of_their_namespace() {
    let (mut line, _) = burst(1_000);
    for _ in 0..1_000 {
        line.join(0, &name(0), Rank::Urgent, 7_777);
    }
    let next: Vec<usize> = std::iter::from_fn(|| line.next(1_000)).take(12).collect();
    assert_eq!(next, [7_777, 7_777, 7_777, 0, 7_777, 7_777, 7_777, 1, 7_777, 7_777, 7_777, 2]);
}

#[test]
fn slow_events_leave_places_to_what_else_their_namespace_waits_for() {
    let mut line = Line::new(3, ROUND);
    for class in [2, 1, 0] {
        for _ in 0..1_000 {
            line.join(class, &name(0), Rank::Usual, class);
        }
        while line.next(16).is_some() {}
        assert_eq!(line.at_work(), [12, 8, 2][class]);
    }
}

#[test]
fn work_goes_first_and_the_rest_is_not_starved() {
    let mut line = Line::new(3, ROUND);
    let mut tickets = BTreeMap::new();
    for class in [2, 1, 0] {
        for _ in 0..100 {
            tickets.insert(class, line.join(class, &name(0), Rank::Usual, class));
        }
    }
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..120 {
        let class = line.next(1).unwrap();
        line.end(&tickets[&class]);
        *counts.entry(class).or_default() += 1;
    }
    assert_eq!(counts, [(0, 90), (1, 20), (2, 10)].into());
    let rest: BTreeSet<usize> = std::iter::from_fn(|| line.next(1_000)).collect();
    assert_eq!(rest, [0, 1, 2].into());
}
