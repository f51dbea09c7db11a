//! Jobs of theirs as Flows and runs: one Flow for those that were made of one `generateName` and are the
//! same, and a run for each that has not ended.

use super::job::{self, Made};
use super::parts::job_status;
use super::remark::Notes;
use super::theirs::{JobSpec, Object};
use super::{All, Ours, Translated, Written, labels};

/// How a job of theirs says that it has ended.
const ENDED: [&str; 2] = ["Successful", "Failed"];

/// A job, before it is known whether others are the same.
struct Read<'a> {
    job: &'a Object<JobSpec>,
    notes: Notes,
    made: Option<Made>,
}

impl All {
    pub(super) fn all_jobs(&self) -> Vec<Translated> {
        let read: Vec<Read<'_>> = self.jobs.iter().map(|job| self.read_job(job)).collect();
        read.iter().enumerate().map(|(at, one)| one.translated((at, &read))).collect()
    }

    fn read_job<'a>(&'a self, job: &'a Object<JobSpec>) -> Read<'a> {
        let mut notes = Notes::of(job.at);
        // Of this field something is said as a whole.
        let is_inside = |field: &str| field.starts_with("spec.cluster.metadata.");
        notes.all.extend(self.said_of(job.at).filter(|remark| !is_inside(&remark.field)));
        labels::say_left_out(&job.metadata, &mut notes);
        let parts = self.parts_of_job(job, &mut notes);
        let made = job::translate(job, parts, &mut notes).filter(|_| !notes.is_refused());
        Read { job, notes, made }
    }
}

impl Read<'_> {
    /// The namespace and the `generateName`, where it has one.
    fn family(&self) -> Option<(Option<&str>, &str)> {
        let metadata = &self.job.metadata;
        let generate_name = metadata.generate_name.as_deref().filter(|name| !name.is_empty())?;
        Some((metadata.namespace.as_deref(), generate_name))
    }

    fn has_ended(&self) -> bool {
        job_status(&self.job.status).is_some_and(|status| ENDED.contains(&status))
    }

    fn translated(&self, (at, all): (usize, &[Read<'_>])) -> Translated {
        let mut notes = Notes::of(self.job.at);
        notes.all.clone_from(&self.notes.all);
        let Some(made) = &self.made else {
            return super::refused(self.job.at, notes);
        };
        let family = self.family();
        let members: Vec<(usize, &Read<'_>)> = all
            .iter()
            .enumerate()
            .filter(|(_, other)| family.is_some() && other.family() == family)
            .collect();
        let is_same = members.iter().all(|(_, other)| other.made.as_ref() == Some(made));
        let first = members.first().filter(|(first, _)| is_same && *first < at).map(|(_, other)| *other);
        let shared = family.filter(|_| is_same).map(|(_, generate_name)| generate_name);
        let full = shared.unwrap_or(self.job.name()).trim_end_matches('-');
        let mut written = Vec::new();
        let flow = if let Some(first) = first {
            notes.all.clear();
            let flow = job::flow_name(full, &mut Notes::default());
            let message =
                format!("the Flow {flow} is written for the DaskJob {}, which is the same", first.job.name());
            notes.changed("metadata.generateName", "", message);
            flow
        } else {
            let flow = job::flow_name(full, &mut notes);
            if !is_same {
                let message = "other jobs of this generateName are not the same, so that each has a Flow of its own: where values \
                               alone differ, keep one Flow and give it parameters";
                notes.changed("metadata.generateName", "metadata.name", message);
            }
            let object = job::flow(self.job, made, &flow);
            written.push(Written { object: Ours::Flow(Box::new(object)), comment: None });
            flow
        };
        self.add_run(&flow, &mut written, &mut notes);
        let relies_on = first.map(|first| first.job.at);
        Translated { of: self.job.at, relies_on, written, remarks: notes.all }
    }

    /// Adds the run, unless the job has ended.
    fn add_run(&self, flow: &str, written: &mut Vec<Written>, notes: &mut Notes) {
        let status = job_status(&self.job.status);
        if self.has_ended() {
            let message = format!(
                "{}: the job has ended, so that no FlowRun is written, which would do its work once more: daskflow run {flow} \
                 starts one",
                status.unwrap_or_default()
            );
            return notes.changed("status.jobStatus", "", message);
        }
        let run = job::run(self.job, flow);
        let mut comment = if run.metadata.name.is_none() {
            "The job itself; each `kubectl create` is one. It cannot be applied, as it has no name yet."
                .to_owned()
        } else {
            "The job itself: another one is a FlowRun of another name.".to_owned()
        };
        if let Some(status) = status {
            comment = format!(
                "The job is at work (status.jobStatus: {status}): applied, this does its work once more, from the beginning. \
                 Leave it out where that is not wanted."
            );
        }
        written.push(Written { object: Ours::Run(Box::new(run)), comment: Some(comment) });
    }
}
