//! JSON among YAML, as programs write it: one object after the other, and characters beyond 16 bits as two
//! escapes.
//!
//! YAML takes most JSON in, but neither of these. A text is cut into its documents only where one of them is
//! JSON.

use std::borrow::Cow;

/// A part of a text that is read by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// So many lines of the text come before it.
    pub lines_before: usize,
    pub text: Cow<'a, str>,
}

/// The parts of a text, in their order.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let documents = documents(text);
    if !documents.iter().any(|(_, document)| is_json(document)) {
        return vec![Part { lines_before: 0, text: text.into() }];
    }
    documents.into_iter().flat_map(|(lines, document)| of_document(lines, document)).collect()
}

/// The documents between lines that begin with `---`, each with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut start, mut lines_before) = (Vec::new(), 0, 0);
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_mark = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.starts_with(char::is_whitespace) || rest.is_empty());
        if is_mark {
            found.push((lines_before, text.get(start..end).unwrap_or_default()));
            // What stands behind the mark on its line is the document's.
            (start, lines_before) = (end + 3, number);
        }
        end += line.len();
    }
    found.push((lines_before, text.get(start..).unwrap_or_default()));
    found
}

/// Whether a document is JSON: `{` and then a name in quotes, or nothing. `{a: b}` is YAML.
fn is_json(document: &str) -> bool {
    let inside = document.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with(['"', '}']))
}

/// The values of a document that is JSON; any other document as it is.
fn of_document(lines_before: usize, document: &str) -> Vec<Part<'_>> {
    let (mut found, mut rest, mut lines_before) = (Vec::new(), document, lines_before);
    while is_json(rest) {
        let (value, behind) = split_value(rest);
        found.push(Part { lines_before, text: with_pairs(value) });
        lines_before += value.matches('\n').count();
        rest = behind;
    }
    if !rest.trim().is_empty() {
        found.push(Part { lines_before, text: rest.into() });
    }
    found
}

/// The first object of a text, with the space before it, and what is behind it.
fn split_value(text: &str) -> (&str, &str) {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_text {
            (in_text, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.split_at_checked(at + 1).unwrap_or((text, ""));
                }
            }
            _ => {}
        }
    }
    (text, "")
}

/// The same with characters in the place of pairs of escapes such as `\ud83d\ude00`, which YAML does not
/// know. Half a pair is no character; Go, and so kubectl, puts U+FFFD there.
fn with_pairs(text: &str) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text.into();
    }
    let (mut written, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once('\\') {
        written.push_str(before);
        let Some(high) = unit(behind).filter(|unit| (0xd800..0xe000).contains(unit)) else {
            // Whatever is escaped here is no beginning of another escape.
            let escaped = behind.chars().next().map_or(0, char::len_utf8);
            let (escaped, behind) = behind.split_at_checked(escaped).unwrap_or((behind, ""));
            written.push('\\');
            written.push_str(escaped);
            rest = behind;
            continue;
        };
        let behind = behind.get(5..).unwrap_or_default();
        let low = behind.strip_prefix('\\').and_then(unit);
        let pair = low.and_then(|low| char::decode_utf16([high, low]).next()?.ok());
        written.push(pair.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = if pair.is_some() { behind.get(6..).unwrap_or_default() } else { behind };
    }
    written.push_str(rest);
    written.into()
}

/// The number of an escape `uXXXX`, without its backslash.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn cut(text: &str) -> Vec<(usize, String)> {
        parts(text).into_iter().map(|part| (part.lines_before, part.text.trim().to_owned())).collect()
    }

    #[rstest]
    #[case::yaml("a: 1\n---\nb: {\"c\": 1}\n")]
    #[case::flow("{a: '}', b: 2}\n")]
    #[case::helm("{{- if .Values.on }}\na: 1\n")]
    #[case::nothing("")]
    fn what_is_no_json_stays_in_one(#[case] text: &str) {
        assert_eq!(parts(text), [Part { lines_before: 0, text: text.into() }]);
    }

    #[test]
    fn objects_are_cut_where_they_end() {
        let two = "{\"a\": \"}\\\"{\"}\n{\n  \"b\": [{}]\n}\n";
        assert_eq!(cut(two), [(0, "{\"a\": \"}\\\"{\"}".to_owned()), (0, "{\n  \"b\": [{}]\n}".to_owned())]);
        let text = parts(two);
        assert_eq!(text[1].text.matches('\n').count() + text[1].lines_before, 3, "lines are counted on");
        let mixed = "a: 1\n---\n{\"b\": 2}\n--- # more\nc: 3\n";
        assert_eq!(
            cut(mixed),
            [(0, "a: 1".to_owned()), (1, "{\"b\": 2}".to_owned()), (3, "# more\nc: 3".to_owned())]
        );
        assert_eq!(cut("{\"a\": 1").len(), 1, "what never ends is left to the parser");
        assert_eq!(cut("{\"a\": 1} x").len(), 2);
    }

    #[rstest]
    #[case(r#"{"a": "\ud83d\ude00!"}"#, "{\"a\": \"😀!\"}")]
    #[case(r#"{"a": "\\ud83d\\ude00"}"#, r#"{"a": "\\ud83d\\ude00"}"#)]
    #[case(r#"{"a": "\ud83d"}"#, "{\"a\": \"\u{fffd}\"}")]
    #[case(r#"{"a": "\ud83dx\ude00"}"#, "{\"a\": \"\u{fffd}x\u{fffd}\"}")]
    #[case(r#"{"a": "\u00e9"}"#, r#"{"a": "\u00e9"}"#)]
    #[case(r#"{"a": "\ud83d\ud83d\ude00"}"#, "{\"a\": \"\u{fffd}😀\"}")]
    fn pairs_become_characters(#[case] text: &str, #[case] read: &str) {
        assert_eq!(with_pairs(text), read);
    }
}
