//! TLS of a cluster: who issues its certificates, and what is known of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;
use super::duration::{self, Duration};
use super::schema;

/// Who issues the certificates of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.issuer == 'Secret') == has(self.secretName)")
        .message("tls.secretName is for issuer: Secret, and needed there: the Secret with tls.crt, tls.key and ca.crt"),
    validation = Rule::new("(self.issuer == 'CertManager') == has(self.issuerRef)")
        .message("tls.issuerRef is for issuer: CertManager, and needed there: the Issuer or ClusterIssuer that signs"),
    validation = Rule::new("self.issuer != 'Secret' || !has(self.duration)")
        .message("tls.duration is for certificates that are made for the cluster; those of a Secret live as long as they say")
)]
pub struct Tls {
    /// `Operator`: daskflow makes a certificate authority for this cluster alone. `Secret`: they are in a
    /// Secret. `CertManager`: cert-manager makes them.
    pub issuer: Issuer,
    /// Under `Secret`: the Secret with `tls.crt`, `tls.key` and `ca.crt`. Without `ca.crt` the certificate is
    /// its own authority. When it changes, the workers are renewed, and the scheduler as `rollout` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// Under `CertManager`: who signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// Under `Operator` and `CertManager`: how long a certificate is good for. It is renewed at two thirds of
    /// that. Default: 2160h (90 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::at_least_a_second("2160h or 1h30m"))]
    pub duration: Option<Duration>,
    /// True: the operator also checks that the scheduler's certificate names its Service. Dask itself never
    /// looks at names.
    #[serde(default, skip_serializing_if = "is_false")]
    pub verify_host_name: bool,
}

/// Who issues certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Issuer {
    /// The operator, with an authority for the cluster alone.
    #[default]
    Operator,
    /// Whoever filled the Secret.
    Secret,
    /// cert-manager.
    CertManager,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// `Issuer`, in this namespace, or `ClusterIssuer`. Default: `Issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Its API group. Default: `cert-manager.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub group: Option<String>,
}

/// What a client shows to a scheduler that is not ours, and what it trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// The Secret with `tls.crt`, `tls.key` and `ca.crt`. Without `ca.crt` the certificate is its own
    /// authority, as Dask Gateway and `openssl req -x509` make it.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// True: the operator also checks that the scheduler's certificate names the host of the address.
    #[serde(default, skip_serializing_if = "is_false")]
    pub verify_host_name: bool,
}

/// What is known of the certificates of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsStatus {
    /// The Secret with `ca.crt`, `tls.crt` and `tls.key` that the scheduler was started with: what a client
    /// of it needs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// When the first of the certificates that are in use ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub not_after: Option<Time>,
    /// The copies of certificates that pods were made with. A copy never changes, and is deleted with the
    /// last pod that uses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub copies: Vec<String>,
}
