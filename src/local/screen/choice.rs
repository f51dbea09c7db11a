//! What a person has chosen on the screen, and what their keys mean there.

use super::keys::Key;
use crate::view::overview::{Name, Overview, RunRow};

/// How many rows a key for a page goes on.
const PAGE: usize = 10;

/// A table of the screen, in its order from above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The Flows.
    #[default]
    Flows,
    /// The runs.
    Runs,
    /// The clusters.
    Clusters,
}

/// The tables, in their order.
const SECTIONS: [Section; 3] = [Section::Flows, Section::Runs, Section::Clusters];

/// What is chosen, and what is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The row that is chosen: its table, and which one; none while there is no row.
    pub row: Option<(Section, Name)>,
    /// The run whose log is shown in the place of the tables.
    pub log: Option<Name>,
}

/// What is to be done because of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing but to draw what is chosen now.
    Draw,
    /// The screen is drawn as if nothing were on it.
    Repaint,
    /// A Flow is run, now.
    Run(Name),
    /// A dashboard is opened.
    Open(String),
    /// The page is opened.
    Page,
    /// Something is said.
    Say(&'static str),
    /// Everything ends.
    Stop,
}

impl Choice {
    /// Keeps the choice to what is there. Where the chosen row is no longer, the first one of its table is
    /// chosen.
    pub fn settle(&mut self, rows: &Overview) {
        let all = names(rows);
        let is_there =
            |row: &(Section, Name)| all.iter().any(|(section, name)| (*section, *name) == (row.0, &row.1));
        if !self.row.as_ref().is_some_and(is_there) {
            let section = self.row.as_ref().map_or(Section::Flows, |row| row.0);
            let near = all.iter().find(|(other, _)| *other == section).or(all.first());
            self.row = near.map(|(section, name)| (*section, (*name).clone()));
        }
    }

    /// Takes a key.
    pub fn press(&mut self, key: Key, rows: &Overview) -> Command {
        match key {
            Key::Interrupt => return Command::Stop,
            Key::Repaint => return Command::Repaint,
            _ => {}
        }
        if self.log.take().is_some() {
            return Command::Draw;
        }
        match key {
            Key::Char('q') => return Command::Stop,
            Key::Char('r') => return self.run(rows),
            Key::Char('l') => return self.show_log(rows),
            Key::Char('d') => return self.dashboard(rows),
            Key::Char('u') => return Command::Page,
            Key::Up | Key::Char('k') => self.step(rows, |at, _| at.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.step(rows, |at, last| (at + 1).min(last)),
            Key::PageUp => self.step(rows, |at, _| at.saturating_sub(PAGE)),
            Key::PageDown => self.step(rows, |at, last| (at + PAGE).min(last)),
            Key::Left => self.go_to(rows, SECTIONS.iter().rev(), |other, here| other < here),
            Key::Right => self.go_to(rows, SECTIONS.iter(), |other, here| other > here),
            _ => {}
        }
        Command::Draw
    }

    /// Chooses another row of all, by its place and the last place.
    fn step(&mut self, rows: &Overview, to: impl FnOnce(usize, usize) -> usize) {
        let all = names(rows);
        let is_chosen = |(section, name): &(Section, &Name)| {
            self.row.as_ref().is_some_and(|row| (row.0, &row.1) == (*section, *name))
        };
        let Some(at) = all.iter().position(is_chosen) else { return };
        if let Some((section, name)) = all.get(to(at, all.len().saturating_sub(1))) {
            self.row = Some((*section, (*name).clone()));
        }
    }

    /// Chooses the first row of the first of these tables that has one and is on the wanted side.
    fn go_to<'a>(
        &mut self,
        rows: &Overview,
        mut sections: impl Iterator<Item = &'a Section>,
        is_wanted: impl Fn(Section, Section) -> bool,
    ) {
        let Some(here) = self.row.as_ref().map(|row| row.0) else { return };
        let all = names(rows);
        let first = |section: Section| all.iter().find(|(other, _)| *other == section);
        let found = sections.find_map(|section| first(*section).filter(|_| is_wanted(*section, here)));
        if let Some((section, name)) = found {
            self.row = Some((*section, (*name).clone()));
        }
    }

    fn run(&self, rows: &Overview) -> Command {
        let flow = match &self.row {
            Some((Section::Flows, flow)) => Some(flow.clone()),
            Some((Section::Runs, _)) => self.chosen_run(rows).map(flow_of),
            _ => None,
        };
        flow.map_or(Command::Say("choose a Flow to run it now"), Command::Run)
    }

    fn show_log(&mut self, rows: &Overview) -> Command {
        let Some(run) = self.chosen_run(rows) else {
            return Command::Say("there is no run to show the log of");
        };
        self.log = Some(run.id.clone());
        Command::Draw
    }

    /// The run that is chosen, or the newest one of the chosen Flow or on the chosen cluster.
    fn chosen_run<'a>(&self, rows: &'a Overview) -> Option<&'a RunRow> {
        let (section, name) = self.row.as_ref()?;
        rows.runs.iter().find(|run| match section {
            Section::Runs => run.id == *name,
            Section::Flows => flow_of(run) == *name,
            Section::Clusters => cluster_of(run).as_ref() == Some(name),
        })
    }

    /// The dashboard of the cluster that is chosen, or that the chosen run or the newest run of the chosen
    /// Flow is on, or of the only cluster.
    fn dashboard(&self, rows: &Overview) -> Command {
        if let Some(address) = self.chosen_run(rows).and_then(|run| run.dashboard.clone()) {
            return Command::Open(address);
        }
        let of_run = || self.chosen_run(rows).and_then(cluster_of);
        let cluster = match &self.row {
            Some((Section::Clusters, cluster)) => Some(cluster.clone()),
            _ => of_run(),
        };
        let found = match (cluster, rows.clusters.as_slice()) {
            (Some(cluster), all) => all.iter().find(|row| row.id == cluster),
            (None, [only]) => Some(only),
            (None, _) => return Command::Say("choose a cluster to open its dashboard"),
        };
        let address = found.and_then(|cluster| cluster.dashboard.clone());
        address.map_or(Command::Say("the cluster has no dashboard yet"), Command::Open)
    }
}

/// All rows from above, each with its table.
fn names(rows: &Overview) -> Vec<(Section, &Name)> {
    let flows = rows.flows.iter().map(|row| (Section::Flows, &row.id));
    let runs = rows.runs.iter().map(|row| (Section::Runs, &row.id));
    let clusters = rows.clusters.iter().map(|row| (Section::Clusters, &row.id));
    flows.chain(runs).chain(clusters).collect()
}

fn flow_of(run: &RunRow) -> Name {
    Name { namespace: run.id.namespace.clone(), name: run.flow.clone() }
}

fn cluster_of(run: &RunRow) -> Option<Name> {
    let name = run.cluster.clone()?;
    Some(Name { namespace: run.id.namespace.clone(), name })
}

#[cfg(test)]
mod tests;
