//! The Secrets that are ours: issued, copied.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::Value;

use super::objects::{MANAGER, check_owner, create_one, delete};
use crate::api::Kind;
use crate::operator::certificates::issue::{self, Pem};
use crate::operator::certificates::requests;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::lookup;
use crate::plan::{Issue, Victim, VictimKind, certificates};

/// Makes a certificate, and its authority where there is none. The authority is written first: without it
/// nobody could issue the next certificate.
pub(super) async fn issue(
    context: &Context,
    (namespace, cluster): (&str, &str),
    wanted: &Issue,
    now: Timestamp,
) -> Result<(), Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let there = lookup::by_name(&api, &name_of(&wanted.authority)).await?;
    if let Some(there) = &there {
        check_owner(&there.metadata, &wanted.authority, Secret::kind(&()))?;
    }
    let kept = there.filter(|_| !wanted.new_authority).map(|secret| pem(&secret));
    let authority = if let Some(kept) = kept {
        kept
    } else {
        let made =
            issue::authority(cluster, namespace, wanted.authority_life, now).map_err(issue::Error::from)?;
        put(&api, secret(&wanted.authority, &made, &made.certificate)).await?;
        made
    };
    let leaf = issue::leaf(&authority, &wanted.names, wanted.life, now)?;
    put(&api, secret(&wanted.certificate, &leaf, &authority.certificate)).await?;
    context.certificates.forget(namespace, cluster);
    Ok(())
}

fn name_of(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn pem(secret: &Secret) -> Pem {
    let data = secret.data.clone().unwrap_or_default();
    let text = |name: &str| String::from_utf8_lossy(certificates::file(&data, name)).into_owned();
    Pem { certificate: text(certificates::CERTIFICATE), key: text(certificates::KEY) }
}

fn secret(metadata: &ObjectMeta, pem: &Pem, ca: &str) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: metadata.clone(),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            (certificates::CA.to_owned(), bytes(ca)),
            (certificates::CERTIFICATE.to_owned(), bytes(&pem.certificate)),
            (certificates::KEY.to_owned(), bytes(&pem.key)),
        ])),
        ..Secret::default()
    }
}

/// Creates a Secret, or replaces the one of the same name that is ours.
async fn put(api: &Api<Secret>, mut wanted: Secret) -> Result<(), Error> {
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let Some(there) = api.get_metadata_opt(&wanted.name_any()).await? else {
        api.create(&params, &wanted).await?;
        return Ok(());
    };
    check_owner(&there.metadata, &wanted.metadata, Secret::kind(&()))?;
    wanted.metadata.resource_version = there.metadata.resource_version;
    api.replace(&wanted.name_any(), &params, &wanted).await?;
    Ok(())
}

/// Copies the files of `from` into the Secret `to`, if they are still those of `hash`. If they are not, the
/// next look finds so.
pub(super) async fn copy(
    context: &Context,
    (namespace, cluster): (&str, &str),
    (from, hash): (&str, &str),
    to: &Secret,
    now: Timestamp,
) -> Result<(), Error> {
    context.certificates.forget(namespace, cluster);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let data = lookup::by_name(&api, from).await?.and_then(|secret| secret.data).unwrap_or_default();
    let certificates = certificates::read(from, &data, now);
    if !certificates.is_ok_and(|certificates| certificates.hash == hash) {
        return Err(Error::Changed { kind: Secret::kind(&()), name: from.to_owned() });
    }
    let files = [certificates::CA, certificates::CERTIFICATE, certificates::KEY];
    let files = files.map(|name| (name.to_owned(), ByteString(certificates::file(&data, name).to_vec())));
    create_one(context, namespace, &Secret { data: Some(files.into()), ..to.clone() }).await.map(drop)
}

/// Asks cert-manager for a certificate.
pub(super) async fn request(
    context: &Context,
    (namespace, cluster): (&str, &str),
    wanted: &Value,
) -> Result<(), Error> {
    context.certificates.forget(namespace, cluster);
    let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let api = requests(&context.client, namespace);
    match lookup::by_name(&api, name).await {
        Ok(Some(there)) => {
            let owners = wanted.pointer("/metadata/ownerReferences").cloned().unwrap_or_default();
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                owner_references: serde_json::from_value(owners).ok(),
                ..ObjectMeta::default()
            };
            check_owner(&there.metadata, &metadata, "Certificate".into())?;
        }
        Ok(None) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Err(Error::NoCertManager),
        Err(error) => return Err(Error::Api(error)),
    }
    match api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(wanted)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NoCertManager),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

/// Asks cert-manager no more.
pub(super) async fn withdraw(
    context: &Context,
    (namespace, cluster): (&str, &str),
    name: &str,
) -> Result<(), Error> {
    context.certificates.forget(namespace, cluster);
    match requests(&context.client, namespace).delete(name, &DeleteParams::background()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()).map_err(Error::Api),
    }
}

/// Deletes a copy of a certificate, if it is this cluster's. One that is gone is done.
pub(super) async fn delete_copy(
    context: &Context,
    (namespace, cluster): (&str, &str),
    name: &str,
) -> Result<(), Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let Some(there) = api.get_metadata_opt(name).await? else { return Ok(()) };
    let owners = there.owner_references();
    if !owners.iter().any(|owner| Kind::of_owner(owner) == Some(Kind::DaskCluster) && owner.name == cluster) {
        return Ok(());
    }
    let copy = Victim { kind: VictimKind::Secret, name: name.to_owned(), uid: there.metadata.uid };
    delete(context, namespace, &copy).await
}
