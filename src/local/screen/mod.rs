//! A live table of Flows, runs and clusters, where `daskflow local` is in a terminal.

pub mod browser;
mod choice;
mod grid;
mod keys;
mod log;
mod picture;
mod seen;
mod terminal;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Stop;
use super::machine::Machine;
use super::news::News;
use super::once;
use crate::daemon::clock::Clock;
use crate::view::overview::{Name, Overview};
use choice::{Choice, Command};
use keys::{Key, Keyboard};
use picture::Scene;
use seen::Seen;
use terminal::Terminal;

/// How often the screen is drawn at the least: it shows times.
const AT_LEAST: Duration = Duration::from_secs(1);
/// How long it stays as it is at the least, whatever changes. Keys are answered at once.
const AT_MOST: Duration = Duration::from_millis(200);
/// How many lines of news are there to be shown.
const NEWS: usize = 20;

/// How the table is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Whether there may be colours.
    pub in_colours: bool,
    /// The commands of `BROWSER`, if it is set.
    pub browser: Option<String>,
}

/// What the screen shows, and what its keys change.
pub struct World<'a> {
    /// The way to the API.
    pub client: &'a Client,
    /// The time of day.
    pub clock: &'a Clock,
    /// Where logs are, and the news.
    pub machine: &'a Arc<Machine>,
    /// What ends everything.
    pub stop: &'a Stop,
    /// The address of the page, if there is one.
    pub page: Option<&'a str>,
}

/// Shows the table for as long as it is polled. Where that cannot be, and without one, lines are written as
/// they are without a terminal.
pub async fn show(table: Option<&Table>, world: &World<'_>) {
    if let Some(table) = table
        && let Err(error) = Box::pin(show_while_there(table, world)).await
    {
        world.machine.news.say(&format!("no table can be shown here: {error}"));
    }
    pending::<()>().await;
}

/// News are not written while the table is shown, but afterwards.
struct Withheld<'a>(&'a News);

impl Drop for Withheld<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Shows the table until the terminal is there no more.
async fn show_while_there(table: &Table, world: &World<'_>) -> std::io::Result<()> {
    let news = &world.machine.news;
    news.withhold();
    // Fields and variables are dropped the other way round: the terminal is given back first.
    let _withheld = Withheld(news);
    let mut painter = Painter {
        terminal: Terminal::enter()?,
        table,
        world,
        choice: Choice::default(),
        title: title(world.machine),
    };
    let (seen, writers) = Seen::new(world.client.clone());
    tokio::select! {
        () = seen.follow(writers) => Ok(()),
        ended = painter.paint(&seen) => ended,
    }
}

fn title(machine: &Machine) -> String {
    format!("daskflow local   Python {}   Dask {}", machine.python.version, machine.python.distributed)
}

/// Draws pictures, and does what keys ask for.
struct Painter<'a> {
    terminal: Terminal,
    table: &'a Table,
    world: &'a World<'a>,
    choice: Choice,
    title: String,
}

impl Painter<'_> {
    /// Paints until the terminal is there no more.
    async fn paint(&mut self, seen: &Seen) -> std::io::Result<()> {
        let mut keyboard = Some(Keyboard::open()?);
        let mut sizes = signal(SignalKind::window_change())?;
        let mut time = interval(AT_LEAST);
        time.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let rows = seen.rows();
            self.choice.settle(&rows);
            self.draw(&rows, seen)?;
            let next = Instant::now() + AT_MOST;
            tokio::select! {
                keys = next_keys(&mut keyboard) => match keys {
                    Some(keys) => self.press(&keys, seen).await?,
                    None => keyboard = None,
                },
                () = async { seen.changed().await; sleep_until(next).await } => {}
                _ = time.tick() => {}
                () = resized(&mut sizes) => {}
            }
        }
    }

    fn draw(&mut self, rows: &Overview, seen: &Seen) -> std::io::Result<()> {
        let news = self.world.machine.news.last(NEWS);
        let log = self.choice.log.as_ref().map(|run| self.log(run, seen));
        let scene = Scene {
            title: &self.title,
            rows,
            choice: &self.choice,
            news: &news,
            log: log.as_deref(),
            now: self.world.clock.now(),
            zone: self.world.machine.news.zone(),
            in_colours: self.table.in_colours,
        };
        self.terminal.draw(|frame| picture::draw(frame, &scene))
    }

    /// The end of a run's log. One that cannot be read has not begun.
    fn log(&self, run: &Name, seen: &Seen) -> String {
        let path = seen.runner(run).map(|pod| self.world.machine.log(&run.namespace, &pod));
        path.and_then(|path| log::end(&path).ok()).unwrap_or_else(|| "it has written nothing yet".to_owned())
    }

    async fn press(&mut self, keys: &[Key], seen: &Seen) -> std::io::Result<()> {
        for key in keys {
            let rows = seen.rows();
            self.choice.settle(&rows);
            match self.choice.press(*key, &rows) {
                Command::Draw => {}
                Command::Repaint => self.terminal.clear()?,
                Command::Run(flow) => self.run(&flow).await,
                Command::Open(address) => self.open(address),
                Command::Page => match self.world.page {
                    Some(address) => self.open(address.to_owned()),
                    None => self.world.machine.news.say("there is no page"),
                },
                Command::Say(line) => self.world.machine.news.say(line),
                Command::Stop => self.world.stop.in_order.cancel(),
            }
        }
        Ok(())
    }

    /// Runs a Flow, now.
    async fn run(&self, flow: &Name) {
        let api = Api::namespaced(self.world.client.clone(), &flow.namespace);
        let line = match once::create(&api, &flow.name).await {
            Ok(run) => format!("run {run}: created by hand"),
            Err(error) => format!("the Flow {} cannot be run: {error}", flow.name),
        };
        self.world.machine.news.say(&line);
    }

    /// Opens an address. A browser may stay with it until it is closed, and that is not waited for.
    fn open(&self, address: String) {
        let (machine, browser) = (self.world.machine.clone(), self.table.browser.clone());
        tokio::spawn(async move {
            if !browser::open(browser.as_deref(), &address).await {
                machine.news.say(&format!("no browser was opened (BROWSER may name one): {address}"));
            }
        });
    }
}

/// Waits for keys for ever, if there is no keyboard any more.
async fn next_keys(keyboard: &mut Option<Keyboard>) -> Option<Vec<Key>> {
    match keyboard {
        Some(keyboard) => keyboard.next().await,
        None => pending().await,
    }
}

async fn resized(sizes: &mut Signal) {
    if sizes.recv().await.is_none() {
        pending::<()>().await;
    }
}
