//! The words that pages, field descriptions, help texts and messages avoid: the first column of the table in
//! `docs/style.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::pages::{blocks, pages, root};
use super::program;

/// Pages where the words may stand: the list itself, the glossary of the code, and decisions, which are not
/// rewritten.
const FREE: [&str; 3] = ["docs/style.md", "docs/contributing-tour.md", "docs/adr/"];

/// Messages in which such a word is the right one.
const RIGHT: [&str; 1] = ["the Lease is held by"];

/// The words to avoid, as the page has them.
fn avoided() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/style.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| Not |")).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split('|').nth(1));
    let words: Vec<String> =
        cells.flat_map(|cell| cell.split(',')).map(|word| word.trim().to_lowercase()).collect();
    assert!(words.len() >= 15, "only {words:?}");
    words
}

/// A text without the names of its placeholders, which readers do not see.
fn shown(text: &str) -> String {
    text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect()
}

/// Which of the words a text has, whole ones only, in any case.
fn found(text: &str, words: &[String]) -> Vec<String> {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_alphanumeric() { letter } else { ' ' })
        .collect();
    let line = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "));
    words.iter().filter(|word| line.contains(&format!(" {word} "))).cloned().collect()
}

/// A page without its blocks and without what stands between backquotes.
fn prose(page: &str) -> String {
    let without_blocks =
        blocks(page).iter().fold(page.to_owned(), |text, block| text.replace(block.text, ""));
    without_blocks.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

fn faults<'a>(texts: impl Iterator<Item = (String, &'a str)>, words: &[String]) -> String {
    texts.fold(String::new(), |mut all, (place, text)| {
        for word in found(text, words) {
            let _ = writeln!(all, "{place}: {word}: {}", text.chars().take(160).collect::<String>());
        }
        all
    })
}

#[test]
fn words_are_found() {
    let words = ["held".to_owned(), "at rest".to_owned()];
    assert_eq!(found("A run is Held:", &words), ["held"]);
    assert_eq!(found("a cluster at\n  rest", &words), ["at rest"]);
    assert_eq!(found("the upheld order; that restarts", &words), Vec::<String>::new());
    let page = "A `held` run.\n\n```text\nit is held\n```\n";
    assert_eq!(found(&prose(page), &words), Vec::<String>::new());
    assert_eq!(found(&prose("It is\nheld, as `a` says."), &words), ["held"]);
    let planted = [("page".to_owned(), "Its pods are at rest.")];
    assert_eq!(faults(planted.into_iter(), &words), "page: at rest: Its pods are at rest.\n");
}

#[test]
fn pages_use_the_words_of_kubernetes() {
    let words = avoided();
    let pages = pages();
    let is_free = |name: &str| FREE.iter().any(|free| name.starts_with(free));
    let texts: Vec<(String, String)> = pages
        .iter()
        .filter(|page| !is_free(&page.name))
        .flat_map(|page| {
            let prose = prose(&page.text);
            let paragraphs = prose.split("\n\n").map(str::to_owned).collect::<Vec<_>>();
            paragraphs.into_iter().map(|text| (page.name.clone(), text))
        })
        .collect();
    let faults = faults(texts.iter().map(|(place, text)| (place.clone(), text.as_str())), &words);
    assert!(faults.is_empty(), "see docs/style.md:\n{faults}");
}

/// All texts called `description` or `message`.
fn descriptions(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "description" || name == "message" => {
                        all.push(text.clone());
                    }
                    other => descriptions(other, all),
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| descriptions(entry, all)),
        _ => {}
    }
}

#[test]
fn field_descriptions_use_the_words_of_kubernetes() {
    let mut texts = Vec::new();
    for crd in daskflow::api::crds() {
        descriptions(&serde_json::to_value(crd).unwrap(), &mut texts);
    }
    assert!(texts.len() > 200, "only {} descriptions were found", texts.len());
    let faults = faults(texts.iter().map(|text| ("kubectl explain".to_owned(), text.as_str())), &avoided());
    assert!(faults.is_empty(), "see docs/style.md:\n{faults}");
}

#[test]
fn help_texts_use_the_words_of_kubernetes() {
    let words = avoided();
    for command in [
        "",
        "operator",
        "init",
        "generate",
        "validate",
        "migrate",
        "next",
        "ready",
        "local",
        "status",
        "run",
        "logs",
        "cancel",
        "retry",
        "suspend",
        "resume",
        "scale",
        "backfill",
        "report",
        "dashboard",
        "connect",
        "explain",
        "check",
        "version",
        "completion",
    ] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let help = program::daskflow(root(), &arguments, "");
        assert_eq!(help.code, 0, "{}", help.err);
        assert_eq!(
            found(&help.out, &words),
            Vec::<String>::new(),
            "daskflow {command} --help: see docs/style.md"
        );
    }
}

/// The texts between quotes of a file of Rust, up to its tests, that are long enough to be sentences.
/// Comments are left out.
fn messages(source: &str) -> Vec<&str> {
    let lines = source.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    let texts = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    texts.filter(|text| text.split_whitespace().count() >= 3).collect()
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !["tests", "laws", "testing"].contains(&name.as_str())
        {
            all.push(path);
        }
    }
}

#[test]
fn messages_use_the_words_of_kubernetes() {
    let (words, mut files, mut all, mut count) = (avoided(), Vec::new(), String::new(), 0);
    sources(&root().join("src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(root()).unwrap().display().to_string();
        let is_right = |text: &&str| RIGHT.iter().any(|right| text.contains(right));
        let texts: Vec<String> =
            messages(&text).into_iter().filter(|text| !is_right(text)).map(shown).collect();
        count += texts.len();
        all.push_str(&faults(texts.iter().map(|text| (place.clone(), text.as_str())), &words));
    }
    assert!(count > 300, "only {count} messages were found");
    assert!(all.is_empty(), "see docs/style.md:\n{all}");
}

#[test]
fn messages_are_found() {
    let source =
        "// \"the run is held now\"\nfail(\"the run is held now\");\n#[cfg(test)]\n\"it is held here\"";
    assert_eq!(messages(source), ["the run is held now"]);
    assert_eq!(shown("the run waits: {held}"), "the run waits: ");
}
