use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let (mut documents, broken) = documents(text);
    assert_eq!(broken, None, "{text}");
    assert_eq!(documents.len(), 1, "{text}");
    documents.pop().unwrap()
}

fn line(document: &Document, path: &str) -> usize {
    document.root.line_of(&FieldPath::find(path, &document.root.to_value()))
}

#[test]
fn everything_knows_its_line() {
    let document = one(
        "# a comment\n\na: 1\nlist:\n  - name: x\n    deep: {in: 1,\n      too: 2}\n  - |\n\n    text\nlast:\n",
    );
    for (path, expected) in [
        ("", 3),
        ("a", 3),
        ("list", 4),
        ("list[0]", 5),
        ("list[0].name", 5),
        ("list[x].deep", 6),
        ("list[0].deep.too", 7),
        ("list[1]", 8),
        ("last", 11),
    ] {
        assert_eq!(line(&document, path), expected, "{path}");
    }
}

#[test]
fn what_is_missing_is_told_where_it_should_be() {
    let document = one("a: 1\nb:\n  c:\n    - d: 1\n");
    assert_eq!(line(&document, "b.x"), 2);
    assert_eq!(line(&document, "b.c[0].x"), 4);
    assert_eq!(line(&document, "b.c[7].x"), 3);
    assert_eq!(line(&document, "x"), 1);
}

#[test]
fn json_is_read_as_well() {
    let document = one("{\n\t\"a\": {\n\t\t\"b\": [1, \"on\",\n\t\t\t null]\n\t}\n}\n");
    assert_eq!(document.root.to_value(), json!({"a": {"b": [1, "on", null]}}));
    assert_eq!(line(&document, "a.b"), 3);
    assert_eq!(line(&document, "a.b[2]"), 4);
}

#[test]
fn documents_are_told_apart_and_empty_ones_left_out() {
    let (documents, broken) = documents("---\n# nothing\n---\na: 1\n---\n---\n\nb: 2\n...\n");
    assert_eq!(broken, None);
    assert_eq!(documents.iter().map(|document| document.root.line).collect::<Vec<_>>(), [4, 8]);
}

#[test]
fn anchors_and_merged_objects_are_followed() {
    let document = one("base: &base\n  x: 1\n  y: 2\nmine:\n  <<: *base\n  y: 3\nsame: *base\n");
    let expected = json!({"base": {"x": 1, "y": 2}, "mine": {"y": 3, "x": 1}, "same": {"x": 1, "y": 2}});
    assert_eq!(document.root.to_value(), expected);
    assert_eq!(line(&document, "same"), 7);
    assert_eq!(line(&document, "same.y"), 3);
}

#[rstest]
#[case("a: 1\nb: 2\na: 3\n", 3, "a is given a second time; it is on line 1 already")]
#[case("y: 1\n", 1, "kubectl reads the name y as true: write it in quotes")]
#[case("a:\n  Off: 1\n", 2, "kubectl reads the name Off as false: write it in quotes")]
fn names_are_looked_at(#[case] text: &str, #[case] line: usize, #[case] message: &str) {
    assert_eq!(one(text).faults, [Fault::of_text(line, message)]);
}

#[rstest]
#[case("'y': 1\n\"on\": 2\n")]
#[case("true: 1\n12: 2\n")]
fn names_in_quotes_are_names(#[case] text: &str) {
    assert_eq!(one(text).faults, []);
}

#[rstest]
#[case("a: 1\nb: [1,\n", 3)]
#[case("a: b: c\n", 1)]
#[case("a:\n\tb: 2\n", 2)]
#[case("a: *nobody\n", 1)]
#[case("? [1, 2]\n: 3\n", 1)]
#[case("a: {{ .Values.b }}\n", 1)]
fn broken_texts_are_told_with_their_line(#[case] text: &str, #[case] line: usize) {
    let (_, broken) = documents(text);
    assert_eq!(broken.expect(text).line, line, "{text}");
}

#[rstest]
#[case("a: &a\n  b: *a\n", "an anchor cannot be used inside itself")]
#[case("a: &a 1\n---\nb: *a\n", "unknown anchor")]
fn an_anchor_that_cannot_be_used_is_told_with_its_fault(#[case] text: &str, #[case] why: &str) {
    let (_, broken) = documents(text);
    let broken = broken.expect(text);
    assert!(broken.message.starts_with(&format!("broken YAML: {why}")), "{}", broken.message);
}

#[test]
fn documents_before_the_broken_place_are_kept() {
    let (documents, broken) = documents("a: 1\n---\nb: [\n");
    assert_eq!(documents.len(), 1);
    assert!(broken.unwrap().message.starts_with("broken YAML: "));
}

/// A text of a few lines that stands for 10^9 values costs no more than the limit.
#[test]
fn a_text_that_unfolds_without_end_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let uses = vec![format!("*a{}", level - 1); 10].join(", ");
        text = format!("{text}a{level}: &a{level} [{uses}]\n");
    }
    let (_, broken) = documents(&text);
    assert_eq!(broken.unwrap().message, "the text has more than 1000000 values");
}

#[test]
fn a_text_that_is_nested_without_end_is_refused() {
    let deep = (0..120).map(|depth| " ".repeat(depth) + "a:\n").collect::<String>();
    assert!(documents(&deep).1.unwrap().message.starts_with("nested more than 100 times"));
    assert!(documents(&"[".repeat(100_000)).1.is_some());
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "[-a:\\[\\]{}&*<|>'\"\\n #!?,%@é]{0,60}") {
        let _ = documents(&text);
    }
}
