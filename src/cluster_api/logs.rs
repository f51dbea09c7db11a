//! `pods/log`, as the API server and the kubelet answer it.

use axum::body::{Body, Bytes};
use futures::stream::{self, StreamExt};
use http::{HeaderValue, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::api::ClusterApi;
use super::log_source::{LogLine, LogRequest};
use super::path::{Query, Target};
use super::read;
use super::status::Refusal;
use super::write::text;

/// How much of a log is wanted.
struct Wanted {
    tail: Option<u64>,
    since: Option<Timestamp>,
    bytes: Option<u64>,
    timestamps: bool,
}

impl Wanted {
    fn read(query: &Query, now: Timestamp) -> Result<Self, Refusal> {
        if let Some(stream) = query.get("stream").filter(|stream| *stream != "All") {
            return Err(Refusal::not_implemented(&format!("the log of the stream {stream:?} alone")));
        }
        let seconds = query.number("sinceSeconds")?.and_then(|seconds| i64::try_from(seconds).ok());
        let earlier = |seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok();
        let instant = query.get("sinceTime").map(|text| {
            text.parse().map_err(|_| Refusal::bad_request(format!("sinceTime: {text:?} is no instant")))
        });
        Ok(Self {
            tail: query.number("tailLines")?,
            since: instant.transpose()?.or_else(|| seconds.and_then(earlier)),
            bytes: query.number("limitBytes")?,
            timestamps: query.is_set("timestamps"),
        })
    }

    fn line(&self, line: &LogLine) -> Bytes {
        let mut bytes = if self.timestamps { format!("{} ", line.at).into_bytes() } else { Vec::new() };
        bytes.extend(&line.text);
        bytes.push(b'\n');
        bytes.into()
    }
}

/// Answers a request for a log.
pub(super) fn answer(api: &ClusterApi, target: &Target, query: &Query) -> Result<Response<Body>, Refusal> {
    let Some(source) = api.shared.logs.get() else { return Err(Refusal::not_implemented("pods/log")) };
    let pod = read::get(&api.lock(), target)?;
    let wanted = Wanted::read(query, api.now())?;
    let request = LogRequest {
        namespace: text(&pod, "namespace").to_owned(),
        pod: text(&pod, "name").to_owned(),
        uid: text(&pod, "uid").to_owned(),
        container: container(&pod, query)?,
        previous: query.is_set("previous"),
        follow: query.is_set("follow"),
    };
    let Some(log) = source.log(&request) else { return Err(not_there(&request)) };
    let mut there = log.there;
    there.retain(|line| wanted.since.is_none_or(|since| line.at >= since));
    let count = wanted.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
    let there = there.split_off(there.len().saturating_sub(count));
    let then = if request.follow { log.then } else { stream::empty().boxed() };
    let limit = wanted.bytes.unwrap_or(u64::MAX);
    let lines = stream::iter(there).chain(then).map(move |line| wanted.line(&line));
    let limited = lines.scan(limit, |left, line| {
        let length = usize::try_from(*left).map_or(line.len(), |left| left.min(line.len()));
        let sent = (*left > 0).then(|| Ok::<Bytes, std::convert::Infallible>(line.slice(..length)));
        *left = left.saturating_sub(line.len() as u64);
        futures::future::ready(sent)
    });
    let mut response = Response::new(Body::from_stream(limited));
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    Ok(response)
}

/// The container that is meant: that of the request, or the only one.
fn container(pod: &Value, query: &Query) -> Result<String, Refusal> {
    let names = |list: &str| -> Vec<&str> {
        let all = pod.pointer("/spec").and_then(|spec| spec.get(list)).and_then(Value::as_array);
        let all = all.into_iter().flatten();
        all.filter_map(|container| container.get("name").and_then(Value::as_str)).collect()
    };
    let (main, name) = (names("containers"), text(pod, "name"));
    match (query.get("container"), main.as_slice()) {
        (None, [only]) => Ok((*only).to_owned()),
        (None, several) => Err(Refusal::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            several.join(" ")
        ))),
        (Some(given), _) if main.contains(&given) || names("initContainers").contains(&given) => {
            Ok(given.to_owned())
        }
        (Some(given), _) => {
            Err(Refusal::bad_request(format!("container {given} is not valid for pod {name}")))
        }
    }
}

fn not_there(request: &LogRequest) -> Refusal {
    let LogRequest { pod, container, .. } = request;
    Refusal::bad_request(if request.previous {
        format!("previous terminated container {container:?} in pod {pod:?} not found")
    } else {
        format!("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating")
    })
}
