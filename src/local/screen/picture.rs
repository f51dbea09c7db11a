//! What is on the screen: three tables, the news and a line with the keys; or the log of a run.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::choice::{Choice, Section};
use super::grid::{Cell, Grid, cut};
use super::log;
use crate::view::overview::{ClusterRow, FlowRow, Name, Overview, RunRow, Tone};

/// The keys, for a wide screen and for a narrow one.
const KEYS: [&str; 2] = [
    "r run now   l log   d dashboard   u page   arrows choose   q quit",
    "r run  l log  d dashboard  q quit",
];
/// From so many lines on there is a title, and a head above the news.
const ROOMY: usize = 16;
/// How many lines of news a roomy screen shows; a low one shows the last one.
const NEWS: usize = 4;

/// All that a picture shows.
#[derive(Debug)]
pub struct Scene<'a> {
    /// What runs here.
    pub title: &'a str,
    /// The rows of all that there is.
    pub rows: &'a Overview,
    /// What is chosen.
    pub choice: &'a Choice,
    /// The last news, the newest at the end.
    pub news: &'a [String],
    /// The log that is chosen, if one is.
    pub log: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
    /// The zone in which times are shown.
    pub zone: &'a TimeZone,
    /// Whether there may be colours.
    pub in_colours: bool,
}

/// Draws it, however large the screen is.
pub fn draw(frame: &mut Frame<'_>, scene: &Scene<'_>) {
    let (width, height) = (usize::from(frame.area().width), usize::from(frame.area().height));
    let lines = match scene.log {
        Some(text) => log_lines(scene, text, width, height),
        None => scene.lines(width, height),
    };
    for (line, area) in lines.into_iter().zip(frame.area().rows()) {
        frame.render_widget(Paragraph::new(line), area);
    }
}

fn bold(text: String) -> Line<'static> {
    Line::from(text).style(Style::new().add_modifier(Modifier::BOLD))
}

/// The log of a run, and how to come back.
fn log_lines(scene: &Scene<'_>, text: &str, width: usize, height: usize) -> Vec<Line<'static>> {
    let run = scene.choice.log.as_ref().map(|run| run.name.as_str()).unwrap_or_default();
    let title = format!("log of {run} (any key: back)");
    let text = log::last_lines(text, width, height.saturating_sub(1));
    std::iter::once(bold(cut(&title, width, false))).chain(text.into_iter().map(Line::from)).collect()
}

impl Scene<'_> {
    /// Exactly as many lines as the screen has, if it has any.
    fn lines(&self, width: usize, height: usize) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        let is_roomy = height >= ROOMY;
        let news = if is_roomy { NEWS + 1 } else { usize::from(height >= 6) };
        if is_roomy {
            let time = self.now.to_zoned(self.zone.clone()).strftime("%H:%M:%S");
            lines.push(bold(cut(&format!("{}   {time}", self.title), width, false)));
        }
        let grids = self.grids();
        let room = height.saturating_sub(lines.len() + news + 1);
        let heights = share(room, &grids.each_ref().map(|grid| grid.as_ref().map(|grid| grid.rows.len())));
        for (grid, height) in grids.iter().zip(heights) {
            if let Some(grid) = grid {
                lines.extend(grid.lines(width, height, self.in_colours));
            }
        }
        lines.resize(height.saturating_sub(news + 1).max(lines.len()), Line::default());
        if is_roomy {
            lines.push(bold("NEWS".to_owned()));
        }
        let shown = if is_roomy { NEWS } else { news };
        let recent = self.news.iter().skip(self.news.len().saturating_sub(shown));
        lines.extend(recent.map(|line| Line::from(cut(line, width, false))));
        lines.truncate(height.saturating_sub(1));
        lines.resize(height.saturating_sub(1), Line::default());
        let keys = KEYS.iter().find(|keys| keys.len() <= width).or(KEYS.last()).copied().unwrap_or_default();
        lines.push(Line::from(keys).style(Style::new().add_modifier(Modifier::DIM)));
        lines
    }

    /// The tables, from above. Without Flows or clusters there is no table of them; one of runs is there
    /// always.
    fn grids(&self) -> [Option<Grid>; 3] {
        let rows = self.rows;
        let (flows, runs, clusters) = (&rows.flows, &rows.runs, &rows.clusters);
        let all = flows.iter().map(|row| &row.id).chain(runs.iter().map(|row| &row.id));
        let shows_namespace = has_several(all.chain(clusters.iter().map(|row| &row.id)));
        let title = |id: &Name| {
            let Name { namespace, name } = id;
            if shows_namespace { format!("{namespace}/{name}") } else { name.clone() }
        };
        let flow = |row: &FlowRow| {
            let fault = row.fault.as_ref().map(|fault| Cell::new(fault, Tone::Fault));
            let last = Cell::new(row.last(self.now), row.tone());
            let schedule = fault.unwrap_or_else(|| row.schedule.clone().into());
            vec![title(&row.id).into(), row.next(self.now, self.zone).into(), last, schedule]
        };
        let run = |row: &RunRow| {
            let phase = Cell::new(row.phase.as_str(), row.tone());
            let (took, tasks, why) = (row.took(self.now), row.tasks(), row.why.clone());
            vec![title(&row.id).into(), phase, took.into(), tasks.into(), why.into()]
        };
        let cluster = |row: &ClusterRow| {
            let workers = Cell::new(row.workers(), row.tone());
            vec![title(&row.id).into(), workers, row.dashboard_or_why().to_owned().into()]
        };
        let grid = |section: Section, heads: &[&'static str], rows: Vec<Vec<Cell>>, ids: Vec<&Name>| Grid {
            heads: heads.to_vec(),
            chosen: self.choice.row.as_ref().and_then(|(chosen, id)| {
                ids.iter().position(|other| *other == id).filter(|_| *chosen == section)
            }),
            rows,
            shows_ends: section == Section::Runs,
        };
        let heads = ["FLOW", "NEXT", "LAST", "SCHEDULE"];
        let ids = flows.iter().map(|row| &row.id).collect();
        let of_flows = grid(Section::Flows, &heads, flows.iter().map(flow).collect(), ids);
        let heads = ["RUN", "PHASE", "TOOK", "TASKS", "WHY"];
        let ids = runs.iter().map(|row| &row.id).collect();
        let of_runs = grid(Section::Runs, &heads, runs.iter().map(run).collect(), ids);
        let heads = ["CLUSTER", "WORKERS", "DASHBOARD"];
        let ids = clusters.iter().map(|row| &row.id).collect();
        let of_clusters = grid(Section::Clusters, &heads, clusters.iter().map(cluster).collect(), ids);
        let some = |grid: Grid| (!grid.rows.is_empty()).then_some(grid);
        [some(of_flows), Some(of_runs), some(of_clusters)]
    }
}

/// Whether they are in several namespaces.
fn has_several<'a>(mut ids: impl Iterator<Item = &'a Name>) -> bool {
    let first = ids.next().map(|id| &id.namespace);
    ids.any(|id| Some(&id.namespace) != first)
}

/// Shares lines among tables with so many rows: each gets one for its heads, and then one row after the
/// other goes to the one that has fewest of those that want more.
fn share(lines: usize, rows: &[Option<usize>; 3]) -> [usize; 3] {
    let mut shares = [0; 3];
    let mut left = lines;
    loop {
        let all = shares.iter_mut().zip(rows);
        let wanting = all.filter(|(share, rows)| rows.is_some_and(|rows| **share <= rows));
        let Some((share, _)) = wanting.min_by_key(|(share, _)| **share) else { return shares };
        let Some(rest) = left.checked_sub(1) else { return shares };
        *share += 1;
        left = rest;
    }
}

#[cfg(test)]
mod tests;
