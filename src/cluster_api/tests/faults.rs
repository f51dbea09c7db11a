//! What is refused, and what is only warned of.

use std::sync::{Arc, OnceLock};

use http::Request;
use kube::api::PostParams;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{api, create, pod, pods, refusal};
use crate::cluster_api::{ClusterApi, jobs};

/// The code, the body and the warnings of an answer.
async fn ask(api: &ClusterApi, request: http::request::Builder, body: &Value) -> (u16, Value, Vec<String>) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = request.body(kube::client::Body::from(body)).unwrap();
    let answer = api.clone().oneshot(request).await.unwrap();
    let warnings = answer.headers().get_all("warning").iter().map(|text| text.to_str().unwrap().to_owned());
    let (code, warnings) = (answer.status().as_u16(), warnings.collect());
    let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_default(), warnings)
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn what_is_not_served_is_refused_with_a_status() {
    let api = api();
    create(&api, &["a"]).await;
    let a = &format!("{PODS}/a");
    for (method, path, media, code) in [
        ("GET", "/apis/policy/v1/poddisruptionbudgets", "", 404),
        ("GET", "/nowhere", "", 404),
        ("POST", "/version", "", 405),
        ("POST", a, "", 405),
        ("DELETE", "/api/v1/namespaces/default/pods/a/status", "", 405),
        ("POST", "/api/v1/pods", "", 405),
        ("GET", &format!("{a}/log"), "", 501),
        ("GET", &format!("{a}?watch=true"), "", 501),
        ("DELETE", &format!("{a}?orphanDependents=true"), "", 501),
        ("PATCH", a, "application/json", 415),
        ("POST", PODS, "application/cbor", 415),
        ("POST", PODS, "application/vnd.kubernetes.protobuf", 400),
        ("PUT", &format!("{a}/log"), "", 405),
        ("PUT", a, "text/plain", 415),
        ("GET", &format!("{PODS}?watch=true&timeoutSeconds=x"), "", 400),
        ("DELETE", &format!("{a}?propagationPolicy=Odd"), "", 400),
        ("POST", &format!("{PODS}?dryRun=Some"), "", 400),
        ("POST", &format!("{PODS}?fieldValidation=Odd"), "", 400),
    ] {
        let mut request = Request::builder().method(method).uri(path);
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        let (answered, body, _) = ask(&api, request, &Value::Null).await;
        assert_eq!((answered, body["kind"].as_str()), (code, Some("Status")), "{method} {path}: {body}");
        assert_eq!(body["code"], code, "{method} {path}");
    }
    let protobuf = Request::get(PODS).header("accept", "application/vnd.kubernetes.protobuf");
    assert_eq!(ask(&api, protobuf, &Value::Null).await.0, 406);
}

/// Of a kind that an update creates, and is never written without its version.
#[tokio::test]
async fn a_lease_is_the_one_that_the_path_says() {
    let api = api();
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a";
    let lease = |metadata: Value| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata});
    for (metadata, code) in [
        (json!({"name": "b"}), 400),
        (json!({"generateName": "a"}), 400),
        (json!({"name": "a", "uid": "other"}), 409),
        (json!({"name": "a"}), 201),
        (json!({"name": "a", "resourceVersion": "0"}), 422),
    ] {
        let put = Request::put(path).header("content-type", "application/json");
        let (answered, body, _) = ask(&api, put, &lease(metadata.clone())).await;
        assert_eq!(answered, code, "{metadata}: {body}");
    }
    for (name, metadata, code) in [
        ("c", json!({"name": "d"}), 400),
        ("a", json!({"name": "d"}), 400),
        ("c", json!({"name": "c", "uid": "other"}), 409),
        ("c", json!({"name": "c"}), 201),
    ] {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/{name}?fieldManager=m");
        let apply = Request::patch(path).header("content-type", "application/apply-patch+yaml");
        let (answered, body, _) = ask(&api, apply, &lease(metadata.clone())).await;
        assert_eq!(answered, code, "{metadata}: {body}");
    }
}

#[tokio::test]
async fn no_clock_is_asked_under_the_lock() {
    let place: Arc<OnceLock<ClusterApi>> = Arc::default();
    let seen = place.clone();
    let api = ClusterApi::new(
        move || {
            if let Some(api) = seen.get() {
                assert!(api.shared.state.try_lock().is_ok(), "the lock is taken");
            }
            jiff::Timestamp::UNIX_EPOCH
        },
        1,
    );
    assert!(place.set(api.clone()).is_ok());
    create(&api, &["a", "b"]).await;
    for path in [&format!("{PODS}/a"), PODS] {
        assert_eq!(ask(&api, Request::delete(path), &Value::Null).await.0, 200);
    }
    jobs::step(&api);
    api.collect();
}

#[tokio::test]
async fn unknown_fields_are_warned_of_refused_or_ignored() {
    let api = api();
    let mut object = serde_json::to_value(pod("a")).unwrap();
    object["spec"]["colour"] = json!("red");
    let post = |validation: &str| Request::post(format!("{PODS}?dryRun=All&fieldValidation={validation}"));
    let (code, body, _) = ask(&api, post("Strict"), &object).await;
    assert_eq!(
        (code, &body["message"]),
        (400, &json!("strict decoding error: unknown field \"spec.colour\""))
    );
    let (code, body, warnings) = ask(&api, post("Warn"), &object).await;
    assert_eq!((code, &body["spec"]["colour"]), (201, &Value::Null));
    assert_eq!(warnings, [r#"299 - "unknown field \"spec.colour\"""#]);
    assert!(ask(&api, post("Ignore"), &object).await.2.is_empty());
}

#[tokio::test]
async fn an_object_must_be_the_one_that_the_path_says() {
    let api = api();
    let mut elsewhere = pod("a");
    elsewhere.metadata.namespace = Some("team".to_owned());
    assert_eq!(refusal(pods(&api).create(&PostParams::default(), &elsewhere).await).0, 400);
    let mut versioned = pod("a");
    versioned.metadata.resource_version = Some("1".to_owned());
    assert_eq!(refusal(pods(&api).create(&PostParams::default(), &versioned).await).0, 400);
    let (code, _, message) = refusal(pods(&api).create(&PostParams::default(), &pod("A_b")).await);
    assert_eq!(code, 422);
    assert!(
        message.starts_with(
            "Pod \"A_b\" is invalid: metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123"
        )
    );
    create(&api, &["a"]).await;
    assert_eq!(refusal(pods(&api).replace("a", &PostParams::default(), &pod("b")).await).0, 400);
    assert_eq!(refusal(pods(&api).replace("c", &PostParams::default(), &pod("c")).await).0, 404);
}
