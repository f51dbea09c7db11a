//! Amounts of compute resources, in the form that Kubernetes gives them.
//!
//! Only the form and the order of size are looked at; the text goes to the pod as it is.
//! The form: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use std::collections::BTreeMap;

use super::Violation;
use crate::api::Resources;
use crate::api::common::Amount;

/// What a suffix multiplies by.
const SUFFIXES: &[(&str, f64)] = &[
    ("", 1.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1_024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

/// What the API server would refuse in a container with these resources. `field` is where they are.
pub fn violations(resources: &Resources, field: &str) -> Vec<Violation> {
    let sides = [("requests", &resources.requests), ("limits", &resources.limits)];
    let mut found: Vec<Violation> =
        sides.iter().flat_map(|(side, amounts)| malformed(amounts, &format!("{field}.{side}"))).collect();
    found.extend(resources.limits.iter().filter_map(|(name, limit)| too_small(name, limit, field)));
    for (name, request) in &resources.requests {
        let limit = resources.limits.get(name);
        if let Some((least, most)) = size(request).zip(limit.and_then(size))
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

/// Resources that are counted in bytes, and the least limit of them that a user can mean: below it a unit was forgotten, and the
/// pod would wait for its sandbox for ever.
const OF_BYTES: &[&str] = &["memory", "ephemeral-storage"];
const LEAST_BYTES: f64 = 1_048_576.0;

/// A limit that no container starts in.
fn too_small(name: &str, limit: &Amount, field: &str) -> Option<Violation> {
    let bytes = size(limit).filter(|bytes| (0.0..LEAST_BYTES).contains(bytes) && *bytes > 0.0)?;
    OF_BYTES.contains(&name).then(|| {
        let message =
            format!("{limit} is {bytes} bytes, in which no container starts; write a unit, such as 512Mi");
        Violation::invalid(format!("{field}.limits[{name}]"), message)
    })
}

/// Why this amount cannot be the size of a volume. `field` is where it is.
pub fn no_size(amount: &Amount, field: &str) -> Option<Violation> {
    let is_none = size(amount) == Some(0.0);
    let zero = || Violation::invalid(field, "0 is no limit at all; write how much it may hold, such as 20Gi");
    violation(amount, field).or_else(|| is_none.then(zero))
}

fn malformed(amounts: &BTreeMap<String, Amount>, field: &str) -> Vec<Violation> {
    amounts.iter().filter_map(|(name, amount)| violation(amount, &format!("{field}[{name}]"))).collect()
}

/// What the API server would refuse in this amount. `field` is where it is.
pub fn violation(amount: &Amount, field: &str) -> Option<Violation> {
    let message = match size(amount) {
        None => format!(
            "`{amount}` is no quantity; write a number, with a unit if need be, such as 2, 500m, 1.5 or 4Gi"
        ),
        Some(size) if size < 0.0 => format!("{amount} is less than nothing; write 0 or more"),
        Some(_) => return None,
    };
    Some(Violation::invalid(field, message))
}

/// How much it is, as exactly as a double holds it.
fn size(amount: &Amount) -> Option<f64> {
    let text = amount.to_string();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    // Rust reads more than these digits as a number, such as `inf`; they are gone by here.
    let number: f64 = digits.parse().ok()?;
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    Some(sign * number * scale(suffix)?)
}

fn scale(suffix: &str) -> Option<f64> {
    if let Some((_, scale)) = SUFFIXES.iter().find(|(known, _)| *known == suffix) {
        return Some(*scale);
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    exponent.parse::<i16>().ok().map(|power| 10f64.powi(power.into()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn text(text: &str) -> Amount {
        Amount::Text(text.to_owned())
    }

    #[rstest]
    #[case("2", Some(2.0))]
    #[case("500m", Some(0.5))]
    #[case("1.5", Some(1.5))]
    #[case(".5", Some(0.5))]
    #[case("4Gi", Some(4_294_967_296.0))]
    #[case("1e3", Some(1000.0))]
    #[case("1E", Some(1e18))]
    #[case("-1", Some(-1.0))]
    #[case("4GB", None)]
    #[case("4 Gi", None)]
    #[case("", None)]
    #[case(".", None)]
    #[case("inf", None)]
    #[case("1.2.3", None)]
    #[case("lots", None)]
    fn sizes(#[case] amount: &str, #[case] expected: Option<f64>) {
        assert_eq!(size(&text(amount)), expected);
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
