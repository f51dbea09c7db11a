//! What a request asks for, by its method and path.

use super::Class;
use super::pace::Kind;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The verb, as Kubernetes has it:
    /// <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>.
    pub verb: &'static str,
    /// The resource. A subresource is written behind it, such as `flows/status`; a path that leads to no
    /// resource is `other`.
    pub resource: String,
    /// The namespace; empty where it is of none, or of all.
    pub namespace: String,
    /// Whether nothing is to be stored.
    pub is_dry: bool,
}

impl Asked {
    /// Of a request with this method, path and query.
    pub fn of(method: &str, path: &str, query: &str) -> Self {
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match path.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        // A namespace that is asked for itself is a resource.
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, named) = match rest {
            [resource] => ((*resource).to_owned(), false),
            [resource, _name] => ((*resource).to_owned(), true),
            [resource, _name, subresource, ..] => (format!("{resource}/{subresource}"), true),
            [] => ("other".to_owned(), true),
        };
        let has = |wanted: &[&str]| query.split('&').any(|part| wanted.contains(&part));
        let verb = match method {
            "GET" | "HEAD" if has(&["watch=true", "watch=1"]) => "watch",
            "GET" | "HEAD" if named => "get",
            "GET" | "HEAD" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if named => "delete",
            "DELETE" => "deletecollection",
            _ => "other",
        };
        Self { verb, resource, namespace: namespace.to_owned(), is_dry: has(&["dryRun=All"]) }
    }

    /// What it is for. None: a watch, which stays open and waits for nothing.
    pub fn class(&self) -> Option<Class> {
        match (self.verb, self.resource.as_str()) {
            ("watch", _) => None,
            (_, "events") => Some(Class::Event),
            // The places that runs have been given stand there, and a run waits for its cluster.
            (_, "flows/status" | "daskclusters/status") => Some(Class::Work),
            (_, resource) if resource.ends_with("/status") => Some(Class::Status),
            // Also what is deleted: it frees a name, a place or a quota for what comes next in the same plan.
            _ => Some(Class::Work),
        }
    }

    /// Its kind, by which it is judged how fast it was answered. None: that depends on how much there is.
    pub fn kind(&self) -> Option<Kind<'_>> {
        let depends = matches!(self.verb, "list" | "watch" | "deletecollection" | "other");
        (!depends).then_some(Kind { verb: self.verb, resource: &self.resource, is_dry: self.is_dry })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FLOWS: &str = "/apis/daskflow.dev/v1alpha1/namespaces/team/flows";

    #[rstest]
    #[case("GET", "/api/v1/namespaces/team/pods/a", "", ("get", "pods", "team"))]
    #[case("GET", "/api/v1/pods", "labelSelector=a%3Db&limit=500", ("list", "pods", ""))]
    #[case("GET", "/apis/daskflow.dev/v1alpha1/flows", "&watch=true&timeoutSeconds=60", ("watch", "flows", ""))]
    #[case("PATCH", "/apis/daskflow.dev/v1alpha1/namespaces/team/flows/a/status", "force=true", ("patch", "flows/status", "team"))]
    #[case("POST", "/apis/batch/v1/namespaces/team/jobs", "", ("create", "jobs", "team"))]
    #[case("PUT", "/apis/coordination.k8s.io/v1/namespaces/team/leases/a", "", ("update", "leases", "team"))]
    #[case("DELETE", "/api/v1/namespaces/team/pods/a", "", ("delete", "pods", "team"))]
    #[case("DELETE", "/api/v1/namespaces/team/pods", "", ("deletecollection", "pods", "team"))]
    #[case("GET", "/api/v1/namespaces/team", "", ("get", "namespaces", ""))]
    #[case("GET", "/version", "", ("get", "other", ""))]
    fn verb_resource_and_namespace_are_those_of_kubernetes(
        #[case] method: &str,
        #[case] path: &str,
        #[case] query: &str,
        #[case] expected: (&str, &str, &str),
    ) {
        let asked = Asked::of(method, path, query);
        assert_eq!((asked.verb, asked.resource.as_str(), asked.namespace.as_str()), expected);
    }

    #[rstest]
    #[case::tick("POST", "flowruns", "", Some(Class::Work))]
    #[case::live_read("GET", "flowruns/a", "", Some(Class::Work))]
    #[case::place("PATCH", "flows/a/status", "", Some(Class::Work))]
    #[case::place_on_a_cluster("PATCH", "daskclusters/a/status", "", Some(Class::Work))]
    #[case::cancel("PATCH", "flowruns/a", "", Some(Class::Work))]
    #[case::told("PATCH", "flowruns/a/status", "", Some(Class::Status))]
    #[case::history("DELETE", "flowruns/a", "", Some(Class::Work))]
    #[case::job("DELETE", "jobs/a", "", Some(Class::Work))]
    #[case::event("POST", "events", "", Some(Class::Event))]
    #[case::event_again("PATCH", "events/a", "", Some(Class::Event))]
    #[case::watch("GET", "flowruns", "watch=true", None)]
    fn what_a_run_waits_for_before_its_job_goes_first(
        #[case] method: &str,
        #[case] path: &str,
        #[case] query: &str,
        #[case] class: Option<Class>,
    ) {
        let path = FLOWS.replace("flows", path);
        assert_eq!(Asked::of(method, &path, query).class(), class);
    }

    #[rstest]
    #[case::created("POST", "flows", "fieldManager=a", Some(("create", "flows", false)))]
    #[case::not_stored("POST", "flows", "fieldManager=a&dryRun=All", Some(("create", "flows", true)))]
    #[case::read("GET", "flows/a", "", Some(("get", "flows", false)))]
    #[case::status("PATCH", "flows/a/status", "", Some(("patch", "flows/status", false)))]
    #[case::deleted("DELETE", "flows/a", "", Some(("delete", "flows", false)))]
    #[case::page("GET", "flows", "limit=500", None)]
    #[case::watch("GET", "flows", "watch=true", None)]
    #[case::all_deleted("DELETE", "flows", "", None)]
    fn requests_of_a_kind_take_as_long_as_each_other(
        #[case] method: &str,
        #[case] path: &str,
        #[case] query: &str,
        #[case] kind: Option<(&'static str, &str, bool)>,
    ) {
        let asked = Asked::of(method, &FLOWS.replace("flows", path), query);
        assert_eq!(asked.kind(), kind.map(|(verb, resource, is_dry)| Kind { verb, resource, is_dry }));
    }
}
