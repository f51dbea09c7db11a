//! Answers as HTTP has them.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// An answer of JSON, with warnings for the client to show.
pub(super) fn json_response(code: u16, body: &Value, warnings: &[String]) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    for warning in warnings {
        // RFC 7234: a code, who warns, and a quoted text.
        let quoted = format!("299 - {}", json!(warning));
        if let Ok(value) = http::HeaderValue::from_str(&quoted) {
            headers.append(http::header::WARNING, value);
        }
    }
    response
}
