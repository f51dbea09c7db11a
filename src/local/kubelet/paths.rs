//! Paths of an image or a mount, and what is at their place on this machine.

use std::cmp::Reverse;
use std::path::PathBuf;

/// Paths and what takes their place, the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(Vec<(String, String)>);

impl Paths {
    /// Each of these paths is to be found at another one.
    pub fn new(all: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let mut all: Vec<(String, String)> = all
            .into_iter()
            .map(|(path, there)| (path.trim_end_matches('/').to_owned(), there.display().to_string()))
            .filter(|(path, _)| !path.is_empty())
            .collect();
        // Of a mount within another the inner one counts.
        all.sort_by_key(|(path, _)| Reverse(path.len()));
        Self(all)
    }

    /// The text with what is at their places put in for the paths in it. A path ends where no further
    /// character of a name follows.
    pub fn put_into(&self, text: &str) -> String {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let begins = next == '/' && !done.ends_with(is_of_path);
            let found = self.0.iter().find_map(|(path, there)| {
                let after = rest.strip_prefix(path.as_str()).filter(|_| begins)?;
                (after.starts_with('/') || !after.starts_with(is_of_path)).then_some((there, after))
            });
            if let Some((there, after)) = found {
                done.push_str(there);
                rest = after;
            } else {
                done.push(next);
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
        done
    }
}

fn is_of_path(one: char) -> bool {
    one.is_alphanumeric() || ['/', '.', '-', '_'].contains(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_replaced_whole_and_the_inner_mount_first() {
        let paths = [("/flows/", "/home/me/src"), ("/flows/data", "/tmp/data"), ("/daskflow", "/s/code")];
        let paths = Paths::new(paths.map(|(path, there)| (path.to_owned(), PathBuf::from(there))));
        for (text, wanted) in [
            ("/flows/etl.py", "/home/me/src/etl.py"),
            ("/flows", "/home/me/src"),
            ("/flows/data/x", "/tmp/data/x"),
            ("/flows/database", "/home/me/src/database"),
            ("/flowsheet", "/flowsheet"),
            ("/opt/flows/etl.py", "/opt/flows/etl.py"),
            ("a=/flows:/daskflow,é", "a=/home/me/src:/s/code,é"),
            ("tcp://flows/x", "tcp://flows/x"),
        ] {
            assert_eq!(paths.put_into(text), wanted, "{text}");
        }
    }
}
