//! The program that starts the user's script inside the user's image: a file to start, and a package beside
//! it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::KeyToPath;

/// The file to start.
pub const START: &str = "bootstrap.py";

macro_rules! package {
    ($($module:literal),+ $(,)?) => {
        &[
            (START, include_str!("../../runner/bootstrap.py")),
            $((
                concat!("daskflow_runner/", $module),
                include_str!(concat!("../../runner/daskflow_runner/", $module)),
            )),+
        ]
    };
}

/// Path and text of each file.
pub const FILES: &[(&str, &str)] = package![
    "__init__.py",
    "beside.py",
    "ending.py",
    "endless.py",
    "executors.py",
    "gateway_clusters.py",
    "gateways.py",
    "hooks.py",
    "neighbours.py",
    "on_dask.py",
    "own_clusters.py",
    "parameters.py",
    "prefect1.py",
    "prefect3.py",
    "prefect_api.py",
    "proxy.py",
    "resources.py",
    "run.py",
    "start.py",
    "verdict.py",
    "workers.py",
];

/// All files as keys of a ConfigMap.
pub fn data() -> BTreeMap<String, String> {
    FILES.iter().map(|(path, text)| (key(path), (*text).to_owned())).collect()
}

/// What mounts those keys as the files that they are.
pub fn items() -> Vec<KeyToPath> {
    FILES.iter().map(|(path, _)| KeyToPath { key: key(path), path: (*path).to_owned(), mode: None }).collect()
}

/// A key of a ConfigMap has no slash.
fn key(path: &str) -> String {
    path.replace('/', "-")
}
