//! A log that is followed, also where the connection for it ends before the log does: an API server that is
//! replaced, a proxy with a time limit, and a kubelet that starts again end it.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::Cluster;
use super::error::Error;
use super::logs::{self, Line, Source};

/// Between the end of a stream and the next one, at least and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often the rest of a log is asked for.
const TRIES_MAX: usize = 3;

/// The log of a container, no line of it twice.
pub struct Tail {
    cluster: Cluster,
    source: Source,
    /// None: it has ended, as the log or before it.
    lines: Option<BoxStream<'static, Result<Line, Error>>>,
    /// Why it has ended, where it broke.
    broken: Option<Error>,
    /// Nothing more is to be had.
    is_over: bool,
    next: Instant,
    pause: Duration,
    shown: Shown,
}

impl Tail {
    /// Opens a log.
    ///
    /// # Errors
    /// There is no log, or no right to read it.
    pub async fn open(cluster: &Cluster, source: Source) -> Result<Self, Error> {
        let lines = logs::lines(cluster, &source, true).await?;
        Ok(Self {
            cluster: cluster.clone(),
            source,
            lines: Some(lines),
            broken: None,
            is_over: false,
            next: Instant::now(),
            pause: PAUSE_MIN,
            shown: Shown::default(),
        })
    }

    /// The next line, for as long as the container may write. Where the stream has ended it is opened again
    /// after a pause; an error is given when that cannot be done any more. None: there is nothing more.
    ///
    /// It may be dropped at any time, and loses no line.
    pub async fn next(&mut self) -> Option<Result<Line, Error>> {
        loop {
            if let Some(line) = self.line().await {
                return Some(Ok(line));
            }
            if self.is_over {
                return self.broken.take().map(Err);
            }
            sleep_until(self.next).await;
            self.again().await;
        }
    }

    /// The next line of a container that writes no more.
    pub async fn rest(&mut self) -> Option<Result<Line, Error>> {
        for _ in 0..TRIES_MAX {
            if let Some(line) = self.line().await {
                return Some(Ok(line));
            }
            if self.is_over {
                break;
            }
            // The end of a stream is the end of the log only if it was opened after the container ended.
            if self.broken.is_some() {
                sleep(PAUSE_MIN).await;
            }
            self.again().await;
            if self.broken.is_none() {
                let line = self.line().await;
                self.is_over = line.is_none() && self.broken.is_none();
                if let Some(line) = line {
                    return Some(Ok(line));
                }
            }
        }
        self.is_over = true;
        self.broken.take().map(Err)
    }

    /// The next line of the stream, if it is open.
    async fn line(&mut self) -> Option<Line> {
        loop {
            match self.lines.as_mut()?.next().await {
                Some(Ok(line)) if self.shown.is_new(&line) => {
                    self.pause = PAUSE_MIN;
                    return Some(line);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => self.ended(Some(error)),
                None => self.ended(None),
            }
        }
    }

    fn ended(&mut self, broken: Option<Error>) {
        (self.lines, self.broken) = (None, broken);
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Opens the stream again, if that can be done now.
    async fn again(&mut self) {
        let source = self.shown.latest.map_or_else(|| self.source.clone(), |at| self.source.since(at));
        match logs::lines(&self.cluster, &source, true).await {
            Ok(lines) => {
                (self.lines, self.broken) = (Some(lines), None);
                self.shown.again();
            }
            // The pod is deleted: of a log that has ended nothing is missing.
            Err(Error::Senseless(_)) if self.broken.is_none() => self.is_over = true,
            Err(
                error @ (Error::Senseless(_)
                | Error::Forbidden { .. }
                | Error::Unauthorized { .. }
                | Error::NotInstalled),
            ) => (self.is_over, self.broken) = (true, Some(error)),
            Err(error) => self.ended(Some(error)),
        }
    }
}

/// Which lines were shown. A log is asked for from a whole second on, and several lines may be of one
/// instant.
#[derive(Default)]
struct Shown {
    /// The latest time of a line.
    latest: Option<Timestamp>,
    /// How many lines of that time were shown.
    count: usize,
    /// How many of them come again.
    left: usize,
    /// The time of the last line of this stream: one without a time is of the one before it.
    last: Option<Timestamp>,
}

impl Shown {
    /// From now on lines come again.
    fn again(&mut self) {
        (self.left, self.last) = (self.count, None);
    }

    /// Whether it is a line that was not shown before.
    fn is_new(&mut self, line: &Line) -> bool {
        let at = line.at.or(self.last);
        self.last = at;
        if at < self.latest {
            return self.left == 0;
        }
        if at > self.latest {
            (self.latest, self.count, self.left) = (at, 1, 0);
            return true;
        }
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: Option<i64>, text: &str) -> Line {
        let at = second.map(|second| Timestamp::from_second(second).unwrap());
        Line { at, pod: "p".into(), text: text.into() }
    }

    /// Those of the lines that are shown.
    fn shown(shown: &mut Shown, lines: &[(Option<i64>, &str)]) -> String {
        let new = lines.iter().filter(|(at, text)| shown.is_new(&line(*at, text)));
        new.map(|(_, text)| *text).collect()
    }

    #[test]
    fn lines_that_come_again_are_not_shown_again() {
        let mut state = Shown::default();
        let first = [(Some(1), "a"), (Some(2), "b"), (Some(2), "c"), (None, "d")];
        assert_eq!(shown(&mut state, &first), "abcd");
        let more = [(Some(2), "e"), (Some(3), "f")];
        state.again();
        assert_eq!(shown(&mut state, &[&first[..], &more[..]].concat()), "ef");
        // A clock that goes back hides nothing of the same stream.
        assert_eq!(shown(&mut state, &[(Some(1), "g"), (Some(3), "h")]), "gh");
        state.again();
        assert_eq!(shown(&mut state, &[(Some(3), "f"), (Some(3), "h"), (Some(3), "i")]), "i");
    }
}
