//! Whether a person can work with daskflow in a namespace: what is served, which rights there are, and what
//! stands in the way.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::cluster::Cluster;
use super::error::Error;
use super::version;
use crate::api::{GROUP, Kind, VERSION, crds};
use crate::plan::served::compare;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It is as it should be.
    Good,
    /// It may stand in the way, or could not be found out.
    Note,
    /// Something does not work.
    Fault,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was found, and what to do.
    pub text: String,
}

fn finding(level: Level, text: impl Into<String>) -> Finding {
    Finding { level, text: text.into() }
}

/// A right that a command needs, and which.
struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    /// What does not work without it.
    serves: &'static str,
    /// Whether one can work without it.
    level: Level,
}

const fn ours(verb: &'static str, resource: &'static str, serves: &'static str, level: Level) -> Right {
    Right { verb, group: GROUP, resource, subresource: "", serves, level }
}

const fn core(
    verb: &'static str,
    resource: &'static str,
    subresource: &'static str,
    serves: &'static str,
) -> Right {
    Right { verb, group: "", resource, subresource, serves, level: Level::Note }
}

/// All that the commands ask for, but for what `version` and `check` can do without.
const RIGHTS: &[Right] = &[
    ours("get", "flows", "status, run", Level::Fault),
    ours("list", "flows", "status", Level::Fault),
    ours("get", "flowruns", "status, logs", Level::Fault),
    ours("list", "flowruns", "status", Level::Fault),
    ours("get", "daskclusters", "status, scale", Level::Fault),
    ours("list", "daskclusters", "status", Level::Fault),
    ours("get", "flowbackfills", "status", Level::Fault),
    ours("list", "flowbackfills", "status", Level::Fault),
    ours("watch", "flowruns", "run --follow, --wait", Level::Fault),
    ours("watch", "flows", "suspend --wait", Level::Note),
    ours("watch", "daskclusters", "scale --wait, dashboard", Level::Note),
    ours("watch", "flowbackfills", "suspend --wait", Level::Note),
    ours("create", "flowruns", "run, retry", Level::Note),
    ours("patch", "flowruns", "cancel, suspend", Level::Note),
    ours("patch", "flows", "suspend, resume", Level::Note),
    ours("patch", "daskclusters", "scale, suspend", Level::Note),
    ours("create", "flowbackfills", "backfill", Level::Note),
    ours("patch", "flowbackfills", "suspend, resume", Level::Note),
    core("list", "pods", "", "logs, dashboard, connect"),
    core("get", "pods", "log", "logs"),
    // The GET that becomes a WebSocket is `get`; from Kubernetes 1.35 on it needs `create` too (its feature
    // gate AuthorizePodWebsocketUpgradeCreatePermission).
    core("get", "pods", "portforward", "dashboard, connect"),
    core("create", "pods", "portforward", "dashboard, connect"),
    core("get", "secrets", "", "connect of a cluster with TLS"),
    core("list", "events", "", "events in status"),
];

/// All findings, in the order in which they are found out. Ends early where nothing more can be.
///
/// # Errors
/// The API server cannot be reached, or does not know the caller.
pub async fn check(cluster: &Cluster) -> Result<Vec<Finding>, Error> {
    let server = version::api_server(cluster).await?;
    let mut found = vec![finding(Level::Good, format!("the API server answers: Kubernetes {server}"))];
    let Some(kinds) = served(cluster).await else {
        found.push(finding(Level::Fault, Error::NotInstalled.to_string()));
        return Ok(found);
    };
    found.push(kinds);
    found.push(operator(cluster).await);
    let asked = join_all(RIGHTS.iter().map(|right| lacking(cluster, right))).await;
    let lacking: Vec<Finding> = asked.into_iter().flatten().collect();
    if lacking.is_empty() {
        let text = format!("your rights in the namespace {} are enough for all commands", cluster.namespace);
        found.push(finding(Level::Good, text));
    }
    found.extend(lacking);
    found.extend(namespace(cluster).await);
    found.extend(collisions(cluster).await);
    Ok(found)
}

/// How the kinds that are served differ from those that this program knows; none where none are served.
async fn served(cluster: &Cluster) -> Option<Finding> {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let request = http::Request::get(path).body(Vec::new()).ok()?;
    match cluster.client.request::<Value>(request).await {
        Ok(document) => {
            let difference = compare(&crds(), &document);
            let complaint = difference.complaint().map(|text| finding(Level::Fault, text));
            let remark = || difference.remark().map(|text| finding(Level::Note, text));
            let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            let well =
                || finding(Level::Good, format!("the kinds of {GROUP} are served: {}", all.join(", ")));
            Some(complaint.or_else(remark).unwrap_or_else(well))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(error) => {
            let error = Error::of(error, "read the OpenAPI document of the API server");
            Some(finding(Level::Note, format!("the kinds could not be compared: {error}")))
        }
    }
}

/// Which operator works there.
async fn operator(cluster: &Cluster) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match version::operators(cluster).await {
        Ok(versions) if versions.is_empty() => finding(
            Level::Note,
            "no pod of an operator was found: without one nothing starts (`daskflow local` has its own)",
        ),
        Ok(versions) if versions.iter().any(|version| version.contains(own)) => {
            finding(Level::Good, format!("the operator has version {}", versions.join(", ")))
        }
        Ok(versions) => finding(
            Level::Note,
            format!(
                "the operator has version {} and this program {own}: they may not know each other's fields",
                versions.join(", ")
            ),
        ),
        Err(error) => finding(Level::Note, format!("the operator could not be looked at: {error}")),
    }
}

/// A right that is not there, or may not be.
async fn lacking(cluster: &Cluster, right: &Right) -> Option<Finding> {
    let Right { verb, group, resource, subresource, serves, level } = *right;
    let asked = ResourceAttributes {
        namespace: Some(cluster.namespace.clone()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(asked), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let what = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
    match reviews.create(&PostParams::default(), &review).await {
        Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => None,
        Ok(_) => Some(finding(
            level,
            format!(
                "you may not {verb} {what} in the namespace {}, which `{serves}` needs",
                cluster.namespace
            ),
        )),
        Err(error) => {
            let error = Error::of(error, "create selfsubjectaccessreviews");
            Some(finding(Level::Note, format!("whether you may {verb} {what} is unknown: {error}")))
        }
    }
}

/// What the namespace asks of pods.
async fn namespace(cluster: &Cluster) -> Option<Finding> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let name = &cluster.namespace;
    match namespaces.get(name).await {
        Ok(found) => {
            let level = found.labels().get("pod-security.kubernetes.io/enforce").cloned();
            Some(match level.as_deref() {
                Some("restricted") => finding(
                    Level::Note,
                    format!(
                        "the namespace {name} enforces Pod Security `restricted`: pods of daskflow need runAsNonRoot in podDefaults and an image with a numeric user other than root"
                    ),
                ),
                other => finding(
                    Level::Good,
                    format!("the namespace {name} enforces Pod Security `{}`", other.unwrap_or("privileged")),
                ),
            })
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Some(finding(
            Level::Fault,
            format!("there is no namespace {name}: create it, or name another one with -n"),
        )),
        // Whoever works in one namespace often may not read namespaces.
        Err(_) => None,
    }
}

/// Kinds of others that `kubectl get daskcluster` may mean.
async fn collisions(cluster: &Cluster) -> Option<Finding> {
    let groups = cluster.client.list_api_groups().await.ok()?;
    let is_there = groups.groups.iter().any(|group| group.name == "kubernetes.dask.org");
    is_there.then(|| {
        finding(
            Level::Note,
            "dask-kubernetes is installed as well, whose DaskCluster has the same name: write `kubectl get dkc`, or daskclusters.daskflow.dev",
        )
    })
}
