//! How the words of a gateway are shown, which may repeat the login that it was shown.

use std::fmt;

/// The longest part of a gateway's words that is passed on, in characters.
const WORDS_MAX: usize = 300;
/// What is written in the place of a login.
const MASK: &str = "***";

/// A login, and each part of it that is to be shown nowhere. No `Debug` shows it either.
#[derive(Clone, Default)]
pub struct Hidden(Vec<String>);

impl Hidden {
    /// What the whole `Authorization` header says, and the password or token in it.
    pub fn of(authorization: &str, password: &str) -> Self {
        // Without the word before it as well, as many a program prints it.
        let credentials = authorization.split_once(' ').map_or("", |(_, credentials)| credentials);
        let parts = [authorization, credentials, password].into_iter().filter(|part| !part.is_empty());
        Self(parts.map(str::to_owned).collect())
    }

    /// Any words of a gateway: without the login, bounded, and without what would break a line or a terminal.
    pub fn shown(&self, words: &str) -> String {
        // The login first: of one at the end, a part would stay that is not looked for any more.
        let words = self.0.iter().fold(words.to_owned(), |words, part| words.replace(part.as_str(), MASK));
        let plain = words.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        plain.take(WORDS_MAX).collect::<String>().trim().to_owned()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bounded_and_stay_in_their_line() {
        let nothing = Hidden::default();
        assert_eq!(nothing.shown("a\r\n\u{1b}[2Jb"), "a   [2Jb");
        assert_eq!(nothing.shown(&"x".repeat(10_000)).len(), WORDS_MAX);
    }

    #[test]
    fn a_login_that_a_gateway_repeats_is_hidden() {
        let hidden = Hidden::of("Basic YQ==", "s3cret");
        assert_eq!(hidden.shown("no: s3cret by Basic YQ==, which is YQ=="), "no: *** by ***, which is ***");
        assert_eq!(format!("{hidden:?}"), "Hidden");
    }

    #[test]
    fn no_part_of_a_login_is_left_where_words_are_cut() {
        let hidden = Hidden::of("jupyterhub 0123456789abcdef", "0123456789abcdef");
        for before in 0..=WORDS_MAX {
            let shown = hidden.shown(&("x".repeat(before) + "0123456789abcdef"));
            assert_eq!(shown.trim_end_matches('*'), "x".repeat(before), "{before}");
        }
    }
}
