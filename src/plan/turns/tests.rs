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

/// All that begins now.
fn begun(turns: &mut Turns) -> Vec<Turn> {
    std::iter::from_fn(|| turns.begin()).collect()
}

/// The names of all that begins now.
fn names(turns: &mut Turns) -> Vec<String> {
    begun(turns).iter().map(|turn| turn.key.1.to_string()).collect()
}

/// So many objects of a namespace wake.
fn burst(turns: &mut Turns, namespace: &str, count: usize) {
    for number in 0..count {
        assert!(!turns.wake(&key(namespace, &format!("flow-{number}")), Rank::Usual));
    }
}

#[test]
fn a_flow_of_another_namespace_is_looked_at_at_once_while_a_thousand_are_due() {
    let mut turns = Turns::new(BOUNDS);
    let keys = (0..1_000).map(|number| key("busy", &format!("flow-{number}")));
    for key in keys.chain([key("team", "flow")]) {
        assert!(!turns.wake(&key, Rank::Usual));
        let turn = turns.begin().unwrap();
        turns.end(&turn, Then::At(s(60)));
    }
    assert_eq!((turns.begin(), turns.next_due()), (None, Some(s(60))));
    turns.pass(s(60));
    assert_eq!(turns.waiting(), 1_001);
    let first = names(&mut turns);
    assert_eq!(first.len(), 6, "a quarter is kept for others: {first:?}");
    assert!(first[..2].contains(&"flow".to_owned()), "{first:?}");
}

#[test]
fn what_is_urgent_overtakes_also_where_it_waited_before() {
    let mut turns = Turns::new(Bounds { at_work: 1, all: 1 });
    burst(&mut turns, "team", 3);
    assert!(!turns.wake(&key("team", "flow-2"), Rank::Urgent));
    assert!(!turns.wake(&key("team", "flow-2"), Rank::Usual));
    let turn = turns.begin().unwrap();
    assert_eq!((turn.key, turn.rank), (key("team", "flow-2"), Rank::Urgent));
    assert_eq!(turns.waiting(), 2);
}

#[test]
fn what_wakes_an_object_while_it_is_looked_at_counts_afterwards() {
    let mut turns = Turns::new(BOUNDS);
    let a = key("team", "a");
    assert!(!turns.wake(&a, Rank::Usual));
    let turn = turns.begin().unwrap();
    assert!(!turns.wake(&a, Rank::Usual));
    assert_eq!(turns.begin(), None);
    turns.end(&turn, Then::At(s(5)));
    let turn = turns.begin().unwrap();
    assert_eq!(turn.key, a);
    turns.end(&turn, Then::Woken);
    assert_eq!((turns.next_due(), turns.objects.len()), (None, 0));
}

#[test]
fn a_wake_replaces_the_time() {
    let mut turns = Turns::new(BOUNDS);
    let a = key("team", "a");
    assert!(!turns.wake(&a, Rank::Usual));
    let turn = turns.begin().unwrap();
    turns.end(&turn, Then::At(s(60)));
    turns.pass(s(59));
    assert_eq!(turns.begin(), None);
    assert!(!turns.wake(&a, Rank::Usual));
    let turn = turns.begin().unwrap();
    turns.pass(s(60));
    turns.end(&turn, Then::At(s(90)));
    assert_eq!((turns.begin(), turns.next_due()), (None, Some(s(90))), "60 does not count any more");
}

#[test]
fn a_run_now_that_failed_goes_before_the_burst_of_its_namespace_once_more() {
    for wakes_before in [false, true] {
        let mut turns = Turns::new(Bounds { at_work: 1, all: 1 });
        let run = key("team", "run");
        assert!(!turns.wake(&run, Rank::Urgent));
        let turn = turns.begin().unwrap();
        turns.end(&turn, Then::Retry(s(1)));
        burst(&mut turns, "team", 1_000);
        if wakes_before {
            assert!(!turns.wake(&run, Rank::Usual));
        }
        turns.pass(s(1));
        let turn = turns.begin().unwrap();
        assert_eq!((&turn.key, turn.rank), (&run, Rank::Urgent));
        turns.end(&turn, Then::At(s(2)));
        turns.pass(s(2));
        assert_ne!(turns.begin().unwrap().key, run, "it has got to its end");
    }
}

#[test]
fn a_run_now_that_failed_after_something_woke_it_is_urgent_all_the_same() {
    let mut turns = Turns::new(BOUNDS);
    let run = key("team", "run");
    assert!(!turns.wake(&run, Rank::Urgent));
    let turn = turns.begin().unwrap();
    assert!(!turns.wake(&run, Rank::Usual));
    turns.end(&turn, Then::Retry(s(1)));
    assert_eq!(turns.begin().map(|turn| turn.rank), Some(Rank::Urgent));
}

#[test]
fn a_look_becomes_urgent_by_what_waits_for_its_end() {
    let mut turns = Turns::new(BOUNDS);
    let run = key("team", "run");
    assert!(!turns.wake(&run, Rank::Usual));
    let turn = turns.begin().unwrap();
    turns.only_tells(&turn);
    assert!(!turns.wake(&run, Rank::Usual));
    assert!(turns.wake(&run, Rank::Urgent));
    assert!(!turns.wake(&run, Rank::Urgent), "it is urgent already");
    turns.end(&turn, Then::Woken);
    let turn = turns.begin().unwrap();
    assert_eq!(turn.rank, Rank::Urgent);
    assert!(!turns.wake(&run, Rank::Urgent), "it was from the start");
}

#[test]
fn who_only_tells_gives_its_place_to_the_next_as_long_as_there_is_room() {
    let mut turns = Turns::new(Bounds { at_work: 2, all: 3 });
    burst(&mut turns, "team", 7);
    let first = begun(&mut turns);
    assert_eq!(first.len(), 2);
    turns.only_tells(&first[0]);
    turns.only_tells(&first[0]);
    let second = begun(&mut turns);
    assert_eq!(second.len(), 1);
    turns.only_tells(&first[1]);
    assert_eq!(turns.begin(), None, "three looks in all: it keeps its place");
    turns.end(&second[0], Then::Woken);
    turns.end(&first[0], Then::Woken);
    let third = begun(&mut turns);
    assert_eq!(third.len(), 1, "the first had no place of these any more");
    turns.only_tells(&third[0]);
    assert_eq!(begun(&mut turns).len(), 1, "there is room again");
}

#[test]
fn looks_that_only_tell_take_no_places_of_work_and_leave_room_to_other_namespaces() {
    let mut turns = Turns::new(Bounds { at_work: 48, all: 192 });
    burst(&mut turns, "busy", 1_000);
    let mut telling = 0;
    while let Some(turn) = turns.begin() {
        turns.only_tells(&turn);
        telling += 1;
    }
    assert_eq!(telling, 108 + 36, "three quarters of the room, and of the places");
    burst(&mut turns, "team", 30);
    let others = begun(&mut turns);
    assert_eq!(others.len(), 1, "a place is kept");
    turns.only_tells(&others[0]);
    assert_eq!(begun(&mut turns).len(), 1, "it was given back");
}

#[test]
fn what_a_look_says_after_its_end_does_not_concern_the_next_one() {
    let mut turns = Turns::new(Bounds { at_work: 1, all: 4 });
    let a = key("team", "a");
    assert!(!turns.wake(&a, Rank::Usual));
    let first = turns.begin().unwrap();
    turns.end(&first, Then::Woken);
    burst(&mut turns, "team", 2);
    assert!(!turns.wake(&key("team", "flow-0"), Rank::Usual));
    let other = turns.begin().unwrap();
    turns.end(&other, Then::Woken);
    assert!(!turns.wake(&a, Rank::Urgent));
    assert_eq!(turns.begin().unwrap().key, a);
    turns.only_tells(&first);
    turns.end(&first, Then::At(s(1)));
    assert_eq!((turns.begin(), turns.next_due()), (None, None), "the second look has its place");
}

#[derive(Clone, Debug)]
enum Act {
    Wake(usize, Rank),
    Begin,
    Tell(usize),
    End(usize, Then),
    /// A look that has ended says something.
    Late(usize),
    Pass(u64),
}

fn rank() -> impl Strategy<Value = Rank> {
    prop_oneof![Just(Rank::Usual), Just(Rank::Urgent)]
}

/// Times are relative here.
fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        Just(Then::Woken),
        (1..100_u64).prop_map(|after| Then::At(s(after))),
        (1..100_u64).prop_map(|after| Then::Retry(s(after))),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..24_usize, rank()).prop_map(|(which, rank)| Act::Wake(which, rank)),
        8 => Just(Act::Begin),
        4 => any::<usize>().prop_map(Act::Tell),
        5 => (any::<usize>(), then()).prop_map(|(which, then)| Act::End(which, then)),
        1 => any::<usize>().prop_map(Act::Late),
        2 => (1..50_u64).prop_map(Act::Pass),
    ]
}

/// A look under way, as it should be.
struct Model {
    turn: Turn,
    rank: Rank,
    only_tells: bool,
}

/// The turns, and what is to be true of them.
struct World {
    turns: Turns,
    now: Duration,
    /// Each object that is owed a look since it was woken.
    owed: BTreeMap<Key, Rank>,
    looks: BTreeMap<Key, Model>,
    due: BTreeMap<Key, (Duration, Rank)>,
    ended: Vec<Turn>,
}

impl World {
    fn new() -> Self {
        let turns = Turns::new(Bounds { at_work: 4, all: 10 });
        let (owed, looks, due) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { turns, now: Duration::ZERO, owed, looks, due, ended: Vec::new() }
    }

    /// How many looks are under way, of a namespace or of all.
    fn count(&self, only_tells: bool, namespace: Option<&str>) -> usize {
        let of = |look: &&Model| {
            look.only_tells == only_tells && namespace.is_none_or(|of| *look.turn.key.0 == *of)
        };
        self.looks.values().filter(of).count()
    }

    fn may(&self, only_tells: bool, namespace: &str, places: usize) -> bool {
        let count = self.count(only_tells, None);
        let has_none = self.count(only_tells, Some(namespace)) == 0;
        count < places && (count < places - places / 4 || has_none)
    }

    fn owe(&mut self, key: &Key, rank: Rank) {
        let was = self.due.remove(key).map_or(rank, |(_, was)| was);
        let owed = self.owed.entry(key.clone()).or_default();
        *owed = (*owed).max(rank).max(was);
    }

    fn wake(&mut self, key: &Key, rank: Rank) {
        let look = self.looks.get_mut(key).filter(|look| look.rank < rank);
        let raised = look.map(|look| look.rank = rank).is_some();
        assert_eq!(self.turns.wake(key, rank), raised);
        self.owe(key, rank);
    }

    fn begin(&mut self) {
        let Some(turn) = self.turns.begin() else {
            let waits = |key: &&Key| !self.looks.contains_key(*key) && self.may(false, &key.0, 4);
            assert_eq!(self.owed.keys().find(waits), None, "there is a place for it");
            return;
        };
        assert!(self.may(false, &turn.key.0, 4), "there is no place for {turn:?}");
        assert_eq!(self.owed.remove(&turn.key), Some(turn.rank), "as what it was woken");
        let look = Model { turn: turn.clone(), rank: turn.rank, only_tells: false };
        assert!(self.looks.insert(turn.key, look).is_none(), "two look at one");
    }

    fn tell(&mut self, which: usize) {
        let turn = self.looks.values().nth(which).unwrap().turn.clone();
        self.turns.only_tells(&turn);
        let may = self.may(true, &turn.key.0, 6);
        let look = self.looks.get_mut(&turn.key).unwrap();
        look.only_tells |= may;
    }

    fn end(&mut self, which: usize, then: Then) {
        let key = self.looks.keys().nth(which).unwrap().clone();
        let Model { turn, rank, .. } = self.looks.remove(&key).unwrap();
        let (then, due) = match then {
            Then::Woken => (then, None),
            Then::At(after) => (Then::At(self.now + after), Some((self.now + after, Rank::Usual))),
            Then::Retry(after) => (Then::Retry(self.now + after), Some((self.now + after, rank))),
        };
        self.turns.end(&turn, then);
        match (self.owed.get_mut(&key), due) {
            (Some(owed), Some((_, rank))) => *owed = (*owed).max(rank),
            (None, Some(due)) => drop(self.due.insert(key, due)),
            (_, None) => {}
        }
        self.ended.push(turn);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += s(seconds);
        self.turns.pass(self.now);
        let come = self.due.iter().filter(|(_, (due, _))| *due <= self.now).map(|(key, _)| key.clone());
        for key in come.collect::<Vec<_>>() {
            self.owe(&key, Rank::Usual);
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Wake(which, rank) => {
                self.wake(&key(&format!("ns-{}", which % 3), &format!("flow-{which}")), *rank);
            }
            Act::Begin => self.begin(),
            Act::Tell(which) if !self.looks.is_empty() => self.tell(which % self.looks.len()),
            Act::End(which, then) if !self.looks.is_empty() => self.end(which % self.looks.len(), *then),
            Act::Late(which) if !self.ended.is_empty() => {
                let turn = &self.ended[which % self.ended.len()];
                self.turns.only_tells(turn);
                self.turns.end(turn, Then::At(self.now));
            }
            Act::Tell(_) | Act::End(..) | Act::Late(_) => {}
            Act::Pass(seconds) => self.pass(*seconds),
        }
        assert_eq!(self.turns.next_due(), self.due.values().map(|(due, _)| *due).min());
        let waiting = self.owed.keys().filter(|key| !self.looks.contains_key(*key)).count();
        assert_eq!(self.turns.waiting(), waiting);
    }
}

proptest! {
    /// Nothing is looked at by two, nothing that was woken is forgotten, nor as what, and no more looks begin
    /// than may.
    #[test]
    fn whatever_is_woken_is_looked_at_after_that(acts in proptest::collection::vec(act(), 0..300)) {
        let mut world = World::new();
        let settle = [Act::Begin, Act::End(0, Then::Woken)].into_iter().cycle().take(160);
        for act in acts.into_iter().chain(settle) {
            world.act(&act);
        }
        prop_assert!(world.owed.is_empty(), "forgotten: {:?}", world.owed);
        prop_assert_eq!(world.turns.objects.len(), world.due.len(), "nothing is kept of what is done");
    }
}
