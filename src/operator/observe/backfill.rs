//! Observes a `FlowBackfill`.

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::flow::{flow_of, runs_of};
use crate::api::{Flow, FlowBackfill};
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::reconcile::Planned;
use crate::plan::backfill::{self, Observed};
use crate::plan::{Plan, Wants};

impl Planned for FlowBackfill {
    async fn plan(
        &self,
        context: &Context,
        known: Wants,
        now: Timestamp,
    ) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, known).await?;
        Ok(backfill::plan(self, &observed, now))
    }
}

async fn observe(context: &Context, backfill: &FlowBackfill, known: Wants) -> Result<Observed, Error> {
    let (namespace, name) = (backfill.namespace().unwrap_or_default(), &backfill.spec.flow);
    if context.undecodable.has::<Flow>(&namespace, name) {
        return Err(Error::Unreadable { kind: Flow::kind(&()), name: name.clone() });
    }
    // The runs first: one that is forgotten in between stands in the record of the Flow that is read after
    // it.
    let runs = runs_of(context, (&namespace, name), known).await?;
    Ok(Observed { flow: flow_of(context, (&namespace, name), known).await?, runs })
}
