//! What a reason means and what to do, from the page that says so: `docs/troubleshooting.md`, of which
//! `make generate` keeps a copy here, because the program is compiled without the pages.

use crate::api::Kind;

/// The page.
const PAGE: &str = include_str!("troubleshooting.md");

/// What the page says of a reason, in one of its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The heading above the table.
    pub section: String,
    /// What it means.
    pub means: String,
    /// What to do, where there is something.
    pub cure: Option<String>,
}

/// All that the page says of a reason; nothing of a word that is none.
pub fn explain(reason: &str) -> Vec<Explanation> {
    let word = format!("`{reason}`");
    let (mut found, mut section, mut columns) = (Vec::new(), "", Vec::new());
    let mut paragraph: Vec<&str> = Vec::new();
    for line in PAGE.lines().chain([""]) {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading;
        } else if line.starts_with('|') {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if cells.contains(&"Reason") {
                columns = cells;
            } else {
                found.extend(of_row(section, (&columns, &cells), &word));
            }
        } else if line.is_empty() {
            columns.clear();
            let text = paragraph.join(" ");
            paragraph.clear();
            // The beginning of the page names some as examples.
            if !section.is_empty() && section != OVERVIEW && text.contains(&word) {
                found.push(Explanation { section: plain(section), means: plain(&text), cure: None });
            }
        } else {
            paragraph.push(line);
        }
    }
    // A sentence that names many words says less than a row of its own.
    if found.iter().any(|found| found.cure.is_some()) {
        found.retain(|found| found.cure.is_some());
    }
    found
}

/// What the paragraphs before the first heading are below.
const OVERVIEW: &str = "Where to look";

/// What to do about an object of this kind that has this reason.
pub fn cure(kind: Kind, reason: &str) -> Option<String> {
    let all = explain(reason);
    let is_of_kind = |found: &&Explanation| kind_of(&found.section) == Some(kind);
    let best = all.iter().filter(is_of_kind).find(|found| found.cure.is_some());
    best.or_else(|| all.iter().find(|found| found.cure.is_some()))?.cure.clone()
}

/// The kind that a section is about.
fn kind_of(section: &str) -> Option<Kind> {
    let mut kinds = Kind::ALL.into_iter();
    kinds.find(|kind| section.split_whitespace().any(|word| word == kind.as_str()))
}

fn of_row(section: &str, (columns, cells): (&[&str], &[&str]), word: &str) -> Option<Explanation> {
    let cell = |name: &str| columns.iter().position(|column| *column == name).and_then(|at| cells.get(at));
    let is_meant = cell("Reason").is_some_and(|reasons| reasons.contains(word));
    let means = cell("Means").filter(|_| is_meant)?;
    let cure = cell("Do").map(|cure| plain(cure)).filter(|cure| !cure.is_empty());
    Some(Explanation { section: plain(section), means: plain(means), cure })
}

/// A text without the marks of Markdown: links keep their words.
fn plain(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        match after.split_once("](") {
            Some((words, link)) => {
                plain.push_str(words);
                rest = link.split_once(')').map_or("", |(_, rest)| rest);
            }
            None => rest = after,
        }
    }
    plain.push_str(rest);
    plain.replace("**", "").replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;

    #[test]
    fn the_copy_is_the_page() {
        assert!(
            PAGE == include_str!("../../docs/troubleshooting.md"),
            "src/view/troubleshooting.md is old: run `make generate`"
        );
    }

    #[test]
    fn every_reason_is_explained() {
        let silent: Vec<_> =
            Reason::ALL.iter().filter(|reason| explain(reason.as_str()).is_empty()).collect();
        assert_eq!(silent, Vec::<&Reason>::new());
        assert_eq!(explain("Nonsense"), []);
        // No word is found within another one.
        assert!(explain("Lost").is_empty());
    }

    #[test]
    fn a_cure_is_that_of_the_objects_kind() {
        let of_run = cure(Kind::FlowRun, "Suspended").unwrap();
        assert_eq!(of_run, "Set it to false; or find out what set it: Kueue, for one.");
        assert_eq!(cure(Kind::DaskCluster, "Suspended").unwrap(), "Set it to false.");
        assert_eq!(cure(Kind::FlowRun, "Unschedulable"), cure(Kind::DaskCluster, "Unschedulable"));
        assert_eq!(cure(Kind::Flow, "NoSchedule"), cure(Kind::FlowBackfill, "NoSchedule"));
        assert_eq!(cure(Kind::FlowRun, "RunnerRunning"), None);
    }

    #[test]
    fn links_are_words() {
        assert_eq!(plain("see [the `page`](a.md#b) **now** [x"), "see the page now x");
    }
}
