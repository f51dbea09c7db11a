//! The wire between an operator and its API server, on which all goes wrong that a history says.
//!
//! What is answered is what the API in this process answers, or what a real one may answer instead. Whatever
//! goes wrong is armed beforehand and hits one request, so that the same history goes wrong in the same way.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body as Answer;
use daskflow::cluster_api::ClusterApi;
use futures::StreamExt;
use http::{Method, Request, Response, Uri};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{BoxError, Service, service_fn};

use super::witness::Witness;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator dies before it is sent.
    DiesBefore,
    /// It is done, and the operator dies before it is answered.
    DiesAfter,
    /// It is done, and the connection breaks before the answer.
    AnswerIsLost,
    /// It is done, and no answer ever comes.
    AnswerNeverComes,
    /// The connection breaks, and nothing was done.
    IsLost,
    /// It never arrives, and no answer ever comes.
    NeverArrives,
    /// It arrives so many seconds late, whatever has become of the operator.
    ArrivesLate(u8),
    /// It is done at once, and answered so many seconds late.
    IsAnsweredLate(u8),
    /// It is refused as if somebody else had been quicker.
    Conflict,
    /// The API server is busy, and says for how long.
    Busy,
    /// The API server fails.
    Broken,
}

/// Which requests a fault is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Creations.
    Create,
    /// Writes of a status.
    Status,
    /// Writes of the status of the Flow.
    FlowStatus,
    /// Deletions.
    Delete,
    /// All writes.
    Write,
    /// All reads but watches.
    Read,
    /// Writes of the Lease.
    Lease,
}

/// A fault that waits for its request.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    /// What goes wrong.
    pub fault: Fault,
    /// With which requests.
    pub on: On,
    /// How many of these pass before.
    pub after: u8,
}

/// The most requests in a second of the clock. An operator that begins asks for some thirty things; one that
/// asks for ever more has the clock stand still, and its history would never end.
const BURST_MAX: u32 = 400;

/// A request as far as faults and the log tell one from another.
struct Asked {
    who: Arc<str>,
    method: Method,
    plural: String,
    name: String,
    is_status: bool,
    is_watch: bool,
    is_dry: bool,
}

impl Asked {
    fn of(who: &Arc<str>, request: &Request<Body>) -> Self {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let path: Vec<&str> = uri.path().split('/').skip(1).collect();
        let namespaced = path.iter().position(|part| *part == "namespaces").map(|at| at + 2);
        let at = namespaced.unwrap_or(if path.first() == Some(&"api") { 2 } else { 3 });
        let part = |at: usize| path.get(at).copied().unwrap_or_default().to_owned();
        Self {
            who: who.clone(),
            method: request.method().clone(),
            plural: part(at),
            name: part(at + 1),
            is_status: part(at + 2) == "status",
            is_watch: query.contains("watch=true"),
            is_dry: query.contains("dryRun="),
        }
    }

    fn writes(&self) -> bool {
        self.method != Method::GET && !self.is_dry
    }

    /// Whether one object of this kind is read.
    fn reads_one(&self, plural: &str) -> bool {
        self.method == Method::GET && self.plural == plural && !self.name.is_empty()
    }

    fn creates(&self, plural: &str) -> bool {
        self.is(On::Create) && self.plural == plural
    }

    fn is(&self, on: On) -> bool {
        let is_lease = self.plural == "leases";
        match on {
            On::Lease => is_lease && self.writes(),
            _ if is_lease || self.is_watch || self.plural == "events" => false,
            On::Create => self.method == Method::POST && !self.is_dry,
            On::Status => self.method == Method::PATCH && self.is_status,
            On::FlowStatus => self.method == Method::PATCH && self.is_status && self.plural == "flows",
            On::Delete => self.method == Method::DELETE,
            On::Write => self.writes(),
            On::Read => self.method == Method::GET,
        }
    }
}

/// What all wires of a world share.
#[derive(Default)]
struct State {
    armed: Vec<Armed>,
    /// Until when the watches of a kind tell nothing.
    silent: BTreeMap<String, Instant>,
    /// By how many versions the next lists for caches are behind.
    behind: u64,
    /// How many pods of the cluster may exist.
    quota: Option<u8>,
    /// The second of the last request, and how many there were in it.
    burst: (u64, u32),
    log: Vec<String>,
}

/// All wires of a world.
#[derive(Clone)]
pub struct Wires {
    api: ClusterApi,
    witness: Arc<Mutex<Witness>>,
    state: Arc<Mutex<State>>,
    began: Instant,
}

/// The life of an operator: what ends it, and whether it has.
#[derive(Clone, Default)]
pub struct Life(Arc<Mutex<(bool, Option<AbortHandle>)>>);

impl Life {
    /// It is this task.
    pub fn is(&self, task: AbortHandle) {
        self.0.lock().unwrap().1 = Some(task);
    }

    /// It dies: from this moment on nothing comes from it.
    pub fn end(&self) {
        let mut life = self.0.lock().unwrap();
        life.0 = true;
        if let Some(task) = &life.1 {
            task.abort();
        }
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().0
    }
}

impl Wires {
    /// Wires to this API, which show to `witness` what is done over them.
    pub fn new(api: ClusterApi, witness: Arc<Mutex<Witness>>) -> Self {
        Self { api, witness, state: Arc::default(), began: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Arms a fault.
    pub fn arm(&self, armed: Armed) {
        self.state().armed.push(armed);
    }

    /// The watches of a kind tell nothing for so long.
    pub fn silence(&self, plural: &str, time: Duration) {
        self.state().silent.insert(plural.to_owned(), Instant::now() + time);
    }

    /// The lists that fill caches are so many versions behind from now on.
    pub fn lists_are_behind(&self, versions: u64) {
        self.state().behind = versions;
    }

    /// So many pods of the cluster may exist from now on.
    pub fn quota(&self, pods: Option<u8>) {
        self.state().quota = pods;
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        let mut state = self.state();
        (state.armed, state.silent, state.behind, state.quota) = Default::default();
    }

    /// All requests and what came of them, in their order.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// A client of the operator called `who`.
    pub fn client(&self, who: &str, life: &Life) -> Client {
        let (wires, who, life) = (self.clone(), Arc::<str>::from(who), life.clone());
        let service = service_fn(move |request| {
            let (wires, who, life) = (wires.clone(), who.clone(), life.clone());
            async move { wires.send(&who, &life, request).await }
        });
        Client::new(service, "default")
    }

    /// Whether this is one request too many in this second.
    fn is_too_much(&self) -> bool {
        let (second, burst) = (self.began.elapsed().as_secs(), &mut self.state().burst);
        *burst = if burst.0 == second { (second, burst.1 + 1) } else { (second, 1) };
        burst.1 > BURST_MAX
    }

    /// The fault that hits a request, if any does.
    fn fault(&self, asked: &Asked) -> Option<Fault> {
        let mut state = self.state();
        let hits = |armed: &mut Armed| {
            let passes = asked.is(armed.on) && armed.after > 0;
            armed.after -= u8::from(passes);
            asked.is(armed.on) && !passes
        };
        let at = state.armed.iter_mut().position(hits)?;
        Some(state.armed.remove(at).fault)
    }

    async fn send(
        &self,
        who: &Arc<str>,
        life: &Life,
        request: Request<Body>,
    ) -> Result<Response<Answer>, BoxError> {
        if self.is_too_much() {
            self.witness.lock().unwrap().asks_too_much(who, BURST_MAX);
        }
        // Where a law is broken nothing goes on.
        if life.has_ended() || self.witness.lock().unwrap().wrong().is_some() {
            return pending().await;
        }
        if request.uri().path().starts_with("/openapi") {
            // The check of the definitions, which has tests of its own: an account that may not read them.
            return Ok(refusal(403, "Forbidden"));
        }
        let asked = Asked::of(who, &request);
        let fault = self.fault(&asked);
        let request = self.seen_starting(who, &asked, request).await?;
        if asked.writes() {
            self.witness.lock().unwrap().sent(who, &asked.plural);
        }
        let answer = self.done(life, &asked, fault, request).await;
        let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        let Asked { method, plural, name, .. } = &asked;
        let at = self.began.elapsed().as_millis();
        let dry = if asked.is_dry { " (dry)" } else { "" };
        self.state().log.push(format!("{at:>7} {who} {method} {plural} {name}{dry} {code} {fault:?}"));
        answer
    }

    /// Shows whose Job is asked for, if one is. The same request.
    async fn seen_starting(
        &self,
        who: &str,
        asked: &Asked,
        request: Request<Body>,
    ) -> Result<Request<Body>, BoxError> {
        if !asked.creates("jobs") {
            return Ok(request);
        }
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await?;
        let job: Value = serde_json::from_slice(&bytes)?;
        self.witness.lock().unwrap().starts(who, &job);
        Ok(Request::from_parts(parts, Body::from(bytes.to_vec())))
    }

    async fn done(
        &self,
        life: &Life,
        asked: &Asked,
        fault: Option<Fault>,
        request: Request<Body>,
    ) -> Result<Response<Answer>, BoxError> {
        let lost = || Err(std::io::Error::from(ErrorKind::ConnectionReset).into());
        if let Some(quota) =
            self.state().quota.filter(|_| asked.method == Method::POST && asked.plural == "pods")
            && self.witness.lock().unwrap().pods.len() >= usize::from(quota)
        {
            return Ok(no_room());
        }
        match fault {
            None => Ok(self.ask(asked, request).await),
            Some(Fault::DiesBefore) => {
                life.end();
                pending().await
            }
            Some(Fault::DiesAfter) => {
                self.ask(asked, request).await;
                life.end();
                pending().await
            }
            Some(Fault::AnswerIsLost) => {
                self.ask(asked, request).await;
                lost()
            }
            Some(Fault::AnswerNeverComes) => {
                self.ask(asked, request).await;
                pending().await
            }
            Some(Fault::IsLost) => lost(),
            Some(Fault::NeverArrives) => pending().await,
            Some(Fault::ArrivesLate(seconds)) => {
                let (wires, asked) = (self.clone(), Asked::of(&asked.who, &request));
                let late = tokio::spawn(async move {
                    sleep(Duration::from_secs(seconds.into())).await;
                    wires.ask(&asked, request).await
                });
                Ok(late.await?)
            }
            Some(Fault::IsAnsweredLate(seconds)) => {
                let answer = self.ask(asked, request).await;
                sleep(Duration::from_secs(seconds.into())).await;
                Ok(answer)
            }
            Some(Fault::Conflict) => Ok(refusal(409, "Conflict")),
            Some(Fault::Busy) => Ok(refusal(429, "TooManyRequests")),
            Some(Fault::Broken) => Ok(refusal(500, "InternalError")),
        }
    }

    /// What the API answers.
    async fn ask(&self, asked: &Asked, mut request: Request<Body>) -> Response<Answer> {
        let behind = self.state().behind;
        if behind > 0 && fills_a_cache(asked, request.uri()) {
            *request.uri_mut() = as_it_was(request.uri(), self.api.version().saturating_sub(behind).max(2));
        }
        let Ok(answer) = self.api.clone().call(request).await;
        let mut witness = self.witness.lock().unwrap();
        witness.look(&self.api);
        if asked.reads_one("flowruns") {
            witness.has_read(&asked.who, &asked.name);
        }
        drop(witness);
        if asked.is_watch { self.watched(&asked.plural, answer) } else { answer }
    }

    /// The answer of a watch, which tells nothing while its kind is silent.
    fn watched(&self, plural: &str, answer: Response<Answer>) -> Response<Answer> {
        let (wires, plural) = (self.clone(), plural.to_owned());
        answer.map(move |body| {
            let lines = body.into_data_stream().then(move |line| {
                let (wires, plural) = (wires.clone(), plural.clone());
                async move {
                    while let Some(until) = wires.silent_until(&plural) {
                        sleep_until(until).await;
                    }
                    Ok::<_, Infallible>(line.unwrap())
                }
            });
            Answer::from_stream(lines)
        })
    }

    fn silent_until(&self, plural: &str) -> Option<Instant> {
        self.state().silent.get(plural).copied().filter(|until| *until > Instant::now())
    }
}

/// Whether this is a list for a cache, which a watch follows: only those come in pages. A list that is read
/// by itself is never behind.
fn fills_a_cache(asked: &Asked, uri: &Uri) -> bool {
    let is_first = uri.query().is_some_and(|query| query.contains("limit=") && !query.contains("continue="));
    asked.method == Method::GET && !asked.is_watch && is_first
}

/// The same list as it was after that version.
fn as_it_was(uri: &Uri, version: u64) -> Uri {
    let query = uri.query().unwrap_or_default();
    let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    format!("{}?{query}&{exact}", uri.path()).parse().unwrap()
}

/// What a quota says that has no room.
fn no_room() -> Response<Answer> {
    said(403, "Forbidden", "pods are forbidden: exceeded quota: small, requested: pods=1")
}

/// A refusal as an API server words it.
fn refusal(code: u16, reason: &str) -> Response<Answer> {
    said(code, reason, "put in by the history")
}

fn said(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    let mut answer = Response::builder().status(code).header("content-type", "application/json");
    if code == 429 {
        answer = answer.header("retry-after", "1");
    }
    answer.body(Answer::from(status.to_string())).unwrap()
}
