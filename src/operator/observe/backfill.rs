//! Observes a `FlowBackfill`.

use jiff::Timestamp;
use kube::ResourceExt;

use super::flow::{flow_of, runs_of};
use crate::api::{Flow, FlowBackfill, FlowBackfillStatus};
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::reconcile::Planned;
use crate::plan::backfill::{self, Observed};
use crate::plan::conditions::Failure;
use crate::plan::{Plan, Wants, failing};

impl Planned for FlowBackfill {
    type Status = FlowBackfillStatus;
    const KIND: &'static str = "FlowBackfill";

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    fn set_status(&mut self, status: Self::Status) {
        self.status = Some(status);
    }

    async fn plan(
        &self,
        context: &Context,
        known: Wants,
        now: Timestamp,
    ) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, known).await?;
        Ok(backfill::plan(self, &observed, now))
    }

    fn failing(&self, _planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        failing::backfill(self, failure, now)
    }
}

async fn observe(context: &Context, backfill: &FlowBackfill, known: Wants) -> Result<Observed, Error> {
    let (namespace, name) = (backfill.namespace().unwrap_or_default(), &backfill.spec.flow);
    if context.undecodable.has::<Flow>(&namespace, name) {
        return Err(Error::Unreadable { kind: "the Flow", name: name.clone() });
    }
    // The runs first: one that is forgotten in between stands in the record of the Flow that is read after
    // it.
    let runs = runs_of(context, (&namespace, name), known).await?;
    Ok(Observed { flow: flow_of(context, (&namespace, name), known).await?, runs })
}
