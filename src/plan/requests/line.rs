//! Who waits, and who is next: by class, then by namespace in turn, then first come, first served.
//!
//! - A class goes before the next one, and each has turns of its own (`round`), so that none is starved.
//!   Those after the first have at most half of the places together: what takes long in them leaves places to
//!   the first.
//! - Within a class the namespaces take turns, however much each of them waits for: the burst of one holds up
//!   no other.
//! - A quarter of the places stays free for namespaces that have none, however many others wait: what takes
//!   long in one namespace, or in several, does not take all places.
//! - Within a namespace what is urgent overtakes what is not, which has one turn of four all the same.
//!
//! Neither joining nor a turn costs anything that grows with what waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The part of the places that is kept for namespaces that have none: one in so many.
const KEPT: usize = 4;
/// The most of the places that each class has, in eighths; but each has one.
const SHARES: [usize; 3] = [8, 3, 1];
/// So many that are urgent overtake the rest of their namespace before one of the rest has a turn.
const OVERTAKES: usize = 3;

/// Which goes first within a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A clock or a change asks for it.
    #[default]
    Usual,
    /// Somebody waits for it.
    Urgent,
}

/// Where something waits, and then the place that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    class: usize,
    namespace: Arc<str>,
    rank: Rank,
    number: u64,
}

impl Ticket {
    /// As what it waits.
    pub fn rank(&self) -> Rank {
        self.rank
    }
}

/// Who has places. A quarter of them is kept for namespaces that have none.
#[derive(Debug, Default)]
pub struct Places {
    /// By namespace; those that have none are not in it.
    of: HashMap<Arc<str>, usize>,
    taken: usize,
}

impl Places {
    /// Whether this namespace may take one, where there are so many.
    pub fn may_take(&self, namespace: &str, places: usize) -> bool {
        let is_crowded = self.taken >= places - places / KEPT;
        self.taken < places && (!is_crowded || !self.of.contains_key(namespace))
    }

    /// It takes one.
    pub fn take(&mut self, namespace: &Arc<str>) {
        *self.of.entry(namespace.clone()).or_default() += 1;
        self.taken += 1;
    }

    /// It gives one back.
    pub fn give_back(&mut self, namespace: &str) {
        let Some(count) = self.of.get_mut(namespace) else { return };
        *count -= 1;
        self.taken -= 1;
        if *count == 0 {
            self.of.remove(namespace);
        }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

/// What waits in one namespace.
#[derive(Debug)]
struct Waiting<T> {
    urgent: VecDeque<(u64, T)>,
    usual: VecDeque<(u64, T)>,
    /// How many that are urgent have overtaken, in a row, others that still wait.
    overtook: usize,
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Self { urgent: VecDeque::new(), usual: VecDeque::new(), overtook: 0 }
    }

    fn of(&mut self, rank: Rank) -> &mut VecDeque<(u64, T)> {
        match rank {
            Rank::Urgent => &mut self.urgent,
            Rank::Usual => &mut self.usual,
        }
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.usual.is_empty()
    }

    fn pop(&mut self) -> Option<T> {
        let is_overtaken = !self.usual.is_empty() && !self.urgent.is_empty() && self.overtook < OVERTAKES;
        self.overtook = if is_overtaken { self.overtook + 1 } else { 0 };
        let rank = if is_overtaken || self.usual.is_empty() { Rank::Urgent } else { Rank::Usual };
        self.of(rank).pop_front().map(|(_, item)| item)
    }

    fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        let queue = self.of(ticket.rank);
        // They stand in the order of their numbers.
        let place = queue.binary_search_by_key(&ticket.number, |(number, _)| *number).ok()?;
        let (_, item) = queue.remove(place)?;
        if self.usual.is_empty() {
            self.overtook = 0;
        }
        Some(item)
    }
}

/// What waits of one class.
#[derive(Debug)]
struct Queue<T> {
    /// The namespaces in which something waits, in the order of their turns. One that has emptied in the
    /// meantime stands here until its turn.
    turns: VecDeque<Arc<str>>,
    /// By namespace. Each that stands here stands once in `turns`.
    waiting: HashMap<Arc<str>, Waiting<T>>,
    len: usize,
    /// How many have begun.
    at_work: usize,
    /// The most of the places that it has, in eighths.
    share: usize,
}

impl<T> Queue<T> {
    fn new(share: usize) -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new(), len: 0, at_work: 0, share }
    }

    /// Takes the first of the first namespace in turn that may, and puts that namespace last.
    fn take(&mut self, places: usize, may: impl Fn(&str) -> bool) -> Option<(Arc<str>, T)> {
        if self.at_work >= (places * self.share / 8).max(1) {
            return None;
        }
        let mut place = 0;
        while let Some(namespace) = self.turns.get(place) {
            let empty = self.waiting.get(namespace).is_none_or(Waiting::is_empty);
            if !empty && !may(namespace) {
                place += 1;
                continue;
            }
            let namespace = self.turns.remove(place)?;
            let Some(waiting) = self.waiting.get_mut(&namespace).filter(|_| !empty) else {
                self.waiting.remove(&namespace);
                continue;
            };
            let item = waiting.pop()?;
            if waiting.is_empty() {
                self.waiting.remove(&namespace);
            } else {
                self.turns.push_back(namespace.clone());
            }
            self.len -= 1;
            self.at_work += 1;
            return Some((namespace, item));
        }
        None
    }
}

/// All that waits, and the places of what has begun.
#[derive(Debug)]
pub struct Line<T> {
    queues: Vec<Queue<T>>,
    round: &'static [usize],
    turn: usize,
    begun: Places,
    number: u64,
}

impl<T> Line<T> {
    /// An empty line of so many classes. `round` says which class has the first claim to each turn.
    pub fn new(classes: usize, round: &'static [usize]) -> Self {
        let share = |class| SHARES.get(class).copied().unwrap_or(1);
        let queues = (0..classes.max(1)).map(|class| Queue::new(share(class))).collect();
        Self { queues, round, turn: 0, begun: Places::default(), number: 0 }
    }

    /// Something waits from now on.
    pub fn join(&mut self, class: usize, namespace: &Arc<str>, rank: Rank, item: T) -> Ticket {
        let class = class.min(self.queues.len() - 1);
        self.number += 1;
        let ticket = Ticket { class, namespace: namespace.clone(), rank, number: self.number };
        if let Some(queue) = self.queues.get_mut(class) {
            let Queue { turns, waiting, len, .. } = queue;
            let of_namespace = waiting.entry(namespace.clone()).or_insert_with(|| {
                turns.push_back(namespace.clone());
                Waiting::new()
            });
            of_namespace.of(rank).push_back((ticket.number, item));
            *len += 1;
        }
        ticket
    }

    /// It no longer waits. None: it has begun, or has left before.
    pub fn leave(&mut self, ticket: &Ticket) -> Option<T> {
        let queue = self.queues.get_mut(ticket.class)?;
        let item = queue.waiting.get_mut(&ticket.namespace)?.remove(ticket)?;
        queue.len -= 1;
        Some(item)
    }

    /// If it still waits, it is urgent from now on, after those that have been so before.
    pub fn raise(&mut self, ticket: &mut Ticket) {
        if ticket.rank == Rank::Usual
            && let Some(item) = self.leave(ticket)
        {
            *ticket = self.join(ticket.class, &ticket.namespace, Rank::Urgent, item);
        }
    }

    /// Who is next, where there are so many places. It has begun, and its ticket is to [`Line::end`].
    pub fn next(&mut self, places: usize) -> Option<T> {
        let first = self.round.get(self.turn % self.round.len().max(1)).copied().unwrap_or_default();
        let Self { queues, begun, .. } = self;
        if begun.taken() >= places {
            return None;
        }
        let mut order = std::iter::once(first).chain(0..queues.len());
        let (namespace, item) = order.find_map(|class| {
            queues.get_mut(class)?.take(places, |namespace| begun.may_take(namespace, places))
        })?;
        self.begun.take(&namespace);
        self.turn = self.turn.wrapping_add(1);
        Some(item)
    }

    /// What had this ticket, and had begun, has ended. It is said once.
    pub fn end(&mut self, ticket: &Ticket) {
        if let Some(queue) = self.queues.get_mut(ticket.class) {
            queue.at_work = queue.at_work.saturating_sub(1);
        }
        self.begun.give_back(&ticket.namespace);
    }

    /// How many have begun and not ended.
    pub fn at_work(&self) -> usize {
        self.begun.taken()
    }

    /// How many of a class wait.
    pub fn waiting(&self, class: usize) -> usize {
        self.queues.get(class).map_or(0, |queue| queue.len)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.len).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
