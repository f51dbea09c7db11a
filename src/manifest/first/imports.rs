//! What a script imports, read from its text: enough of Python to know strings, comments and lines apart.
//!
//! A module whose name is made while the script runs is not seen, and one that is imported within a function
//! or after `try:` may never be needed.

use std::collections::BTreeSet;
use std::str::Chars;

use crate::api::CodeEngine;

/// What a script imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Modules by the first part of their names, wherever the script imports them.
    pub modules: BTreeSet<String>,
    /// Those of them that are imported whenever it runs.
    pub always: BTreeSet<String>,
    /// Which Prefect it is written for, if it imports one and that can be seen.
    pub generation: Option<Generation>,
}

/// The releases of Prefect that scripts are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Up to 1.4: `with Flow(…)`.
    First,
    /// From 2 on: `@flow`.
    Later,
}

/// Modules of Prefect that only the first releases have.
const FIRST: [&str; 8] = [
    "prefect.core",
    "prefect.engine.executors",
    "prefect.environments",
    "prefect.executors",
    "prefect.run_configs",
    "prefect.schedules.schedules",
    "prefect.triggers",
    "prefect.utilities.edges",
];
/// Modules that only later ones have.
const LATER: [&str; 6] = [
    "prefect.deployments",
    "prefect.flows",
    "prefect.futures",
    "prefect.runtime",
    "prefect.task_runners",
    "prefect_dask",
];

impl Imports {
    /// Of the text of a script.
    pub fn of(script: &str) -> Self {
        let mut imports = Self::default();
        let lines = logical_lines(script);
        for line in &lines {
            let is_always = !line.starts_with(char::is_whitespace);
            for statement in line.split(';') {
                imports.read(statement, is_always);
            }
        }
        let has = |word: &str| lines.iter().any(|line| line.contains(word));
        if imports.generation.is_none() && imports.modules.contains("prefect") {
            imports.generation = if has("@prefect.flow") {
                Some(Generation::Later)
            } else {
                has("prefect.Flow(").then_some(Generation::First)
            };
        }
        imports
    }

    /// What counts as a run of the script.
    pub fn engine(&self) -> CodeEngine {
        let is_dask = |module: &String| ["dask", "distributed"].contains(&module.as_str());
        if self.always.contains("prefect") {
            CodeEngine::Prefect
        } else if self.always.iter().any(is_dask) && !self.modules.contains("prefect") {
            CodeEngine::Dask
        } else {
            CodeEngine::Auto
        }
    }

    /// The packages that it needs beside what it imports of others: as they are installed, and as they are
    /// asked for where no version is known.
    pub fn packages(&self) -> Vec<(&'static str, &'static str)> {
        let mut all = vec![("distributed", "distributed")];
        if self.modules.contains("prefect") || self.modules.contains("prefect_dask") {
            all.push((
                "prefect",
                match self.generation {
                    Some(Generation::First) => "'prefect<2'",
                    Some(Generation::Later) => "'prefect>=2'",
                    None => "prefect",
                },
            ));
        }
        if self.modules.contains("prefect_dask") {
            all.push(("prefect-dask", "prefect-dask"));
        }
        all
    }

    /// Reads a statement, if it is an import.
    fn read(&mut self, statement: &str, is_always: bool) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let statement = words.join(" ");
        if let Some(modules) = statement.strip_prefix("import ") {
            for module in modules.split(',') {
                self.take(first_word(module), &[], is_always);
            }
        } else if let Some((module, names)) =
            statement.strip_prefix("from ").and_then(|rest| rest.split_once(" import"))
        {
            let names: Vec<&str> = names.split(',').map(first_word).collect();
            self.take(module, &names, is_always);
        }
    }

    fn take(&mut self, module: &str, names: &[&str], is_always: bool) {
        let top = module.split('.').next().unwrap_or_default();
        // What begins with a dot is of the script's own package.
        if top.is_empty() {
            return;
        }
        self.modules.insert(top.to_owned());
        if is_always {
            self.always.insert(top.to_owned());
        }
        let is_of = |known: &[&str]| known.iter().any(|known| is_below(module, known));
        let is_named = |name: &str| module == "prefect" && names.contains(&name);
        if is_of(&LATER) || is_named("flow") || is_named("serve") {
            self.generation = Some(Generation::Later);
        } else if is_of(&FIRST) || is_named("Flow") || is_named("Parameter") {
            // Later releases have a Flow too, but no script that runs one does without `flow`.
            self.generation.get_or_insert(Generation::First);
        }
    }
}

/// Whether a module is this one, or one within it.
fn is_below(module: &str, known: &str) -> bool {
    module.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The module or name that an import begins with, without `as` and brackets.
fn first_word(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || "()".contains(letter))
        .split(' ')
        .next()
        .unwrap_or_default()
}

/// The lines of a script as Python has them: without comments and strings, with those in one that brackets or
/// backslashes join.
fn logical_lines(script: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut depth) = (String::new(), 0_usize);
    let mut rest = script.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '#' => skip_comment(&mut rest),
            '"' | '\'' => {
                skip_string(&mut rest, letter);
                line.push('_');
            }
            '\\' => {
                // Before the end of a line; nothing else has one outside of strings.
                rest.next();
                line.push(' ');
            }
            '\n' if depth == 0 => lines.push(std::mem::take(&mut line)),
            '\n' => line.push(' '),
            _ => {
                depth = match letter {
                    '(' | '[' | '{' => depth + 1,
                    ')' | ']' | '}' => depth.saturating_sub(1),
                    _ => depth,
                };
                line.push(letter);
            }
        }
    }
    lines.push(line);
    lines
}

/// Goes on to the end of the line, and not over it.
fn skip_comment(rest: &mut Chars<'_>) {
    while !rest.as_str().is_empty() && !rest.as_str().starts_with('\n') {
        rest.next();
    }
}

/// Goes over the rest of a string that began with this quote: to the end of the line at most, unless it began
/// with three.
fn skip_string(rest: &mut Chars<'_>, quote: char) {
    let pair = String::from_iter([quote; 2]);
    let is_long = rest.as_str().starts_with(&pair);
    if is_long {
        rest.nth(1);
    }
    while is_long || !rest.as_str().starts_with('\n') {
        match rest.next() {
            None => return,
            Some('\\') => _ = rest.next(),
            Some(letter) if letter == quote && (!is_long || rest.as_str().starts_with(&pair)) => {
                if is_long {
                    rest.nth(1);
                }
                return;
            }
            Some(_) => {}
        }
    }
}
