//! Looks at every state that can be reached, breadth first, so that a counterexample is as short as can be.
//!
//! States are told apart by fingerprints of 64 bits. That two of a million share one, and the second is not
//! looked at, is less likely than one in ten million.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::rules::{Event, Fault, Rules};
use super::world::World;

/// More states than this are none that a test can wait for.
const MOST: usize = 20_000_000;
/// Of so many states that look like one that is known, one is looked at whether it is.
const TWINS: usize = 100;
/// No time after which somebody leads for good.
const NEVER: u32 = u32::MAX;

/// What holds in each state that can be reached.
#[derive(Debug)]
pub struct Explored {
    pub states: usize,
    /// So many ticks after nothing goes wrong any more, one leads and stays.
    pub ticks: u32,
}

/// Why it does not hold, and what led to it.
#[derive(Debug, PartialEq)]
pub enum Broken {
    Fault(Fault),
    /// Nobody leads for good, even if nothing goes wrong any more.
    NobodyLeads,
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are numbers")
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A state that was reached.
struct Reached {
    from: u32,
    event: Event,
    leader: Option<usize>,
    /// What comes next if nothing goes wrong any more, and whether a tick passes.
    calm: (u32, bool),
    /// All that may come next, as one number.
    next: u64,
}

impl Reached {
    fn new(from: u32, event: Event, world: &World) -> Self {
        Self { from, event, leader: world.leader(), calm: (0, true), next: 0 }
    }

    fn follows(&mut self, number: u32) {
        self.next = (self.next.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Looks at every state.
pub fn explore(rules: &Rules) -> Result<Explored, (Broken, Vec<Event>)> {
    let first = World::new(rules).map_err(|fault| (Broken::Fault(fault), vec![]))?;
    let mut numbers: HashMap<u64, u32, BuildHasherDefault<Itself>> = HashMap::default();
    numbers.insert(first.fingerprint(), 0);
    let mut reached = vec![Reached::new(0, Event::Passes, &first)];
    let mut open = VecDeque::from([(0_u32, first)]);
    let (mut again, mut twins) = (0_usize, Vec::new());
    while let Some((from, world)) = open.pop_front() {
        for (index, event) in world.events(rules).into_iter().enumerate() {
            let next = match world.after(event, rules) {
                Ok(next) => next,
                Err(fault) => return Err((Broken::Fault(fault), path(&reached, from, Some(event)))),
            };
            let fresh = u32::try_from(numbers.len()).unwrap();
            let number = match numbers.entry(next.fingerprint()) {
                Entry::Occupied(known) => {
                    again += 1;
                    if again.is_multiple_of(TWINS) {
                        twins.push((*known.get(), next));
                    }
                    *known.get()
                }
                Entry::Vacant(place) => {
                    reached.push(Reached::new(from, event, &next));
                    open.push_back((fresh, next));
                    *place.insert(fresh)
                }
            };
            let state = &mut reached[from as usize];
            state.follows(number);
            if index == 0 {
                state.calm = (number, matches!(event, Event::Passes));
            }
        }
        assert!(reached.len() < MOST, "the bound is too large");
    }
    for (number, twin) in twins {
        let mut state = Reached::new(0, Event::Passes, &twin);
        let next = twin.events(rules).into_iter().map(|event| twin.after(event, rules));
        next.for_each(|next| state.follows(numbers[&next.unwrap().fingerprint()]));
        let known = &reached[number as usize];
        assert_eq!((state.leader, state.next), (known.leader, known.next), "states that look alike are not");
    }
    let ticks = ticks_to_a_leader(&reached);
    let worst = (0..ticks.len()).max_by_key(|number| ticks[*number]).unwrap();
    if ticks[worst] == NEVER {
        // The first one is reached by the shortest way.
        let first = ticks.iter().position(|ticks| *ticks == NEVER).unwrap();
        return Err((Broken::NobodyLeads, path(&reached, u32::try_from(first).unwrap(), None)));
    }
    Ok(Explored { states: reached.len(), ticks: ticks[worst] })
}

/// What has led to a state.
fn path(reached: &[Reached], mut number: u32, last: Option<Event>) -> Vec<Event> {
    let mut events: Vec<_> = last.into_iter().collect();
    while number != 0 {
        let state = &reached[number as usize];
        events.push(state.event);
        number = state.from;
    }
    events.reverse();
    events
}

/// For each state, how many ticks pass until there is a leader for good, if nothing goes wrong any more. Each
/// state then has one next state, so it comes to a circle: in all of it the same one must lead.
fn ticks_to_a_leader(reached: &[Reached]) -> Vec<u32> {
    let mut ticks: Vec<Option<u32>> = vec![None; reached.len()];
    let mut is_on_way = vec![false; reached.len()];
    for start in 0..reached.len() {
        let (mut way, mut number) = (Vec::new(), start);
        while ticks[number].is_none() && !is_on_way[number] {
            is_on_way[number] = true;
            way.push(number);
            number = reached[number].calm.0 as usize;
        }
        if ticks[number].is_none() {
            let circle = way.split_off(way.iter().position(|one| *one == number).unwrap());
            let leader = reached[number].leader;
            let passes = circle.iter().any(|one| reached[*one].calm.1);
            let is_led = leader.is_some() && circle.iter().all(|one| reached[*one].leader == leader);
            for one in circle {
                ticks[one] = Some(if is_led && passes { 0 } else { NEVER });
            }
        }
        for one in way.into_iter().rev() {
            let (next, passes) = reached[one].calm;
            let is_led =
                reached[one].leader.is_some() && reached[one].leader == reached[next as usize].leader;
            ticks[one] = match ticks[next as usize] {
                Some(0) if is_led => Some(0),
                Some(NEVER) | None => Some(NEVER),
                Some(after) => Some(after + u32::from(passes)),
            };
        }
    }
    ticks.into_iter().map(|ticks| ticks.unwrap_or(NEVER)).collect()
}
