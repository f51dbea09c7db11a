//! What a client finds out before it asks for objects: the version, the groups, their kinds, and the schemas.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{HeaderValue, Response};
use serde_json::{Value, json};

use super::kinds::{self, Kind};
use super::openapi;
use super::path::Form;
use super::response::json_response;
use super::status::Refusal;
use super::value::set;

/// The release of Kubernetes whose behaviour this follows.
const MINOR: &str = "36";

/// The type of the documents that name all groups with all their kinds.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Whether something is served at this path.
pub(super) fn is_document(path: &str, hidden: Option<&str>) -> bool {
    document(path, Form::Whole, hidden).is_ok()
}

/// The document at a path. Nothing is said of the group `hidden`, which is not served.
pub(super) fn document(path: &str, form: Form, hidden: Option<&str>) -> Result<Response<Body>, Refusal> {
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| Some(*word) == hidden) {
        return Err(Refusal::no_such_path());
    }
    let document = match words.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => return Ok(Response::new(Body::from("ok"))),
        ["version"] => version(),
        ["api"] if form == Form::Discovery => return Ok(aggregated(&[String::new()])),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ["apis"] if form == Form::Discovery => return Ok(aggregated(&groups(hidden))),
        ["apis"] => {
            let all: Vec<Value> = groups(hidden).iter().map(|name| group(name)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all})
        }
        ["apis", name] if groups(hidden).iter().any(|known| known == name) => {
            let mut document = group(name);
            set(&mut document, "kind", json!("APIGroup"));
            set(&mut document, "apiVersion", json!("v1"));
            document
        }
        ["api", version] => resources("", version)?,
        ["apis", group, version] => resources(group, version)?,
        ["openapi", "v3"] => openapi::index(hidden),
        ["openapi", "v3", "api", version] => openapi::document("", version)?,
        ["openapi", "v3", "apis", group, version] => openapi::document(group, version)?,
        _ => return Err(Refusal::no_such_path()),
    };
    Ok(json_response(200, &document, &[]))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0+daskflow-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The groups with a name, in the order of the table.
fn groups(hidden: Option<&str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for kind in kinds::all() {
        let is_named = !kind.group.is_empty() && Some(kind.group.as_str()) != hidden;
        if is_named && !names.contains(&kind.group) {
            names.push(kind.group.clone());
        }
    }
    names
}

/// The versions of a group. Each has one.
fn versions(group: &str) -> Vec<String> {
    let mut versions: Vec<String> =
        kinds::all().iter().filter(|kind| kind.group == group).map(|kind| kind.version.clone()).collect();
    versions.dedup();
    versions
}

fn group(name: &str) -> Value {
    let all: Vec<Value> = versions(name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

fn verbs(kind: &Kind) -> Vec<&'static str> {
    if kind.writable {
        vec!["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    } else {
        vec!["get", "list", "watch"]
    }
}

/// The parts of a kind that are served by themselves, each with its group, version and kind.
fn parts(kind: &Kind) -> Vec<(&'static str, [String; 3])> {
    let own = [kind.group.clone(), kind.version.clone(), kind.kind.clone()];
    let scale = ["autoscaling", "v1", "Scale"].map(str::to_owned);
    let status = kind.status.then_some(("status", own));
    status.into_iter().chain(kind.scale.as_ref().map(|_| ("scale", scale))).collect()
}

fn resources(group: &str, version: &str) -> Result<Value, Refusal> {
    let of = |kind: &&Kind| kind.group == group && kind.version == version;
    let mut all = Vec::new();
    for kind in kinds::all().iter().filter(of) {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": verbs(kind),
        });
        if !kind.short.is_empty() {
            set(&mut resource, "shortNames", json!(kind.short));
        }
        if !kind.categories.is_empty() {
            set(&mut resource, "categories", json!(kind.categories));
        }
        all.push(resource);
        for (part, [group, version, word]) in parts(kind) {
            let mut resource = json!({
                "name": format!("{}/{part}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": word, "verbs": ["get", "patch", "update"],
            });
            if part == "scale" {
                set(&mut resource, "group", json!(group));
                set(&mut resource, "version", json!(version));
            }
            all.push(resource);
        }
    }
    if all.is_empty() {
        return Err(Refusal::no_such_path());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": all}),
    )
}

/// All groups with all their kinds, in one document.
fn aggregated(groups: &[String]) -> Response<Body> {
    let response_kind =
        |[group, version, word]: &[String; 3]| json!({"group": group, "version": version, "kind": word});
    let resource = |kind: &Kind| {
        let own = [kind.group.clone(), kind.version.clone(), kind.kind.clone()];
        let subresources: Vec<Value> = parts(kind)
            .iter()
            .map(|(part, of)| {
                json!({"subresource": part, "responseKind": response_kind(of), "verbs": ["get", "patch", "update"]})
            })
            .collect();
        json!({
            "resource": kind.plural, "responseKind": response_kind(&own),
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": kind.singular, "verbs": verbs(kind), "shortNames": kind.short,
            "categories": kind.categories, "subresources": subresources,
        })
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let mut by_version: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
            for kind in kinds::all().iter().filter(|kind| kind.group == *group) {
                by_version.entry(&kind.version).or_default().push(resource(kind));
            }
            let versions: Vec<Value> = by_version
                .into_iter()
                .map(|(version, all)| json!({"version": version, "resources": all, "freshness": "Current"}))
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    let mut response = json_response(200, &document, &[]);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_with_its_parts() {
        for kind in kinds::all() {
            let document = resources(&kind.group, &kind.version).unwrap();
            let names: Vec<&str> = document["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            assert!(names.contains(&kind.plural.as_str()), "{names:?}");
            assert_eq!(kind.status, names.contains(&format!("{}/status", kind.plural).as_str()));
        }
        assert_eq!(resources("policy", "v1").unwrap_err().code, 404);
    }

    #[test]
    fn documents_are_at_their_paths() {
        for path in
            ["/version", "/api", "/apis", "/apis/batch", "/api/v1", "/openapi/v3", "/readyz", "/livez/ping"]
        {
            assert!(is_document(path, None), "{path}");
        }
        for path in ["/", "/metrics", "/apis/policy", "/openapi/v2", "/openapi/v3/apis/policy/v1"] {
            assert!(!is_document(path, None), "{path}");
        }
        let theirs = "/apis/kubernetes.dask.org";
        assert!(is_document(theirs, None) && !is_document(theirs, Some("kubernetes.dask.org")));
    }
}
