//! Words of a shell, for commands that are printed to be copied.

/// A path as one word of a shell.
pub fn word(path: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_-./+,:@%=".contains(letter);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
