//! Writes of single objects.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::{DaskCluster, FlowRun};
use crate::causes::chain;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::route::{Cached, written};
use crate::plan::pods::runner;
use crate::plan::{Applied, Object, Victim, VictimKind};

/// The field manager of objects that are applied.
pub(super) const MANAGER: &str = "daskflow";
/// For how long what was taken in a dry run counts as taken where something speaks against it. A plan asks
/// every 10 s.
const TAKEN: Duration = Duration::from_secs(9);

pub(super) async fn apply(context: &Context, namespace: &str, object: &Applied) -> Result<(), Error> {
    match object {
        Applied::Service(service) => apply_one(context, namespace, service).await,
        Applied::NetworkPolicy(policy) => apply_one(context, namespace, policy).await,
    }
}

/// Creates an object, or makes the one that is there what it should be, unless that is somebody else's.
async fn apply_one<K>(context: &Context, namespace: &str, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    if let Some(there) = api.get_metadata_opt(&object.name_any()).await? {
        check_owner(&there.metadata, object.meta(), kind_name::<K>())?;
    }
    api.patch(&object.name_any(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await?;
    Ok(())
}

pub(super) async fn create(context: &Context, namespace: &str, object: &Object) -> Result<(), Error> {
    match object {
        Object::Pod(pod) => create_one(context, namespace, pod).await.map(drop),
        Object::Job(job) => {
            try_pod(context, namespace, job).await?;
            create_known(context, namespace, job).await
        }
        Object::ConfigMap(map) => create_one(context, namespace, map).await.map(drop),
        Object::Cluster(cluster) => create_known(context, namespace, cluster).await,
        Object::Run(run) => create_known(context, namespace, run).await,
    }
}

/// Creates an object that the next look is to know.
async fn create_known<K>(context: &Context, namespace: &str, object: &K) -> Result<(), Error>
where
    K: Cached
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let ticket = K::kept(&context.stores).ticket();
    if let Some(created) = create_one(context, namespace, object).await? {
        written(&context.routes, ticket, created);
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
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"uid": pod.uid, "annotations": {key: value}}});
    match api.patch_metadata(&pod.name, &params, &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

/// Gives a pod one second to live, so that the kubelet ends the containers that are left in it: the pod
/// stays, with its logs. A verdict stands already, so a refusal is no more than a line in the log; the next
/// look asks again.
pub(super) async fn end_pod(context: &Context, namespace: &str, pod: &Victim) {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"uid": pod.uid}, "spec": {"activeDeadlineSeconds": 1}});
    match api.patch(&pod.name, &params, &Patch::Merge(patch)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => {}
        Err(error) => tracing::warn!(error = chain(&error), "what is left of a pod was not ended"),
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
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"uid": job.uid}, "spec": {"activeDeadlineSeconds": seconds}});
    match api.patch(&job.name, &params, &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
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
pub(super) async fn create_one<K>(context: &Context, namespace: &str, object: &K) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    match api
        .create(&PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }, object)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            match api.get_metadata_opt(&object.name_any()).await? {
                Some(there) => {
                    check_owner(&there.metadata, object.meta(), kind_name::<K>())?;
                    relabel(&api, &there.metadata, object.meta()).await.map(|()| None)
                }
                None => Err(being_deleted(object.meta(), kind_name::<K>())),
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
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"uid": there.uid, "labels": missing}});
    match api.patch_metadata(name, &params, &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

/// Whether the object that is there belongs to the owner of the one that is wanted.
pub(super) fn check_owner(there: &ObjectMeta, wanted: &ObjectMeta, kind: &'static str) -> Result<(), Error> {
    if there.deletion_timestamp.is_some() {
        return Err(being_deleted(wanted, kind));
    }
    let ours = wanted.owner_references.as_deref().unwrap_or_default();
    let theirs = there.owner_references.as_deref().unwrap_or_default();
    if ours.iter().all(|owner| theirs.iter().any(|other| other.uid == owner.uid)) {
        return Ok(());
    }
    // The child of an earlier object of the same name is about to be collected.
    if ours
        .iter()
        .any(|owner| theirs.iter().any(|other| other.kind == owner.kind && other.name == owner.name))
    {
        return Err(being_deleted(wanted, kind));
    }
    Err(Error::NameTaken { kind, name: wanted.name.clone().unwrap_or_default() })
}

fn being_deleted(wanted: &ObjectMeta, kind: &'static str) -> Error {
    Error::BeingDeleted { kind, name: wanted.name.clone().unwrap_or_default() }
}

fn kind_name<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()).as_ref() {
        "Service" => "the Service",
        "Pod" => "the Pod",
        "Job" => "the Job",
        "ConfigMap" => "the ConfigMap",
        "DaskCluster" => "the DaskCluster",
        "Secret" => "the Secret",
        "NetworkPolicy" => "the NetworkPolicy",
        _ => "the FlowRun",
    }
}

pub(super) async fn delete(context: &Context, namespace: &str, victim: &Victim) -> Result<(), Error> {
    match victim.kind {
        VictimKind::Pod => delete_one::<Pod>(context, namespace, victim).await,
        VictimKind::Job => delete_one::<Job>(context, namespace, victim).await,
        VictimKind::ConfigMap => delete_one::<ConfigMap>(context, namespace, victim).await,
        VictimKind::Cluster => delete_one::<DaskCluster>(context, namespace, victim).await,
        VictimKind::Secret => delete_one::<Secret>(context, namespace, victim).await,
        VictimKind::Run => delete_one::<FlowRun>(context, namespace, victim).await,
        VictimKind::NetworkPolicy => delete_one::<NetworkPolicy>(context, namespace, victim).await,
    }
}

/// Deletes an object and, in the background, all that it owns. One that is gone, or has another uid, is done.
async fn delete_one<K>(context: &Context, namespace: &str, victim: &Victim) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let mut params = DeleteParams::background();
    params.preconditions = Some(Preconditions { uid: victim.uid.clone(), resource_version: None });
    match api.delete(&victim.name, &params).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}
