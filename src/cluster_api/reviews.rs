//! What a user may do: everything, because the API in this process belongs to one user. It is asked by
//! `kubectl auth can-i`, and by the operator's own check of its rights.

use axum::body::Body;
use http::request::Parts;
use http::{Method, Response};
use serde_json::{Value, json};

use super::body;
use super::response::json_response;
use super::status::Refusal;
use super::value::{fill, set};

const GROUP: &str = "authorization.k8s.io/v1";

/// The answer to a review, if the path is that of one.
pub(super) fn answer(parts: &Parts, body: &[u8]) -> Option<Result<Response<Body>, Refusal>> {
    let path = parts.uri.path().trim_end_matches('/');
    let resource = path.strip_prefix("/apis/")?.strip_prefix(GROUP)?.strip_prefix('/')?;
    let (kind, status) = match resource {
        "selfsubjectaccessreviews" => ("SelfSubjectAccessReview", access()),
        "selfsubjectrulesreviews" => ("SelfSubjectRulesReview", rules()),
        _ => return None,
    };
    Some(review(parts, body, kind, status))
}

fn access() -> Value {
    json!({"allowed": true, "reason": "the API in this process belongs to one user"})
}

fn rules() -> Value {
    json!({
        "incomplete": false,
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

/// The review as it was sent, with what it has come to.
fn review(parts: &Parts, body: &[u8], kind: &str, status: Value) -> Result<Response<Body>, Refusal> {
    if parts.method != Method::POST {
        return Err(Refusal::no_such_method());
    }
    let mut review = body::object(&parts.headers, body)?;
    if !review.is_object() {
        return Err(Refusal::bad_request("the body of the request is no object"));
    }
    for (field, wanted) in [("apiVersion", GROUP), ("kind", kind)] {
        fill(&mut review, field, json!(wanted));
        let written = review.get(field).unwrap_or(&Value::Null);
        if written != wanted {
            return Err(Refusal::bad_request(format!(
                "the {field} of the object, {written}, is not that of the request, {wanted:?}"
            )));
        }
    }
    fill(&mut review, "metadata", json!({}));
    fill(&mut review, "spec", json!({}));
    set(&mut review, "status", status);
    Ok(json_response(201, &review, &[]))
}
