//! What a plan rests on that a cache may not know: what the API server, or a Dask scheduler, has to be asked
//! for before the plan may be carried out.
//!
//! Each object is planned from the caches first. A plan says what it rests on, in the same form for all
//! kinds; where that is anything, exactly that is looked at live, and the object is planned once more. The
//! second plan is carried out if it rests on nothing else, and not at all otherwise. Why it is so:
//! `docs/adr/0043-a-plan-says-what-it-wants.md`.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of what may be looked at live. Where it holds anything it holds [`Wants::OBJECT`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Wants(u16);

impl Wants {
    /// The caches will do.
    pub const NOTHING: Self = Self(0);
    /// The object itself: one GET.
    pub const OBJECT: Self = Self(1);
    /// Its pods: one list. Those of a cluster, or all runners of a run.
    pub const PODS: Self = Self(1 << 1);
    /// Runs: one list. Those of a Flow, or all of a cluster's namespace.
    pub const RUNS: Self = Self(1 << 2);
    /// The Flow that it is of: one GET.
    pub const FLOW: Self = Self(1 << 3);
    /// The Job of a run's attempt: one GET where no cache has it.
    pub const JOB: Self = Self(1 << 4);
    /// The Secrets of a cluster with TLS: up to three GETs.
    pub const SECRETS: Self = Self(1 << 5);
    /// From the scheduler: which workers are registered, and which of them it would close.
    pub const WORKERS: Self = Self(1 << 6);
    /// From the scheduler: how many tasks lie with each worker, and whether one can be closed to new ones.
    pub const BUSY: Self = Self(1 << 7);
    /// From the scheduler: whether it is idle, and which clients it has.
    pub const ACTIVITY: Self = Self(1 << 8);
    /// All that there is.
    pub const ALL: Self = Self((1 << 9) - 1);

    /// The names of what a set may hold, in the order of its bits.
    const NAMES: [&str; 9] =
        ["object", "pods", "runs", "flow", "job", "secrets", "workers", "busy", "activity"];

    /// What is in either set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in the other one.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of the other set is in this one.
    pub const fn covers(self, other: Self) -> bool {
        other.without(self).is_nothing()
    }

    /// Whether nothing is in it.
    pub const fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Wants {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl BitOrAssign for Wants {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.and(other);
    }
}

impl fmt::Debug for Wants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |place: &usize| self.0 & (1 << *place) != 0;
        let names = Self::NAMES.iter().enumerate().filter(|(place, _)| has(place)).map(|(_, name)| *name);
        formatter.write_str(&names.collect::<Vec<_>>().join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_covers_its_parts() {
        let all = Wants::OBJECT | Wants::RUNS;
        assert!(all.covers(Wants::RUNS) && all.covers(Wants::NOTHING) && all.covers(all));
        assert!(!all.covers(Wants::PODS) && !Wants::NOTHING.covers(all) && Wants::ALL.covers(all));
        assert_eq!(all.without(Wants::OBJECT), Wants::RUNS);
        assert!(all.without(Wants::ALL).is_nothing());
    }

    #[test]
    fn a_set_is_written_with_the_names_of_its_parts() {
        assert_eq!(format!("{:?}", Wants::OBJECT | Wants::ACTIVITY), "object+activity");
        assert_eq!(format!("{:?}", Wants::ALL).split('+').count(), Wants::NAMES.len());
        assert_eq!(format!("{:?}", Wants::NOTHING), "");
    }
}
