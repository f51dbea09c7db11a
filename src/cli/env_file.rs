//! `--env-file`: variables from files, as docker and compose read them.
//!
//! A line is `NAME=VALUE`, or `NAME` alone for a variable that daskflow has itself, which every process has
//! in any case. `export` before it, lines without anything, and comments (`#` at the beginning of a line, or
//! after white space behind a value without quotes) are passed over. A value in single quotes is taken as it
//! is; in double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are what they are in a shell's. `$` has no
//! meaning: docker has none for it, and passwords have it.

use std::io;
use std::path::{Path, PathBuf};

/// Names and values in their order.
pub(super) type Variables = Vec<(String, String)>;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A line that is none of a variable.
    #[error("{path}:{line}: {message}")]
    Line {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong, and what to write.
        message: String,
    },
}

/// The variables of all files. Where a name comes twice, the last one counts.
///
/// # Errors
///
/// One of them cannot be read, or has a line that is none.
pub(super) fn read(files: &[PathBuf]) -> Result<Variables, Error> {
    let mut all = Variables::new();
    for file in files {
        all.extend(read_one(file)?);
    }
    Ok(all)
}

fn read_one(file: &Path) -> Result<Variables, Error> {
    let path = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| Error::Read { path: path.clone(), source })?;
    let mut all = Variables::new();
    // Windows' editors put a mark at the beginning.
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let variable =
            variable(line).map_err(|message| Error::Line { path: path.clone(), line: at + 1, message })?;
        all.extend(variable);
    }
    Ok(all)
}

/// The variable of a line; none where it sets none.
fn variable(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => line,
    };
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (line.split_once(" #").map_or(line, |(name, _)| name.trim_end()), None),
    };
    if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || "'\"#".contains(letter)) {
        return Err("this is no variable: write NAME=VALUE, or # before a comment".to_owned());
    }
    let Some(value) = value else { return Ok(None) };
    let value = value_of(value)?;
    if line.contains('\0') {
        return Err(format!("{name}: a variable cannot hold a NUL character"));
    }
    Ok(Some((name.to_owned(), value)))
}

fn value_of(text: &str) -> Result<String, String> {
    let mut letters = text.chars();
    let Some(quote) = letters.next().filter(|first| ['\'', '"'].contains(first)) else {
        return Ok(without_comment(text).to_owned());
    };
    let mut value = String::new();
    loop {
        match letters.next() {
            None => {
                let cure = "write a value of several lines as \"…\\n…\"";
                return Err(format!("the quote {quote} is not closed on this line: {cure}"));
            }
            Some(letter) if letter == quote => break,
            Some('\\') if quote == '"' => value.push_str(&escaped(letters.next())),
            Some(letter) => value.push(letter),
        }
    }
    let rest = letters.as_str();
    if rest.trim_start().is_empty()
        || (rest.starts_with(char::is_whitespace) && without_comment(rest).is_empty())
    {
        return Ok(value);
    }
    Err(format!("there is something behind the closing quote: {}", rest.trim()))
}

/// What stands for this letter after a backslash. One that has no meaning there stays with its backslash.
fn escaped(letter: Option<char>) -> String {
    match letter {
        Some('n') => "\n".to_owned(),
        Some('r') => "\r".to_owned(),
        Some('t') => "\t".to_owned(),
        Some(letter @ ('"' | '\\' | '$')) => letter.to_string(),
        Some(letter) => format!("\\{letter}"),
        None => "\\".to_owned(),
    }
}

/// A value without quotes, up to a comment.
fn without_comment(text: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        text.get(..*at).is_none_or(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    };
    let comment = text.match_indices('#').find(begins).map(|(at, _)| at);
    comment.and_then(|at| text.get(..at)).unwrap_or(text).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_docker_and_compose_read_them() {
        for (line, wanted) in [
            ("A=b", Some(("A", "b"))),
            ("  export  A = b c ", Some(("A", "b c"))),
            ("A=", Some(("A", ""))),
            ("A= # nothing", Some(("A", ""))),
            ("A=b=c", Some(("A", "b=c"))),
            ("A=b#c", Some(("A", "b#c"))),
            ("A=b # c", Some(("A", "b"))),
            ("A=pa$$word$x", Some(("A", "pa$$word$x"))),
            ("A=it's", Some(("A", "it's"))),
            (r"A='b # \n\'", Some(("A", r"b # \n\"))),
            (r#"A="b\n\"c\" \$d \q" # e"#, Some(("A", "b\n\"c\" $d \\q"))),
            ("A=''", Some(("A", ""))),
            ("spring.url=http://a", Some(("spring.url", "http://a"))),
            ("exported=1", Some(("exported", "1"))),
            ("export A", None),
            ("HOME", None),
            ("", None),
            ("  # a comment with A=b", None),
        ] {
            let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(variable(line), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn a_bad_line_is_refused_with_its_place() {
        for (line, words) in [
            ("=b", "write NAME=VALUE"),
            ("A B", "write NAME=VALUE"),
            ("'A'=b", "write NAME=VALUE"),
            ("A B=c", "write NAME=VALUE"),
            ("A=\"b", "is not closed"),
            ("A='b", "is not closed"),
            ("A=\"b\\\"", "is not closed"),
            ("A=\"b\" c", "behind the closing quote: c"),
            ("A=\"b\"#c", "behind the closing quote"),
            ("A=b\0c", "NUL"),
        ] {
            let error = variable(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
        let file = std::env::temp_dir().join(format!("daskflow-env-{}", std::process::id()));
        std::fs::write(&file, "\u{feff}A=b\r\nA=c\r\n\r\n").unwrap();
        let wanted = [("A", "b"), ("A", "c")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(std::slice::from_ref(&file)).unwrap(), wanted);
        std::fs::write(&file, "A=b\n\nno variable\n").unwrap();
        let error = read(std::slice::from_ref(&file)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:3: this is no variable", file.display())), "{error}");
        std::fs::remove_file(&file).unwrap();
        assert!(read(&[file]).unwrap_err().to_string().ends_with("cannot be read"));
    }
}
