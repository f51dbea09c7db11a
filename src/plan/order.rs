//! How the steps of a plan go: in their order, which are carried out side by side, and which are left out
//! after one was refused.
//!
//! What a full quota refuses stops no step that frees room, and what the API server refuses for one part,
//! such as a group of workers or a run, stops no other part. Whatever else fails ends the plan, and so does a
//! Service of another's under the name of ours: that may select our pods, and its clients would reach them.

use k8s_openapi::api::core::v1::Pod;

use super::part::Part;
use super::pods::state;
use super::{Object, Step, VictimKind};
use crate::api::labels;

/// Why a step was not carried out, where that says nothing of the steps that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The namespace's quota has no room.
    Quota,
    /// Another's object has the name.
    Name,
    /// What the step asks for is refused, and nothing else.
    Part,
}

/// What follows from a step that was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The steps that need no room go on, and may make some.
    AwaitRoom,
    /// The steps for other parts go on.
    LeaveOut,
    /// None goes on.
    End,
}

/// The steps of a plan that were refused so far.
#[derive(Debug, Default)]
pub struct Refusals<'a> {
    steps: Vec<&'a Step>,
    has_no_room: bool,
}

impl<'a> Refusals<'a> {
    /// Whether the step would be in vain.
    pub fn stop(&self, step: &Step) -> bool {
        self.steps.iter().any(|refused| step.needs(refused)) || (self.has_no_room && step.needs_room())
    }

    /// Takes in that a step was not carried out, for this reason or, without one, for any other.
    pub fn add(&mut self, step: &'a Step, refusal: Option<Refusal>) -> Then {
        match refusal {
            Some(Refusal::Quota) if step.wants_room() => {
                self.has_no_room = true;
                Then::AwaitRoom
            }
            Some(Refusal::Name) if step.part() == Some(Part::Service) => Then::End,
            Some(_) if step.part().is_some() => {
                self.steps.push(step);
                Then::LeaveOut
            }
            _ => Then::End,
        }
    }
}

impl Step {
    /// Whether the step is carried out at the same time as the one before it, `first`: both create workers of
    /// one group, or both delete a pod.
    pub fn is_beside(&self, first: &Self) -> bool {
        let deletes = |step: &Self| matches!(step, Self::Delete(victim) if victim.kind == VictimKind::Pod);
        let creates = |step: &Self| step.new_worker().is_some();
        (creates(self) && creates(first) && self.part() == first.part()) || (deletes(self) && deletes(first))
    }

    /// The pod that the step creates, if it does.
    fn new_pod(&self) -> Option<&Pod> {
        match self {
            Self::Create(object) => match object.as_ref() {
                Object::Pod(pod) => Some(pod),
                _ => None,
            },
            _ => None,
        }
    }

    /// The worker's pod that the step creates, if it does. No worker is worth a try where the scheduler was
    /// refused, so the scheduler's pod is not one of many.
    fn new_worker(&self) -> Option<&Pod> {
        self.new_pod().filter(|pod| state::is_component(pod, labels::WORKER))
    }

    /// Whether a quota can refuse the step. What it refuses leaves the others as they are.
    fn wants_room(&self) -> bool {
        self.new_pod().is_some() || matches!(self, Self::Try(_) | Self::Replace { .. })
    }

    /// Whether the step is left out where the quota for pods is full. Certificates expire regardless.
    fn needs_room(&self) -> bool {
        !matches!(
            self,
            Self::Apply(_)
                | Self::Delete(_)
                | Self::Retire { .. }
                | Self::CloseToTasks { .. }
                | Self::Annotate { .. }
                | Self::Gateway(_)
                | Self::Finalize { .. }
                | Self::Issue(_)
                | Self::Request(_)
                | Self::Withdraw(_)
                | Self::Copy { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;
    use crate::plan::{Applied, Victim};

    fn creation(component: &str) -> Step {
        let pod = json!({"metadata": {"name": "a", "labels": {labels::COMPONENT: component}}});
        Step::Create(Box::new(Object::Pod(serde_json::from_value(pod).unwrap())))
    }

    fn deletion(kind: VictimKind) -> Step {
        Step::Delete(Victim { kind, name: "a".to_owned(), uid: None })
    }

    #[test]
    fn a_full_quota_leaves_out_what_needs_room() {
        let (worker, mut refusals) = (creation(labels::WORKER), Refusals::default());
        assert!(!refusals.stop(&worker));
        assert_eq!(refusals.add(&worker, Some(Refusal::Quota)), Then::AwaitRoom);
        assert!(refusals.stop(&worker) && refusals.stop(&creation(labels::SCHEDULER)));
        for goes_on in
            [deletion(VictimKind::Pod), Step::Retire { workers: Vec::new() }, Step::Withdraw(String::new())]
        {
            assert!(!refusals.stop(&goes_on), "{goes_on:?}");
        }
    }

    #[test]
    fn a_refused_part_leaves_out_that_part_alone() {
        let (worker, scheduler) = (creation(labels::WORKER), creation(labels::SCHEDULER));
        let job = deletion(VictimKind::Job);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.add(&worker, Some(Refusal::Part)), Then::LeaveOut);
        assert!(refusals.stop(&worker) && !refusals.stop(&scheduler));
        assert_eq!(refusals.add(&job, Some(Refusal::Part)), Then::End, "it is of no part");
        assert_eq!(refusals.add(&scheduler, None), Then::End);
    }

    #[test]
    fn no_pod_is_made_for_the_service_of_another() {
        let service = Step::Apply(Box::new(Applied::Service(Service::default())));
        let mut refusals = Refusals::default();
        assert_eq!(refusals.add(&service, Some(Refusal::Name)), Then::End);
        assert_eq!(refusals.add(&service, Some(Refusal::Part)), Then::LeaveOut, "it may be there as it was");
        let worker = creation(labels::WORKER);
        assert_eq!(refusals.add(&worker, Some(Refusal::Name)), Then::LeaveOut);
    }

    #[test]
    fn workers_of_one_group_and_deletions_of_pods_go_side_by_side() {
        let (worker, gone) = (creation(labels::WORKER), deletion(VictimKind::Pod));
        assert!(worker.is_beside(&worker) && gone.is_beside(&gone));
        assert!(!worker.is_beside(&gone) && !gone.is_beside(&worker));
        let scheduler = creation(labels::SCHEDULER);
        assert!(!scheduler.is_beside(&scheduler) && !deletion(VictimKind::Job).is_beside(&gone));
    }
}
