//! What a command works with.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::access::Way;
use super::failure::{Failure, INTERRUPTED, OUT_OF_TIME};
use super::format::{Format, painted};
use crate::client::wait::Seen;
use crate::client::{self, Cluster};
use crate::daemon::clock::Clock;
use crate::view::plain::plain;
use crate::view::tree::{Tone, Tree};

/// Ends at Ctrl-C. From the first call on Ctrl-C does not end the program by itself.
pub(super) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// When the seconds of --timeout are over, of all that is waited for together.
pub(super) fn deadline(seconds: Option<u64>) -> Option<Instant> {
    seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)))
}

/// Ends at this moment, if there is one.
pub(super) async fn over(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A cluster, and where to print.
pub(super) struct Session<'a> {
    pub cluster: Cluster,
    pub way: Way,
    pub clock: Clock,
    pub out: &'a mut (dyn Write + Send),
    pub err: &'a mut (dyn Write + Send),
    pub format: Format,
    pub colour: bool,
}

/// How a wait ended.
pub(super) enum Waited<T> {
    /// With what was waited for.
    Done(T),
    /// Before that, with this exit code.
    Ended(u8),
}

impl Session<'_> {
    /// Prints an object in the form that was asked for: as it is, or as a sentence.
    pub fn print<K: Serialize>(&mut self, objects: &[K], sentence: &str) -> Result<(), Failure> {
        if self.format.is_for_people() {
            writeln!(self.out, "{}", plain(sentence))?;
            return Ok(());
        }
        let values = objects.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        let text = self.format.of(values)?;
        self.out.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Prints, for programs, what was done to several objects, also where the next could not be.
    pub fn print_done<K: Serialize>(&mut self, done: &[K], failed: Option<Failure>) -> Result<(), Failure> {
        if !self.format.is_for_people() && (failed.is_none() || !done.is_empty()) {
            self.print(done, "")?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Draws a tree.
    pub fn draw(&mut self, tree: &Tree) -> io::Result<()> {
        let without: &dyn Fn(Tone, &str) -> String = &|_, sign| sign.to_owned();
        let text = tree.draw(if self.colour { &painted } else { without });
        self.out.write_all(text.as_bytes())
    }

    /// Says something beside the output. The commands in it reach the same cluster.
    pub fn note(&mut self, text: &str) {
        // Whoever reads no notes misses nothing of the result.
        let _ = writeln!(self.err, "{}", plain(&self.way.repeated(text)));
    }

    /// Waits, until then at most, or until Ctrl-C. Then `hint` says what goes on without the wait. What is at
    /// hand meanwhile is a note for each change of it.
    pub async fn wait<T>(
        &mut self,
        until: Option<Instant>,
        hint: &str,
        what: impl AsyncFnOnce(&mut Seen<'_>) -> Result<T, client::Error>,
    ) -> Result<Waited<T>, Failure> {
        let mut last = String::new();
        let err = &mut *self.err;
        let mut seen = |state: String| {
            if state != last {
                // As of a note, nothing is lost with it.
                let _ = writeln!(err, "{}", plain(&state));
                last = state;
            }
        };
        let code = tokio::select! {
            done = what(&mut seen) => return Ok(Waited::Done(done?)),
            () = interrupted() => INTERRUPTED,
            () = over(until) => OUT_OF_TIME,
        };
        let why = if code == INTERRUPTED { "no longer waiting" } else { "the time of --timeout is over" };
        self.note(&format!("{why}: {hint}"));
        Ok(Waited::Ended(code))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timeout_is_for_all_that_is_waited_for() {
        let (begun, until) = (Instant::now(), deadline(Some(5)));
        sleep(Duration::from_secs(3)).await;
        over(until).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        assert_eq!(deadline(Some(u64::MAX)), None);
    }
}
