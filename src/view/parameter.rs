//! Values of parameters as people type them.

use serde_json::Value;

/// A whole number that would be another one where it is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} would not stay what it is: whole numbers are from {min} to {max}", min = i64::MIN, max = i64::MAX)]
pub struct Rounded(pub String);

/// A value: JSON; what is none is a text.
///
/// # Errors
///
/// It has a number that would be rounded.
pub fn value_of(text: &str) -> Result<Value, Rounded> {
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    if value.is_string() { Ok(value) } else { keeps_numbers(text).map(|()| value) }
}

/// Whether the whole numbers of a text of JSON stay what they are.
///
/// # Errors
///
/// The first that does not.
pub fn keeps_numbers(json: &str) -> Result<(), Rounded> {
    let outside = json.replace("\\\\", "__").replace("\\\"", "__");
    // Each second part is within quotes.
    let parts = outside.split('"').step_by(2);
    let mut words = parts.flat_map(|part| {
        part.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+-.".contains(letter))
    });
    let is_whole = |word: &str| word.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    let rounded = words.find(|word| word.len() > 18 && is_whole(word) && word.parse::<i64>().is_err());
    rounded.map_or(Ok(()), |word| Err(Rounded(word.to_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_json_or_a_text_and_no_number_is_rounded() {
        for (text, value) in [
            ("7", json!(7)),
            ("north", json!("north")),
            ("\"7\"", json!("7")),
            ("9223372036854775807", json!(i64::MAX)),
            ("0.50000000000000000000", json!(0.5)),
            ("\"12345678901234567890123\"", json!("12345678901234567890123")),
            ("a-12345678901234567890123", json!("a-12345678901234567890123")),
            (
                r#"{"12345678901234567890123": "\"12345678901234567890123"}"#,
                json!({"12345678901234567890123": "\"12345678901234567890123"}),
            ),
        ] {
            assert_eq!(value_of(text), Ok(value), "{text}");
        }
        for text in [
            "12345678901234567890123",
            "[1, -12345678901234567890123]",
            r#"{"a\"": 12345678901234567890123}"#,
        ] {
            let said = value_of(text).unwrap_err().to_string();
            assert!(said.contains("12345678901234567890123 would not stay what it is"), "{text}: {said}");
        }
    }
}
