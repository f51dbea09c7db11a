//! Reads Rust source text as far as the rules of `architecture` need it: the words outside comments and
//! literals, and the paths made of them, with `use` groups written out and `self` and `super` resolved.
//!
//! It is not a parser: a path behind a macro or a renaming import can hide from it. What it finds is there,
//! though.

/// A word or a mark of the source, and the line that it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Counted from 1.
    pub line: usize,
    /// An identifier or number, `::`, or one other character.
    pub text: &'a str,
}

/// What a path is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Something is named.
    Named,
    /// It is imported.
    Import,
    /// It is imported, and others may import it from here.
    Export,
}

/// A path such as `kube::Client`, absolute where it began with `crate`, `self` or `super`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Counted from 1.
    pub line: usize,
    /// The names between the `::`.
    pub segments: Vec<String>,
    /// What an import is called here.
    pub name: String,
    /// What it is there for.
    pub purpose: Purpose,
}

impl Path {
    /// Whether `pattern` is in this path. A pattern of one name is a crate and must be the head of a longer
    /// path; a longer one may stand anywhere, because an import shortens what comes after it.
    pub fn contains(&self, pattern: &str) -> bool {
        let wanted: Vec<&str> = pattern.split("::").collect();
        if wanted.len() == 1 {
            return self.segments.len() > 1 && self.segments.first().is_some_and(|head| head == pattern);
        }
        self.segments
            .windows(wanted.len())
            .any(|window| window.iter().map(String::as_str).eq(wanted.iter().copied()))
    }
}

/// The tokens of `source`, without comments, strings, characters and lifetimes' quotes.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut found, mut rest, mut line) = (Vec::new(), source, 1);
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let length = if rest.starts_with("::") { 2 } else { word.max(first.len_utf8()) };
            found.push(Token { line, text: &rest[..length] });
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many bytes at the start of `rest` are no token: white space, a comment or a literal.
fn skipped(rest: &str) -> Option<usize> {
    let first = rest.chars().next()?;
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if first == '\'' {
        return Some(character(rest));
    }
    let prefix = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let literal = &rest[prefix..];
    match &rest[..prefix] {
        "" | "b" | "c" if literal.starts_with('"') => Some(prefix + string(literal)),
        "r" | "br" | "cr" => raw_string(literal).map(|length| prefix + length).or_else(|| {
            // A raw identifier, `r#type`: only its mark is left out.
            literal.starts_with('#').then_some(prefix + 1)
        }),
        _ => None,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A character literal, or only the quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut after = rest.char_indices().skip(1);
    match (after.next(), after.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let from = escaped + 1;
            rest[from..].find('\'').map_or(1, |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// `#"…"#` with any number of marks, none included.
fn raw_string(rest: &str) -> Option<usize> {
    let marks = rest.len() - rest.trim_start_matches('#').len();
    let text = rest[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    Some(text.find(&end).map_or(rest.len(), |at| marks + 1 + at + end.len()))
}

/// The same tokens without what is compiled for tests only.
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        let here = tokens[at..].iter().map(|token| token.text).take(TESTS.len());
        if here.eq(TESTS) {
            at = end_of_item(tokens, at + TESTS.len());
        } else {
            kept.push(*token);
            at += 1;
        }
    }
    kept
}

/// Where the item or statement ends that begins at `at`, with its attributes.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            ";" if depth == 0 => break,
            _ => {}
        }
    }
    at
}

/// All paths of `source`, which is the text of the module `module` (`["plan", "schedule"]`; the root is
/// empty).
pub fn paths(source: &str, module: &[&str]) -> Vec<Path> {
    paths_of(&tokens(source), module)
}

/// The same of the tokens of a text.
pub fn paths_of(tokens: &[Token<'_>], module: &[&str]) -> Vec<Path> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut here: Vec<String> = module.iter().map(ToString::to_string).collect();
    let (mut found, mut open, mut depth, mut at) = (Vec::new(), Vec::new(), 0_usize, 0);
    while at < tokens.len() {
        match text(at) {
            "mod" if text(at + 2) == "{" => {
                here.push(text(at + 1).to_owned());
                open.push(depth);
                (depth, at) = (depth + 1, at + 3);
            }
            "{" => (depth, at) = (depth + 1, at + 1),
            "}" => {
                (depth, at) = (depth.saturating_sub(1), at + 1);
                if open.last() == Some(&depth) {
                    open.pop();
                    here.pop();
                }
            }
            word if word.starts_with(is_word) && !continues(tokens, at) => {
                let (mut branches, purpose) = (Vec::new(), purpose(tokens, at));
                at = tree(tokens, at, &[], &mut branches);
                let branches = branches.into_iter().map(|path| Path { purpose, ..resolve(path, &here) });
                found.extend(branches);
            }
            _ => at += 1,
        }
    }
    found
}

/// What the path is there for that begins at `at`.
fn purpose(tokens: &[Token<'_>], at: usize) -> Purpose {
    let before =
        |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at)).map_or("", |token| token.text);
    match (before(1), before(2)) {
        ("use", "pub" | ")") => Purpose::Export,
        ("use", _) => Purpose::Import,
        _ => Purpose::Named,
    }
}

/// Whether the word at `at` goes on with something before it that is no name, as `now` in `<T>::now`.
fn continues(tokens: &[Token<'_>], at: usize) -> bool {
    let before =
        |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at)).map_or("", |token| token.text);
    before(1) == "::" && (before(2) == ">" || before(2).starts_with(is_word))
}

/// Reads the path that starts at `at`, each branch of its groups by itself, and returns where it ends.
fn tree(tokens: &[Token<'_>], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut segments = prefix.to_vec();
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = tree(tokens, at, &segments, found);
                    while !matches!(text(at), "}" | "," | "") {
                        at += 1; // `as Name`
                    }
                    at += usize::from(text(at) == ",");
                }
                return at + 1;
            }
            "self" if !prefix.is_empty() => {}
            name => segments.push(name.to_owned()),
        }
        let next = text(at + 2);
        if text(at + 1) != "::" || !(next.starts_with(is_word) || matches!(next, "{" | "*")) {
            let last = segments.last().cloned().unwrap_or_default();
            let name = if text(at + 1) == "as" { next.to_owned() } else { last };
            found.push(Path { line, segments, name, purpose: Purpose::Named });
            return at + 1;
        }
        at += 2;
    }
}

fn resolve(path: Path, module: &[String]) -> Path {
    let ups = path.segments.iter().take_while(|name| *name == "super").count();
    let own = usize::from(
        ups == 0 && path.segments.len() > 1 && path.segments.first().is_some_and(|name| name == "self"),
    );
    if ups + own == 0 {
        return path;
    }
    let base = module.iter().take(module.len().saturating_sub(ups));
    let tail = path.segments.iter().skip(ups + own);
    let segments: Vec<String> =
        std::iter::once("crate".to_owned()).chain(base.chain(tail).cloned()).collect();
    Path { segments, ..path }
}
