//! For the tests: an API server that answers as the test says, and a scheduler likewise.

pub(super) mod stage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tower_test::mock::{self, SendResponse};

use crate::dask::Reach;
use crate::dask::connection::Stream;
use crate::dask::frame::{self, Decoder, Limits};
use crate::operator::caches::Stores;
use crate::operator::context::Context;
use crate::operator::metrics::Metrics;
use crate::operator::reconcile::{Planned, reconcile};
use crate::operator::route::Routes;
use crate::operator::schedulers::Schedulers;
use crate::operator::surroundings::Surroundings;
use crate::operator::wakes::{self, Wakes};

/// What was asked, in order.
#[derive(Clone, Default)]
pub(in crate::operator) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    pub(in crate::operator) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(in crate::operator) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// How often this was asked.
    pub(in crate::operator) fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|asked| *asked == what).count()
    }
}

/// The sides of an API server.
pub(in crate::operator) type ApiServer = mock::Handle<Request<Body>, Response<Body>>;

/// A context whose requests go to the test, whose wakes come to it, and whose schedulers listen on `port`.
pub(in crate::operator) fn context(port: u16) -> (Context, ApiServer, Wakes) {
    let (service, server) = mock::pair();
    let (triggers, wakes) = wakes::channels();
    let client = Client::new(service, "default");
    let schedulers = Arc::new(Schedulers::on_port(client.clone(), triggers.clone(), port));
    let routes = Routes { stores: Stores::new(&[]), triggers, schedulers };
    let surroundings = Surroundings::of_machine(Reach::All);
    (Context::new(client, routes, Metrics::default(), surroundings), server, wakes)
}

/// Answers all requests by their method and path, such as `POST /api/v1/namespaces/default/pods`, with a
/// status code and a body. What was asked is kept with the last part of the path, or the name of the object
/// that was sent: `POST name`.
pub(in crate::operator) fn serve(
    mut server: ApiServer,
    answer: impl Fn(&str) -> (u16, Value) + Send + 'static,
) -> (Asked, AbortOnDropHandle<()>) {
    let asked = Asked::default();
    let log = asked.clone();
    let task = tokio::spawn(async move {
        while let Some((request, reply)) = server.next_request().await {
            let what = summary(request).await;
            log.add(&what);
            respond(reply, answer(&what));
        }
    });
    (asked, AbortOnDropHandle::new(task))
}

/// A request in two words.
pub(in crate::operator) async fn summary(request: Request<Body>) -> String {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect_bytes().await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let name = body["metadata"]["name"].as_str().map(str::to_owned);
    let last = path.trim_end_matches("/status").rsplit('/').next();
    let name = name.or_else(|| last.map(str::to_owned)).unwrap_or_default();
    format!("{method} {name}")
}

/// Answers one request.
pub(in crate::operator) fn respond(reply: SendResponse<Response<Body>>, (code, body): (u16, Value)) {
    let response = Response::builder().status(code).body(Body::from(serde_json::to_vec(&body).unwrap()));
    reply.send_response(response.unwrap());
}

/// What a request sends: of a JSON patch, the fields that it sets.
pub(in crate::operator) fn merged(body: Value) -> Value {
    let Value::Array(operations) = body else { return body };
    let mut merged = json!({"metadata": {}});
    for operation in operations {
        let path = operation["path"].as_str().unwrap();
        let (parent, field) = path.rsplit_once('/').unwrap();
        merged.pointer_mut(parent).unwrap()[field] = operation["value"].clone();
    }
    merged
}

/// What an API server answers where a quota has no room.
pub(in crate::operator) fn quota_refusal() -> (u16, Value) {
    let message = r#"pods "demo-default-a" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3"#;
    refusal(403, "Forbidden", message)
}

/// What an API server answers when it refuses.
pub(in crate::operator) fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code});
    (code, status)
}

/// A scheduler that answers each operation as the test says; nothing: it stays silent for good.
pub(in crate::operator) struct Scheduler {
    pub(in crate::operator) port: u16,
    /// The operations, and `connect` for each connection.
    pub(in crate::operator) asked: Asked,
    _task: AbortOnDropHandle<()>,
}

impl Scheduler {
    pub(in crate::operator) async fn start(
        answer: impl Fn(&str, &Value) -> Option<Value> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Asked::default());
        let log = asked.clone();
        let task = tokio::spawn(async move {
            let mut sessions = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                log.add("connect");
                let session = tokio::spawn(converse(stream, log.clone(), answer.clone()));
                sessions.push(AbortOnDropHandle::new(session));
            }
        });
        Self { port, asked, _task: AbortOnDropHandle::new(task) }
    }
}

/// Speaks to one client until either hangs up; `"hang up"` for an answer means that the scheduler does, and
/// `"ask again"` that it takes its time.
pub(in crate::operator) async fn converse(
    mut stream: impl Stream,
    log: Asked,
    answer: impl Fn(&str, &Value) -> Option<Value> + Send,
) {
    send(&mut stream, &json!({"compression": null, "python": [3, 11, 7], "pickle-protocol": 5})).await;
    let mut decoder = Decoder::new(Limits::default());
    let mut chunk = vec![0; 4096];
    loop {
        let Ok(count @ 1..) = stream.read(&mut chunk).await else { return };
        let mut input = &chunk[..count];
        while let Some(message) = decoder.decode(&mut input).unwrap() {
            let request: Value = rmp_serde::from_slice(&message.payload).unwrap();
            let Some(op) = request["op"].as_str() else { continue };
            log.add(op);
            let mut reply = answer(op, &request);
            while reply.as_ref().is_some_and(|reply| reply == "ask again") {
                tokio::time::sleep(Duration::from_millis(10)).await;
                reply = answer(op, &request);
            }
            match reply {
                Some(answer) if answer == "hang up" => return,
                Some(answer) => send(&mut stream, &answer).await,
                None => {}
            }
        }
    }
}

async fn send(stream: &mut impl Stream, value: &Value) {
    let bytes = frame::encode(&rmp_serde::to_vec_named(value).unwrap());
    // A client that has hung up needs no answer.
    let _ = stream.write_all(&bytes).await;
}

/// An identity with these workers.
pub(in crate::operator) fn identity(names: &[&str]) -> Value {
    json!({"id": "Scheduler-1", "workers": workers(names)})
}

/// Workers by address.
pub(in crate::operator) fn workers(names: &[&str]) -> Value {
    let by_address: BTreeMap<String, Value> =
        names.iter().map(|name| (format!("tcp://{name}:1"), json!({"name": name}))).collect();
    json!(by_address)
}

/// One look at an object, with the events that follow from it.
pub(in crate::operator) async fn look<K: Planned>(object: Arc<K>, context: &Arc<Context>) {
    let Ok(_) = reconcile(object, context.clone()).await;
    context.events.publish_waiting().await;
}
