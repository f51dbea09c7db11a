//! What a person is told: one line for each change, on standard output, or kept for the screen while that
//! has the terminal.

use std::collections::VecDeque;
use std::io::{self, Read, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;

use crate::daemon::clock::Clock;
use crate::daemon::out::Out;
use crate::view::plain::plain;

/// How many of the last lines are kept.
const KEPT: usize = 200;

/// Writes lines, each with the time of day.
#[derive(Debug)]
pub struct News {
    clock: Clock,
    zone: TimeZone,
    /// What was said once and is not repeated.
    said: Mutex<Vec<String>>,
    lines: Mutex<Lines<Stdout>>,
}

/// The last lines.
#[derive(Debug)]
struct Lines<W> {
    out: Out<W>,
    last: VecDeque<String>,
    /// How many of them, at the end, are still to be written; none while lines are written at once.
    withheld: Option<usize>,
}

impl News {
    /// Times are shown in the zone of this machine.
    pub fn new(clock: Clock) -> Self {
        let lines = Mutex::new(Lines::new(io::stdout()));
        Self { clock, zone: TimeZone::system(), said: Mutex::default(), lines }
    }

    /// The zone in which times are shown.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Writes a line. That nobody reads it is no fault.
    pub fn say(&self, line: &str) {
        let time = self.clock.now().to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        // A message of several lines would be several changes to whoever counts them.
        self.lines().add(format!("{time} {}", plain(&line.replace('\n', " "))));
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
        self.lines().release();
    }

    /// Writes a log as it is, between lines.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn copy(&self, log: &mut impl Read) -> io::Result<()> {
        let mut lines = self.lines();
        // In blocks: a log may be larger than memory.
        io::copy(log, &mut lines.out)?;
        lines.out.flush()
    }

    /// Whether all could be written, so far.
    ///
    /// # Errors
    ///
    /// Why a part of it is lost.
    pub fn written(&self) -> io::Result<()> {
        self.lines().out.ended()
    }

    fn lines(&self) -> MutexGuard<'_, Lines<Stdout>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self { out: Out::new(out), last: VecDeque::new(), withheld: None }
    }

    fn add(&mut self, line: String) {
        match &mut self.withheld {
            Some(count) => *count += 1,
            None => write(&mut self.out, &line),
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Writes those that were withheld. From now on none is.
    fn release(&mut self) {
        let count = self.withheld.take().unwrap_or_default();
        for line in self.last.iter().skip(self.last.len().saturating_sub(count)) {
            write(&mut self.out, line);
        }
    }
}

/// What is lost of it is known in the end.
fn write(out: &mut impl Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_what_was_withheld_is_known() {
        let news = News::new(Clock::showing(|| jiff::Timestamp::UNIX_EPOCH));
        news.withhold();
        for at in 0..KEPT + 5 {
            news.say(&format!("line\n\u{1b}{at}"));
        }
        news.say_once("once");
        news.say_once("once");
        let last = news.last(2);
        assert!(last[0].ends_with(" line ^[204") && last[1].ends_with(" once"), "{last:?}");
        assert_eq!(news.last(KEPT * 2).len(), KEPT);
    }

    /// A thing to write to, by bytes; it is full after so many.
    #[derive(Debug)]
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of these lines once they are released, and released again, and whether that is all.
    fn released(before: &[&str], later: usize, room: usize) -> (String, bool) {
        let mut written = Full(Vec::new(), room);
        let mut lines = Lines::new(&mut written);
        lines.last = before.iter().copied().map(str::to_owned).collect();
        lines.withheld = Some(0);
        for at in 0..later {
            lines.add(at.to_string());
        }
        lines.release();
        lines.release();
        let is_all = lines.out.ended().is_ok();
        (String::from_utf8(written.0).unwrap(), is_all)
    }

    #[test]
    fn lines_that_cannot_be_written_are_known_in_the_end() {
        assert_eq!(released(&[], 2, 4), ("0\n1\n".to_owned(), true));
        assert!(!released(&[], 2, 3).1);
    }

    #[test]
    fn what_was_written_before_is_not_written_again() {
        assert_eq!(released(&["a", "b"], 1, 9).0, "0\n");
        let (written, _) = released(&[], KEPT + 5, 9999);
        assert_eq!(written.lines().count(), KEPT, "those that are kept, once");
    }
}
