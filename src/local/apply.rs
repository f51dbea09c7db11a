//! Brings the objects of files into the API, and what is changed in the files, as `kubectl apply --prune`
//! does: what the files no longer say is taken away, what others have added stays.
//!
//! It is a server-side apply under a name of its own, so that the API knows which fields are from the files,
//! and it is asked with `dryRun` before anything is changed. Not as kubectl does it: a FlowRun or a
//! FlowBackfill is applied only where it has changed in the files, because one that was deleted after its end
//! would run again; and a Namespace is not deleted, because more is in it than what is from the files.
//!
//! Where objects outlive daskflow, what is stored under that name is what the files had before, and a
//! [`Record`] knows which FlowRuns and FlowBackfills they had.

use std::time::Duration;

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, Preconditions,
};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::objects::{Object, Objects};
use super::record::{self, ONCE, Record};
use super::stored::{MANAGER, NAMESPACE, before, is_of_files};
use crate::causes::chain;

/// How long an object that is being deleted is waited for before another one of its name is created.
const DELETION: Duration = Duration::from_secs(60);

/// Objects cannot be brought into the API.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refuses one.
    #[error("{file}:{line}: {object} is refused")]
    Refused {
        /// The file.
        file: String,
        /// The line that the object begins on, from 1.
        line: usize,
        /// Kind and name.
        object: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// One has no name, and would be made anew at each start.
    #[error(
        "{file}:{line}: {kind} {name}: generateName is not for objects that are kept with --state, where each start \
         would make another one: give it a name"
    )]
    Generated {
        /// The file.
        file: String,
        /// The line that the object begins on, from 1.
        line: usize,
        /// The kind.
        kind: String,
        /// What its name begins with.
        name: String,
    },
    /// What is stored cannot be listed.
    #[error("what the files had before cannot be listed")]
    Stored(#[source] Box<kube::Error>),
    /// What the files had before cannot be read, or what they have now not be written.
    #[error(transparent)]
    Record(#[from] record::Error),
}

/// What an apply comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Come {
    Created,
    Changed,
    Same,
    Deleted,
}

/// What has come of an object.
struct Done {
    file: String,
    title: String,
    come: Come,
}

impl Done {
    fn of(object: &Object, come: Come) -> Self {
        Self { file: object.file.clone(), title: object.title(), come }
    }

    fn line(&self) -> Option<String> {
        let Self { file, title, come } = self;
        let what = match come {
            Come::Created => "created",
            Come::Changed => "changed",
            Come::Deleted => "deleted",
            Come::Same => return None,
        };
        Some(format!("{file}: {title} is {what}"))
    }
}

/// The objects of files that are in the API.
pub struct Applied {
    client: Client,
    objects: Objects,
    /// Those of them that were being deleted as they were applied.
    ending: Vec<Object>,
    /// Where objects outlive daskflow.
    record: Option<Record>,
}

impl Applied {
    /// Brings all of them into the API, and the namespaces that they are in. Nothing was there before.
    ///
    /// # Errors
    ///
    /// The API refuses one.
    pub async fn new(client: &Client, objects: Objects) -> Result<Self, Error> {
        let mut applied = Self::of(client, Objects::default(), None);
        applied.begin(objects).await?;
        Ok(applied)
    }

    /// The same over what an earlier daskflow has stored: changes what is there, creates what is not, and
    /// deletes what came from files and is in none of them any more. Gives how many it deleted as well.
    /// Nothing else may look after the objects yet.
    ///
    /// # Errors
    ///
    /// An object has no name, the API refuses one, or the record cannot be read or written.
    pub async fn over_stored(
        client: &Client,
        objects: Objects,
        record: Record,
    ) -> Result<(Self, usize), Error> {
        let before = before(client, record.read()?).await.map_err(|error| Error::Stored(Box::new(error)))?;
        let mut applied = Self::of(client, before, Some(record));
        let deleted = applied.begin(objects).await?;
        Ok((applied, deleted))
    }

    fn of(client: &Client, objects: Objects, record: Option<Record>) -> Self {
        Self { client: client.clone(), objects, ending: Vec::new(), record }
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
    pub async fn change(&mut self, objects: Objects) -> Result<Vec<String>, Vec<Error>> {
        let done = self.bring(objects, DELETION).await?;
        let lines = done.into_iter().filter_map(|one| match one {
            Ok(done) => done.line(),
            Err(error) => Some(chain(&error)),
        });
        Ok(lines.collect())
    }

    /// Applies what was being deleted at the start once more, after its end: else it would go with what was
    /// said of it. Gives what has come of it, in lines. By now the operator looks after objects.
    ///
    /// # Errors
    ///
    /// The API refuses one.
    pub async fn finish(&mut self) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        for object in std::mem::take(&mut self.ending) {
            if let Some(uid) = self.uid_of_ending(&object).await? {
                self.wait_for_end(&object, &uid, DELETION).await;
            }
            let come = self.write(&object, false).await?;
            lines.extend(Done::of(&object, come).line());
        }
        Ok(lines)
    }

    /// Applies the files of a start, and gives how many objects were deleted. What is being deleted is not
    /// waited for: nothing goes on with it yet.
    async fn begin(&mut self, objects: Objects) -> Result<usize, Error> {
        let all = match self.bring(objects, Duration::ZERO).await {
            Ok(all) => all,
            Err(refused) => refused.into_iter().map(Err).collect(),
        };
        let mut deleted = 0;
        for one in all {
            deleted += usize::from(one?.come == Come::Deleted);
        }
        Ok(deleted)
    }

    /// Makes what is in the API of what the files said before what they say now, and gives what has come of
    /// each object that was looked at. One that is being deleted is waited for as long.
    async fn bring(
        &mut self,
        objects: Objects,
        deletion: Duration,
    ) -> Result<Vec<Result<Done, Error>>, Vec<Error>> {
        let before = std::mem::replace(&mut self.objects, objects);
        let all: Vec<&Object> = self.objects.all.iter().filter(|one| is_applied(one, &before)).collect();
        let unnamed = all.iter().filter(|object| self.record.is_some() && object.name().is_empty());
        let mut refused: Vec<Error> = unnamed.map(|object| generated(object)).collect();
        for object in &all {
            // A namespace that nothing is in does no harm.
            let tried = async { self.make_namespace(object).await.and(self.write(object, true).await) };
            refused.extend(tried.await.err());
        }
        if !refused.is_empty() {
            self.objects = before;
            return Err(refused);
        }
        let (mut done, mut ending, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for object in all {
            let written = async {
                match self.uid_of_ending(object).await? {
                    Some(_) if deletion.is_zero() => ending.push(object.clone()),
                    Some(uid) => self.wait_for_end(object, &uid, deletion).await,
                    None => {}
                }
                self.write(object, false).await
            };
            let written = written.await;
            if written.is_err() {
                failed.push(object.clone());
            }
            done.push(written.map(|come| Done::of(object, come)));
        }
        // What needs others is deleted before them.
        for object in before.all.iter().rev().filter(|object| is_pruned(object, &self.objects)) {
            match self.delete(object).await {
                Ok(true) => done.push(Ok(Done::of(object, Come::Deleted))),
                Ok(false) => {}
                Err(error) => {
                    failed.push(object.clone());
                    done.push(Err(error));
                }
            }
        }
        self.objects.leave(&failed, &before);
        if let Some(record) = &self.record {
            done.extend(record.write(&self.objects).err().map(|error| Err(error.into())));
        }
        self.ending = ending;
        Ok(done)
    }

    fn api(&self, object: &Object) -> Api<DynamicObject> {
        let (group, version) = object.word("/apiVersion").split_once('/').unwrap_or(("", "v1"));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, object.kind()));
        if object.kind() == NAMESPACE {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), object.namespace(), &resource)
        }
    }

    /// Makes the namespace that an object is in, if there is none.
    async fn make_namespace(&self, object: &Object) -> Result<(), Error> {
        if object.kind() == NAMESPACE {
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

    /// The uid of what is there under the name of an object and is being deleted.
    async fn uid_of_ending(&self, object: &Object) -> Result<Option<String>, Error> {
        if object.name().is_empty() {
            return Ok(None);
        }
        let there = there(&self.api(object), object).await?;
        Ok(there.filter(|one| one.metadata.deletion_timestamp.is_some()).and_then(|one| one.uid()))
    }

    /// Waits as long for the end of what is being deleted under the name of an object. What stays on and on
    /// is applied as it is.
    async fn wait_for_end(&self, object: &Object, uid: &str, limit: Duration) {
        let ends = await_condition(self.api(object), object.name(), conditions::is_deleted(uid));
        let _ = timeout(limit, ends).await;
    }

    /// Writes an object into the API, or asks only whether it would be taken.
    async fn write(&self, object: &Object, dry_run: bool) -> Result<Come, Error> {
        let api = self.api(object);
        let body = body(object)?;
        // With generateName each is a new one.
        if object.name().is_empty() {
            let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
            api.create(&params, &body).await.map_err(|error| refused(object, error))?;
            return Ok(Come::Created);
        }
        let before = there(&api, object).await?;
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
    async fn delete(&self, object: &Object) -> Result<bool, Error> {
        let api = self.api(object);
        let Some(found) = there(&api, object).await?.filter(is_of_files) else { return Ok(false) };
        let preconditions = Preconditions { uid: found.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match api.delete(object.name(), &params).await {
            // Its owner may just have been deleted, and it with that.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            deleted => deleted.map(|_| true).map_err(|error| refused(object, error)),
        }
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
    object.kind() != NAMESPACE && !object.name().is_empty() && now.find(object.key()).is_none()
}

/// The object as it is sent. Files that were written by `kubectl get` have fields that are the API's.
fn body(object: &Object) -> Result<DynamicObject, Error> {
    let mut value = object.value.clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    serde_json::from_value(value).map_err(|error| refused(object, kube::Error::SerdeError(error)))
}

/// What is there under the name of an object.
async fn there(api: &Api<DynamicObject>, object: &Object) -> Result<Option<DynamicObject>, Error> {
    match api.get(object.name()).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(refused(object, error)),
    }
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

fn generated(object: &Object) -> Error {
    Error::Generated {
        file: object.file.clone(),
        line: object.line,
        kind: object.kind().to_owned(),
        name: object.word("/metadata/generateName").to_owned(),
    }
}

fn refused(object: &Object, source: kube::Error) -> Error {
    Error::Refused {
        file: object.file.clone(),
        line: object.line,
        object: object.title(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
