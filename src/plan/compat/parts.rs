//! The groups and the autoscalers of a cluster: of one that was given, or of one that is made for a job.

use serde_json::Value;

use super::cluster::Parts;
use super::remark::Notes;
use super::theirs::{ClusterSpec, Object, WorkerGroupSpec};
use super::{All, Translated, group, refused};

impl All {
    /// What belongs to the cluster that this object is, or that is made for it under its name. `notes` are of
    /// the object.
    pub(super) fn parts_of<S>(&self, object: &Object<S>, notes: &mut Notes) -> Parts<'_> {
        let mut groups: Vec<&Object<WorkerGroupSpec>> =
            self.groups.iter().filter(|group| belongs(object, group, group.spec.cluster_name())).collect();
        let default = group::default_name(object.name());
        let default_group = groups.iter().position(|group| group.name() == default);
        let default_group = default_group.map(|at| groups.remove(at));
        let mut autoscalers = self
            .autoscalers
            .iter()
            .filter(|autoscaler| belongs(object, autoscaler, autoscaler.spec.cluster_name()));
        let autoscaler = autoscalers.next();
        for second in autoscalers {
            let mut of_second = notes.beside(second.at, "", "");
            of_second
                .refused("spec.cluster", "the cluster has another DaskAutoscaler already: keep one of them");
            notes.take(of_second);
        }
        let parts = groups.iter().map(|group| group.at).chain(autoscaler.map(|autoscaler| autoscaler.at));
        parts.for_each(|at| notes.all.extend(self.said_of(at)));
        Parts { default_group, groups, autoscaler }
    }

    /// What belongs to the cluster that is made for a job, unless that is a cluster of its own. `notes` are
    /// of the job.
    pub(super) fn parts_of_job<S>(&self, job: &Object<S>, notes: &mut Notes) -> Parts<'_> {
        let is_own = |cluster: &Object<ClusterSpec>| {
            cluster.owner("DaskJob").is_none() && belongs(cluster, job, job.name())
        };
        // One without a name has no cluster yet.
        if job.metadata.name.is_none() || self.clusters.iter().any(is_own) {
            return Parts::default();
        }
        self.parts_of(job, notes)
    }

    /// What is said of parts whose cluster was not given.
    pub(super) fn lonely_parts(&self) -> Vec<Translated> {
        let groups = self.groups.iter().filter_map(|group| self.lonely(group, group.spec.cluster_name()));
        let autoscalers =
            self.autoscalers.iter().filter_map(|scaler| self.lonely(scaler, scaler.spec.cluster_name()));
        groups.chain(autoscalers).collect()
    }

    fn lonely<S>(&self, object: &Object<S>, cluster: &str) -> Option<Translated> {
        let given = self.clusters.iter().find(|other| belongs(other, object, cluster));
        let made_for = given.and_then(|cluster| cluster.owner("DaskJob"));
        let of_job = |job: &&Object<_>| job.metadata.name.is_some() && belongs(job, object, cluster);
        if (given.is_some() && made_for.is_none()) || self.jobs.iter().any(|job| of_job(&job)) {
            return None;
        }
        let mut notes = Notes::of(object.at);
        notes.all.extend(self.said_of(object.at));
        match made_for {
            // It was made with its cluster, and says nothing more.
            Some(job) if object.name() == group::default_name(cluster) => {
                let message = format!("left out: its cluster was made for the DaskJob {job}");
                notes.changed("spec.cluster", "", message);
            }
            Some(job) => notes.refused(
                "spec.cluster",
                format!(
                    "the DaskJob {job}, for which the DaskCluster {cluster} was made, is in none of the files: give it too, as \
                     this becomes a part of its Flow"
                ),
            ),
            None => notes.refused(
                "spec.cluster",
                format!(
                    "the DaskCluster {cluster} is in none of the files, in the same namespace, and no DaskJob {cluster} for \
                     which it is made: give it too, as this becomes a part of it"
                ),
            ),
        }
        Some(refused(object.at, notes))
    }
}

/// Whether an object that names a cluster is of the one that `owner` is, or that is made for it.
fn belongs<T, S>(owner: &Object<T>, object: &Object<S>, named: &str) -> bool {
    owner.name() == named && owner.is_beside(object)
}

/// How a job went, as a cluster printed it; none for one of a file.
pub(super) fn job_status(status: &Value) -> Option<&str> {
    status.get("jobStatus").and_then(Value::as_str).filter(|word| !word.is_empty())
}
