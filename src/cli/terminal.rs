//! What the terminal is, and what a person wants of it.

use std::io::{IsTerminal, stderr, stdin, stdout};

use clap::Args;

use crate::local::Table;

/// How much is shown in a terminal.
#[derive(Debug, Args)]
pub(super) struct Terminal {
    /// Write one line for each change, in a terminal as well.
    #[arg(long)]
    plain: bool,
    /// Colours are not wanted, if this is anything but empty: see <https://no-color.org>.
    #[arg(long, env = "NO_COLOR", hide = true, num_args = 0..=1, default_missing_value = "1")]
    no_color: Option<String>,
    /// What opens a page.
    #[arg(long, env = "BROWSER", hide = true)]
    browser: Option<String>,
    /// What the terminal can do.
    #[arg(long, env = "TERM", hide = true)]
    term: Option<String>,
}

impl Terminal {
    /// The table that is shown; none where lines are written, among them those of a log on the same terminal.
    pub(super) fn table(self, has_log: bool) -> Option<Table> {
        let is_free = !(has_log && stderr().is_terminal());
        (stdin().is_terminal() && stdout().is_terminal() && is_free).then_some(())?;
        self.of_terminal()
    }

    /// The table that is shown in a terminal.
    fn of_terminal(self) -> Option<Table> {
        // A dumb one has lines only.
        let is_dumb = self.term.as_deref().is_none_or(|term| term.is_empty() || term == "dumb");
        let in_colours = self.no_color.as_deref().is_none_or(str::is_empty);
        (!self.plain && !is_dumb).then_some(Table { in_colours, browser: self.browser })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(plain: bool, term: Option<&str>, no_color: Option<&str>) -> Option<Table> {
        let [no_color, term] = [no_color, term].map(|text| text.map(str::to_owned));
        Terminal { plain, no_color, browser: Some("w3m".to_owned()), term }.of_terminal()
    }

    #[test]
    fn a_terminal_shows_a_table_unless_it_is_dumb_or_lines_are_wanted() {
        let shown = |in_colours| Some(Table { in_colours, browser: Some("w3m".to_owned()) });
        assert_eq!(table(false, Some("xterm-256color"), None), shown(true));
        assert_eq!(table(false, Some("xterm"), Some("")), shown(true));
        assert_eq!(table(false, Some("xterm"), Some("1")), shown(false));
        assert_eq!(table(true, Some("xterm"), None), None);
        assert_eq!(table(false, Some("dumb"), None), None);
        assert_eq!(table(false, None, None), None);
    }
}
