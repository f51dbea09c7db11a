//! Within a version of the API, definitions only grow: what was written for an earlier release is still
//! taken, means the same and is read back as it was written; and an operator that is rolled back finds what
//! it knows.
//!
//! `crds/released/VERSION/` holds the definitions of each release (`CONTRIBUTING.md`, the steps of a
//! release). The ones of this tree are held against all of them.

mod cases;
mod compare;

use std::fs;
use std::path::Path;

use serde_json::Value;

use compare::violations;

/// CEL rules that came after a release to fields that were there, by path and rule, with the reason why no
/// stored object is shut out by them. Empty is best: the API server of Kubernetes 1.33 and later lets an
/// unchanged field be, older ones do not.
const RATCHETED: &[(&str, &str)] = &[
    // Instants that no release can read: an object that holds one was ignored, and no change of it was
    // carried out.
    (".spec.schedule.clocks[].startAt", INSTANT),
    (".spec.schedule.clocks[].endAt", INSTANT),
    (".spec.schedule.clocks[].dates[]", INSTANT),
    (".spec.scheduledTime", INSTANT),
    (".spec.from", INSTANT),
    (".spec.to", INSTANT),
    // A rule about changes of fields that no stored object has.
    (
        ".spec",
        "has(self.clocks) == has(oldSelf.clocks) && has(self.mergedParameters) == has(oldSelf.mergedParameters)",
    ),
    // Rules about fields that no stored object has.
    (".spec.scheduler.service", OF_LOAD_BALANCERS),
    (".spec.cluster.template.scheduler.service", OF_LOAD_BALANCERS),
    (".spec.scheduler.service", FROM_OUTSIDE),
    (".spec.cluster.template.scheduler.service", FROM_OUTSIDE),
    (".spec", "!has(self.cluster.gateway) || has(self.image)"),
    (".spec", "!has(self.cluster.gateway) || has(self.code)"),
    // Rules that take one more field than those that were in their place.
    (
        ".spec.cluster",
        "[has(self.ref), has(self.template), has(self.address), has(self.gateway)].filter(x, x).size() == 1",
    ),
    (
        ".spec.cluster",
        "!has(self.keepOnFailure) || has(self.template) || (has(self.gateway) && !has(self.gateway.cluster))",
    ),
];
const OF_LOAD_BALANCERS: &str = "(has(self.type) && self.type == 'LoadBalancer') || (!has(self.loadBalancerSourceRanges) && !has(self.loadBalancerClass))";
const FROM_OUTSIDE: &str = "(has(self.type) && self.type != 'ClusterIP') || !has(self.externalTrafficPolicy)";
const INSTANT: &str = "self >= timestamp('0001-01-01T00:00:00Z') && self < timestamp('9999-12-30T00:00:00Z')";

#[test]
fn this_tree_takes_all_that_a_release_has_taken() {
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/released");
    let current: Vec<Value> =
        daskflow::api::crds().into_iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let mut found = Vec::new();
    let mut compared = 0;
    for release in fs::read_dir(&released).unwrap() {
        let release = release.unwrap();
        for file in fs::read_dir(release.path()).unwrap() {
            let old: Value =
                serde_yaml::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
            let name = &old["metadata"]["name"];
            let release = release.file_name().into_string().unwrap();
            match current.iter().find(|crd| crd["metadata"]["name"] == *name) {
                Some(new) => found.extend(
                    violations(&old, new, RATCHETED)
                        .into_iter()
                        .map(|one| format!("{release} {name}: {one}")),
                ),
                None => found.push(format!("{release} {name}: the kind is gone")),
            }
            compared += 1;
        }
    }
    assert!(compared >= 4, "crds/released holds {compared} definitions");
    assert!(found.is_empty(), "not additive:\n{}", found.join("\n"));
}

#[test]
fn every_release_has_every_kind() {
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/released");
    for release in fs::read_dir(released).unwrap() {
        let release = release.unwrap();
        let name = release.file_name().into_string().unwrap();
        assert!(name.starts_with('v'), "crds/released/{name} is no version such as v0.1.0");
        let files = fs::read_dir(release.path()).unwrap().count();
        assert!(files >= 4, "crds/released/{name} has {files} definitions");
    }
}
