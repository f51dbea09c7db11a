//! What runs have written: their runners, and the workers that served them.

use std::pin::Pin;

use futures::stream::{BoxStream, try_unfold};
use futures::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};

use super::cluster::Cluster;
use super::error::{Error, is_of_object};
use crate::api::{FlowRun, Kind, labels};
use crate::plan::facts::{attempt_of, phase_of};
use crate::plan::names;
use crate::view::cure::cure;

/// The label that Kubernetes gives the pods of a Job.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-job-name>.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// The longest line that is read as one, in bytes: a script may write a gigabyte without an end of line.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Which log of a run is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The number of the attempt. None: the present or last one.
    pub attempt: Option<u32>,
    /// With the logs of the workers that served it.
    pub workers: bool,
}

/// A container whose log is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The pod.
    pub pod: String,
    /// The container that the pod is for.
    pub container: &'static str,
    /// Nothing from before this moment is meant.
    since: Option<Timestamp>,
    /// Nothing from after it is meant.
    until: Option<Timestamp>,
}

impl Source {
    /// The same, from the second of this moment on: the API has whole seconds.
    #[must_use]
    pub fn since(&self, at: Timestamp) -> Self {
        let since = Timestamp::from_second(at.as_second()).ok().max(self.since);
        Self { since, ..self.clone() }
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: Option<Timestamp>,
    /// The pod that wrote it.
    pub pod: String,
    /// What it says.
    pub text: String,
}

/// The containers whose logs are meant: the runner's, and the workers'.
///
/// # Errors
/// The runner's pod is not there, yet or any more; or a request failed.
pub async fn sources(cluster: &Cluster, run: &FlowRun, wanted: Wanted) -> Result<Vec<Source>, Error> {
    let attempt = wanted.attempt.unwrap_or_else(|| attempt_of(run));
    let runner = runner(cluster, run, attempt).await?.ok_or_else(|| no_log(run, attempt))?;
    let mut sources = vec![runner];
    if wanted.workers {
        sources.extend(workers(cluster, run).await?);
    }
    Ok(sources)
}

/// The runner of an attempt, if its pod is there.
pub(super) async fn runner(cluster: &Cluster, run: &FlowRun, attempt: u32) -> Result<Option<Source>, Error> {
    let job = names::job_name(&run.name_any(), attempt);
    let mut pods = pods(cluster, &format!("{JOB_NAME}={job}")).await?;
    // Of several the newest: Kubernetes may replace one that is lost.
    pods.sort_by_key(ResourceExt::creation_timestamp);
    let source =
        |pod: Pod| Source { pod: pod.name_any(), container: labels::RUNNER, since: None, until: None };
    Ok(pods.pop().map(source))
}

/// The workers of the run's cluster, from when its attempt began until it ended.
async fn workers(cluster: &Cluster, run: &FlowRun) -> Result<Vec<Source>, Error> {
    let status = run.status.clone().unwrap_or_default();
    // An address is no DaskCluster: its workers are elsewhere.
    let Some(name) = status.cluster.filter(|name| !name.contains(':')) else { return Ok(Vec::new()) };
    let selector = format!("{}={name},{}={}", labels::CLUSTER_NAME, labels::COMPONENT, labels::WORKER);
    let mut pods = pods(cluster, &selector).await?;
    pods.sort_by_key(|pod| (pod.creation_timestamp(), pod.name_any()));
    let source = |pod: Pod| Source {
        pod: pod.name_any(),
        container: labels::WORKER,
        since: status.started_at.as_ref().map(|time| time.0),
        until: status.finished_at.as_ref().map(|time| time.0),
    };
    Ok(pods.into_iter().map(source).collect())
}

async fn pods(cluster: &Cluster, selector: &str) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = cluster.api();
    let listed = api.list(&ListParams::default().labels(selector)).await;
    let action = format!("list pods in the namespace {}", cluster.namespace);
    listed.map(|listed| listed.items).map_err(|error| Error::of(error, &action))
}

/// Why there is no log of an attempt, and where to look.
fn no_log(run: &FlowRun, attempt: u32) -> Error {
    let name = run.name_any();
    let status = run.status.clone().unwrap_or_default();
    let reason = status.reason.clone().unwrap_or_default();
    let why = why(&reason, status.message.as_deref().unwrap_or_default());
    let last = attempt_of(run);
    Error::Senseless(if attempt == 0 || attempt > last {
        format!("the run {name} has no attempt {attempt}; its last one is {last}")
    } else if phase_of(run).is_final() && status.started_at.is_none() && attempt == last {
        format!("the run {name} has no log: it ended before its script began{why}")
    } else if phase_of(run).is_final() || attempt < last {
        format!(
            "the pod of attempt {attempt} of the run {name} is no longer there, and its log went with it: look where your Kubernetes keeps logs, for pods of the Job {}; `history` of the Flow says how long runs and their pods are kept",
            names::job_name(&name, attempt)
        )
    } else {
        let cure = cure(Kind::FlowRun, &reason).map(|cure| format!(" {cure}")).unwrap_or_default();
        format!(
            "the run {name} has no log yet: it is {}{why}.{cure} `daskflow logs --follow` waits for it",
            phase_of(run).as_str()
        )
    })
}

/// A reason and its message in brackets, as far as they are there.
fn why(reason: &str, message: &str) -> String {
    let words: Vec<&str> = [reason, message].into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(": ")) }
}

/// The lines of a container, as they come.
///
/// # Errors
/// There is no log, or no right to read it.
pub async fn lines(
    cluster: &Cluster,
    source: &Source,
    follow: bool,
) -> Result<BoxStream<'static, Result<Line, Error>>, Error> {
    open(cluster, source, LogParams { follow, ..LogParams::default() }).await
}

/// The last lines of a container, `count` at the most.
///
/// # Errors
/// There is no log, or no right to read it, or it breaks off.
pub async fn last(cluster: &Cluster, source: &Source, count: i64) -> Result<Vec<Line>, Error> {
    let how = LogParams { tail_lines: Some(count), ..LogParams::default() };
    open(cluster, source, how).await?.try_collect().await
}

async fn open(
    cluster: &Cluster,
    source: &Source,
    how: LogParams,
) -> Result<BoxStream<'static, Result<Line, Error>>, Error> {
    let api: Api<Pod> = cluster.api();
    let how = LogParams {
        container: Some(source.container.to_owned()),
        since_time: source.since,
        timestamps: true,
        ..how
    };
    let action = format!("get pods/log in the namespace {}", cluster.namespace);
    let opened = api.log_stream(&source.pod, &how).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 && is_of_object(&status) => {
            Error::Senseless(format!("the pod {} is no longer there, and its log went with it", source.pod))
        }
        other => Error::of(other, &action),
    })?;
    let (pod, until) = (source.pod.clone(), source.until);
    let lines = text_lines(opened).map_ok(move |text| line(&pod, &text));
    let lines = lines.map_err(|error| Error::Unreachable { why: error.to_string() });
    let is_meant = move |line: &Line| until.is_none() || line.at.is_none() || line.at <= until;
    Ok(lines.try_filter(move |line| futures::future::ready(is_meant(line))).boxed())
}

/// The lines of a log: bytes that are no text are shown as U+FFFD, and a line that is longer than
/// [`LINE_BYTES_MAX`] comes in parts.
fn text_lines<'a>(log: impl AsyncBufRead + Send + 'a) -> BoxStream<'a, std::io::Result<String>> {
    let next = async |mut log: Pin<Box<dyn AsyncBufRead + Send + 'a>>| {
        let mut bytes = Vec::new();
        let mut part = (&mut log).take(LINE_BYTES_MAX);
        if part.read_until(b'\n', &mut bytes).await? == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), log)))
    };
    let log: Pin<Box<dyn AsyncBufRead + Send + 'a>> = Box::pin(log);
    try_unfold(log, next).boxed()
}

/// A line with its time before it, as Kubernetes sends it.
fn line(pod: &str, text: &str) -> Line {
    let stamped = text.split_once(' ').and_then(|(time, rest)| Some((time.parse().ok()?, rest)));
    let (at, text) = stamped.map_or((None, text), |(at, rest)| (Some(at), rest));
    Line { at, pod: pod.to_owned(), text: text.to_owned() }
}

/// All lines that are there, of all containers, by time; those of one container keep their order. Second:
/// what could not be read of workers, which may end at any time.
///
/// # Errors
/// The log of the first container, the runner's, cannot be read.
pub async fn merged(cluster: &Cluster, sources: &[Source]) -> Result<(Vec<Line>, Vec<String>), Error> {
    let (mut all, mut notes) = (Vec::new(), Vec::new());
    for (index, source) in sources.iter().enumerate() {
        let read = async { lines(cluster, source, false).await?.try_collect::<Vec<Line>>().await };
        match read.await {
            Ok(lines) => all.extend(in_order(lines)),
            Err(error) if index == 0 => return Err(error),
            Err(error) => notes.push(format!("without {}: {error}", source.pod)),
        }
    }
    all.sort_by_key(|(at, _)| *at);
    Ok((all.into_iter().map(|(_, line)| line).collect(), notes))
}

/// Lines with a time that never goes back: a line without one is from right after the one before it.
fn in_order(lines: Vec<Line>) -> Vec<(Timestamp, Line)> {
    let mut latest = Timestamp::MIN;
    let stamped = lines.into_iter().map(|line| {
        latest = line.at.map_or(latest, |at| at.max(latest));
        (latest, line)
    });
    stamped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_bytes_have_lines() {
        let long = vec![b'x'; usize::try_from(LINE_BYTES_MAX).unwrap() + 1];
        let all = [b"caf\xe9\r\n\n", long.as_slice(), b"\nend"].concat();
        let lines: Vec<String> = text_lines(all.as_slice()).try_collect().await.unwrap();
        let shown: Vec<(&str, usize)> =
            lines.iter().map(|line| (line.get(..3).unwrap_or(line), line.len())).collect();
        assert_eq!(shown, [("caf", 6), ("", 0), ("xxx", 1 << 20), ("x", 1), ("end", 3)]);
        assert_eq!(lines[0], "caf\u{fffd}");
    }

    #[test]
    fn a_line_has_its_time_before_it() {
        let at: Timestamp = "2026-11-30T01:02:03.123456789Z".parse().unwrap();
        let parsed = line("p", "2026-11-30T01:02:03.123456789Z a b");
        assert_eq!(parsed, Line { at: Some(at), pod: "p".into(), text: "a b".into() });
        assert_eq!(line("p", "2026-11-30T01:02:03Z ").text, "");
        assert_eq!(line("p", "no time"), Line { at: None, pod: "p".into(), text: "no time".into() });
    }

    #[test]
    fn a_run_that_no_operator_has_seen_has_no_reason_to_tell() {
        let run = serde_json::json!({"metadata": {"name": "now"}, "spec": {"flow": "etl"}});
        let mut run: FlowRun = serde_json::from_value(run).unwrap();
        run.status = Some(crate::api::FlowRunStatus { attempt: Some(1), ..Default::default() });
        let said = no_log(&run, 1).to_string();
        assert!(said.contains("has no log yet: it is Queued. `daskflow logs"), "{said}");
        run.status.as_mut().unwrap().reason = Some("NoSuchReason".to_owned());
        let said = no_log(&run, 1).to_string();
        assert!(said.contains("it is Queued (NoSuchReason). "), "{said}");
    }

    #[test]
    fn lines_of_one_container_keep_their_order() {
        let of = |second: i64| Line {
            at: Some(Timestamp::from_second(second).unwrap()),
            pod: "p".into(),
            text: second.to_string(),
        };
        let times: Vec<i64> =
            in_order(vec![of(2), of(1), of(3)]).iter().map(|(at, _)| at.as_second()).collect();
        assert_eq!(times, [2, 2, 3]);
    }
}
