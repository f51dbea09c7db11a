//! Answers, and what each of them has in its head.

use askama::Template;
use axum::body::Body;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

/// Pages may load what this server has, and nothing else; no script or style stands in a page itself.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Of all answers. With no referrer at all browsers leave the origin out of forms.
const HEAD: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Adds what all answers have.
pub(super) fn secure(headers: &mut HeaderMap) {
    for (name, value) in HEAD {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// An answer with this code.
pub(super) fn with(code: u16, media: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A page.
pub(super) fn page(code: u16, template: &impl Template) -> Response<Body> {
    match template.render() {
        Ok(text) => with(code, "text/html; charset=utf-8", text),
        Err(error) => {
            with(500, "text/plain; charset=utf-8", format!("the page cannot be written: {error}\n"))
        }
    }
}

/// An object as JSON.
pub(super) fn json(code: u16, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => with(code, "application/json", text + "\n"),
        Err(error) => {
            with(500, "text/plain; charset=utf-8", format!("the page cannot be written: {error}\n"))
        }
    }
}

/// A text to download under this name.
pub(super) fn download(name: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = with(200, "text/plain; charset=utf-8", body);
    // Names of objects have no quotes.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// That the browser is to go to this page of ours.
pub(super) fn see(to: &str) -> Response<Body> {
    let mut response = with(303, "text/plain; charset=utf-8", Body::empty());
    // An address that is none has been made of a request that was one.
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, to);
    response
}
