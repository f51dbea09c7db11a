//! All that is wrong with a spec, not only the first of it.
//!
//! The operator stops at the first [`Violation`] of an object, since it can build nothing with it. Who checks
//! a file wants to know them all, from the very functions that build.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::field::FieldPath;
use super::pods::Violation;
use crate::api::duration::Written;

/// So many faults of one builder are told at most.
const FAULTS_MAX: usize = 64;

/// Builds from `object`, and again without each part that is refused, until nothing is refused any more.
pub(super) fn all<T: Serialize + DeserializeOwned>(
    object: &T,
    build: impl Fn(&T) -> Result<(), Violation>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    // Nearly every object is right, and each plan asks: only one that is refused is worth the copy to cut
    // from.
    if build(object).is_ok() {
        return found;
    }
    let Ok(mut rest) = serde_json::to_value(object) else { return found };
    while found.len() < FAULTS_MAX {
        let Ok(object) = serde_json::from_value::<T>(rest.clone()) else { break };
        let Err(violation) = build(&object) else { break };
        let removed = FieldPath::find(&violation.field, &rest).remove(&mut rest);
        found.push(violation);
        if !removed {
            break;
        }
    }
    found
}

/// What is wrong with the length of time in this field, if nothing could be read in it.
pub(super) fn unreadable<T: Copy>(field: impl Into<String>, written: &Written<T>) -> Option<Violation> {
    let error = written.read().err()?;
    Some(Violation::invalid(field, error.to_string()))
}

/// The same violation of a spec that lies elsewhere: `spec` of a `DaskCluster` is `spec.cluster.template` of
/// a Flow.
pub(super) fn moved(violation: &Violation, from: &str, to: &str) -> Violation {
    let field = match violation.field.strip_prefix(from) {
        Some(rest) => format!("{to}{rest}"),
        None => violation.field.clone(),
    };
    let said = violation.said().to_owned();
    Violation { reason: violation.reason, ..Violation::invalid(field, said) }
}
