//! Behaviour that looks like an anomaly, and that the documentation has.

use super::findings::{Fault, Finding};

/// The base, the field, and what is found; an empty base or field is any.
struct Exception {
    kind: &'static str,
    bases: &'static [&'static str],
    leaf: &'static str,
    fault: fn(&Fault) -> bool,
    why: &'static str,
}

const EXCEPTIONS: [Exception; 7] = [
    Exception {
        kind: "FlowBackfill",
        bases: &["goes"],
        leaf: "spec.parallelism",
        fault: |fault| matches!(fault, Fault::NotAsBefore(why) if !why.contains("condition")),
        why: "runs that exist go on when parallelism becomes smaller: docs/backfill.md",
    },
    Exception {
        kind: "FlowRun",
        bases: &[],
        leaf: "spec",
        fault: |fault| matches!(fault, Fault::Unnamed(why) if why.contains("only cancel and suspend may be set")),
        why: "what a FlowRun runs cannot change, and the rule names what can: docs/runs.md",
    },
    Exception {
        kind: "FlowRun",
        bases: &[],
        leaf: "spec.cancel",
        fault: |fault| matches!(fault, Fault::NoWayBack(_)),
        why: "cancel cannot be taken back: docs/runs.md, and the rule says so",
    },
    Exception {
        kind: "DaskCluster",
        bases: &[],
        leaf: "spec.tls",
        fault: |fault| matches!(fault, Fault::NotAsBefore(why) if !why.contains("condition")),
        why: "the Secrets of an authority stay as long as the DaskCluster: docs/tls.md",
    },
    Exception {
        kind: "Flow",
        bases: &["waits", "queued", "works"],
        leaf: "spec.timeout",
        fault: ends_runs,
        why: "a timeout that has passed ends the run: docs/runs.md",
    },
    Exception {
        kind: "Flow",
        bases: &["waits", "queued", "works"],
        leaf: "spec.deadline",
        fault: ends_runs,
        why: "a deadline that has passed ends the run: docs/runs.md",
    },
    Exception {
        kind: "FlowBackfill",
        bases: &["held"],
        leaf: "spec.suspend",
        fault: |fault| matches!(fault, Fault::NotAsBefore(_)),
        why: "the runs that were started go on: docs/backfill.md",
    },
];

fn ends_runs(fault: &Fault) -> bool {
    matches!(fault, Fault::NotAsBefore(why) if why.contains("runs:"))
}

/// Why a finding is as documented, if it is.
pub fn exception(finding: &Finding) -> Option<&'static str> {
    let is_of = |exception: &&Exception| {
        finding.kind == exception.kind
            && (exception.bases.is_empty() || exception.bases.contains(&finding.base.as_str()))
            && finding.leaf.starts_with(exception.leaf)
            && (exception.fault)(&finding.fault)
    };
    EXCEPTIONS.iter().find(is_of).map(|exception| exception.why)
}
