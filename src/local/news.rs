//! What a person is told: one line for each change, on standard output, or kept for the screen while that
//! has the terminal.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;

use crate::daemon::clock::Clock;

/// How many of the last lines are kept.
const KEPT: usize = 200;

/// Writes lines, each with the time of day.
#[derive(Debug)]
pub struct News {
    clock: Clock,
    zone: TimeZone,
    /// What was said once and is not repeated.
    said: Mutex<Vec<String>>,
    lines: Mutex<Lines>,
}

/// The last lines.
#[derive(Debug, Default)]
struct Lines {
    last: VecDeque<String>,
    /// How many of them, at the end, are still to be written; none while lines are written at once.
    withheld: Option<usize>,
}

impl News {
    /// Times are shown in the zone of this machine.
    pub fn new(clock: Clock) -> Self {
        Self { clock, zone: TimeZone::system(), said: Mutex::default(), lines: Mutex::default() }
    }

    /// The zone in which times are shown.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Writes a line. That nobody reads it is no fault.
    pub fn say(&self, line: &str) {
        let time = self.clock.now().to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        // A message of several lines would be several changes to whoever counts them.
        self.lines().add(format!("{time} {}", line.replace('\n', " ")));
    }

    /// Writes a line that is not written a second time.
    pub fn say_once(&self, line: &str) {
        {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.iter().any(|earlier| earlier == line) {
                return;
            }
            said.push(line.to_owned());
        }
        self.say(line);
    }

    /// The last lines, so many at the most, the newest at the end.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines.last.iter().skip(lines.last.len().saturating_sub(count)).cloned().collect()
    }

    /// Writes no line from now on: something else has the terminal.
    pub fn withhold(&self) {
        self.lines().withheld = Some(0);
    }

    /// Writes lines again, and first those that were not written meanwhile: the last 200 of them.
    pub fn release(&self) {
        for line in self.lines().take_withheld() {
            write(line);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn add(&mut self, line: String) {
        match &mut self.withheld {
            Some(count) => *count += 1,
            None => write(&line),
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Those that were withheld. From now on none is.
    fn take_withheld(&mut self) -> impl Iterator<Item = &str> {
        let count = self.withheld.take().unwrap_or_default();
        self.last.iter().skip(self.last.len().saturating_sub(count)).map(String::as_str)
    }
}

fn write(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_what_was_withheld_is_known() {
        let news = News::new(Clock::showing(|| jiff::Timestamp::UNIX_EPOCH));
        news.withhold();
        for at in 0..KEPT + 5 {
            news.say(&format!("line\n{at}"));
        }
        news.say_once("once");
        news.say_once("once");
        let last = news.last(2);
        assert!(last[0].ends_with(" line 204") && last[1].ends_with(" once"), "{last:?}");
        assert_eq!(news.last(KEPT * 2).len(), KEPT);
        let mut lines = news.lines();
        assert_eq!(lines.take_withheld().count(), KEPT, "those that are kept");
        assert_eq!(lines.take_withheld().count(), 0, "once");
    }

    #[test]
    fn what_was_written_before_is_not_written_again() {
        let before = ["a", "b"].map(str::to_owned);
        let mut lines = Lines { last: before.into(), withheld: Some(0) };
        lines.add("c".to_owned());
        assert_eq!(lines.take_withheld().collect::<Vec<_>>(), ["c"]);
    }
}
