//! How many workers an autoscaled group is to have.
//!
//! The scheduler's target goes to the group "default"; a further group follows the amounts of its
//! `daskResources` that tasks ask for. A group grows at once, and shrinks to the most that was wanted within
//! `scaleDownAfter`: so a target that swings moves nothing, and one that stays moves it once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::group::Group;
use super::load::Target;
use super::observed::Observed;
use crate::api::worker_group::Autoscale;
use crate::plan::Next;
use crate::plan::pods::worker::DEFAULT_GROUP;

/// What a group was wanted to have, and since when.
type Demand = (Timestamp, usize);

/// Sets the sizes of all autoscaled groups. Where nobody knows what is wanted they stay as they are.
pub(super) fn size(groups: &mut [Group<'_>], observed: &Observed, now: Timestamp) {
    let registered: Option<Vec<usize>> = observed
        .scheduler
        .registered()
        .map(|registered| groups.iter().map(|group| group.registered(registered)).collect());
    let heard = observed.load.targets.iter().filter(|_| registered.is_some());
    let closed = observed
        .scheduler
        .registered()
        .map_or(0, |registered| groups.iter().map(|group| group.finishing(registered)).sum());
    let registered = registered.as_deref().unwrap_or_default();
    let by_time: Vec<(Timestamp, Vec<Option<usize>>)> =
        heard.map(|target| (target.at, shares(groups, (registered, closed), target))).collect();
    for (index, group) in groups.iter_mut().enumerate() {
        let Some(autoscale) = group.spec.and_then(|spec| spec.autoscale.as_ref()) else { continue };
        let bounds = Bounds::of(autoscale);
        let current = group.told.map_or(bounds.minimum, |told| usize::try_from(told.desired).unwrap_or(0));
        // What was not told counts as what there is.
        let share = |shares: &Vec<Option<usize>>| shares.get(index).copied().flatten().unwrap_or(current);
        // The scheduler is not asked for a target within a time that cannot be read: the size stays.
        let heard = by_time.iter().filter(|_| autoscale.target_duration.get().is_some());
        let demand: Vec<Demand> = heard.map(|(at, shares)| (*at, share(shares))).collect();
        (group.wanted, group.next) = decide(bounds, current, &demand, now);
        group.needed = bounds.minimum;
    }
}

/// Between what the size of a group moves, and how slowly it falls.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    minimum: usize,
    maximum: usize,
    /// For how long fewer workers must have been enough. None: that cannot be read; the group does not
    /// shrink.
    scale_down_after: Option<Duration>,
}

impl Bounds {
    fn of(autoscale: &Autoscale) -> Self {
        let (minimum, maximum) = (autoscale.minimum.size(), autoscale.maximum.size());
        Self { minimum: minimum.min(maximum), maximum, scale_down_after: autoscale.scale_down_after.get() }
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
    let Some(after) = bounds.scale_down_after else { return (current, Next::Change) };
    let lower = demand.iter().rev().take_while(|(_, workers)| bounds.clamp(*workers) < current);
    let lower_since = lower.last().map_or(now, |(at, _)| *at);
    match lower_since.checked_add(after) {
        Ok(due) if due > now => (current, Next::At(due)),
        _ => fall((bounds, after), demand, now),
    }
}

/// The most that was wanted within the window. It may fall further when the highest of it leaves the window.
fn fall((bounds, after): (Bounds, Duration), demand: &[Demand], now: Timestamp) -> (usize, Next) {
    let begin = now.checked_sub(after).unwrap_or(Timestamp::MIN);
    // A demand holds until the next one begins.
    let ends = demand.iter().skip(1).map(|(at, _)| *at).chain([Timestamp::MAX]);
    let within = demand.iter().zip(ends).filter(|(_, end)| *end > begin);
    let (workers, until) =
        within.fold((bounds.minimum, Timestamp::MAX), |(most, until), ((_, workers), end)| {
            let workers = bounds.clamp(*workers);
            if workers >= most { (workers, end) } else { (most, until) }
        });
    let next = until.checked_add(after).map_or(Next::Change, Next::At);
    (workers, next)
}

/// How many workers each group should have for `target`, in the order of `groups`; `registered`: how many it
/// has, and how many of all groups are closed to new tasks besides. None where nobody knows.
fn shares(
    groups: &[Group<'_>],
    (registered, closed): (&[usize], usize),
    target: &Target,
) -> Vec<Option<usize>> {
    let mut left = target.resources.clone();
    let mut shares: Vec<Option<usize>> =
        groups.iter().map(|group| left.as_mut().and_then(|left| take(group, left))).collect();
    let of_default = share_of_default(groups, (registered, closed), &shares, target);
    for (_, share) in groups.iter().zip(&mut shares).filter(|(group, _)| group.name == DEFAULT_GROUP) {
        *share = Some(of_default);
    }
    shares
}

/// The scheduler's target counts the workers of all groups, and the tasks that only some of them can run.
/// What is lacking goes to the default group, less what groups with resources will get; what there is too
/// much leaves it, less what those groups are at work on. The default group does not grow by that: while its
/// workers are replaced there are more of them than wanted. It counts workers that are closed to new tasks as
/// well, which nobody is to replace for that.
fn share_of_default(
    groups: &[Group<'_>],
    (registered, closed): (&[usize], usize),
    shares: &[Option<usize>],
    target: &Target,
) -> usize {
    let target = usize::try_from(target.workers).unwrap_or(usize::MAX);
    let of_all = registered.iter().sum::<usize>() + closed;
    let of_default: usize = groups
        .iter()
        .zip(registered)
        .filter(|(group, _)| group.name == DEFAULT_GROUP)
        .map(|(_, registered)| registered)
        .sum();
    let elsewhere =
        registered.iter().zip(shares).filter_map(|(registered, share)| Some((*registered, (*share)?)));
    if target >= of_all {
        let coming: usize = elsewhere.map(|(registered, share)| share.saturating_sub(registered)).sum();
        of_default.saturating_add((target - of_all).saturating_sub(coming))
    } else {
        let at_work: usize = elsewhere.map(|(registered, share)| share.min(registered)).sum();
        let told = groups.iter().find(|group| group.name == DEFAULT_GROUP).and_then(|group| group.told);
        let wanted = told.map_or(usize::MAX, |told| usize::try_from(told.desired).unwrap_or(0));
        target.saturating_sub(at_work).min(of_default).min(wanted)
    }
}

/// How many workers of this group supply what is left to be supplied, which becomes less by it. None for a
/// group without resources.
fn take(group: &Group<'_>, left: &mut BTreeMap<String, f64>) -> Option<usize> {
    let spec = group.spec.filter(|spec| group.name != DEFAULT_GROUP && !spec.dask_resources.is_empty())?;
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
    Some(needed.min(workers))
}

#[cfg(test)]
mod tests;
