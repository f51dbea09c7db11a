//! What may happen in the model, and what must not.

use std::time::Duration;

use daskflow::plan::lease::{Loss, Timing};

/// What may happen in one exploration.
#[derive(Clone, Debug)]
pub struct Rules {
    pub timing: Timing,
    /// By how much each candidate's clock goes on in a tick.
    pub clocks: Vec<Duration>,
    pub troubles: Troubles,
    pub planted: Planted,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Troubles {
    /// So many [troubles](Event::is_trouble) in a history, each for as long as it likes.
    Any(u8),
    /// The first candidate leads, and each of its requests is answered after so many ticks at the latest,
    /// however they are divided, but for one mishap. Those of the others are answered at once.
    LateBy(u8, Mishap),
}

/// What happens once to one of the leader's requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mishap {
    Nothing,
    /// It gets lost, or its answer does.
    Loss,
    /// It arrives twice, and the second answer is handed on.
    Doubling,
}

/// A fault that the model has to find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Planted {
    Nothing,
    /// Writes do not say which version they rest on.
    NoVersion,
    /// A claim counts from the answer to a renewal.
    CountsFromAnswer,
    /// A Lease with its own name is as good as a renewal to a candidate.
    TrustsItsName,
    /// Each request is waited for, for ever, before anything else is asked.
    Waits,
    /// A request is given up as soon as patience is over.
    GivesUp,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A process does what it has to, and what it asks for is answered at once.
    Acts(usize),
    /// The same, and what it asks for is slow.
    AsksSlowly(usize),
    /// A process is stopped before it decides.
    StopsBefore(usize),
    /// A process is stopped when it has decided to write, and before it does.
    StopsAfter(usize),
    GoesOn(usize),
    /// The slow request of this index arrives.
    Arrives(usize),
    /// It arrives twice, and the second answer is handed on.
    ArrivesTwice(usize),
    IsAnswered(usize),
    /// It gets lost, or its answer does, and the process does not learn of it.
    GetsLost(usize),
    /// Its connection breaks. A write that has not arrived still may.
    Breaks(usize),
    /// A process is killed and starts anew.
    Dies(usize),
    /// A process is killed for good.
    Ends(usize),
    /// A process is asked to stop, and starts anew when it has.
    Retires(usize),
    /// Somebody else writes the Lease, without a change that matters.
    Touched,
    /// A tick passes.
    Passes,
}

impl Event {
    /// Whether it is a trouble. What becomes of a slow request, or when a process goes on, is part of one.
    pub fn is_trouble(self) -> bool {
        let is_of_process = matches!(self, Self::Dies(_) | Self::Ends(_) | Self::Retires(_));
        let may_last = matches!(self, Self::AsksSlowly(_) | Self::StopsBefore(_) | Self::StopsAfter(_));
        is_of_process || may_last || matches!(self, Self::Touched)
    }
}

/// What must not be.
#[derive(Debug, PartialEq)]
pub enum Fault {
    TwoLead,
    /// A leader has ended, although its answers came in time.
    Lost(Loss),
}
