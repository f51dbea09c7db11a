//! Texts of any kind as YAML that every reader of it reads alike: YAML 1.1 or 1.2.

use std::fmt::Write;

use serde_json::Value;

/// A text as a block of lines below its key, indented by so many spaces, which are two more than those of the
/// key; where a block would change it, between quotes. It ends with a line break.
pub fn block(text: &str, indent: usize) -> String {
    // Python takes both for the same end of a line.
    let text = &text.replace("\r\n", "\n");
    let body = text.trim_end_matches('\n');
    let is_plain = |letter: char| letter == '\n' || letter == '\t' || is_printed(letter);
    // The white space of a last line without an end is taken for nothing by some readers.
    let ends_blank = body.lines().last().is_none_or(|line| line.trim().is_empty());
    if ends_blank || !text.chars().all(is_plain) {
        return format!("{}\n", quoted(text));
    }
    // Without a number the indentation is that of the first line with something in it.
    let begins_plainly = body.starts_with(|first: char| !first.is_whitespace());
    let number = if begins_plainly { "" } else { "2" };
    let end = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let mut block = format!("|{number}{end}\n");
    for line in text.split_terminator('\n') {
        if line.is_empty() {
            block.push('\n');
        } else {
            let _ = writeln!(block, "{:indent$}{line}", "");
        }
    }
    block
}

/// A text between quotes.
pub fn quoted(text: &str) -> String {
    json(&Value::from(text))
}

/// A value as JSON, which is YAML too once what is not printed is escaped. That stands within texts only.
pub fn json(value: &Value) -> String {
    let mut escaped = String::new();
    for letter in value.to_string().chars() {
        if is_printed(letter) {
            escaped.push(letter);
        } else {
            let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
        }
    }
    escaped
}

/// A line of a comment: without what would end it.
pub fn comment(line: &str) -> String {
    line.chars().map(|letter| if is_printed(letter) { letter } else { '?' }).collect()
}

/// What YAML takes as it is within a line. All others have four hexadecimal digits.
fn is_printed(letter: char) -> bool {
    !letter.is_control() && !['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'].contains(&letter)
}
