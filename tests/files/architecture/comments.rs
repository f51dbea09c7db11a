//! Comments are as wide as the code: rustfmt wraps code only.

use super::{none, project_files, read};

/// `max_width` of `rustfmt.toml`.
const WIDTH: usize = 110;

/// The lines of comments that are wider, but for what cannot be wrapped: a line without a space, which is an
/// address or a path, and a row of a table.
fn too_wide(file: &str, text: &str) -> Vec<String> {
    let is_wide = |line: &str| {
        let words = line.trim_start().trim_start_matches(['/', '!']).trim();
        line.trim_start().starts_with("//")
            && line.chars().count() > WIDTH
            && words.contains(' ')
            && !words.starts_with('|')
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_wide(line));
    lines.map(|(at, line)| format!("{file}:{}: {} characters", at + 1, line.chars().count())).collect()
}

#[test]
fn comments_are_as_wide_as_code() {
    let found = project_files(&["rs"])
        .into_iter()
        .flat_map(|file| too_wide(&file.display().to_string(), &read(&file)));
    none(&found.collect::<Vec<_>>());
}

#[test]
fn scanner_finds_wide_comments() {
    let wide = "word ".repeat(30);
    let text = format!(
        "//! {wide}\nlet a = \"{wide}\";\n/// https://{}\n    // {wide}\n/// | {wide} |\n/// short",
        "a".repeat(120)
    );
    assert_eq!(too_wide("a.rs", &text), ["a.rs:1: 154 characters", "a.rs:4: 157 characters"]);
}
