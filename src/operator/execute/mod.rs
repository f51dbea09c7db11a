//! Carries out the steps of a plan, in their order, and side by side or not at all where `plan::order` says
//! so. The next reconcile plans anew.

mod certificates;
mod gateway;
mod objects;
#[cfg(test)]
mod tests;

use std::future::Future;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::ResourceExt;
use kube::api::{Api, Patch};
use serde_json::json;

use super::context::Context;
use super::failure::Error;
use crate::api::FlowRun;
use crate::causes::chain;
use crate::plan::cluster::Wish;
use crate::plan::order::{Refusals, Then};
use crate::plan::{Step, Victim, VictimKind};
use objects::{Apply, Create, Write, annotate, delete, dry_run, end_pod, limit, patch_params, try_again};

/// How far the steps of one plan may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Pods that are created or deleted at the same time.
    pub(super) at_once: usize,
}

impl Bounds {
    /// The usual ones.
    pub(super) const USUAL: Self = Self { at_once: 16 };
    /// Those where the quota had no room the last time: one pod is tried, and not sixteen.
    pub(super) const CAREFUL: Self = Self { at_once: 1 };
}

/// Carries out `steps` for the object `name` in `namespace`.
pub(super) async fn steps(
    context: &Context,
    (namespace, name): (&str, &str),
    steps: &[Step],
    bounds: Bounds,
) -> Result<(), Error> {
    let hands = Hands { context, namespace, name };
    let (mut refusals, mut rest) = (Refusals::default(), steps);
    let (mut no_room, mut refused) = (None, None);
    while let Some(step) = rest.first() {
        let (now, later) = rest.split_at(rest.iter().take_while(|next| next.is_beside(step)).count().max(1));
        rest = later;
        if refusals.stop(step) {
            continue;
        }
        for step in now {
            tracing::info!(step = %describe(step), "step");
        }
        let Err(error) = side_by_side(bounds.at_once, now, |step| hands.carry_out(step)).await else {
            continue;
        };
        match refusals.add(step, error.refusal()) {
            Then::AwaitRoom => no_room = Some(error),
            Then::LeaveOut => {
                tracing::warn!(error = chain(&error), step = %describe(step), "a step was refused");
                refused.get_or_insert(of_part(step, error));
            }
            Then::End => {
                let Some(first) = no_room.or(refused) else { return Err(error) };
                tracing::warn!(error = chain(&error), "a step failed after that");
                return Err(first);
            }
        }
    }
    // A refusal needs somebody, and room may come by itself.
    refused.or(no_room).map_or(Ok(()), Err)
}

/// What was refused for a part of an object, as it is told.
fn of_part(step: &Step, error: Error) -> Error {
    match step.part().and_then(|part| part.title()) {
        Some(part) => Error::Part { part, cause: Box::new(error) },
        None => error,
    }
}

/// Does `work` to all items, at most so many at the same time. After a failure no more is begun, and what was
/// begun ends. Gives the first failure.
pub(super) async fn side_by_side<T, F>(
    at_once: usize,
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let mut items = items.into_iter();
    let mut begun: FuturesUnordered<F> = items.by_ref().take(at_once).map(&work).collect();
    let mut result = Ok(());
    while let Some(done) = begun.next().await {
        result = result.and(done);
        if result.is_ok() {
            begun.extend(items.next().map(&work));
        }
    }
    result
}

/// What the steps of one plan share.
struct Hands<'a> {
    context: &'a Context,
    namespace: &'a str,
    name: &'a str,
}

impl Hands<'_> {
    async fn carry_out(&self, step: &Step) -> Result<(), Error> {
        let (context, namespace) = (self.context, self.namespace);
        match step {
            Step::Apply(object) => object.give(Apply(Write { context, namespace })).await?,
            Step::Try(pod) => try_again(context, namespace, pod).await?,
            Step::Create(object) => object.give(Create(Write { context, namespace })).await?,
            Step::Delete(victim) if victim.kind == VictimKind::Secret => {
                certificates::delete_copy(context, (namespace, self.name), &victim.name).await?;
            }
            Step::Delete(victim) => delete(context, namespace, victim).await?,
            Step::Adopt { run, owners, labels } => {
                let api: Api<FlowRun> = Api::namespaced(context.client.clone(), namespace);
                let patch = json!({"metadata": {"ownerReferences": owners, "labels": labels}});
                api.patch_metadata(run, &patch_params(), &Patch::Merge(patch)).await?;
            }
            Step::Cancel { run, uid, annotations } => {
                cancel(context, namespace, run, json!({"uid": uid, "annotations": annotations})).await?;
            }
            Step::Replace { wanted, victim } => {
                dry_run(context, namespace, wanted).await?;
                delete(context, namespace, victim).await?;
            }
            Step::Annotate { pod, key, value } => {
                annotate(context, namespace, pod, (key, value.as_deref())).await?;
            }
            Step::EndPod(pod) => end_pod(context, namespace, pod).await,
            Step::Limit { job, seconds } => limit(context, namespace, job, *seconds).await?,
            Step::Issue(_) | Step::Request(_) | Step::Withdraw(_) | Step::Copy { .. } => {
                self.certificate(step).await.map_err(|error| Error::Certificate(Box::new(error)))?;
            }
            Step::Gateway(step) => Box::pin(gateway::carry_out(context, namespace, step)).await?,
            Step::Finalize { run, version, finalizers } => {
                Box::pin(gateway::finalize(context, (namespace, run), version.as_deref(), finalizers))
                    .await?;
            }
            Step::Retire { workers } => self.begin(Wish::Retire, workers)?,
            Step::CloseToTasks { workers } => self.begin(Wish::CloseToTasks, workers)?,
        }
        Ok(())
    }

    async fn certificate(&self, step: &Step) -> Result<(), Error> {
        let (context, cluster) = (self.context, (self.namespace, self.name));
        match step {
            Step::Issue(wanted) => certificates::issue(context, cluster, wanted, context.clock.now()).await,
            Step::Request(wanted) => certificates::request(context, cluster, wanted).await,
            Step::Withdraw(name) => certificates::withdraw(context, cluster, name).await,
            Step::Copy { from, hash, to } => {
                certificates::copy(context, cluster, (from, hash), to, context.clock.now()).await
            }
            _ => Ok(()),
        }
    }

    /// Begins to ask the scheduler to let workers go or to close them.
    fn begin(&self, wish: Wish, workers: &[Victim]) -> Result<(), Error> {
        // A scheduler does not know whom to obey.
        self.context.pulse.claim.check()?;
        Ok(self.context.schedulers.begin((self.namespace, self.name), (wish, workers))?)
    }
}

/// A step in a few words, for the log.
fn describe(step: &Step) -> String {
    match step {
        Step::Apply(object) => format!("apply {}", object.title()),
        Step::Try(pod) => format!("try Pod {}", pod.name_any()),
        Step::Create(object) => format!("create {}", object.title()),
        Step::Delete(victim) => format!("delete {:?} {}", victim.kind, victim.name),
        Step::Adopt { run, .. } => format!("adopt FlowRun {run}"),
        Step::Cancel { run, .. } => format!("cancel FlowRun {run}"),
        Step::EndPod(pod) => format!("end Pod {}", pod.name),
        Step::Limit { job, seconds: Some(seconds) } => format!("limit Job {} to {seconds}s", job.name),
        Step::Limit { job, seconds: None } => format!("limit Job {} no more", job.name),
        Step::Issue(issue) => {
            format!("issue Secret {}", issue.certificate.name.as_deref().unwrap_or_default())
        }
        Step::Request(_) => "apply Certificate".to_owned(),
        Step::Withdraw(name) => format!("delete Certificate {name}"),
        Step::Copy { from, to, .. } => format!("copy Secret {from} to {}", to.name_any()),
        Step::Replace { victim, .. } => format!("replace Pod {}", victim.name),
        Step::Annotate { pod, key, value } => format!("annotate Pod {} with {key}={value:?}", pod.name),
        Step::Gateway(step) => gateway::describe(step),
        Step::Finalize { run, finalizers, .. } => {
            format!("set the finalizers of FlowRun {run}: {finalizers:?}")
        }
        Step::Retire { workers } => format!("retire {}", names_of(workers)),
        Step::CloseToTasks { workers } => format!("close to new tasks {}", names_of(workers)),
    }
}

fn names_of(victims: &[Victim]) -> String {
    let names: Vec<&str> = victims.iter().map(|victim| victim.name.as_str()).collect();
    names.join(", ")
}

/// Cancels a run. One that is gone is done; a uid in the metadata that is another one's is a conflict.
async fn cancel(
    context: &Context,
    namespace: &str,
    run: &str,
    metadata: serde_json::Value,
) -> Result<(), Error> {
    let api: Api<FlowRun> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": metadata, "spec": {"cancel": true}});
    match api.patch(run, &patch_params(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}
