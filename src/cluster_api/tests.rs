//! What kube's own clients see of it.

mod dask_kubernetes;
mod faults;
mod forward;
mod kept;
mod kubectl;
mod lists;
mod logs;
mod objects;
mod speed;
mod watches;
mod writes;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ClusterApi;

/// When the tests' clock begins.
pub(super) const START: i64 = 1_800_000_000;

/// An API whose clock goes with tokio's.
pub(super) fn api() -> ClusterApi {
    let began = Instant::now();
    let clock = move || {
        let passed = SignedDuration::try_from(began.elapsed()).unwrap();
        Timestamp::from_second(START).unwrap() + passed
    };
    ClusterApi::new(clock, 7)
}

/// An object of its kind from JSON.
pub(super) fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

pub(super) fn pod(name: &str) -> Pod {
    object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "dask:1"}]},
    }))
}

pub(super) fn pods(api: &ClusterApi) -> Api<Pod> {
    Api::namespaced(api.client(), "default")
}

/// Creates pods of these names.
pub(super) async fn create(api: &ClusterApi, names: &[&str]) {
    for name in names {
        pods(api).create(&PostParams::default(), &pod(name)).await.unwrap();
    }
}

/// What the API said when it refused.
pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String, String) {
    match result.unwrap_err() {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("{other}"),
    }
}
