//! How workers leave.

use std::collections::BTreeSet;
use std::time::Duration;

use daskflow::api::worker_group::Drain;
use jiff::{SignedDuration, Timestamp};

use super::{Clusters, bounds, group_of, law};
use crate::dask::{Order, SchedulerState, Wish};

impl Clusters {
    /// Whoever was let go leaves its group with no less than is wanted.
    pub(super) fn leave_lawfully(
        &self,
        before: &SchedulerState,
        state: &SchedulerState,
    ) -> Result<(), String> {
        // Which others a scheduler lets go is its own doing, as is what ends beside.
        if self.unclear.others || self.ended.seen().count() > 1 {
            return Ok(());
        }
        let new = state.let_go.difference(&before.let_go);
        let groups: BTreeSet<&str> =
            new.filter_map(|name| Some(self.pods.get(name)?.group.as_str())).collect();
        for group in groups {
            let serving = |state: &SchedulerState| {
                let counts = |name: &&String| {
                    self.pods.get(*name).is_some_and(|pod| pod.group == group && !pod.is_closed)
                };
                state.workers.keys().filter(counts).count()
            };
            let wanted = self.spec.seen().flatten().map(|spec| bounds(group_of(spec, group)).0).min();
            let is_asleep = self.asleep.seen().any(|asleep| *asleep);
            let wanted = if is_asleep { 0 } else { wanted.unwrap_or_default() };
            let (was, is) = (serving(before), serving(state));
            law(is >= was.min(wanted), || {
                format!("the group {group} serves with {is} after {was}, and {wanted} are wanted")
            })?;
        }
        Ok(())
    }

    /// No worker with tasks is asked to go before its time, and none is closed that is not written down as
    /// leaving.
    pub(super) fn are_asked_lawfully(
        &self,
        before: &SchedulerState,
        orders: &[Order],
        now: Timestamp,
    ) -> Result<(), String> {
        for order in orders.iter().filter(|order| order.id == before.id) {
            for name in &order.names {
                match order.wish {
                    Wish::Retire => self.may_retire(before, name, now)?,
                    Wish::Close => {
                        let is_told = self.pods.get(name).is_none_or(|pod| pod.is_closed);
                        law(is_told, || format!("{name} is closed, and nothing tells of it"))?;
                    }
                    Wish::RetireTheIdle => return Err("whoever is idle is asked to go".to_owned()),
                }
            }
        }
        Ok(())
    }

    /// What lies with a closed worker and had not begun when it was closed never begins there: a worker is
    /// waited for as long as it runs something.
    fn may_retire(&self, before: &SchedulerState, name: &str, now: Timestamp) -> Result<(), String> {
        let is_busy = before.workers.get(name).is_some_and(|worker| worker.running() > 0);
        let Some(pod) = self.pods.get(name).filter(|_| is_busy && !self.unclear.clocks) else {
            return Ok(());
        };
        let timeout = |spec: &daskflow::api::DaskClusterSpec| {
            let group = group_of(spec, &pod.group).filter(|group| group.drain == Drain::Wait)?;
            let written = group.drain_timeout.as_ref().and_then(daskflow::api::duration::Written::get);
            Some(written.unwrap_or(Duration::from_secs(3600)))
        };
        // Of what was so a moment ago, the least that was asked for.
        let all: Option<Vec<Duration>> = self.spec.seen().map(|spec| timeout(spec.as_ref()?)).collect();
        let Some(least) = all.and_then(|all| all.into_iter().min()) else { return Ok(()) };
        let least = SignedDuration::try_from(least).unwrap();
        let until = pod.draining_since.and_then(|since| since.checked_add(least).ok());
        law(until.is_some_and(|until| until <= now), || {
            format!("{name} has tasks, had until {until:?}, and is asked to go at {now}")
        })
    }
}
