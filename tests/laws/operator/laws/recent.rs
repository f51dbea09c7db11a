//! What is so, and what was so a moment ago: an operator may act on what it saw then.

use std::time::Duration;

use tokio::time::Instant;

/// A value with those that it had before.
pub(super) struct Recent<T> {
    /// From when on each was so, the oldest first. There is always one.
    all: Vec<(Instant, T)>,
    memory: Duration,
}

impl<T: PartialEq> Recent<T> {
    /// It is remembered for so long.
    pub(super) fn new(first: T, memory: Duration) -> Self {
        Self { all: vec![(Instant::now(), first)], memory }
    }

    /// From now on it is this.
    pub(super) fn set(&mut self, value: T) {
        let now = Instant::now();
        if self.all.last().is_none_or(|(_, last)| *last != value) {
            self.all.push((now, value));
        }
        let began_before = self.all.iter().rposition(|(since, _)| *since + self.memory <= now);
        self.all.drain(..began_before.unwrap_or(0));
    }

    /// What it is, and what it was within that time.
    pub(super) fn seen(&self) -> impl Iterator<Item = &T> {
        let now = Instant::now();
        let until = self.all.iter().skip(1).map(|(since, _)| Some(*since)).chain([None]);
        let all = self.all.iter().zip(until);
        all.filter(move |(_, until)| until.is_none_or(|until| until + self.memory >= now))
            .map(|((_, value), _)| value)
    }

    /// What it is.
    pub(super) fn last(&self) -> Option<&T> {
        self.all.last().map(|(_, value)| value)
    }
}
