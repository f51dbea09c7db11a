//! Bodies of requests, in the forms that they come in.

use http::HeaderMap;
use serde_json::Value;

use super::path;
use super::protobuf;
use super::status::Refusal;

/// An object, in whichever form the head says.
pub(super) fn object(headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    match path::content_type(headers) {
        "application/json" => json(body)
            .map_err(|error| Refusal::bad_request(format!("the body of the request is no JSON: {error}"))),
        "application/yaml" => yaml(body),
        protobuf::MEDIA_TYPE => protobuf::read(body),
        _ => Err(Refusal::unsupported_media("application/json, application/yaml")),
    }
}

/// A patch that is JSON.
pub(super) fn patch(body: &[u8]) -> Result<Value, Refusal> {
    json(body).map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))
}

/// YAML, of which JSON is a part.
pub(super) fn yaml(body: &[u8]) -> Result<Value, Refusal> {
    json(body).or_else(|_| {
        serde_yaml::from_slice(body)
            .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))
    })
}

/// A text is read by code that `serde_json` has itself, which is optimised where this crate is not.
fn json(body: &[u8]) -> Result<Value, serde_json::Error> {
    match std::str::from_utf8(body) {
        Ok(text) => text.parse(),
        Err(_) => serde_json::from_slice(body),
    }
}
