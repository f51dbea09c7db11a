//! The end of a log, as it fits on a screen.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How much of the end of a log is read. No screen shows more.
const BYTES: u64 = 64 * 1024;

/// The end of a log.
///
/// # Errors
///
/// It cannot be read, as there is none yet.
pub fn end(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let begin = file.metadata()?.len().saturating_sub(BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match text.split_once('\n') {
        // What is cut at its beginning is no line.
        Some((_, rest)) if begin > 0 => Ok(rest.to_owned()),
        _ => Ok(text),
    }
}

/// The last lines of a text: so many of so many characters. Longer ones go on in the next line.
pub fn last_lines(text: &str, width: usize, height: usize) -> Vec<String> {
    let mut lines = Vec::new();
    // A line on the screen takes a line of the text at the most, or a part of one.
    let from = text.lines().count().saturating_sub(height);
    for line in text.lines().skip(from) {
        let shown: Vec<char> = line.replace('\t', "    ").chars().filter(|char| !char.is_control()).collect();
        if shown.is_empty() {
            lines.push(String::new());
        }
        lines.extend(shown.chunks(width.max(1)).map(|part| part.iter().collect::<String>()));
    }
    lines.split_off(lines.len().saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_fit() {
        assert_eq!(last_lines("one\ntwo\nthree\n", 10, 2), ["two", "three"]);
        assert_eq!(last_lines("one\n\nabcdefg", 3, 4), ["", "abc", "def", "g"]);
        assert_eq!(last_lines("a\tb\u{1b}[31m", 80, 3), ["a    b[31m"]);
        assert_eq!(last_lines("", 80, 3), Vec::<String>::new());
        assert_eq!(last_lines("one", 0, 0), Vec::<String>::new());
    }

    #[test]
    fn of_a_long_log_whole_lines_of_its_end_are_read() {
        let log = std::env::temp_dir().join(format!("daskflow-screen-log-{}", std::process::id()));
        std::fs::write(&log, "a line of a log\n".repeat(10_000)).unwrap();
        let read = end(&log).unwrap();
        assert!(read.len() > 60_000 && read.len() <= 64 * 1024, "{}", read.len());
        assert!(read.starts_with("a line of a log\n") && read.ends_with("log\n"));
        std::fs::remove_file(&log).unwrap();
        assert!(end(&log).is_err());
    }
}
