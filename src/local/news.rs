//! What a person is told: one line for each change, on standard output.

use std::io::Write;
use std::sync::Mutex;

use jiff::tz::TimeZone;

use crate::daemon::clock::Clock;

/// Writes lines, each with the time of day.
#[derive(Debug)]
pub struct News {
    clock: Clock,
    zone: TimeZone,
    /// What was said once and is not repeated.
    said: Mutex<Vec<String>>,
}

impl News {
    /// Times are shown in the zone of this machine.
    pub fn new(clock: Clock) -> Self {
        Self { clock, zone: TimeZone::system(), said: Mutex::default() }
    }

    /// Writes a line. That nobody reads it is no fault.
    pub fn say(&self, line: &str) {
        let time = self.clock.now().to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        // A message of several lines would be several changes to whoever counts them.
        let _ = writeln!(std::io::stdout().lock(), "{time} {}", line.replace('\n', " "));
    }

    /// Writes a line that is not written a second time.
    pub fn say_once(&self, line: &str) {
        {
            let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if said.iter().any(|earlier| earlier == line) {
                return;
            }
            said.push(line.to_owned());
        }
        self.say(line);
    }
}
