//! Carries out the steps of a plan, in order. The first that fails ends it; the next reconcile plans anew.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::context::Context;
use super::failure::Error;
use crate::api::{DaskCluster, FlowRun};
use crate::dask::Retirement;
use crate::plan::{Object, Step, Victim, VictimKind};

/// How long the data of retired workers may take to move.
const RETIRE: Duration = Duration::from_secs(30);
/// The field manager of objects that are applied.
const MANAGER: &str = "daskflow";

/// Carries out `steps` for the object `name` in `namespace`. Gives the workers that the scheduler would not let go.
pub(super) async fn steps(
    context: &Context,
    namespace: &str,
    name: &str,
    steps: &[Step],
) -> Result<Vec<String>, Error> {
    let mut held = Vec::new();
    for step in steps {
        tracing::info!(namespace, name, step = %describe(step), "step");
        match step {
            Step::Apply(service) => apply(context, namespace, service).await?,
            Step::Try(pod) => dry_run(context, namespace, pod).await?,
            Step::Create(object) => create(context, namespace, object).await?,
            Step::Delete(victim) => delete(context, namespace, victim).await?,
            Step::Adopt { run, owners, labels } => {
                let api: Api<FlowRun> = Api::namespaced(context.client.clone(), namespace);
                let patch = json!({"metadata": {"ownerReferences": owners, "labels": labels}});
                let params =
                    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                api.patch_metadata(run, &params, &Patch::Merge(patch)).await?;
            }
            Step::Cancel { run, uid, annotations } => {
                cancel(context, namespace, run, json!({"uid": uid, "annotations": annotations})).await?;
            }
            Step::Retire { workers } => held.extend(retire(context, namespace, name, workers).await?),
        }
    }
    Ok(held)
}

/// A step in a few words, for the log.
fn describe(step: &Step) -> String {
    let named = |object: &Object| match object {
        Object::Pod(object) => format!("Pod {}", object.name_any()),
        Object::Job(object) => format!("Job {}", object.name_any()),
        Object::ConfigMap(object) => format!("ConfigMap {}", object.name_any()),
        Object::Cluster(object) => format!("DaskCluster {}", object.name_any()),
        Object::Run(object) => format!("FlowRun {}", object.name_any()),
    };
    match step {
        Step::Apply(service) => format!("apply Service {}", service.name_any()),
        Step::Try(pod) => format!("try Pod {}", pod.name_any()),
        Step::Create(object) => format!("create {}", named(object)),
        Step::Delete(victim) => format!("delete {:?} {}", victim.kind, victim.name),
        Step::Adopt { run, .. } => format!("adopt FlowRun {run}"),
        Step::Cancel { run, .. } => format!("cancel FlowRun {run}"),
        Step::Retire { workers } => format!("retire {}", workers.join(", ")),
    }
}

/// Cancels a run. One that is gone is done; a uid in the metadata that is another one's is a conflict.
async fn cancel(
    context: &Context,
    namespace: &str,
    run: &str,
    metadata: serde_json::Value,
) -> Result<(), Error> {
    let api: Api<FlowRun> = Api::namespaced(context.client.clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": metadata, "spec": {"cancel": true}});
    match api.patch(run, &params, &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

async fn apply(context: &Context, namespace: &str, service: &Service) -> Result<(), Error> {
    let api: Api<Service> = Api::namespaced(context.client.clone(), namespace);
    if let Some(there) = api.get_metadata_opt(&service.name_any()).await? {
        check_owner(&there, service)?;
    }
    api.patch(&service.name_any(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(service)).await?;
    Ok(())
}

async fn create(context: &Context, namespace: &str, object: &Object) -> Result<(), Error> {
    match object {
        Object::Pod(pod) => create_one(context, namespace, pod).await,
        Object::Job(job) => {
            try_pod(context, namespace, job).await?;
            create_one(context, namespace, job).await
        }
        Object::ConfigMap(map) => create_one(context, namespace, map).await,
        Object::Cluster(cluster) => create_one(context, namespace, cluster).await,
        Object::Run(run) => create_one(context, namespace, run).await,
    }
}

/// Lets the API server say what it thinks of a Job's pod, without creating it. What it refuses, such as a missing
/// service account, would otherwise show in no pod and no status, only in the Job controller's events.
async fn try_pod(context: &Context, namespace: &str, job: &Job) -> Result<(), Error> {
    let Some(template) = job.spec.as_ref().map(|spec| spec.template.clone()) else { return Ok(()) };
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = Some(job.name_any());
    dry_run(context, namespace, &Pod { metadata, spec: template.spec, status: None }).await
}

/// Lets the API server judge a pod. One that exists already was judged before.
async fn dry_run(context: &Context, namespace: &str, pod: &Pod) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
    match api.create(&params, pod).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

/// Creates an object. One that exists and has the same owner was created by us before: a repeated step, or one
/// whose answer got lost.
async fn create_one<K>(context: &Context, namespace: &str, object: &K) -> Result<(), Error>
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
                Some(there) => check_owner(&there, object),
                None => Err(being_deleted::<K>(object)),
            }
        }
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

/// Whether the object that is there belongs to the owner of the one that is wanted.
fn check_owner<K: Resource<DynamicType = ()>>(there: &impl Resource, wanted: &K) -> Result<(), Error> {
    if there.meta().deletion_timestamp.is_some() {
        return Err(being_deleted(wanted));
    }
    let owners = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        meta.owner_references.clone().unwrap_or_default()
    };
    let ours = owners(wanted.meta());
    let theirs = owners(there.meta());
    if ours.iter().all(|owner| theirs.iter().any(|other| other.uid == owner.uid)) {
        return Ok(());
    }
    // The child of an earlier object of the same name is about to be collected.
    if ours
        .iter()
        .any(|owner| theirs.iter().any(|other| other.kind == owner.kind && other.name == owner.name))
    {
        return Err(being_deleted(wanted));
    }
    let kind = kind_name::<K>();
    Err(Error::NameTaken { kind, name: wanted.meta().name.clone().unwrap_or_default() })
}

fn being_deleted<K: Resource<DynamicType = ()>>(object: &K) -> Error {
    Error::BeingDeleted { kind: kind_name::<K>(), name: object.meta().name.clone().unwrap_or_default() }
}

fn kind_name<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()).as_ref() {
        "Service" => "the Service",
        "Pod" => "the Pod",
        "Job" => "the Job",
        "ConfigMap" => "the ConfigMap",
        "DaskCluster" => "the DaskCluster",
        _ => "the FlowRun",
    }
}

async fn delete(context: &Context, namespace: &str, victim: &Victim) -> Result<(), Error> {
    match victim.kind {
        VictimKind::Pod => delete_one::<Pod>(context, namespace, victim).await,
        VictimKind::Job => delete_one::<Job>(context, namespace, victim).await,
        VictimKind::ConfigMap => delete_one::<ConfigMap>(context, namespace, victim).await,
        VictimKind::Cluster => delete_one::<DaskCluster>(context, namespace, victim).await,
        VictimKind::Run => delete_one::<FlowRun>(context, namespace, victim).await,
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

/// Retires workers and deletes the pods of those that the scheduler let go. Gives the others.
async fn retire(
    context: &Context,
    namespace: &str,
    cluster: &str,
    workers: &[String],
) -> Result<Vec<String>, Error> {
    let mut scheduler = context.schedulers.connect(namespace, cluster).await?;
    let retired = scheduler.retire_workers(&Retirement::of(workers.iter().cloned()), RETIRE).await?;
    let gone: BTreeSet<String> = retired.values().map(|worker| worker.name.to_string()).collect();
    let (gone, held): (Vec<String>, Vec<String>) =
        workers.iter().cloned().partition(|name| gone.contains(name));
    for name in gone {
        delete(context, namespace, &Victim { kind: VictimKind::Pod, name, uid: None }).await?;
    }
    Ok(held)
}
