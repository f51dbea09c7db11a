//! What is wrong with amounts of compute resources.
//!
//! Only the form and the order of size are looked at; the text goes to the pod as it is.

use std::collections::BTreeMap;

use super::Violation;
use crate::api::Resources;
use crate::api::common::Amount;

/// What the API server would refuse in a container with these resources. `field` is where they are.
pub fn violations(resources: &Resources, field: &str) -> Vec<Violation> {
    let sides = [("requests", &resources.requests), ("limits", &resources.limits)];
    let mut found: Vec<Violation> =
        sides.iter().flat_map(|(side, amounts)| malformed(amounts, &format!("{field}.{side}"))).collect();
    found.extend(resources.limits.iter().filter_map(|(name, limit)| too_small(name, limit, field)));
    for (name, request) in &resources.requests {
        let limit = resources.limits.get(name);
        if let Some((least, most)) = request.size().zip(limit.and_then(Amount::size))
            && least > most
        {
            let most = limit.map(ToString::to_string).unwrap_or_default();
            let message =
                format!("{request} is more than the limit of {most}; write a request up to the limit");
            found.push(Violation::invalid(format!("{field}.requests[{name}]"), message));
        }
    }
    found
}

/// Resources that are counted in bytes, and the least limit of them that a user can mean: below it a unit was
/// forgotten, and the pod would wait for its sandbox for ever.
const OF_BYTES: &[&str] = &["memory", "ephemeral-storage"];
const LEAST_BYTES: f64 = 1_048_576.0;

/// A limit that no container starts in.
fn too_small(name: &str, limit: &Amount, field: &str) -> Option<Violation> {
    let bytes = limit.size().filter(|bytes| (0.0..LEAST_BYTES).contains(bytes) && *bytes > 0.0)?;
    OF_BYTES.contains(&name).then(|| {
        let message =
            format!("{limit} is {bytes} bytes, in which no container starts; write a unit, such as 512Mi");
        Violation::invalid(format!("{field}.limits[{name}]"), message)
    })
}

/// Why this amount cannot be the size of a volume. `field` is where it is.
pub fn no_size(amount: &Amount, field: &str) -> Option<Violation> {
    let is_none = amount.size() == Some(0.0);
    let zero = || Violation::invalid(field, "0 is no limit at all; write how much it may hold, such as 20Gi");
    violation(amount, field).or_else(|| is_none.then(zero))
}

fn malformed(amounts: &BTreeMap<String, Amount>, field: &str) -> Vec<Violation> {
    amounts.iter().filter_map(|(name, amount)| violation(amount, &format!("{field}[{name}]"))).collect()
}

/// What the API server would refuse in this amount. `field` is where it is.
pub fn violation(amount: &Amount, field: &str) -> Option<Violation> {
    let message = match amount.size() {
        None => format!(
            "`{amount}` is no quantity; write a number, with a unit if need be, such as 2, 500m, 1.5 or 4Gi"
        ),
        Some(size) if size < 0.0 => format!("{amount} is less than nothing; write 0 or more"),
        Some(_) => return None,
    };
    Some(Violation::invalid(field, message))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn text(text: &str) -> Amount {
        Amount::Text(text.to_owned())
    }

    #[rstest]
    #[case("memory", "512", true)]
    #[case("memory", "1Ki", true)]
    #[case("memory", "512m", true)]
    #[case("memory", "1Mi", false)]
    #[case("memory", "0", false)]
    #[case("cpu", "512", false)]
    #[case("ephemeral-storage", "20", true)]
    fn a_forgotten_unit_is_reported(#[case] name: &str, #[case] limit: &str, #[case] expected: bool) {
        let limits = [(name.to_owned(), text(limit))].into();
        let found = violations(&Resources { limits, ..Resources::default() }, "spec.resources");
        assert_eq!(!found.is_empty(), expected, "{found:?}");
        assert!(found.iter().all(|fault| fault.message.contains("write a unit")), "{found:?}");
    }

    #[test]
    fn a_volume_of_nothing_is_no_limit() {
        assert!(no_size(&text("0Gi"), "spec.workers.scratch.size").is_some());
        assert!(no_size(&text("-1"), "spec.workers.scratch.size").is_some());
        assert_eq!(no_size(&text("1Gi"), "spec.workers.scratch.size"), None);
    }

    #[test]
    fn faults_name_the_resource() {
        let resources = Resources {
            requests: [("cpu".to_owned(), Amount::Number(2)), ("memory".to_owned(), text("4GB"))].into(),
            limits: [("cpu".to_owned(), text("1500m")), ("example.com/gpu".to_owned(), text("-1"))].into(),
        };
        let told: Vec<String> =
            violations(&resources, "spec.resources").into_iter().map(|fault| fault.message).collect();
        assert_eq!(
            told,
            [
                "spec.resources.requests[memory]: `4GB` is no quantity; write a number, with a unit if need be, such as 2, 500m, 1.5 or 4Gi",
                "spec.resources.limits[example.com/gpu]: -1 is less than nothing; write 0 or more",
                "spec.resources.requests[cpu]: 2 is more than the limit of 1500m; write a request up to the limit",
            ]
        );
    }
}
