//! Which object is looked at next: those that were woken, and those whose time has come, one namespace after
//! the other.
//!
//! - An object is looked at by one at a time. What wakes it while it is looked at has it looked at once more
//!   afterwards.
//! - A look may leave one time behind, at which the object is looked at again. A wake replaces that time, and
//!   is urgent if that was.
//! - Namespaces take turns, and what is urgent goes before the rest of its namespace ([`Line`]). An object
//!   that waits alone in its namespace waits behind one of each other namespace at most, however many of them
//!   were woken at once.
//! - A look that has done what others wait for, and has only to tell of it, gives its place to the next one,
//!   as long as there is room for such looks. Where there is none it keeps its own to its end.
//!
//! Times are durations since an origin that the caller knows.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::requests::line::{Line, Places, Rank, Ticket};

/// Namespace and name of an object.
pub type Key = (Arc<str>, Arc<str>);

/// How many looks there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// At work at the same time.
    pub at_work: usize,
    /// With those that only have to tell of it.
    pub all: usize,
}

/// A look that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The object.
    pub key: Key,
    /// As what it began.
    pub rank: Rank,
    /// It tells this look from others at the same object.
    ticket: Ticket,
}

/// When an object is looked at again after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// When something wakes it.
    Woken,
    /// At this time, or when something wakes it before.
    At(Duration),
    /// The same; the look did not get to its end, and is made again as what it was, urgent or not.
    Retry(Duration),
}

/// A look that is under way.
#[derive(Debug)]
struct Look {
    /// Its place, if it is at work.
    ticket: Ticket,
    rank: Rank,
    only_tells: bool,
}

/// One object that waits, is looked at, or will be.
#[derive(Debug, Default)]
struct Object {
    look: Option<Look>,
    /// It waits for its turn.
    waits: Option<Ticket>,
    /// It was woken while it was looked at.
    again: Option<Rank>,
    /// Then it is to be looked at, whatever happens.
    due: Option<(Duration, Rank)>,
}

/// All that is to be looked at, of one kind.
#[derive(Debug)]
pub struct Turns {
    bounds: Bounds,
    line: Line<Key>,
    objects: HashMap<Key, Object>,
    due: BTreeSet<(Duration, Key)>,
    telling: Places,
}

impl Turns {
    /// Nothing is to be looked at.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            line: Line::new(1, &[0]),
            objects: HashMap::new(),
            due: BTreeSet::new(),
            telling: Places::default(),
        }
    }

    /// An object is to be looked at now. Whether a look at it is under way that has become urgent by this:
    /// what it still asks for goes first from now on, since the next look waits for its end.
    #[must_use = "a look that is under way may have become urgent"]
    pub fn wake(&mut self, key: &Key, rank: Rank) -> bool {
        let Some(object) = self.objects.get_mut(key).filter(|object| object.look.is_some()) else {
            self.wait(key, rank);
            return false;
        };
        object.again = object.again.max(Some(rank));
        let raised = object.look.as_mut().filter(|look| look.rank < rank);
        raised.map(|look| look.rank = rank).is_some()
    }

    /// Those whose time has come wait for their turn from now on.
    pub fn pass(&mut self, now: Duration) {
        while let Some((_, key)) = self.due.first().filter(|(due, _)| *due <= now) {
            let key = key.clone();
            self.wait(&key, Rank::Usual);
        }
    }

    /// An object that is not looked at waits for its turn from now on.
    fn wait(&mut self, key: &Key, rank: Rank) {
        let object = self.objects.entry(key.clone()).or_default();
        let mut rank = rank;
        if let Some((due, was)) = object.due.take() {
            self.due.remove(&(due, key.clone()));
            rank = rank.max(was);
        }
        match &mut object.waits {
            Some(ticket) if rank == Rank::Urgent => self.line.raise(ticket),
            Some(_) => {}
            None => object.waits = Some(self.line.join(0, &key.0, rank, key.clone())),
        }
    }

    /// The next object to be looked at, if there is a place. Its look has begun.
    pub fn begin(&mut self) -> Option<Turn> {
        let key = self.line.next(self.bounds.at_work)?;
        // Each that is in the line waits.
        let object = self.objects.get_mut(&key)?;
        let ticket = object.waits.take()?;
        let rank = ticket.rank();
        object.look = Some(Look { ticket: ticket.clone(), rank, only_tells: false });
        Some(Turn { key, rank, ticket })
    }

    /// This look has only to tell what it has done. It keeps its place where there is no room for more such
    /// looks, or those of its namespace have three quarters of it. Of a look that has ended it means nothing.
    pub fn only_tells(&mut self, turn: &Turn) {
        let room = self.bounds.all.saturating_sub(self.bounds.at_work);
        let look = self.objects.get_mut(&turn.key).and_then(|object| object.look.as_mut());
        let at_work = look.filter(|look| look.ticket == turn.ticket && !look.only_tells);
        if let Some(look) = at_work.filter(|_| self.telling.may_take(&turn.key.0, room)) {
            look.only_tells = true;
            self.telling.take(&turn.key.0);
            self.line.end(&turn.ticket);
        }
    }

    /// This look has ended.
    pub fn end(&mut self, turn: &Turn, then: Then) {
        let key = &turn.key;
        let Some(object) = self.objects.get_mut(key) else { return };
        let Some(look) = object.look.take_if(|look| look.ticket == turn.ticket) else { return };
        if look.only_tells {
            self.telling.give_back(&key.0);
        } else {
            self.line.end(&look.ticket);
        }
        object.due = match then {
            Then::Woken => None,
            Then::At(due) => Some((due, Rank::Usual)),
            Then::Retry(due) => Some((due, look.rank)),
        };
        if let Some(rank) = object.again.take() {
            self.wait(key, rank);
        } else if let Some((due, _)) = object.due {
            self.due.insert((due, key.clone()));
        } else {
            self.objects.remove(key);
        }
    }

    /// When the next time comes.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }
}
