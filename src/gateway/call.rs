//! The calls of the REST API, as requests.

use http::Method;
use serde_json::{Map, Value, json};

/// The longest name of a cluster that is taken: what the server name of TLS, a DNS name, can hold.
const NAME_BYTES_MAX: usize = 240;

/// A call: what is asked, without whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, after the gateway's prefix.
    pub path: String,
    /// What is sent with it.
    pub body: Option<Value>,
}

impl Call {
    /// Which options a cluster may have.
    pub fn options() -> Self {
        Self { method: Method::GET, path: "/api/v1/options".to_owned(), body: None }
    }

    /// The clusters of the user that start or run.
    pub fn list() -> Self {
        // Without the slash it is another path, which is not there.
        Self { method: Method::GET, path: "/api/v1/clusters/".to_owned(), body: None }
    }

    /// A new cluster with these options. It takes no name and no key: asked twice, it makes two.
    pub fn create(options: &Map<String, Value>) -> Self {
        let body = json!({"cluster_options": options});
        Self { method: Method::POST, path: "/api/v1/clusters/".to_owned(), body: Some(body) }
    }

    /// What is known of a cluster.
    pub fn cluster(name: &str) -> Self {
        Self { method: Method::GET, path: of(name), body: None }
    }

    /// As many workers from now on.
    pub fn scale(name: &str, count: u32) -> Self {
        let path = format!("{}/scale", of(name));
        Self { method: Method::POST, path, body: Some(json!({"count": count})) }
    }

    /// As many workers as the work needs from now on, between these bounds.
    pub fn adapt(name: &str, (minimum, maximum): (u32, u32)) -> Self {
        let path = format!("{}/adapt", of(name));
        let body = json!({"minimum": minimum, "maximum": maximum, "active": true});
        Self { method: Method::POST, path, body: Some(body) }
    }

    /// The end of a cluster. One that has ended, or is unknown, is no error.
    pub fn stop(name: &str) -> Self {
        Self { method: Method::DELETE, path: of(name), body: None }
    }
}

fn of(name: &str) -> String {
    format!("/api/v1/clusters/{name}")
}

/// Whether a cluster can be called so. What a gateway calls its clusters becomes part of paths and of host
/// names: 32 hexadecimal digits, on Kubernetes after a namespace and a dot.
pub fn is_name(name: &str) -> bool {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    fits && is_edge(name.bytes().next()) && is_edge(name.bytes().last()) && name.bytes().all(is_inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_calls_its_clusters_cannot_change_a_path() {
        for name in ["a261d23bbb0246d299ea0e838f3f3ca3", "team.a261d23bbb0246d299ea0e838f3f3ca3"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "..", "a/b", "a?b", "a b", "-a", "a.", "ä", &"a".repeat(241)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn the_collection_has_a_slash_at_its_end() {
        assert_eq!(Call::create(&Map::new()).path, "/api/v1/clusters/");
        assert_eq!(Call::scale("x", 2).path, "/api/v1/clusters/x/scale");
        assert_eq!(Call::adapt("x", (0, 2)).path, "/api/v1/clusters/x/adapt");
    }
}
