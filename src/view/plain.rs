//! Texts of others in a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// A text without what a terminal carries out: what an exception or a file of a user has of it is shown as
/// `cat -v` shows it, `^[` for an escape. Breaks of lines and tabs stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_carried_out = |letter: char| letter.is_control() && !['\n', '\t'].contains(&letter);
    if !text.contains(is_carried_out) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        match u8::try_from(letter) {
            Ok(byte) if is_carried_out(letter) && byte.is_ascii() => {
                shown.push('^');
                shown.push(char::from(byte ^ 0x40));
            }
            _ if is_carried_out(letter) => {
                let _ = write!(shown, "{}", letter.escape_default());
            }
            _ => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_carries_out_is_shown() {
        assert_eq!(plain("a\u{1b}[31mred\u{7}\r\u{7f}\u{9b}2J"), "a^[[31mred^G^M^?\\u{9b}2J");
        let clean = "two lines\nand\ta tab — ü 日本 ✖";
        assert!(matches!(plain(clean), Cow::Borrowed(text) if text == clean));
    }
}
