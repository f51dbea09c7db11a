//! What a scheduler may do wrong, at the door and in each answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// An operation that a scheduler is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Versions,
    Identity,
    Ncores,
    Processing,
    AdaptiveTarget,
    WorkersToClose,
    RetireWorkers,
    CheckIdle,
    DumpState,
    PrefixStates,
    Subscribe,
    Terminate,
    /// One that no scheduler has.
    Unknown,
    /// Not asked for: each further message of a subscription.
    Event,
}

/// Operations by their names.
const NAMES: [(&str, Operation); 12] = [
    ("versions", Operation::Versions),
    ("identity", Operation::Identity),
    ("ncores", Operation::Ncores),
    ("processing", Operation::Processing),
    ("adaptive_target", Operation::AdaptiveTarget),
    ("workers_to_close", Operation::WorkersToClose),
    ("retire_workers", Operation::RetireWorkers),
    ("check_idle", Operation::CheckIdle),
    ("dump_state", Operation::DumpState),
    ("get_task_prefix_states", Operation::PrefixStates),
    ("subscribe_worker_status", Operation::Subscribe),
    ("terminate", Operation::Terminate),
];

impl Operation {
    /// Those that every scheduler has.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(_, operation)| operation)
    }

    /// The operation of this name.
    pub fn of(name: &str) -> Self {
        NAMES.iter().find(|(known, _)| *known == name).map_or(Self::Unknown, |(_, operation)| *operation)
    }
}

/// What becomes of a connection that is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    #[default]
    Open,
    /// It is refused at once.
    Refuses,
    /// Nothing comes back, as when packets are dropped.
    Drops,
    /// It is taken, and no handshake is said.
    Mute,
    /// Whoever listens is no scheduler.
    Stranger,
    /// It is taken after this time.
    Late(Duration),
}

/// What goes wrong with one answer, or with one message of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The work is begun after this time; a retirement is begun at once and takes this long.
    Slow(Duration),
    /// The work is done at once, and the answer comes after this time.
    Late(Duration),
    /// Nothing is done and nothing is said, and the connection stays.
    Never,
    /// Nothing is done, and the connection ends.
    HangsUp,
    /// It is done, and the connection ends in place of the answer.
    Lost,
    /// It is done, and the connection ends in the middle of the answer.
    Cut,
    /// Nothing is done, and bytes come that are no message.
    Garbage,
    /// Nothing is done, and a message comes that is no such answer.
    Nonsense,
    /// Nothing is done; the operation failed, it says.
    Fails,
    /// Nothing is done; it has no such operation, it says.
    Lacks,
    /// Workers are named that do not exist, beside the others.
    NamesStrangers,
    /// No worker is named. What was asked for is done.
    NamesNone,
    /// Of a retirement: nothing is done, and all are said to have been retired.
    RetiresInWords,
    /// Of a retirement: nothing is done, and it says so.
    RetiresNone,
    /// Of a retirement: as many others go in place of those that were asked to.
    RetiresOthers,
}

/// The faults that a scheduler is to show.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Until they are taken away.
    pub(super) lasting: BTreeMap<Operation, Fault>,
    /// Each at the next answer of its operation only, before those that last.
    pub(super) once: VecDeque<(Operation, Fault)>,
}

impl Faults {
    /// What goes wrong with the next answer of this operation.
    pub(super) fn next(&mut self, operation: Operation) -> Option<Fault> {
        let first = self.once.iter().position(|(of, _)| *of == operation);
        let once = first.and_then(|index| self.once.remove(index)).map(|(_, fault)| fault);
        once.or_else(|| self.lasting.get(&operation).copied())
    }
}
