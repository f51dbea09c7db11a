//! Brings the objects of files into the API, and what is changed in the files, as `kubectl apply --prune`
//! does: what the files no longer say is taken away, what others have added stays.
//!
//! It is a server-side apply under a name of its own, so that the API knows which fields are from the files,
//! and it is asked with `dryRun` before anything is changed. Not as kubectl does it: a FlowRun or a
//! FlowBackfill is applied only where it has changed in the files, because one that was deleted after its end
//! would run again; and a Namespace is not deleted, because more is in it than what is from the files.

use std::time::Duration;

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::objects::{Object, Objects};
use crate::causes::chain;

/// Whose fields those of the files are. It is no name of the operator's (`daskflow…`): a FlowRun that is
/// applied is not deleted by the `history` of its Flow, and so does not run again at the next start.
const MANAGER: &str = "local-files";
/// The kinds that do something once.
const ONCE: [&str; 2] = ["FlowRun", "FlowBackfill"];
/// How long an object that is being deleted is waited for before another one of its name is created.
const DELETION: Duration = Duration::from_secs(60);

/// The API refuses an object.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {object} is refused")]
pub struct Refused {
    file: String,
    line: usize,
    object: String,
    source: Box<kube::Error>,
}

/// What an apply comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Come {
    Created,
    Changed,
    Same,
}

/// The objects of files that are in the API.
pub struct Applied {
    client: Client,
    objects: Objects,
}

impl Applied {
    /// Brings all of them into the API, and the namespaces that they are in.
    ///
    /// # Errors
    ///
    /// The API refuses one.
    pub async fn new(client: &Client, objects: Objects) -> Result<Self, Refused> {
        let applied = Self { client: client.clone(), objects };
        for object in &applied.objects.all {
            applied.make_namespace(object).await?;
            applied.write(object, false).await?;
        }
        Ok(applied)
    }

    /// What the files have said.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Makes of them what the files say now; gives what has come of it, in lines.
    ///
    /// # Errors
    ///
    /// The API refuses some; then nothing is changed.
    pub async fn change(&mut self, objects: Objects) -> Result<Vec<String>, Vec<Refused>> {
        let before = std::mem::replace(&mut self.objects, objects);
        let all: Vec<&Object> = self.objects.all.iter().filter(|one| is_applied(one, &before)).collect();
        let mut refused = Vec::new();
        for object in &all {
            // A namespace that nothing is in does no harm.
            let tried = async { self.make_namespace(object).await.and(self.write(object, true).await) };
            refused.extend(tried.await.err());
        }
        if !refused.is_empty() {
            self.objects = before;
            return Err(refused);
        }
        let mut lines = Vec::new();
        for object in all {
            let (file, title) = (&object.file, object.title());
            match self.write(object, false).await {
                Ok(Come::Created) => lines.push(format!("{file}: {title} is created")),
                Ok(Come::Changed) => lines.push(format!("{file}: {title} is changed")),
                Ok(Come::Same) => {}
                Err(error) => lines.push(chain(&error)),
            }
        }
        // What needs others is deleted before them.
        for object in before.all.iter().rev().filter(|object| is_pruned(object, &self.objects)) {
            match self.delete(object).await {
                Ok(true) => lines.push(format!("{}: {} is deleted", object.file, object.title())),
                Ok(false) => {}
                Err(error) => lines.push(chain(&error)),
            }
        }
        Ok(lines)
    }

    fn api(&self, object: &Object) -> Api<DynamicObject> {
        let (group, version) = object.word("/apiVersion").split_once('/').unwrap_or(("", "v1"));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, object.kind()));
        if object.kind() == "Namespace" {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), object.namespace(), &resource)
        }
    }

    /// Makes the namespace that an object is in, if there is none.
    async fn make_namespace(&self, object: &Object) -> Result<(), Refused> {
        if object.kind() == "Namespace" {
            return Ok(());
        }
        let value = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": object.namespace()},
        });
        let namespace = Object { value, ..object.clone() };
        let api = self.api(&namespace);
        if there(&api, &namespace).await?.is_none() {
            let body = body(&namespace)?;
            api.create(&PostParams::default(), &body).await.map_err(|error| refused(object, error))?;
        }
        Ok(())
    }

    /// Writes an object into the API, or asks only whether it would be taken.
    async fn write(&self, object: &Object, dry_run: bool) -> Result<Come, Refused> {
        let api = self.api(object);
        let body = body(object)?;
        // With generateName each is a new one.
        if object.name().is_empty() {
            let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
            api.create(&params, &body).await.map_err(|error| refused(object, error))?;
            return Ok(Come::Created);
        }
        let mut before = there(&api, object).await?;
        let ending = before.as_ref().filter(|one| !dry_run && one.metadata.deletion_timestamp.is_some());
        if let Some(uid) = ending.and_then(ResourceExt::uid) {
            let ends = await_condition(api.clone(), object.name(), conditions::is_deleted(&uid));
            // One that stays on and on is applied as it is.
            let _ = timeout(DELETION, ends).await;
            before = there(&api, object).await?;
        }
        let params = PatchParams { dry_run, ..PatchParams::apply(MANAGER).force() };
        let written = api.patch(object.name(), &params, &Patch::Apply(&body)).await;
        let written = written.map_err(|error| refused(object, error))?;
        Ok(match before {
            None => Come::Created,
            Some(before) if of_files(before.clone()) == of_files(written) => Come::Same,
            Some(_) => Come::Changed,
        })
    }

    /// Deletes an object that the files no longer have; false if it is another one by now, or none.
    async fn delete(&self, object: &Object) -> Result<bool, Refused> {
        let api = self.api(object);
        let Some(found) = there(&api, object).await?.filter(is_of_files) else { return Ok(false) };
        let preconditions = Preconditions { uid: found.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        api.delete(object.name(), &params).await.map_err(|error| refused(object, error))?;
        Ok(true)
    }
}

/// Whether an object of the files is applied again after others were applied before.
fn is_applied(object: &Object, before: &Objects) -> bool {
    if object.name().is_empty() {
        return !before.all.iter().any(|earlier| earlier.value == object.value);
    }
    let is_new = || before.find(object.key()).is_none_or(|earlier| earlier.value != object.value);
    !ONCE.contains(&object.kind()) || is_new()
}

/// Whether an object that was in the files is deleted.
fn is_pruned(object: &Object, now: &Objects) -> bool {
    object.kind() != "Namespace" && !object.name().is_empty() && now.find(object.key()).is_none()
}

/// The object as it is sent. Files that were written by `kubectl get` have fields that are the API's.
fn body(object: &Object) -> Result<DynamicObject, Refused> {
    let mut value = object.value.clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    serde_json::from_value(value).map_err(|error| refused(object, kube::Error::SerdeError(error)))
}

/// What is there under the name of an object.
async fn there(api: &Api<DynamicObject>, object: &Object) -> Result<Option<DynamicObject>, Refused> {
    match api.get(object.name()).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(refused(object, error)),
    }
}

/// Whether any field of an object is from the files.
fn is_of_files(object: &DynamicObject) -> bool {
    let mut entries = object.metadata.managed_fields.iter().flatten();
    entries
        .any(|entry| entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply"))
}

/// What of an object files may say, and what only they change.
fn of_files(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
    object
}

fn refused(object: &Object, source: kube::Error) -> Refused {
    Refused { file: object.file.clone(), line: object.line, object: object.title(), source: Box::new(source) }
}

#[cfg(test)]
mod tests;
