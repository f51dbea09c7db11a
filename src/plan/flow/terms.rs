//! What a Flow says of its runs: when they start, how many at once, and which gives way.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::count::Count;
use crate::api::flow::{CatchUpPolicy, Concurrency};
use crate::api::{Flow, FlowRun, FlowSpec};
use crate::plan::facts::{is_backfill, is_tick};
use crate::plan::names;

/// How much later than its ticks a Flow starts its runs: its share of `jitter`, in whole seconds, drawn from
/// its name.
pub(in crate::plan) fn offset(flow: &Flow) -> Duration {
    let jitter = flow.spec.schedule.as_ref().and_then(|schedule| schedule.jitter.as_ref()?.get());
    let Some(jitter) = jitter else { return Duration::ZERO };
    let name = format!("{}/{}", flow.namespace().unwrap_or_default(), flow.name_any());
    let drawn = u64::from_str_radix(&names::short_hash(&name, 8), 16).unwrap_or(0);
    // The jitter itself is one of the times that can be drawn.
    Duration::from_secs(drawn.checked_rem(jitter.as_secs().saturating_add(1)).unwrap_or(0))
}

/// When the Flow starts a tick: at its time, and later by the Flow's share of `jitter`.
pub(in crate::plan) fn start_of(flow: &Flow, tick: Timestamp) -> Timestamp {
    tick.checked_add(offset(flow)).unwrap_or(tick)
}

/// How many runs may be active at once; without a number, any.
pub(in crate::plan) fn places(spec: &FlowSpec) -> Option<usize> {
    match spec.concurrency {
        Concurrency::Allow => None,
        Concurrency::Forbid | Concurrency::Replace => Some(1),
        Concurrency::Queue => Some(spec.max_active.map_or(1, Count::size)),
    }
}

/// Whether a run waits because its Flow is suspended: a tick does that has not begun.
pub(in crate::plan) fn is_held_by_suspension(flow: &Flow, run: &FlowRun) -> bool {
    flow.spec.suspend && is_tick(run) && !has_begun(run)
}

/// Whether a run was let through once.
pub(super) fn has_begun(run: &FlowRun) -> bool {
    run.status.as_ref().is_some_and(|status| status.admitted_at.is_some())
}

/// Whether a run that waits gives way to a newer one of its kind ([`Newest`](crate::plan::newest::Newest)):
/// under `Forbid` a tick does, as under a CronJob that forbids overlap, and under `Replace` any run but a
/// backfill's. Where all missed ticks are to run, none does.
pub(in crate::plan) fn gives_way(spec: &FlowSpec, run: &FlowRun) -> bool {
    match spec.concurrency {
        Concurrency::Allow | Concurrency::Queue => false,
        Concurrency::Forbid => is_tick(run) && spec.catch_up.policy != CatchUpPolicy::All,
        Concurrency::Replace => !is_backfill(run),
    }
}
