//! A tree of lines, as it is drawn.

use super::plain::plain;

/// What a sign says of a thing at a glance; whoever draws it may choose a colour by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// Under way.
    Working,
    /// It waits.
    Waiting,
    /// Something has to be done.
    Bad,
}

/// The sign before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// One character.
    pub sign: char,
    /// What it says.
    pub tone: Tone,
}

/// A line, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The sign before it.
    pub mark: Option<Mark>,
    /// What it says, in one line.
    pub line: String,
    /// What belongs to it.
    pub branches: Vec<Tree>,
}

impl Tree {
    /// A line alone.
    pub fn line(line: impl Into<String>) -> Self {
        // A message of several lines would break the drawing.
        let line = line.into().replace('\n', " ");
        Self { mark: None, line: plain(&line).into_owned(), branches: Vec::new() }
    }

    /// The same with a sign.
    #[must_use]
    pub fn marked(mut self, mark: Mark) -> Self {
        self.mark = Some(mark);
        self
    }

    /// The same with more that belongs to it.
    #[must_use]
    pub fn with(mut self, branches: impl IntoIterator<Item = Tree>) -> Self {
        self.branches.extend(branches);
        self
    }

    /// All lines, drawn. `paint` gives signs their colours.
    pub fn draw(&self, paint: &dyn Fn(Tone, &str) -> String) -> String {
        let mut text = String::new();
        self.draw_into(&mut text, ("", ""), paint);
        text
    }

    /// Draws it behind the lines of what it belongs to: `first` before its own line, `rest` before its
    /// branches.
    fn draw_into(
        &self,
        text: &mut String,
        (first, rest): (&str, &str),
        paint: &dyn Fn(Tone, &str) -> String,
    ) {
        text.push_str(first);
        if let Some(mark) = self.mark {
            text.push_str(&paint(mark.tone, &mark.sign.to_string()));
            text.push(' ');
        }
        text.push_str(&self.line);
        text.push('\n');
        let last = self.branches.len().saturating_sub(1);
        for (index, branch) in self.branches.iter().enumerate() {
            let (corner, wall) = if index == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            branch.draw_into(text, (&format!("{rest}{corner}"), &format!("{rest}{wall}")), paint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_drawn_with_its_branches() {
        let mark = Mark { sign: '✖', tone: Tone::Bad };
        let tree = Tree::line("flow").with([
            Tree::line("run").marked(mark).with([Tree::line("why"), Tree::line("what\nto\u{1b} do")]),
            Tree::line("cluster").with([Tree::line("pod")]),
        ]);
        let drawn = "flow\n├─ ✖ run\n│  ├─ why\n│  └─ what to^[ do\n└─ cluster\n   └─ pod\n";
        assert_eq!(tree.draw(&|_, sign| sign.to_owned()), drawn);
        let painted = tree.draw(&|tone, sign| format!("<{tone:?} {sign}>"));
        assert!(painted.contains("├─ <Bad ✖> run"), "{painted}");
    }
}
