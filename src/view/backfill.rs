//! What a backfill would do, in words.

use super::counted;
use crate::plan::backfill::{Does, Foreseen};

/// How many ticks there are, and what becomes of them, such as `3 ticks, 2 to run, 1 left out`.
pub fn summary(ticks: &[Foreseen]) -> String {
    let does = |wanted: &[Does]| ticks.iter().filter(|tick| wanted.contains(&tick.does)).count();
    let mut words = vec![counted(ticks.len(), "tick")];
    for (count, word) in [
        (does(&[Does::Runs, Does::RunsAnew, Does::RunsUnrecorded]), "to run"),
        (does(&[Does::LeavesOut]), "left out"),
        (does(&[Does::AwaitsRun]), "with a run to wait for"),
        (does(&[Does::AwaitsTime]), "ahead"),
    ] {
        words.extend((count > 0).then(|| format!("{count} {word}")));
    }
    words.join(", ")
}
