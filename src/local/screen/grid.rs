//! A table as lines of text that fit into a width: what stands farther right matters less, and is left out
//! first.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::view::overview::Tone;

/// The space between two columns.
const GAP: usize = 2;
/// The first column, a name, is never narrower than this, unless all is.
const NAME: usize = 12;
/// The last column is cut down to this, and then left out.
const LAST: usize = 8;

/// A text, and what it looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text that looks so.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    /// The heads of its columns.
    pub heads: Vec<&'static str>,
    /// Its rows, with a cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// The row that is chosen.
    pub chosen: Option<usize>,
    /// Whether of long names the end is shown, which tells them apart.
    pub shows_ends: bool,
}

impl Grid {
    /// It in so many lines of so many characters; the first line has the heads. The chosen row is shown
    /// always, and the head says how many rows there are where not all are shown.
    pub fn lines(&self, width: usize, height: usize, in_colours: bool) -> Vec<Line<'static>> {
        let Some(shown) = height.checked_sub(1) else { return Vec::new() };
        let mut heads: Vec<Cell> = self.heads.iter().map(|head| Cell::from((*head).to_owned())).collect();
        if let Some(first) = heads.first_mut().filter(|_| shown < self.rows.len()) {
            first.text = format!("{} ({})", first.text, self.rows.len());
        }
        let widths = self.widths(&heads, width);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut lines = vec![self.line(&heads, &widths, width, false).style(bold)];
        // As far down as the chosen row needs it.
        let from = self.chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(shown));
        for (at, row) in self.rows.iter().enumerate().skip(from).take(shown) {
            let is_chosen = self.chosen == Some(at);
            let line = self.line(row, &widths, width, in_colours);
            let style = if is_chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
            lines.push(line.style(style));
        }
        lines
    }

    /// One row, as wide as the table, so that a chosen one is marked in its whole width.
    fn line(&self, row: &[Cell], widths: &[usize], width: usize, in_colours: bool) -> Line<'static> {
        let mut spans = Vec::new();
        let mut written = 0;
        for (column, (cell, size)) in row.iter().zip(widths).enumerate() {
            let text = cut(&cell.text, *size, self.shows_ends && column == 0);
            let is_last = column + 1 == widths.len();
            let size = if is_last { width.saturating_sub(written) } else { size + GAP };
            let padded = format!("{text:<size$}");
            written += padded.chars().count();
            spans.push(Span::styled(padded, if in_colours { colour(cell.tone) } else { Style::new() }));
        }
        Line::from(spans)
    }

    /// The widths of the columns that there is room for.
    fn widths(&self, heads: &[Cell], width: usize) -> Vec<usize> {
        let natural = |(column, head): (usize, &Cell)| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).chain([head]);
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default()
        };
        let mut widths: Vec<usize> = heads.iter().enumerate().map(natural).collect();
        let needed = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let too_wide = |widths: &[usize]| needed(widths).saturating_sub(width);
        let natural_name = widths.first().copied().unwrap_or_default();
        let over = too_wide(&widths);
        if let Some(name) = widths.first_mut() {
            let least = NAME.max(width * 2 / 5).min(*name);
            *name = name.saturating_sub(over).max(least);
        }
        while let Some(last) = widths.last().copied()
            && let over @ 1.. = too_wide(&widths)
        {
            widths.pop();
            // The only column takes what there is.
            if widths.is_empty() || last.saturating_sub(over) >= LAST.min(last) {
                widths.push(last.saturating_sub(over));
                break;
            }
        }
        let left = width.saturating_sub(needed(&widths));
        if let Some(name) = widths.first_mut() {
            *name = natural_name.min(*name + left);
        }
        widths
    }
}

/// A text in at most so many characters.
pub fn cut(text: &str, width: usize, shows_end: bool) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let mark = if width == 0 { "" } else { "…" };
    if shows_end {
        format!("{mark}{}", text.chars().skip(count - kept).collect::<String>())
    } else {
        format!("{}{mark}", text.chars().take(kept).collect::<String>())
    }
}

fn colour(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Busy => Style::new().fg(Color::Yellow),
        Tone::Well => Style::new().fg(Color::Green),
        Tone::Fault => Style::new().fg(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(grid: &Grid, width: usize, height: usize) -> Vec<String> {
        let lines = grid.lines(width, height, true);
        lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect()
    }

    fn grid() -> Grid {
        let row = |name: &str| {
            [name, "Succeeded", "12 s", "a long reason why"].map(|text| Cell::from(text.to_owned())).to_vec()
        };
        Grid {
            heads: vec!["RUN", "PHASE", "TOOK", "WHY"],
            rows: vec![row("etl-20261130t111500"), row("etl-20261130t111400"), row("etl-20261130t111300")],
            chosen: Some(0),
            shows_ends: true,
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_cut_or_left_out() {
        let wide = texts(&grid(), 80, 2);
        assert_eq!(wide[0], "RUN (3)              PHASE      TOOK  WHY");
        assert_eq!(wide[1], "etl-20261130t111500  Succeeded  12 s  a long reason why");
        assert_eq!(texts(&grid(), 50, 2)[1], "etl-20261130t111500  Succeeded  12 s  a long reas…");
        assert_eq!(texts(&grid(), 40, 2)[1], "etl-20261130t111500  Succeeded  12 s");
        assert_eq!(texts(&grid(), 33, 2)[1], "…20261130t111500  Succeeded  12 s");
        assert_eq!(texts(&grid(), 24, 2)[1], "…61130t111500  Succeeded");
        assert_eq!(texts(&grid(), 8, 2)[1], "…t111500");
        assert_eq!(texts(&grid(), 0, 2)[1], "");
    }

    #[test]
    fn the_chosen_row_is_shown_and_marked() {
        let mut grid = grid();
        assert_eq!(texts(&grid, 80, 4)[0], "RUN                  PHASE      TOOK  WHY");
        grid.chosen = Some(2);
        let lines = grid.lines(80, 3, false);
        assert!(lines[2].to_string().starts_with("etl-20261130t111300"), "{lines:?}");
        assert!(lines[2].style.add_modifier.contains(Modifier::REVERSED));
        assert_eq!(lines[2].width(), 80);
        assert!(!lines[1].style.add_modifier.contains(Modifier::REVERSED));
        assert!(grid.lines(80, 0, false).is_empty());
    }

    #[test]
    fn the_count_of_rows_is_no_wider_than_its_column() {
        let rows = vec![vec![Cell::from("a".to_owned()), Cell::from("b".to_owned())]; 12];
        let grid = Grid { heads: vec!["FLOW", "NEXT"], rows, ..Grid::default() };
        assert_eq!(texts(&grid, 80, 3), ["FLOW (12)  NEXT", "a          b", "a          b"]);
    }

    #[test]
    fn without_colours_there_are_none() {
        let mut grid = grid();
        grid.rows[0][1] = Cell::new("Failed", Tone::Fault);
        let has_colour = |in_colours| {
            let lines = grid.lines(80, 4, in_colours);
            lines.iter().flat_map(|line| &line.spans).any(|span| span.style.fg.is_some())
        };
        assert!(has_colour(true));
        assert!(!has_colour(false));
    }
}
