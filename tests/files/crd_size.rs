//! The CRDs must stay far below what client-side `kubectl apply` can store (262,144 bytes).

use daskflow::api::{self, dask_kubernetes};

/// The project's own limit for one CRD, in bytes of YAML.
const CRD_BYTES_MAX: usize = 100_000;

#[test]
fn each_crd_is_at_most_100_kilobytes() {
    for crd in api::crds().into_iter().chain(dask_kubernetes::crds()) {
        let yaml = serde_yaml::to_string(&crd).unwrap();
        let name = crd.metadata.name.unwrap_or_default();
        assert!(yaml.len() <= CRD_BYTES_MAX, "{name} is {} bytes", yaml.len());
        eprintln!("{name}: {} bytes", yaml.len());
    }
}
