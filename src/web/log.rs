//! What runs have written: the end of it on a page, all of it to download, and what comes live.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::Response;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::page::run::Log;
use super::page::words::{cut, run_link};
use super::query::Query;
use super::reply;
use super::watches::Watched;
use crate::api::FlowRun;
use crate::client::logs::{self, Line, Source};
use crate::client::tail::Tail;
use crate::client::{Cluster, Error};
use crate::plan::facts::{attempt_of, phase_of};

/// How many lines a page shows, and how many characters of each and of all.
const LINES_MAX: usize = 300;
const LINE_MAX: usize = 500;
const CHARACTERS_MAX: usize = 40_000;
/// How long a log is read for a page.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many lines a slow browser may be behind before the log waits for it.
const BEHIND: usize = 64;

/// Which log is meant, and which of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    attempt: Option<u32>,
    workers: bool,
    search: String,
}

impl Wanted {
    pub fn of(query: &Query) -> Self {
        Self {
            attempt: query.text("attempt").and_then(|number| number.parse().ok()),
            workers: query.get("workers") == Some("1"),
            search: query.text("find").unwrap_or_default().to_owned(),
        }
    }

    async fn sources(&self, cluster: &Cluster, run: &FlowRun) -> Result<Vec<Source>, Error> {
        logs::sources(cluster, run, logs::Wanted { attempt: self.attempt, workers: self.workers }).await
    }
}

/// The end of a log, or the last lines that have what is searched for.
pub(super) async fn shown(cluster: &Cluster, run: &FlowRun, wanted: &Wanted) -> Log {
    let attempt = wanted.attempt.unwrap_or_else(|| attempt_of(run));
    let log = Log { attempt, workers: wanted.workers, search: wanted.search.clone(), ..Log::default() };
    let read = async {
        let sources = wanted.sources(cluster, run).await?;
        if wanted.search.is_empty() {
            end(cluster, &sources).await
        } else {
            found(cluster, &sources, wanted).await
        }
    };
    let (lines, note) = match timeout(PATIENCE, read).await {
        Err(_) => return Log { note: Some("the log was not read in time: download it".to_owned()), ..log },
        Ok(Err(error)) => return Log { note: Some(error.to_string()), ..log },
        Ok(Ok(read)) => read,
    };
    let is_live = !phase_of(run).is_final()
        && attempt == attempt_of(run)
        && !wanted.workers
        && wanted.search.is_empty();
    let after = Mark::of(&lines).map(|mark| format!("&after={mark}")).unwrap_or_default();
    let live = format!("{}/log/live?attempt={attempt}{after}", run_link(run));
    Log {
        lines: texts(&lines, wanted.workers),
        note,
        live: if is_live { live } else { String::new() },
        ..log
    }
}

/// The last lines of all sources, by time.
async fn end(cluster: &Cluster, sources: &[Source]) -> Result<(Vec<Line>, Option<String>), Error> {
    let count = i64::try_from(LINES_MAX).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    for source in sources {
        all.extend(logs::last(cluster, source, count).await?);
    }
    if sources.len() > 1 {
        all.sort_by_key(|line| line.at);
    }
    let is_all = all.len() < LINES_MAX;
    let rest = all.split_off(all.len().saturating_sub(LINES_MAX));
    let note = (!is_all).then(|| format!("the last {LINES_MAX} lines; the download has all"));
    Ok((rest, note))
}

/// The last lines that have a text, in any case.
async fn found(
    cluster: &Cluster,
    sources: &[Source],
    wanted: &Wanted,
) -> Result<(Vec<Line>, Option<String>), Error> {
    let search = wanted.search.to_lowercase();
    let (mut kept, mut count) = (VecDeque::new(), 0_usize);
    for source in sources {
        let mut lines = logs::lines(cluster, source, false).await?;
        while let Some(line) = lines.try_next().await? {
            if line.text.to_lowercase().contains(&search) {
                count += 1;
                kept.push_back(line);
                if kept.len() > LINES_MAX {
                    kept.pop_front();
                }
            }
        }
    }
    let note = format!("{count} lines with “{}”", cut(&wanted.search, LINE_MAX));
    let note = if count > LINES_MAX { format!("the last {LINES_MAX} of {note}") } else { note };
    let mut kept: Vec<Line> = kept.into();
    if sources.len() > 1 {
        kept.sort_by_key(|line| line.at);
    }
    Ok((kept, Some(note)))
}

/// Lines as they are shown, as many of the last as fit.
fn texts(lines: &[Line], has_pods: bool) -> Vec<String> {
    let mut characters = 0;
    let text = |line: &Line| {
        let text = if has_pods { format!("{} {}", line.pod, line.text) } else { line.text.clone() };
        cut(&text, LINE_MAX)
    };
    let mut texts: Vec<String> = lines
        .iter()
        .rev()
        .map(text)
        .take_while(|text| {
            characters += text.chars().count() + 1;
            characters <= CHARACTERS_MAX
        })
        .collect();
    texts.reverse();
    texts
}

/// All of a log, as it is read.
pub(super) async fn whole(
    cluster: &Cluster,
    run: &FlowRun,
    wanted: &Wanted,
) -> Result<Response<Body>, Error> {
    let sources = wanted.sources(cluster, run).await?;
    let name = format!("{}-{}.log", run.name_any(), wanted.attempt.unwrap_or_else(|| attempt_of(run)));
    if let [only] = sources.as_slice() {
        let lines = logs::lines(cluster, only, false).await?;
        return Ok(reply::download(&name, Body::from_stream(lines.map_ok(|line| line.text + "\n"))));
    }
    // One after the other: by time they would all have to be in memory, which many share.
    let cluster = cluster.clone();
    let each = stream::iter(sources).then(move |source| of_source(cluster.clone(), source)).flatten();
    Ok(reply::download(&name, Body::from_stream(each.map(Ok::<_, Infallible>))))
}

/// The lines of a container, with its pod before each; in the place of what cannot be read the reason.
async fn of_source(cluster: Cluster, source: Source) -> BoxStream<'static, String> {
    let pod = source.pod.clone();
    let without = move |error: Error| format!("without {pod}: {error}\n");
    match logs::lines(&cluster, &source, false).await {
        Ok(lines) => lines
            .map(move |line| match line {
                Ok(line) => format!("{} {}\n", line.pod, line.text),
                Err(error) => without(error),
            })
            .boxed(),
        Err(error) => stream::once(async move { without(error) }).boxed(),
    }
}

/// A place in a log: the time of a line, and how many lines of that time there were until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: Timestamp,
    count: usize,
}

impl Mark {
    /// After the last of these lines; none where they have no times.
    fn of(lines: &[Line]) -> Option<Self> {
        let at = lines.last()?.at?;
        Some(Self { at, count: lines.iter().rev().take_while(|line| line.at == Some(at)).count() })
    }

    /// After one more line.
    fn next(mark: Option<Self>, line: &Line) -> Option<Self> {
        let at = line.at?;
        Some(match mark {
            Some(mark) if mark.at == at => Self { at, count: mark.count + 1 },
            _ => Self { at, count: 1 },
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.at, self.count)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, count) = text.split_once('*').ok_or(())?;
        Ok(Self { at: at.parse().map_err(|_| ())?, count: count.parse().map_err(|_| ())? })
    }
}

/// Leaves out the lines up to a mark, of a log that is read from the second of the mark on.
struct After {
    mark: Option<Mark>,
    seen: usize,
}

impl After {
    fn is_new(&mut self, line: &Line) -> bool {
        let (Some(mark), Some(at)) = (self.mark, line.at) else { return true };
        if at == mark.at {
            self.seen += 1;
        }
        at > mark.at || (at == mark.at && self.seen > mark.count)
    }
}

/// The lines of a run that are still to come, until its attempt has ended: each with its mark as its id, so
/// that a browser which connects again gets the ones after it. `last`: the id of the last line that it has.
pub(super) async fn live(
    cluster: &Cluster,
    (run, watched): (FlowRun, Arc<Watched>),
    (query, last): (&Query, Option<&str>),
    place: OwnedSemaphorePermit,
) -> Result<Response<Body>, Error> {
    let attempt =
        query.text("attempt").and_then(|number| number.parse().ok()).unwrap_or_else(|| attempt_of(&run));
    let mark: Option<Mark> = last.or_else(|| query.text("after")).and_then(|text| text.parse().ok());
    let wanted = logs::Wanted { attempt: Some(attempt), workers: false };
    let mut sources = logs::sources(cluster, &run, wanted).await?;
    let Some(source) = sources.pop() else { return Err(Error::Senseless("there is no log".to_owned())) };
    let source = mark.map_or_else(|| source.clone(), |mark| source.since(mark.at));
    let tail = Tail::open(cluster, source).await?;
    let (sender, lines) = mpsc::channel(BEHIND);
    let task = tokio::spawn(async move {
        let over = |run: Option<&FlowRun>| {
            run.is_none_or(|run| phase_of(run).is_final() || attempt_of(run) != attempt)
        };
        let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
        let ended = watched.until(&namespace, &name, over);
        // A browser that has left takes no more.
        let _ = send(tail, ended, (After { mark, seen: 0 }, mark), sender).await;
        drop(place);
    });
    let task = AbortOnDropHandle::new(task);
    let events = futures::stream::unfold((lines, task), |(mut lines, task)| async move {
        Some((lines.recv().await?, (lines, task)))
    });
    let events = events.map(Ok::<Event, std::convert::Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Sends what is written until the run has ended, then the rest. Where nothing tells the end any more, the
/// stream breaks off, and a browser connects again.
async fn send(
    mut tail: Tail,
    ended: impl Future<Output = bool>,
    (mut after, mut mark): (After, Option<Mark>),
    sender: mpsc::Sender<Event>,
) -> Result<(), mpsc::error::SendError<Event>> {
    let mut event = |line: Result<Line, Error>| match line {
        Ok(line) if !after.is_new(&line) => None,
        Ok(line) => {
            mark = Mark::next(mark, &line);
            let event = Event::default().event("line").data(line.text.replace('\r', "\n"));
            Some(match mark {
                Some(mark) => event.id(mark.to_string()),
                None => event,
            })
        }
        Err(error) => Some(Event::default().event("note").data(error.to_string())),
    };
    let mut ended = std::pin::pin!(ended);
    loop {
        let line = tokio::select! {
            biased;
            line = tail.next() => line,
            is_over = &mut ended => {
                if is_over { break; }
                return Ok(());
            }
        };
        let Some(line) = line else { break };
        if let Some(event) = event(line) {
            sender.send(event).await?;
        }
    }
    while let Some(line) = tail.rest().await {
        if let Some(event) = event(line) {
            sender.send(event).await?;
        }
    }
    sender.send(Event::default().event("end").data("all of it")).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, text: &str) -> Line {
        let at = Some(Timestamp::from_second(second).unwrap());
        Line { at, pod: "p".into(), text: text.into() }
    }

    #[test]
    fn a_log_goes_on_after_its_mark() {
        let lines = [line(1, "a"), line(2, "b"), line(2, "c")];
        let mark = Mark::of(&lines).unwrap();
        assert_eq!(mark.to_string(), "1970-01-01T00:00:02Z*2");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert_eq!("1970-01-01T00:00:02Z".parse::<Mark>(), Err(()));
        let mut after = After { mark: Some(mark), seen: 0 };
        let more = [&lines[..], &[line(2, "d"), line(3, "e")]].concat();
        let new: String =
            more.iter().filter(|line| after.is_new(line)).map(|line| line.text.as_str()).collect();
        assert_eq!(new, "de");
        assert_eq!(Mark::next(Some(mark), &line(2, "d")).unwrap().count, 3);
        assert_eq!(Mark::of(&[]), None);
    }

    #[test]
    fn a_page_has_the_end_of_long_lines_and_logs() {
        let long: Vec<Line> = (0..200).map(|at| line(at, &"x".repeat(600))).collect();
        let shown = texts(&long, false);
        assert_eq!((shown.len(), shown[0].chars().count()), (CHARACTERS_MAX / (LINE_MAX + 2), LINE_MAX + 1));
        assert_eq!(texts(&[line(1, "a")], true), ["p a"]);
    }
}
