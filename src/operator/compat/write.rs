//! Writes what a plan for an object of dask-kubernetes wants.

use std::collections::BTreeSet;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use crate::api::{DaskCluster, labels};
use crate::operator::context::Context;
use crate::operator::execute::{self, Bounds};
use crate::operator::failure::Error;
use crate::plan::compat::adapter::{TheirKind, Write};

/// The kinds whose status is a part of the object, as far as that is known.
#[derive(Default)]
pub(super) struct Statuses(Mutex<BTreeSet<TheirKind>>);

impl Statuses {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<TheirKind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_within(&self, kind: TheirKind) -> bool {
        self.lock().contains(&kind)
    }

    fn learn(&self, kind: TheirKind, is_within: bool) {
        let mut all = self.lock();
        if is_within {
            all.insert(kind);
        } else {
            all.remove(&kind);
        }
    }
}

/// Carries out one write for an object in this namespace.
pub(super) async fn carry_out(
    context: &Context,
    (namespace, name): (&str, &str),
    statuses: &Statuses,
    write: &Write,
) -> Result<(), Error> {
    let api = |kind: TheirKind| -> Api<DynamicObject> {
        Api::namespaced_with(context.client.clone(), namespace, &kind.resource())
    };
    match write {
        Write::Status { kind, name, uid, status } => {
            set_status(&api(*kind), (*kind, name), statuses, (uid.as_deref(), status)).await
        }
        Write::Step(step) => {
            execute::steps(context, (namespace, name), slice::from_ref(step), Bounds::USUAL).await
        }
        Write::Replace(cluster) => {
            let api: Api<DaskCluster> = Api::namespaced(context.client.clone(), namespace);
            let params = PostParams { field_manager: Some(labels::APP.to_owned()), ..PostParams::default() };
            unless_missing(api.replace(&cluster.name_any(), &params, cluster).await)
        }
        Write::Create(kind, object) => {
            let object: DynamicObject =
                serde_json::from_value((**object).clone()).map_err(kube::Error::SerdeError)?;
            let params = PostParams { field_manager: Some(labels::APP.to_owned()), ..PostParams::default() };
            match api(*kind).create(&params, &object).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                other => other.map(drop).map_err(Error::Api),
            }
        }
        Write::Change { kind, name, patch } => {
            unless_missing(api(*kind).patch(name, &params(), &Patch::Merge(patch)).await)
        }
        Write::Delete { kind, name, uid } => {
            let mut params = DeleteParams::background();
            params.preconditions = Some(Preconditions { uid: uid.clone(), resource_version: None });
            match api(*kind).delete(name, &params).await {
                Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(()),
                other => other.map(drop).map_err(Error::Api),
            }
        }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(labels::APP.to_owned()), ..PatchParams::default() }
}

/// What is written to an object that is not there is done.
fn unless_missing<T>(answer: Result<T, kube::Error>) -> Result<(), Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop).map_err(Error::Api),
    }
}

/// Writes fields of a status, where the definition that is installed has it. It may be replaced by another
/// one at any time.
async fn set_status(
    api: &Api<DynamicObject>,
    (kind, name): (TheirKind, &str),
    statuses: &Statuses,
    (uid, status): (Option<&str>, &Value),
) -> Result<(), Error> {
    // Another object of the name refuses it: a uid does not change.
    let metadata = uid.map_or_else(|| json!({}), |uid| json!({"uid": uid}));
    let patch = Patch::Merge(json!({"metadata": metadata, "status": status}));
    if statuses.is_within(kind) {
        match api.patch(name, &params(), &patch).await {
            // What a definition with a resource for the status leaves out without a word.
            Ok(object) if has(&object, status) => return Ok(()),
            Ok(_) => statuses.learn(kind, false),
            other => return unless_missing(other),
        }
    }
    match api.patch_status(name, &params(), &patch).await {
        Err(kube::Error::Api(answer)) if answer.is_not_found() => {
            let object = api.patch(name, &params(), &patch).await;
            if object.as_ref().is_ok_and(|object| has(object, status)) {
                statuses.learn(kind, true);
            }
            unless_missing(object)
        }
        other => other.map(drop).map_err(Error::Api),
    }
}

/// Whether an object has these fields in its status.
fn has(object: &DynamicObject, status: &Value) -> bool {
    let there = object.data.get("status");
    let mut fields = status.as_object().into_iter().flatten();
    fields.all(|(name, value)| there.and_then(|there| there.get(name)) == Some(value))
}
