//! The phases of a run as marks.

use super::tree::{Mark, Tone};
use crate::api::Phase;

/// The mark of a run in this phase.
pub fn mark(phase: Phase) -> Mark {
    let (sign, tone) = match phase {
        Phase::Queued => ('◷', Tone::Waiting),
        Phase::Provisioning => ('◔', Tone::Waiting),
        Phase::Running => ('●', Tone::Working),
        Phase::Retrying => ('↻', Tone::Waiting),
        Phase::Succeeded => ('✔', Tone::Good),
        Phase::Failed => ('✖', Tone::Bad),
        Phase::TimedOut => ('⏱', Tone::Bad),
        Phase::Cancelled => ('⊘', Tone::Plain),
        Phase::Skipped => ('○', Tone::Plain),
    };
    Mark { sign, tone }
}
