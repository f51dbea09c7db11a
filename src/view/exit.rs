//! The exit code of a run, the same for whoever waits for one: `docs/commands.md` has it as a table.

use crate::api::{FlowRunStatus, Phase};

/// A run that failed without an exit code of its own, such as one whose cluster did not become ready.
pub const FAILED: u8 = 1;
/// A run that took too long, as `timeout(1)` has it.
pub const TIMED_OUT: u8 = 124;
/// A run that was cancelled: that of a program which Ctrl-C has ended.
pub const CANCELLED: u8 = 130;
/// A run that was given up before it started: to be tried later, as `sysexits.h` has it.
pub const SKIPPED: u8 = 75;

/// The exit code for a run that has ended; of one that has not, that of a failed one.
pub fn code(status: &FlowRunStatus) -> u8 {
    match status.phase {
        Phase::Succeeded => 0,
        Phase::TimedOut => TIMED_OUT,
        Phase::Cancelled => CANCELLED,
        Phase::Skipped => SKIPPED,
        _ => {
            let own = status.exit_code.and_then(|code| u8::try_from(code).ok());
            own.filter(|code| *code != 0).unwrap_or(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_run_has_its_own_code_and_other_ends_have_one_each() {
        let of = |phase, exit_code| code(&FlowRunStatus { phase, exit_code, ..FlowRunStatus::default() });
        assert_eq!(of(Phase::Succeeded, Some(0)), 0);
        assert_eq!(of(Phase::Failed, Some(3)), 3);
        assert_eq!(of(Phase::Failed, Some(137)), 137);
        for lost in [None, Some(0), Some(-1), Some(256)] {
            assert_eq!(of(Phase::Failed, lost), FAILED, "{lost:?}");
        }
        assert_eq!(of(Phase::TimedOut, Some(143)), TIMED_OUT);
        assert_eq!(of(Phase::Cancelled, Some(143)), CANCELLED);
        assert_eq!(of(Phase::Skipped, None), SKIPPED);
        assert_eq!(of(Phase::Running, None), FAILED);
    }
}
