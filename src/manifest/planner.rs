//! What the planner says of an object before there is one.

use jiff::Timestamp;
use serde_json::Value;

use super::fault::Finding;
use crate::api::kind::Visit;
use crate::api::{Flow, Kind};
use crate::plan::field::FieldPath;
use crate::plan::flow;
use crate::plan::subject::Subject;
use crate::plan::violation::Violation;

/// What the operator could not carry out.
///
/// `object` has already been mended where its schema refuses it; `refused` are those places, about which
/// nothing more is told.
pub(super) fn findings(kind: Kind, object: &Value, refused: &[FieldPath]) -> Vec<Finding> {
    let violations = match kind.visit(&mut Violations(object)) {
        Ok(violations) => violations,
        // The types are stricter than the schema somewhere; better told than passed over.
        Err(error) if refused.is_empty() => {
            return vec![Finding::new(FieldPath::default(), format!("the operator cannot read it: {error}"))];
        }
        Err(_) => return Vec::new(),
    };
    let finding = |violation: Violation| {
        let path = FieldPath::find(&violation.field, object);
        let known = refused.iter().any(|refused| refused.holds(&path));
        (!known).then(|| Finding {
            reason: Some(violation.reason),
            ..Finding::new(path, violation.said().to_owned())
        })
    };
    violations.into_iter().filter_map(finding).collect()
}

/// What is carried out as it is written, and may be meant otherwise.
pub(super) fn hints(kind: Kind, object: &Value, now: Option<Timestamp>) -> Vec<Finding> {
    if kind != Kind::Flow {
        return Vec::new();
    }
    let Ok(flow) = serde_json::from_value::<Flow>(object.clone()) else { return Vec::new() };
    let finding = |hint: flow::Hint| Finding::new(FieldPath::find(&hint.field, object), hint.message);
    flow::hints(&flow, now).into_iter().map(finding).collect()
}

/// The violations of an object of any kind.
struct Violations<'a>(&'a Value);

impl<K: Subject> Visit<K, Result<Vec<Violation>, serde_json::Error>> for Violations<'_> {
    fn visit(&mut self) -> Result<Vec<Violation>, serde_json::Error> {
        serde_json::from_value::<K>(self.0.clone()).map(|object| object.violations())
    }
}
