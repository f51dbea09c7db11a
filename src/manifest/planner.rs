//! What the planner says of an object before there is one.

use serde_json::Value;

use super::fault::Finding;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Kind};
use crate::plan::field::FieldPath;
use crate::plan::pods::Violation;
use crate::plan::{cluster, flow};

/// What the operator could not carry out.
///
/// `object` has already been mended where its schema refuses it; `refused` are those places, about which
/// nothing more is told.
pub(super) fn findings(kind: Kind, object: &Value, refused: &[FieldPath]) -> Vec<Finding> {
    let violations = match violations(kind, object) {
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
pub(super) fn hints(kind: Kind, object: &Value) -> Vec<Finding> {
    if kind != Kind::Flow {
        return Vec::new();
    }
    let Ok(flow) = serde_json::from_value::<Flow>(object.clone()) else { return Vec::new() };
    let finding = |hint: flow::Hint| Finding::new(FieldPath::find(&hint.field, object), hint.message);
    flow::hints(&flow).into_iter().map(finding).collect()
}

fn violations(kind: Kind, object: &Value) -> Result<Vec<Violation>, serde_json::Error> {
    let object = object.clone();
    Ok(match kind {
        Kind::DaskCluster => cluster::violations(&serde_json::from_value::<DaskCluster>(object)?),
        Kind::Flow => flow::violations(&serde_json::from_value::<Flow>(object)?),
        Kind::FlowRun => {
            let run = serde_json::from_value::<FlowRun>(object)?;
            flow::parameters::violation_of_own(run.spec.parameters.as_ref()).into_iter().collect()
        }
        // Whether its clocks exist is for its Flow to say.
        Kind::FlowBackfill => {
            let backfill = serde_json::from_value::<FlowBackfill>(object)?;
            flow::parameters::violation_of_own(backfill.spec.parameters.as_ref()).into_iter().collect()
        }
    })
}
