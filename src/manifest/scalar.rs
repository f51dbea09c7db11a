//! What a plain word of YAML means.
//!
//! kubectl reads YAML 1.1, in which `on` is true and `0755` is octal, so that is what is read here: a file
//! means the same to both. Words in quotes are always texts. The facts are those of the parser that kubectl
//! links, <https://github.com/kubernetes-sigs/yaml> (`goyaml.v2/resolve.go`).

use serde_json::{Number, Value};

/// The value of a word without quotes.
pub(super) fn plain(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(word).map_or_else(|| Value::String(word.to_owned()), Value::Number)
}

/// What kubectl would take the name of a field for, where it is not the name as it is written.
pub(super) fn other_name(word: &str) -> Option<&'static str> {
    match plain(word) {
        Value::Bool(true) if word != "true" => Some("true"),
        Value::Bool(false) if word != "false" => Some("false"),
        Value::Null => Some("null"),
        _ => None,
    }
}

fn number(word: &str) -> Option<Number> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = word.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

fn integer(digits: &str) -> Option<Number> {
    let (negative, size) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let size = magnitude(size)?;
    if negative { i64::try_from(-i128::from(size)).ok().map(Number::from) } else { Some(Number::from(size)) }
}

/// A number without sign: `12`, and with the prefixes of Go `0x1f`, `0b11`, `0o17` and `017`.
fn magnitude(digits: &str) -> Option<u64> {
    let lower = digits.to_ascii_lowercase();
    let (rest, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16),
        [b'0', b'b', ..] => (lower.get(2..)?, 2),
        [b'0', b'o', ..] => (lower.get(2..)?, 8),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    // Rust would read a second sign.
    if rest.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(rest, radix).ok()
}

/// A decimal number; words such as `inf` and `1e` are none.
fn float(digits: &str) -> Option<Number> {
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !unsigned.chars().all(numeric) {
        return None;
    }
    let value: f64 = digits.parse().ok()?;
    // As JSON has it: a number without a fraction is a whole one.
    #[allow(clippy::cast_possible_truncation, reason = "bounded by the condition")]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("", json!(null))]
    #[case("~", json!(null))]
    #[case("on", json!(true))]
    #[case("No", json!(false))]
    #[case("nO", json!("nO"))]
    #[case("12", json!(12))]
    #[case("+12", json!(12))]
    #[case("-12", json!(-12))]
    #[case("1_000", json!(1000))]
    #[case("0755", json!(493))]
    #[case("0o17", json!(15))]
    #[case("0x1F", json!(31))]
    #[case("08", json!(8))]
    #[case("18446744073709551615", json!(18_446_744_073_709_551_615_u64))]
    #[case("1.5", json!(1.5))]
    #[case(".5", json!(0.5))]
    #[case("1e3", json!(1000))]
    #[case("--1", json!("--1"))]
    #[case("1.2.3", json!("1.2.3"))]
    #[case("500m", json!("500m"))]
    #[case("-", json!("-"))]
    #[case(".", json!("."))]
    #[case("+inf", json!("+inf"))]
    #[case("0 2 * * *", json!("0 2 * * *"))]
    #[case("2026-01-01T00:00:00Z", json!("2026-01-01T00:00:00Z"))]
    #[case("é", json!("é"))]
    fn words(#[case] word: &str, #[case] value: Value) {
        assert_eq!(plain(word), value);
    }

    proptest! {
        #[test]
        fn any_word_has_a_value(word in "[-+.0-9xobeE_é]{0,12}") {
            let _ = plain(&word);
        }
    }
}
