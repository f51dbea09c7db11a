//! Observes a `FlowBackfill`.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::flow::{live_runs, runs_of};
use crate::api::{Flow, FlowBackfill, FlowBackfillStatus, Reason};
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::lookup;
use crate::operator::reconcile::Planned;
use crate::plan::backfill::{self, Observed};
use crate::plan::conditions::{Failure, told};
use crate::plan::{Plan, failing};

impl Planned for FlowBackfill {
    type Status = FlowBackfillStatus;
    const KIND: &'static str = "FlowBackfill";

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    fn set_status(&mut self, status: Self::Status) {
        self.status = Some(status);
    }

    async fn plan(&self, context: &Context, live: bool, now: Timestamp) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, live).await?;
        Ok(backfill::plan(self, &observed, now))
    }

    fn told(&self, reason: Reason) -> Option<&str> {
        told(&self.status.as_ref()?.conditions, self.metadata.generation, reason)
    }

    fn failing(&self, _planned: Option<Self::Status>, failure: &Failure, now: Timestamp) -> Self::Status {
        failing::backfill(self, failure, now)
    }
}

/// Live, the Flow is read as well: runs that name an owner which is gone would be collected at once.
async fn observe(context: &Context, backfill: &FlowBackfill, live: bool) -> Result<Observed, Error> {
    let (namespace, name) = (backfill.namespace().unwrap_or_default(), &backfill.spec.flow);
    if context.undecodable.has::<Flow>(&namespace, name) {
        return Err(Error::Unreadable { kind: "the Flow", name: name.clone() });
    }
    if !live {
        let flow = context.stores.flows.get(&ObjectRef::<Flow>::new(name).within(&namespace));
        return Ok(Observed { flow, runs: runs_of(context, &namespace, name), live });
    }
    // The runs first: one that is forgotten in between stands in the record of the Flow that is read after
    // it.
    let runs = live_runs(context, &namespace, name).await?;
    let flows: Api<Flow> = Api::namespaced(context.client.clone(), &namespace);
    let flow = lookup::by_name(&flows, name).await?.map(Arc::new);
    Ok(Observed { flow, runs, live })
}
