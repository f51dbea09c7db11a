//! The Secrets of a cluster with TLS: which have to be read, and whether what was found is to be believed. A
//! Secret under our name may be somebody else's: it is neither used nor signed with.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};

use super::{Certificates, Fault, judge, not_found, not_ours, read, read_authority};
use crate::api::DaskCluster;
use crate::api::tls::{Issuer, Tls};
use crate::plan::names;

/// The annotation by which cert-manager marks the Secrets that it writes:
/// <https://cert-manager.io/docs/reference/annotations/#cert-manageriocertificate-name>.
const CERTIFICATE_NAME: &str = "cert-manager.io/certificate-name";

/// The Secrets that have to be read for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// The one that the issuer fills.
    pub source: String,
    /// The one of our own authority.
    pub authority: Option<String>,
    /// The object by which cert-manager is asked.
    pub request: Option<String>,
}

/// Which Secrets have to be read. None: the cluster has no TLS.
pub fn secrets(cluster: &DaskCluster) -> Option<Secrets> {
    let tls = cluster.spec.tls.as_ref()?;
    let name = cluster.name_any();
    Some(Secrets {
        source: source_name(&name, tls),
        authority: (tls.issuer == Issuer::Operator).then(|| names::authority_name(&name)),
        request: (tls.issuer == Issuer::CertManager).then(|| names::certificate_name(&name)),
    })
}

pub(super) fn source_name(cluster: &str, tls: &Tls) -> String {
    tls.secret_name.clone().unwrap_or_else(|| names::certificate_name(cluster))
}

impl Secrets {
    /// Whether cert-manager wrote this Secret, found under the name of the source.
    pub fn is_by_cert_manager(&self, found: &Secret) -> bool {
        found.annotations().get(CERTIFICATE_NAME).is_some_and(|name| *name == self.source)
    }

    /// What the Secret that was found under the name of the source holds.
    pub fn source(
        &self,
        cluster: &DaskCluster,
        found: Option<&Secret>,
        now: Timestamp,
    ) -> Result<Certificates, Fault> {
        let namespace = cluster.namespace().unwrap_or_default();
        let name = (namespace.as_str(), self.source.as_str());
        if let Some(secret) = found {
            let ours = is_owned(cluster, secret);
            if self.authority.is_some() && !ours {
                return Err(not_ours(name));
            }
            if self.request.is_some() && !self.is_by_cert_manager(secret) {
                // One of ours, of before cert-manager was asked, is not what it was asked for.
                return Err(if ours { not_found(name) } else { not_ours(name) });
            }
        }
        judge(name, found, now, read)
    }

    /// What the Secret that was found under the name of our own authority holds. None: none is needed.
    pub fn authority(
        &self,
        cluster: &DaskCluster,
        found: Option<&Secret>,
        now: Timestamp,
    ) -> Option<Result<Certificates, Fault>> {
        let namespace = cluster.namespace().unwrap_or_default();
        let name = (namespace.as_str(), self.authority.as_deref()?);
        Some(match found {
            Some(secret) if !is_owned(cluster, secret) => Err(not_ours(name)),
            found => judge(name, found, now, read_authority),
        })
    }
}

/// Whether an object stays and belongs to this very cluster.
pub fn is_owned(cluster: &DaskCluster, object: &impl Resource) -> bool {
    let owners = object.owner_references();
    object.meta().deletion_timestamp.is_none()
        && owners.iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::api::Reason;
    use crate::plan::pods::controller_ref;

    fn cluster(issuer: &str) -> DaskCluster {
        let mut tls = json!({"issuer": issuer});
        if issuer == "Secret" {
            tls["secretName"] = json!("theirs");
        }
        let spec = serde_json::from_value(json!({"image": "a", "tls": tls})).unwrap();
        let mut cluster = DaskCluster::new("demo", spec);
        cluster.metadata.namespace = Some("team-a".to_owned());
        cluster.metadata.uid = Some("u".to_owned());
        cluster
    }

    /// An empty Secret: what is not refused for its owner is told to lack its files.
    fn secret(owner: Option<&DaskCluster>, certificate: Option<&str>) -> Secret {
        let annotation = |name: &str| BTreeMap::from([(CERTIFICATE_NAME.to_owned(), name.to_owned())]);
        Secret {
            metadata: ObjectMeta {
                owner_references: owner.and_then(controller_ref).map(|owner| vec![owner]),
                annotations: certificate.map(annotation),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        }
    }

    fn source(cluster: &DaskCluster, found: Option<&Secret>) -> Reason {
        let secrets = secrets(cluster).unwrap();
        secrets.source(cluster, found, Timestamp::UNIX_EPOCH).unwrap_err().reason
    }

    #[test]
    fn a_secret_of_somebody_else_is_believed_only_where_it_is_asked_for() {
        let theirs = secret(None, None);
        assert_eq!(source(&cluster("Operator"), Some(&theirs)), Reason::NameTaken);
        assert_eq!(source(&cluster("CertManager"), Some(&theirs)), Reason::NameTaken);
        assert_eq!(source(&cluster("Secret"), Some(&theirs)), Reason::SecretKeyMissing);
        for issuer in ["Operator", "CertManager", "Secret"] {
            assert_eq!(source(&cluster(issuer), None), Reason::SecretNotFound);
        }
    }

    #[test]
    fn of_cert_manager_only_what_it_wrote_for_this_cluster_is_believed() {
        let cluster = cluster("CertManager");
        assert_eq!(source(&cluster, Some(&secret(None, Some("demo-tls")))), Reason::SecretKeyMissing);
        assert_eq!(source(&cluster, Some(&secret(None, Some("other-tls")))), Reason::NameTaken);
        let before = secret(Some(&cluster), None);
        assert_eq!(source(&cluster, Some(&before)), Reason::SecretNotFound, "the operator's own of before");
    }

    #[test]
    fn an_authority_signs_only_if_it_is_this_very_clusters() {
        let mut cluster = cluster("Operator");
        let own = secret(Some(&cluster), None);
        let reason = |cluster: &DaskCluster, found: Option<&Secret>| {
            let authority = secrets(cluster).unwrap().authority(cluster, found, Timestamp::UNIX_EPOCH);
            authority.unwrap().unwrap_err().reason
        };
        assert_eq!(reason(&cluster, Some(&own)), Reason::SecretKeyMissing);
        assert_eq!(reason(&cluster, None), Reason::SecretNotFound);
        // Another cluster of the same name, made anew.
        cluster.metadata.uid = Some("v".to_owned());
        assert_eq!(reason(&cluster, Some(&own)), Reason::NameTaken);
        let mut going = secret(Some(&cluster), None);
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(reason(&cluster, Some(&going)), Reason::NameTaken);
    }
}
