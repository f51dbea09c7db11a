//! The pages of the documentation, their blocks, and the commands in them.
//!
//! `commands.txt` beside this file says of each command how it is tried. `tests/files/docs.rs` fails where a
//! command is not in it and runs those that need no cluster; the end-to-end test `docs_commands_work` runs
//! the others.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path from the project's folder.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// What stands between two fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The word after the fence.
    pub language: &'a str,
    /// The lines.
    pub text: &'a str,
}

/// How a command is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Without a cluster, by `tests/files/docs.rs`.
    Local,
    /// On the cluster.
    Cluster,
    /// On the cluster, until it is stopped: it does not end by itself.
    Watch,
    /// On the cluster, which only says what it would do.
    DryRun,
    /// By Helm, which only renders the chart with these values.
    Render,
    /// Not here.
    Elsewhere,
}

/// A command of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// As the page has it, several lines where it has several.
    pub text: String,
    /// The same on one line, without comments: by it a command is found in the table.
    pub key: String,
}

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Entry {
    pub page: String,
    pub key: String,
    pub way: Way,
}

/// Pages outside of docs/.
const OTHERS: [&str; 7] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "charts/daskflow/README.md",
    "manifests/samples/README.md",
    "tests/README.md",
];

/// All pages: README and its neighbours, those of the chart and the tests, and all of docs/.
pub fn pages() -> Vec<Page> {
    let mut paths = OTHERS.map(|name| root().join(name)).to_vec();
    collect(&root().join("docs"), &mut paths);
    paths.sort();
    let page = |path: PathBuf| Page {
        name: path.strip_prefix(root()).unwrap().display().to_string(),
        text: fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(page).collect()
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}

/// All blocks of a page. Fences stand at the beginning of a line.
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut found, mut rest) = (Vec::new(), page);
    while let Some((_, after)) = rest.split_once("\n```") {
        let Some((language, inside)) = after.split_once('\n') else { break };
        let Some((text, after)) = inside.split_once("\n```") else {
            panic!("a block has no end: {language}")
        };
        found.push(Block { language, text });
        rest = after;
    }
    found
}

/// The files that a page says to save: blocks whose first line is a comment with nothing but the name of the
/// file.
pub fn files_of(page: &str) -> Vec<(&str, &str)> {
    let is_name = |word: &&str| {
        let extension = Path::new(word).extension().unwrap_or_default();
        (extension == "py" || extension == "yaml")
            && word.chars().all(|letter| letter.is_ascii_lowercase() || matches!(letter, '-' | '.'))
    };
    let named = blocks(page).into_iter().filter_map(|block| {
        let name = block.text.lines().next()?.strip_prefix("# ").filter(is_name)?;
        Some((name, block.text))
    });
    named.collect()
}

/// The commands of a block of a shell: those after `$` where it shows what they print.
pub fn commands(block: Block<'_>) -> Vec<Command> {
    let lines: Vec<&str> = match block.language {
        "sh" | "bash" => block.text.lines().collect(),
        "console" => block.text.lines().filter_map(|line| line.strip_prefix("$ ")).collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<Command> = Vec::new();
    let mut begun: Vec<&str> = Vec::new();
    for line in lines {
        begun.push(line);
        let text = begun.join("\n");
        let is_loop = text.trim_start().starts_with("for ") && line.trim() != "done";
        if line.ends_with('\\') || is_loop {
            continue;
        }
        begun.clear();
        let without_comments =
            |line: &str| line.split(" #").next().unwrap_or_default().trim_end_matches('\\').to_owned();
        let joined = text.lines().map(without_comments).collect::<Vec<_>>().join(" ");
        let key = joined.split_whitespace().collect::<Vec<_>>().join(" ");
        if !key.is_empty() && !key.starts_with('#') {
            found.push(Command { text, key });
        }
    }
    assert!(begun.is_empty(), "a command has no end: {begun:?}");
    found
}

/// The table.
pub fn entries() -> Vec<Entry> {
    let mut page = String::new();
    let mut found = Vec::new();
    for line in include_str!("commands.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut page);
            continue;
        }
        let (way, rest) = line.split_once(' ').unwrap_or_else(|| panic!("commands.txt: {line}"));
        let (key, reason) = rest.split_once(" ## ").unwrap_or((rest, ""));
        let way = match way {
            "local" => Way::Local,
            "cluster" => Way::Cluster,
            "watch" => Way::Watch,
            "dry-run" => Way::DryRun,
            "render" => Way::Render,
            "elsewhere" => Way::Elsewhere,
            other => panic!("commands.txt: {other} is no way"),
        };
        assert!(
            way != Way::Elsewhere || !reason.is_empty(),
            "commands.txt: {line}: say who tries it, or why nobody can"
        );
        found.push(Entry { page: page.clone(), key: key.trim().to_owned(), way });
    }
    found
}

/// How this command of this page is tried.
pub fn way_of(entries: &[Entry], page: &str, command: &Command) -> Option<Way> {
    entries.iter().find(|entry| entry.page == page && entry.key == command.key).map(|entry| entry.way)
}
