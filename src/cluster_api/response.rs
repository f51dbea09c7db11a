//! Answers as HTTP has them.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// How many warnings an answer has at most: clients refuse heads that are too long.
const WARNINGS_MAX: usize = 32;

/// An answer of JSON, with warnings for the client to show.
pub(super) fn json_response(code: u16, body: &Value, warnings: &[String]) -> Response<Body> {
    text_response(code, body.to_string(), warnings)
}

/// An answer that is JSON already.
pub(super) fn text_response(code: u16, body: String, warnings: &[String]) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    for warning in warnings.iter().take(WARNINGS_MAX) {
        // RFC 7234: a code, who warns, and a quoted text.
        let quoted = format!("299 - {}", json!(warning));
        if let Ok(value) = http::HeaderValue::from_str(&quoted) {
            headers.append(http::header::WARNING, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_limited() {
        let warnings = vec!["careful".to_owned(); 1000];
        let answer = json_response(200, &json!({}), &warnings);
        assert_eq!(answer.headers().get_all(http::header::WARNING).iter().count(), WARNINGS_MAX);
    }
}
