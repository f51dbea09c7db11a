//! Who waits, and who is next: by class, then by namespace in turn, then first come, first served.
//!
//! - A class goes before the next one, and each has turns of its own (`round`), so that none is starved.
//! - Within a class the namespaces take turns, however much each of them waits for: the burst of one holds up no other.
//! - A quarter of the places is kept for namespaces that have none: what takes long in one namespace does not take all places.
//! - Within a namespace what is urgent overtakes what is not.
//!
//! Neither joining nor a turn costs anything that grows with what waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The part of the places that is kept for namespaces that have none: one in so many.
const KEPT: usize = 4;

/// Where something waits.
#[derive(Clone, Debug)]
pub struct Ticket {
    class: usize,
    namespace: Arc<str>,
    urgent: bool,
    number: u64,
}

/// What waits in one namespace.
#[derive(Debug)]
struct Waiting<T> {
    urgent: VecDeque<(u64, T)>,
    usual: VecDeque<(u64, T)>,
}

impl<T> Waiting<T> {
    fn of(&mut self, urgent: bool) -> &mut VecDeque<(u64, T)> {
        if urgent { &mut self.urgent } else { &mut self.usual }
    }

    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.usual.is_empty()
    }
}

/// What waits of one class.
#[derive(Debug)]
struct Queue<T> {
    /// The namespaces in which something waits, in the order of their turns. One that has emptied in the meantime stands
    /// here until its turn.
    turns: VecDeque<Arc<str>>,
    /// By namespace. Each that stands here stands once in `turns`.
    waiting: HashMap<Arc<str>, Waiting<T>>,
    len: usize,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new(), len: 0 }
    }

    /// Takes the first of the first namespace in turn that may, and puts that namespace last.
    fn take(&mut self, may: impl Fn(&str) -> bool) -> Option<(Arc<str>, T)> {
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
            let (_, item) = waiting.urgent.pop_front().or_else(|| waiting.usual.pop_front())?;
            if waiting.is_empty() {
                self.waiting.remove(&namespace);
            } else {
                self.turns.push_back(namespace.clone());
            }
            self.len -= 1;
            return Some((namespace, item));
        }
        None
    }
}

/// All that waits, and how many each namespace has begun.
#[derive(Debug)]
pub struct Line<T> {
    queues: Vec<Queue<T>>,
    round: &'static [usize],
    turn: usize,
    /// By namespace; those that have begun none are not in it.
    begun: HashMap<Arc<str>, usize>,
    at_work: usize,
    number: u64,
}

impl<T> Line<T> {
    /// An empty line of so many classes. `round` says which class has the first claim to each turn.
    pub fn new(classes: usize, round: &'static [usize]) -> Self {
        let queues = (0..classes.max(1)).map(|_| Queue::new()).collect();
        Self { queues, round, turn: 0, begun: HashMap::new(), at_work: 0, number: 0 }
    }

    /// Something waits from now on.
    pub fn join(&mut self, class: usize, namespace: &Arc<str>, urgent: bool, item: T) -> Ticket {
        let class = class.min(self.queues.len() - 1);
        self.number += 1;
        let ticket = Ticket { class, namespace: namespace.clone(), urgent, number: self.number };
        if let Some(queue) = self.queues.get_mut(class) {
            let Queue { turns, waiting, len } = queue;
            let of_namespace = waiting.entry(namespace.clone()).or_insert_with(|| {
                turns.push_back(namespace.clone());
                Waiting { urgent: VecDeque::new(), usual: VecDeque::new() }
            });
            of_namespace.of(urgent).push_back((ticket.number, item));
            *len += 1;
        }
        ticket
    }

    /// It no longer waits. None: it has begun, or has left before.
    pub fn leave(&mut self, ticket: &Ticket) -> Option<T> {
        let queue = self.queues.get_mut(ticket.class)?;
        let waiting = queue.waiting.get_mut(&ticket.namespace)?.of(ticket.urgent);
        // They stand in the order of their numbers.
        let place = waiting.binary_search_by_key(&ticket.number, |(number, _)| *number).ok()?;
        let (_, item) = waiting.remove(place)?;
        queue.len -= 1;
        Some(item)
    }

    /// Who is next, where so many may be at work. It has begun, and is to [`Line::end`].
    pub fn next(&mut self, places: usize) -> Option<(Arc<str>, T)> {
        if self.at_work >= places {
            return None;
        }
        let is_crowded = self.at_work >= places - places / KEPT;
        let first = self.round.get(self.turn % self.round.len().max(1)).copied().unwrap_or_default();
        let Self { queues, begun, .. } = self;
        let may = |namespace: &str| !is_crowded || !begun.contains_key(namespace);
        let mut taken = queues.get_mut(first).and_then(|queue| queue.take(may));
        for queue in queues.iter_mut() {
            taken = taken.or_else(|| queue.take(may));
        }
        let (namespace, item) = taken?;
        *begun.entry(namespace.clone()).or_default() += 1;
        self.at_work += 1;
        self.turn = self.turn.wrapping_add(1);
        Some((namespace, item))
    }

    /// Something of this namespace that had begun has ended.
    pub fn end(&mut self, namespace: &str) {
        let Some(count) = self.begun.get_mut(namespace) else { return };
        *count -= 1;
        self.at_work -= 1;
        if *count == 0 {
            self.begun.remove(namespace);
        }
    }

    /// How many have begun and not ended.
    pub fn at_work(&self) -> usize {
        self.at_work
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
