//! How many workers an autoscaled group is to have.
//!
//! The scheduler's target goes to the group "default"; a further group follows the amounts of its `daskResources` that
//! tasks ask for. A group grows at once, and shrinks to the most that was wanted within `scaleDownAfter`: so a
//! target that swings moves nothing, and one that stays moves it once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::Observed;
use super::groups::Group;
use super::load::Target;
use crate::api::worker_group::Autoscale;
use crate::plan::Next;
use crate::plan::pods::worker::DEFAULT_GROUP;
use crate::plan::schedule::parse_duration;

/// `scaleDownAfter` where it is none, which the schema does not let happen.
const SCALE_DOWN_AFTER: Duration = Duration::from_secs(60);

/// What a group was wanted to have, and since when.
type Demand = (Timestamp, usize);

/// For how long fewer workers must have been enough.
pub(super) fn scale_down_after(autoscale: &Autoscale) -> Duration {
    parse_duration(&autoscale.scale_down_after).unwrap_or(SCALE_DOWN_AFTER)
}

/// Sets the sizes of all autoscaled groups.
pub(super) fn size(groups: &mut [Group<'_>], observed: &Observed, now: Timestamp) {
    let demands: Vec<Vec<Demand>> = {
        let registered = Registered::count(groups, observed);
        let by_time =
            observed.load.targets.iter().map(|target| (target.at, shares(groups, registered, target)));
        let by_time: Vec<(Timestamp, Vec<usize>)> = by_time.collect();
        let of_group = |index: usize| {
            by_time.iter().filter_map(move |(at, shares)| Some((*at, *shares.get(index)?))).collect()
        };
        (0..groups.len()).map(of_group).collect()
    };
    for (group, demand) in groups.iter_mut().zip(demands) {
        let Some(autoscale) = group.spec.and_then(|spec| spec.autoscale.as_ref()) else { continue };
        let bounds = Bounds::of(autoscale);
        let current = group.told.map_or(bounds.minimum, |told| usize::try_from(told.desired).unwrap_or(0));
        (group.wanted, group.next) = decide(bounds, current, &demand, now);
        group.needed = bounds.minimum;
    }
}

/// Between what the size of a group moves, and how slowly it falls.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    minimum: usize,
    maximum: usize,
    scale_down_after: Duration,
}

impl Bounds {
    fn of(autoscale: &Autoscale) -> Self {
        let count = |count: i32| usize::try_from(count).unwrap_or(0);
        let (minimum, maximum) = (count(autoscale.minimum), count(autoscale.maximum));
        Self { minimum: minimum.min(maximum), maximum, scale_down_after: scale_down_after(autoscale) }
    }

    fn clamp(self, workers: usize) -> usize {
        workers.clamp(self.minimum, self.maximum)
    }
}

/// The size, and when it may fall.
fn decide(bounds: Bounds, current: usize, demand: &[Demand], now: Timestamp) -> (usize, Next) {
    let current = bounds.clamp(current);
    let Some((_, latest)) = demand.last() else { return (current, Next::Change) };
    let latest = bounds.clamp(*latest);
    if latest >= current {
        return (latest, Next::Change);
    }
    let lower = demand.iter().rev().take_while(|(_, workers)| bounds.clamp(*workers) < current);
    let lower_since = lower.last().map_or(now, |(at, _)| *at);
    match lower_since.checked_add(bounds.scale_down_after) {
        Ok(due) if due > now => (current, Next::At(due)),
        _ => fall(bounds, demand, now),
    }
}

/// The most that was wanted within the window. It may fall further when the highest of it leaves the window.
fn fall(bounds: Bounds, demand: &[Demand], now: Timestamp) -> (usize, Next) {
    let begin = now.checked_sub(bounds.scale_down_after).unwrap_or(Timestamp::MIN);
    // A demand holds until the next one begins.
    let ends = demand.iter().skip(1).map(|(at, _)| *at).chain([Timestamp::MAX]);
    let within = demand.iter().zip(ends).filter(|(_, end)| *end > begin);
    let (workers, until) =
        within.fold((bounds.minimum, Timestamp::MAX), |(most, until), ((_, workers), end)| {
            let workers = bounds.clamp(*workers);
            if workers >= most { (workers, end) } else { (most, until) }
        });
    let next = until.checked_add(bounds.scale_down_after).map_or(Next::Change, Next::At);
    (workers, next)
}

/// How many workers each group should have for `target`, in the order of `groups`.
fn shares(groups: &[Group<'_>], registered: Registered, target: &Target) -> Vec<usize> {
    let mut left = target.resources.clone();
    let share = |group: &Group<'_>| {
        if group.name == DEFAULT_GROUP {
            share_of_default(registered, target)
        } else {
            take(group, &mut left)
        }
    };
    groups.iter().map(share).collect()
}

/// Workers that are registered now. A scheduler that does not answer counts none.
#[derive(Clone, Copy, Debug)]
struct Registered {
    of_default: usize,
    of_all: usize,
}

impl Registered {
    fn count(groups: &[Group<'_>], observed: &Observed) -> Self {
        let none = BTreeSet::new();
        let registered = observed.scheduler.registered().unwrap_or(&none);
        let count = |group: &Group<'_>| group.registered(registered);
        let of_default = groups.iter().filter(|group| group.name == DEFAULT_GROUP).map(count).sum();
        Self { of_default, of_all: groups.iter().map(count).sum() }
    }
}

/// The scheduler's target counts the workers of all groups: what they lack goes to the default group, and what
/// they have too much leaves it.
fn share_of_default(Registered { of_default, of_all }: Registered, target: &Target) -> usize {
    let target = usize::try_from(target.workers).unwrap_or(usize::MAX);
    if target >= of_all { of_default.saturating_add(target - of_all) } else { target.min(of_default) }
}

/// How many workers of this group supply what is left to be supplied, which becomes less by it.
fn take(group: &Group<'_>, left: &mut BTreeMap<String, f64>) -> usize {
    let Some(spec) = group.spec else { return 0 };
    let supplied = spec.dask_resources.iter().filter(|(_, amount)| **amount > 0.0);
    let needed = supplied.clone().filter_map(|(name, amount)| Some(left.get(name)? / amount));
    let needed = needed.fold(0.0, f64::max).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    let needed = needed as usize;
    let workers = match &spec.autoscale {
        Some(autoscale) => Bounds::of(autoscale).clamp(needed),
        None => spec.fixed_size(),
    };
    for (name, amount) in supplied {
        if let Some(rest) = left.get_mut(name) {
            #[allow(clippy::cast_precision_loss, reason = "there are 10,000 workers at the most")]
            let covered = amount * workers as f64;
            *rest = (*rest - covered).max(0.0);
        }
    }
    needed.min(workers)
}

#[cfg(test)]
#[path = "autoscale_tests.rs"]
mod tests;
