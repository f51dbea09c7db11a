//! `cluster.gateway`: a cluster of a Dask Gateway, which it makes for a run or which exists, and what is
//! known of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::is_false;
use super::count::Count;
use super::schema;

/// The longest path of a dashboard that a status has. A path that is cut leads nowhere.
pub const DASHBOARD_BYTES_MAX: usize = 512;

/// A Dask Gateway, and the cluster that it is to make for each run, or that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.workers), has(self.adapt), has(self.cluster)].filter(x, x).size() == 1")
        .message("write exactly one of workers (their number), adapt (as many as the work needs) and cluster (the name of a cluster of the gateway that exists)"),
    validation = Rule::new("!has(self.options) || !has(self.cluster)")
        .message("options are those of a cluster that is made for each run: leave them out beside cluster, which names one that exists")
)]
pub struct Gateway {
    /// The address of its REST API, with the prefix where it has one, such as
    /// `https://hub.example.org/services/dask-gateway`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/ ?#@]+(/[^ ?#]*)?$')").message("write the address of the gateway's REST API as http://HOST, https://HOST:PORT or https://HOST/PREFIX"))]
    pub address: String,
    /// Where its proxy takes connections to schedulers, as `HOST:PORT`. Default: host and port of `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^/ ?#@]+:[0-9]+$')").message("write where the gateway's proxy takes connections to schedulers as HOST:PORT, without gateway:// or tls://"))]
    pub proxy_address: Option<String>,
    /// How the operator shows the gateway who it is. The runner is given none of it.
    #[x_kube(validation = Rule::new("self.type != 'Kerberos'").message("auth.type: Kerberos is not supported: use a gateway, or a user of it, with Basic or JupyterHub"))]
    pub auth: GatewayAuth,
    /// With `https`: the authorities that are trusted. Default: those of the operator's machine or image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<GatewayCa>,
    /// The options of the cluster, as the gateway has them. It says which there are:
    /// `Gateway(...).cluster_options()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub options: Option<serde_json::Value>,
    /// How many workers the cluster has. A run starts when all of them are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub workers: Option<Count<1>>,
    /// In the place of `workers`: the gateway gives the cluster as many as the work needs. A run starts when
    /// `minimum` of them are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapt: Option<GatewayAdapt>,
    /// In the place of both: the name of a cluster of the gateway that exists, which Flows may share. It is
    /// neither made nor ended for a run, which starts when its scheduler answers. The names are those of
    /// `Gateway(...).list_clusters()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 240))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')").message("write the name of a cluster as Gateway(...).list_clusters() shows it: letters, digits, '.', '_' and '-'"))]
    pub cluster: Option<String>,
}

/// How many workers a gateway gives a cluster, by the work that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minimum) || self.minimum <= self.maximum").message("minimum is more than maximum"))]
pub struct GatewayAdapt {
    /// The minimum number of workers, also when there is no work.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub minimum: Count,
    /// The maximum number of workers.
    #[schemars(range(min = 1, max = 10_000))]
    pub maximum: Count<1>,
}

/// How the operator shows a gateway who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayAuth {
    /// `Basic`: a user and a password. `JupyterHub`: a token of the hub.
    #[serde(rename = "type")]
    pub type_: GatewayAuthType,
    /// The Secret, in the namespace of the Flow: with `username` and `password` for `Basic`, with `token` for
    /// `JupyterHub`. A changed one is used from the next request on.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// The kinds of users that a gateway knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GatewayAuthType {
    /// A user and a password.
    #[default]
    Basic,
    /// A token of a `JupyterHub`.
    JupyterHub,
    /// A ticket of Kerberos. It is not supported.
    Kerberos,
}

/// The authorities that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayCa {
    /// The Secret with `ca.crt`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Between how many and how many workers a gateway was asked to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedBounds {
    /// The minimum.
    pub minimum: i32,
    /// The maximum.
    pub maximum: i32,
}

impl From<GatewayAdapt> for AskedBounds {
    fn from(adapt: GatewayAdapt) -> Self {
        // Both are at most 10,000.
        let of = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        Self { minimum: of(adapt.minimum.get()), maximum: of(adapt.maximum.get()) }
    }
}

/// The way to a gateway: what must be known to end a cluster there, whatever the Flow says by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayAccess {
    /// The address of its REST API.
    pub address: String,
    /// Where its proxy takes connections to schedulers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_address: Option<String>,
    /// How the operator shows it who it is.
    pub auth: GatewayAuth,
    /// The authorities that are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<GatewayCa>,
}

/// What is known of the cluster that a gateway makes, or may have made, for a run, or that its Flow names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// The way to the gateway.
    pub access: GatewayAccess,
    /// The attempt that asked for the cluster.
    pub attempt: i32,
    /// The cluster is not the run's: its Flow names it, others may use it, and it is never ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shared: bool,
    /// The options that are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque_object")]
    pub options: Option<serde_json::Value>,
    /// When this was written, which is before the gateway is asked for a cluster.
    #[schemars(schema_with = "schema::required_timestamp")]
    pub asked_at: Time,
    /// The same moment by the gateway's own clock: what it made before is not the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub since: Option<Time>,
    /// Which start of the operator asks. Another one does not know what became of the request. Missing where
    /// none is asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The name of the cluster. Missing until the gateway has given it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The Secret with the certificate and the key for its scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// How many workers the gateway was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<i32>,
    /// Between how many and how many the gateway was asked to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapt: Option<AskedBounds>,
    /// The dashboard, as a path of the gateway's address. A longer one is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DASHBOARD_BYTES_MAX))]
    pub dashboard: Option<String>,
}

/// Where a REST API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestAddress {
    /// Whether it is spoken to over TLS.
    pub is_secure: bool,
    /// Host, an IPv6 address without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What stands before `/api`, without a slash at its end.
    pub prefix: String,
}

impl Gateway {
    /// The way to it.
    pub fn access(&self) -> GatewayAccess {
        GatewayAccess {
            address: self.address.clone(),
            proxy_address: self.proxy_address.clone(),
            auth: self.auth.clone(),
            ca: self.ca.clone(),
        }
    }

    /// How many workers a run waits for. Of a cluster that exists none: how it scales is for whoever made it,
    /// and one that adapts may have none until there is work.
    pub fn least_workers(&self) -> usize {
        let least = self.adapt.map(|adapt| adapt.minimum.size());
        least.or(self.workers.map(Count::size)).unwrap_or_default()
    }
}

impl GatewayStatus {
    /// The address of the dashboard, for a browser. None: the cluster has none that is known.
    pub fn dashboard_address(&self) -> Option<String> {
        let path = self.dashboard.as_deref()?;
        // It is what a gateway says, and is shown in terminals and as a link.
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        let is_http = self.access.rest().is_some();
        (is_path && is_http).then(|| format!("{}{path}", self.access.address.trim_end_matches('/')))
    }
}

impl GatewayAccess {
    /// Where its REST API is. None: the address is none, which the API server refuses.
    pub fn rest(&self) -> Option<RestAddress> {
        let (is_secure, rest) = match self.address.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, self.address.strip_prefix("http://")?),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority, Some(if is_secure { 443 } else { 80 }))?;
        Some(RestAddress { is_secure, host, port, prefix: path.trim_end_matches('/').to_owned() })
    }

    /// Where its proxy takes connections to schedulers. None: the address is none.
    pub fn proxy(&self) -> Option<(String, u16)> {
        match &self.proxy_address {
            Some(address) => host_and_port(address, None),
            None => self.rest().map(|rest| (rest.host, rest.port)),
        }
    }
}

/// Host, without brackets, and port. None: there is no host, or no port where none is the default.
fn host_and_port(text: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => default?,
    };
    (!host.is_empty() && host.bytes().all(is_name)).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(address: &str, proxy_address: Option<&str>) -> GatewayAccess {
        GatewayAccess {
            address: address.to_owned(),
            proxy_address: proxy_address.map(str::to_owned),
            ..GatewayAccess::default()
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        let cases = [
            ("http://gw", (false, "gw", 80, "")),
            ("https://gw.example", (true, "gw.example", 443, "")),
            (
                "https://hub.example:8443/services/dask-gateway/",
                (true, "hub.example", 8443, "/services/dask-gateway"),
            ),
            ("http://[::1]:8000/x", (false, "::1", 8000, "/x")),
        ];
        for (address, (is_secure, host, port, prefix)) in cases {
            let found = RestAddress { is_secure, host: host.to_owned(), port, prefix: prefix.to_owned() };
            assert_eq!(access(address, None).rest(), Some(found), "{address}");
        }
        for address in
            ["gw", "ftp://gw", "http://", "http://gw:0", "http://gw:x/y", "http://a b", "http://[::1"]
        {
            assert_eq!(access(address, None).rest(), None, "{address}");
        }
    }

    #[test]
    fn schedulers_are_behind_the_same_host_and_port_unless_another_is_named() {
        assert_eq!(access("https://gw/x", None).proxy(), Some(("gw".to_owned(), 443)));
        assert_eq!(access("https://gw/x", Some("p:8786")).proxy(), Some(("p".to_owned(), 8786)));
        assert_eq!(
            access("https://gw/x", Some("[fd00::1]:8786")).proxy(),
            Some(("fd00::1".to_owned(), 8786))
        );
        assert_eq!(access("https://gw/x", Some("p")).proxy(), None);
    }

    #[test]
    fn a_dashboard_is_behind_the_address_of_its_gateway() {
        let of = |address: &str, path: &str| {
            let known = json!({
                "access": {"address": address, "auth": {"type": "Basic", "secretName": "login"}}, "attempt": 1,
                "askedAt": "2026-12-01T09:00:00Z", "dashboard": path,
            });
            serde_json::from_value::<GatewayStatus>(known).unwrap().dashboard_address()
        };
        let hub = "https://hub.example/services/dask-gateway/clusters/a/status";
        assert_eq!(
            of("https://hub.example/services/dask-gateway/", "/clusters/a/status").as_deref(),
            Some(hub)
        );
        for path in ["", "clusters/a", "//x\n", "/a b", "/\u{1b}[31m", "/\u{e4}"] {
            assert_eq!(of("http://gw", path), None, "{path:?}");
        }
        assert_eq!(of("javascript:alert(1)", "/status"), None);
    }

    #[test]
    fn a_run_waits_for_as_many_workers_as_there_certainly_are() {
        let of = |size: &serde_json::Value| {
            let mut all = json!({"address": "http://gw", "auth": {"type": "Basic", "secretName": "login"}});
            all.as_object_mut().unwrap().extend(size.as_object().unwrap().clone());
            serde_json::from_value::<Gateway>(all).unwrap().least_workers()
        };
        assert_eq!(of(&json!({"workers": 4})), 4);
        assert_eq!(of(&json!({"adapt": {"minimum": 2, "maximum": 20}})), 2);
        assert_eq!(of(&json!({"adapt": {"maximum": 20}})), 0);
        assert_eq!(of(&json!({"cluster": "c1"})), 0);
    }
}
