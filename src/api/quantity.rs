//! How much an [`Amount`] is.
//!
//! The form: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use super::common::Amount;

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

impl Amount {
    /// How much it is, as exactly as a double holds it. None: it is no quantity.
    pub fn size(&self) -> Option<f64> {
        let text = self.to_string();
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        // Rust reads more than these digits as a number, such as `inf`; they are gone by here.
        let number: f64 = digits.parse().ok()?;
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        Some(sign * number * scale(suffix)?)
    }
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
        assert_eq!(Amount::Text(amount.to_owned()).size(), expected);
    }
}
