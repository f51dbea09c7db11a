//! Which object is looked at next: those that were woken, and those whose time has come, one namespace after the other.
//!
//! - An object is looked at by one at a time. What wakes it while it is looked at has it looked at once more afterwards.
//! - Of several times at which to look, the earliest counts.
//! - Namespaces take turns, and what is urgent goes before the rest of its namespace ([`Line`]). An object that was woken by
//!   a burst waits behind at most as many others as there are namespaces.
//! - A look that has done what others wait for, and has only to tell of it, gives its place to the next one.
//!
//! Times are durations since an origin that the caller knows.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::requests::line::{Line, Ticket};

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

/// Whether an object is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Look {
    #[default]
    None,
    /// It has a place.
    AtWork,
    /// It has given its place back.
    Telling,
}

/// One object that waits, is looked at, or will be.
#[derive(Debug, Default)]
struct Object {
    look: Look,
    /// It waits for its turn, as urgent or not.
    waits: Option<(Ticket, bool)>,
    /// It was woken while it was looked at, as urgent or not.
    again: Option<bool>,
    /// Then it is to be looked at, whatever happens.
    due: Option<Duration>,
}

impl Object {
    fn is_idle(&self) -> bool {
        self.look == Look::None && self.waits.is_none() && self.again.is_none() && self.due.is_none()
    }
}

/// All that is to be looked at, of one kind.
#[derive(Debug)]
pub struct Turns {
    bounds: Bounds,
    line: Line<Key>,
    objects: HashMap<Key, Object>,
    due: BTreeSet<(Duration, Key)>,
    telling: usize,
}

impl Turns {
    /// Nothing is to be looked at.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, line: Line::new(1, &[0]), objects: HashMap::new(), due: BTreeSet::new(), telling: 0 }
    }

    /// An object is to be looked at now.
    pub fn wake(&mut self, key: &Key, urgent: bool) {
        let object = self.objects.entry(key.clone()).or_default();
        if let Some(due) = object.due.take() {
            self.due.remove(&(due, key.clone()));
        }
        if object.look != Look::None {
            object.again = Some(urgent || object.again == Some(true));
            return;
        }
        match &object.waits {
            Some((_, was_urgent)) if *was_urgent || !urgent => return,
            Some((ticket, _)) => drop(self.line.leave(ticket)),
            None => {}
        }
        object.waits = Some((self.line.join(0, &key.0, urgent, key.clone()), urgent));
    }

    /// Those whose time has come wait for their turn from now on.
    pub fn pass(&mut self, now: Duration) {
        while let Some((_, key)) = self.due.first().filter(|(due, _)| *due <= now) {
            let key = key.clone();
            self.wake(&key, false);
        }
    }

    /// The next object to be looked at, if there is a place. Its look has begun.
    pub fn begin(&mut self) -> Option<(Key, bool)> {
        let places = self.bounds.at_work.min(self.bounds.all.saturating_sub(self.telling));
        let (_, key) = self.line.next(places)?;
        let object = self.objects.entry(key.clone()).or_default();
        object.look = Look::AtWork;
        let urgent = object.waits.take().is_some_and(|(_, urgent)| urgent);
        Some((key, urgent))
    }

    /// The look at this object has only to tell what it has done.
    pub fn only_tells(&mut self, key: &Key) {
        if let Some(object) = self.objects.get_mut(key).filter(|object| object.look == Look::AtWork) {
            object.look = Look::Telling;
            self.telling += 1;
            self.line.end(&key.0);
        }
    }

    /// The look at this object has ended. `then`: when to look again, whatever happens.
    pub fn end(&mut self, key: &Key, then: Option<Duration>) {
        let Some(object) = self.objects.get_mut(key) else { return };
        match std::mem::take(&mut object.look) {
            Look::AtWork => self.line.end(&key.0),
            Look::Telling => self.telling -= 1,
            Look::None => return,
        }
        if let Some(urgent) = object.again.take() {
            self.wake(key, urgent);
        } else if let Some(then) = then {
            object.due = Some(then);
            self.due.insert((then, key.clone()));
        }
        if self.objects.get(key).is_some_and(Object::is_idle) {
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
