//! What becomes of a cluster when nothing happens any more.

use std::collections::BTreeMap;

use daskflow::api::DaskCluster;
use daskflow::api::dask_cluster::{IdleAction, Rollout};
use daskflow::plan::pods::{scheduler, worker};

use super::{Clusters, bounds, group_of, law};

/// The sizes of autoscaled groups under one target: none grows again after it fell.
#[derive(Default)]
pub(super) struct Sizes {
    /// The last size of each group, and whether it fell.
    last: BTreeMap<String, (i32, bool)>,
}

impl Sizes {
    pub(super) fn note(&mut self, cluster: &DaskCluster) -> Result<(), String> {
        let Some(status) = &cluster.status else { return Ok(()) };
        if cluster.spec.suspend || status.idle.as_ref().is_some_and(|idle| idle.asleep) {
            self.last.clear();
            return Ok(());
        }
        for told in &status.groups {
            let scales = group_of(&cluster.spec, &told.name).is_some_and(|group| group.autoscale.is_some());
            if !scales {
                self.last.remove(&told.name);
                continue;
            }
            let (last, fell) = self.last.get(&told.name).copied().unwrap_or((told.desired, false));
            law(told.desired <= last || !fell, || {
                format!("{} fell to {last} and grows to {}", told.name, told.desired)
            })?;
            self.last.insert(told.name.clone(), (told.desired, fell || told.desired < last));
        }
        Ok(())
    }
}

impl Clusters {
    /// It is as wanted.
    pub(in crate::operator::laws) fn at_rest(&self) -> Result<(), String> {
        let Some(Some(spec)) = self.spec.last() else {
            return law(self.pods.is_empty(), || format!("pods without a cluster: {:?}", self.pods));
        };
        let is_asleep = self.asleep.last() == Some(&true);
        let action = spec.idle.as_ref().map(|idle| idle.action).filter(|_| is_asleep);
        if spec.suspend || action == Some(IdleAction::Suspend) {
            return law(self.pods.is_empty(), || format!("pods of a suspended cluster: {:?}", self.pods));
        }
        let told = self.status["groups"].as_array().cloned().unwrap_or_default();
        let state = self.scheduler().ok_or("no scheduler runs at rest")?;
        let more = spec.worker_groups.iter().map(|group| group.name.as_str());
        let mut serving = 0;
        for group in [worker::DEFAULT_GROUP].into_iter().chain(more) {
            let Some(workers) = group_of(spec, group) else { continue };
            let told = told.iter().find(|told| told["name"] == group);
            let wanted = told.and_then(|told| told["desired"].as_u64()).ok_or("a group without a size")?;
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            let (least, most) = if is_asleep { (0, 0) } else { bounds(Some(workers)) };
            law((least..=most).contains(&wanted), || {
                format!("{group} is to have {wanted} of {least} to {most}")
            })?;
            let pods: Vec<_> =
                self.pods.iter().filter(|(_, pod)| pod.group == group && !pod.is_scheduler).collect();
            let running = pods.iter().filter(|(_, pod)| pod.runs && !pod.is_over).count();
            let registered = pods.iter().filter(|(name, _)| state.workers.contains_key(*name)).count();
            law([pods.len(), running, registered] == [wanted; 3], || {
                format!("{group} has {} pods, {running} run, {registered} work, of {wanted}", pods.len())
            })?;
            serving += registered;
            let hash = worker::template_hash(spec, workers, None);
            let outdated = pods.iter().find(|(_, pod)| pod.hash != hash);
            law(outdated.is_none(), || format!("{outdated:?} is outdated"))?;
        }
        let ready = self.status.pointer("/workers/ready").and_then(serde_json::Value::as_u64);
        law(ready.and_then(|ready| usize::try_from(ready).ok()) == Some(serving), || {
            format!("{ready:?} workers are told to be ready of {serving}")
        })?;
        let known = |group: &str| group_of(spec, group).is_some();
        let strange = self.pods.values().find(|pod| !pod.is_scheduler && !known(&pod.group));
        law(strange.is_none(), || format!("{strange:?} is of no group"))?;
        let hash = scheduler::template_hash(spec, None);
        let is_outdated = self.pods.values().any(|pod| pod.is_scheduler && pod.hash != hash);
        let is_used =
            !state.clients.is_empty() || !state.is_idle() || self.runs.last() != Some(&(false, false));
        law(!is_outdated || (is_used && spec.rollout == Rollout::WhenIdle), || {
            "nobody uses the outdated scheduler".to_owned()
        })
    }
}
