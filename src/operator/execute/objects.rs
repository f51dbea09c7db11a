//! Writes of single objects.

use std::borrow::Cow;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::Ours;
use crate::causes::chain;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::route::{Watched, written};
use crate::plan::objects::has_same_name;
use crate::plan::pods::runner;
use crate::plan::{Take, Victim};

/// The field manager of objects that are applied.
pub(super) const MANAGER: &str = "daskflow";
/// For how long what was taken in a dry run counts as taken where something speaks against it. A plan asks
/// every 10 s.
const TAKEN: Duration = Duration::from_secs(9);

/// Writes an object of any kind that steps write, each as its kind is.
pub(super) struct Write<'a> {
    pub(super) context: &'a Context,
    pub(super) namespace: &'a str,
}

/// Creates an object.
pub(super) struct Create<'a>(pub(super) Write<'a>);

/// Creates an object, or makes the one that is there what it should be, unless that is somebody else's.
pub(super) struct Apply<'a>(pub(super) Write<'a>);

/// A kind whose objects are written.
pub(super) trait Written:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
{
    /// Creates the object. Of most kinds the next look knows it when the watch has told of it.
    fn create(&self, to: Write<'_>) -> impl Future<Output = Result<(), Error>> + Send {
        async move { create_one(to.context, to.namespace, self).await.map(drop) }
    }
}

/// One of ours is known to the next look.
impl<K: Ours + Watched> Written for K {
    async fn create(&self, to: Write<'_>) -> Result<(), Error> {
        create_known(to, self).await
    }
}

impl Written for Job {
    async fn create(&self, to: Write<'_>) -> Result<(), Error> {
        try_pod(to.context, to.namespace, self).await?;
        create_known(to, self).await
    }
}

impl Written for Pod {}
impl Written for ConfigMap {}
impl Written for Secret {}
impl Written for Service {}
impl Written for NetworkPolicy {}

impl<'a, K: Written> Take<'a, K, BoxFuture<'a, Result<(), Error>>> for Create<'a> {
    fn take(self, object: &'a K) -> BoxFuture<'a, Result<(), Error>> {
        object.create(self.0).boxed()
    }
}

impl<'a, K: Written> Take<'a, K, BoxFuture<'a, Result<(), Error>>> for Apply<'a> {
    fn take(self, object: &'a K) -> BoxFuture<'a, Result<(), Error>> {
        apply_one(self.0, object).boxed()
    }
}

/// The parameters of a patch in our name.
pub(super) fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

/// What is done to an object that is gone, or whose uid in the request is another one's, is done.
fn unless_gone<T>(answer: Result<T, kube::Error>) -> Result<(), Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(drop).map_err(Error::Api),
    }
}

async fn apply_one<K: Written>(to: Write<'_>, object: &K) -> Result<(), Error> {
    let api: Api<K> = Api::namespaced(to.context.client.clone(), to.namespace);
    if let Some(there) = api.get_metadata_opt(&object.name_any()).await? {
        check_owner(&there.metadata, object.meta(), K::kind(&()))?;
    }
    api.patch(&object.name_any(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await?;
    Ok(())
}

/// Creates an object that the next look is to know.
async fn create_known<K: Watched + Written>(to: Write<'_>, object: &K) -> Result<(), Error> {
    let ticket = K::kept(&to.context.stores).ticket();
    if let Some(created) = create_one(to.context, to.namespace, object).await? {
        written(&to.context.routes, ticket, created);
    }
    Ok(())
}

/// Lets the API server say what it thinks of a Job's pod, without creating it, once for each different pod.
/// What it refuses, such as a missing service account, would otherwise show in no pod and no status, only in
/// the Job controller's events; what it refuses later, it is asked about when a Job has no pod (`plan::run`).
async fn try_pod(context: &Context, namespace: &str, job: &Job) -> Result<(), Error> {
    let Some(template) = job.spec.as_ref().map(|spec| spec.template.clone()) else { return Ok(()) };
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = Some(job.name_any());
    let pod = Pod { metadata, spec: template.spec, status: None };
    let kind = runner::kind_of_pod(&pod);
    if context.judged.has(namespace, &kind) {
        return Ok(());
    }
    dry_run(context, namespace, &pod).await?;
    context.judged.add(namespace, kind);
    Ok(())
}

/// Asks about a pod once more, such as that of a Job which has none yet. What was asked about a moment ago is
/// not again: in a burst the Job controller comes to all of them late, and they are of a few kinds.
pub(super) async fn try_again(context: &Context, namespace: &str, pod: &Pod) -> Result<(), Error> {
    let kind = runner::kind_of_pod(pod);
    if !context.judged.is_to_ask(namespace, &kind, TAKEN) {
        return Ok(());
    }
    dry_run(context, namespace, pod).await?;
    context.judged.add(namespace, kind);
    Ok(())
}

/// Sets an annotation of a pod. One that is gone, or has another uid, is done.
pub(super) async fn annotate(
    context: &Context,
    namespace: &str,
    pod: &Victim,
    (key, value): (&str, Option<&str>),
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": {"uid": pod.uid, "annotations": {key: value}}});
    unless_gone(api.patch_metadata(&pod.name, &patch_params(), &Patch::Merge(patch)).await)
}

/// Gives a pod one second to live, so that the kubelet ends the containers that are left in it: the pod
/// stays, with its logs. A verdict stands already, so a refusal is no more than a line in the log; the next
/// look asks again.
pub(super) async fn end_pod(context: &Context, namespace: &str, pod: &Victim) {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": {"uid": pod.uid}, "spec": {"activeDeadlineSeconds": 1}});
    let answer = api.patch(&pod.name, &patch_params(), &Patch::Merge(patch)).await;
    if let Err(Error::Api(error)) = unless_gone(answer) {
        tracing::warn!(error = chain(&error), "what is left of a pod was not ended");
    }
}

/// Sets how long a Job may take. One that is gone, or has another uid, is done.
pub(super) async fn limit(
    context: &Context,
    namespace: &str,
    job: &Victim,
    seconds: Option<i64>,
) -> Result<(), Error> {
    let api: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({"metadata": {"uid": job.uid}, "spec": {"activeDeadlineSeconds": seconds}});
    unless_gone(api.patch(&job.name, &patch_params(), &Patch::Merge(patch)).await)
}

/// Lets the API server judge a pod. One that exists already was judged before.
pub(super) async fn dry_run(context: &Context, namespace: &str, pod: &Pod) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
    match api.create(&params, pod).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => {
            // What was taken before may be refused by now as well.
            context.judged.forget(namespace);
            Err(Error::Api(error))
        }
        Ok(_) => Ok(()),
    }
}

/// Creates an object. One that exists and has the same owner was created by us before: a repeated step, or
/// one whose answer got lost. Gives what was created now.
pub(super) async fn create_one<K: Written>(
    context: &Context,
    namespace: &str,
    object: &K,
) -> Result<Option<K>, Error> {
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    match api
        .create(&PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }, object)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            match api.get_metadata_opt(&object.name_any()).await? {
                Some(there) => {
                    check_owner(&there.metadata, object.meta(), K::kind(&()))?;
                    relabel(&api, &there.metadata, object.meta()).await.map(|()| None)
                }
                None => Err(being_deleted(object.meta(), K::kind(&()))),
            }
        }
        other => other.map(Some).map_err(Error::Api),
    }
}

/// Gives an object of ours the labels back that somebody has changed: without them it is not found among
/// ours, and nothing else can have its name.
async fn relabel<K>(api: &Api<K>, there: &ObjectMeta, wanted: &ObjectMeta) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (has, name) = (there.labels.as_ref(), wanted.name.as_deref().unwrap_or_default());
    let mut missing = wanted.labels.clone().unwrap_or_default();
    missing.retain(|key, value| has.and_then(|labels| labels.get(key)) != Some(value));
    if missing.is_empty() {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": there.uid, "labels": missing}});
    unless_gone(api.patch_metadata(name, &patch_params(), &Patch::Merge(patch)).await)
}

/// Whether the object that is there belongs to the owner of the one that is wanted.
pub(super) fn check_owner(
    there: &ObjectMeta,
    wanted: &ObjectMeta,
    kind: Cow<'static, str>,
) -> Result<(), Error> {
    if there.deletion_timestamp.is_some() {
        return Err(being_deleted(wanted, kind));
    }
    let ours = wanted.owner_references.as_deref().unwrap_or_default();
    let theirs = there.owner_references.as_deref().unwrap_or_default();
    if ours.iter().all(|owner| theirs.iter().any(|other| other.uid == owner.uid)) {
        return Ok(());
    }
    // The child of an earlier object of the same name is about to be collected.
    if ours.iter().any(|owner| theirs.iter().any(|other| has_same_name(other, owner))) {
        return Err(being_deleted(wanted, kind));
    }
    Err(Error::NameTaken { kind, name: wanted.name.clone().unwrap_or_default() })
}

fn being_deleted(wanted: &ObjectMeta, kind: Cow<'static, str>) -> Error {
    Error::BeingDeleted { kind, name: wanted.name.clone().unwrap_or_default() }
}

/// Deletes an object and, in the background, all that it owns. One that is gone, or has another uid, is done.
pub(super) async fn delete(context: &Context, namespace: &str, victim: &Victim) -> Result<(), Error> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), namespace, &victim.kind.resource());
    let mut params = DeleteParams::background();
    params.preconditions = Some(Preconditions { uid: victim.uid.clone(), resource_version: None });
    unless_gone(api.delete(&victim.name, &params).await)
}
