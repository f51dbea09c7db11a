//! Many users behind a proxy: every request to the API server is made with the token of the one who asks.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use daskflow::daemon::clock::Clock;
use daskflow::web::{Door, Links, Options, Scope, Server, Users, router};
use http::{Method, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::visitor::{Answer, ask, read, request};
use crate::client::stage::{RUNS, Stage, furnished};

/// What was asked of the API server: the method and path, and what it was asked with.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// An API server that knows three users: one may do everything, one may do nothing, one only read in his
/// namespace.
struct ApiServer {
    address: String,
    seen: Seen,
    _server: AbortOnDropHandle<()>,
}

impl ApiServer {
    async fn new(stage: &Stage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (seen, client) = (Seen::default(), stage.cluster.client.clone());
        let noted = seen.clone();
        let answers = Router::new().fallback(move |request: Request| {
            let (seen, client) = (noted.clone(), client.clone());
            async move {
                let (mut head, body) = request.into_parts();
                let with = head.headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
                let what = format!("{} {}", head.method, head.uri.path());
                seen.lock().unwrap().push((what, with.clone()));
                let refused = |code: u16, message: &str| {
                    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
                    Response::builder().status(code).body(Body::from(status.to_string())).unwrap()
                };
                let is_read = head.method == Method::GET;
                match with.as_str() {
                    "Bearer all" => {}
                    "Bearer some" if is_read && head.uri.path().contains("/namespaces/default/") => {}
                    "Bearer some" | "Bearer none" => return refused(403, "no rights"),
                    _ => return refused(401, "Unauthorized"),
                }
                head.headers.remove("authorization");
                let bytes = to_bytes(body, usize::MAX).await.unwrap();
                let request = http::Request::from_parts(head, kube::client::Body::from(bytes.to_vec()));
                client.send(request).await.unwrap().map(Body::new)
            }
        });
        let server = tokio::spawn(async move { axum::serve(listener, answers).await.unwrap() });
        Self { address, seen, _server: AbortOnDropHandle::new(server) }
    }

    /// The page before it.
    fn page(&self) -> Router {
        let server = Server {
            address: self.address.parse().unwrap(),
            authority: None,
            namespace: "default".to_owned(),
        };
        router(Options {
            door: Door::Proxied(Users::new(server.clients())),
            scope: Scope::Namespace("default".to_owned()),
            read_only: false,
            links: Links::default(),
            clock: Clock::of_machine(),
        })
    }
}

const HOST: (&str, &str) = ("host", "flows.example");

async fn get(page: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    loop {
        let answer =
            read(ask(page, request(Method::GET, path, &[&[HOST], headers].concat(), "")).await).await;
        if !answer.is_opening() {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_request_leaves_without_the_token_of_the_user() {
    let stage = furnished().await;
    let server = ApiServer::new(&stage).await;
    let page = server.page();
    for headers in [
        vec![],
        vec![("authorization", "Basic YTpi")],
        vec![("authorization", "Bearer ")],
        vec![("cookie", "daskflow-forms=a")],
    ] {
        for path in ["/", "/runs/default/nightly-report-now-8kfpz", "/live", "/?format=json"] {
            let answer = get(&page, path, &headers).await;
            assert_eq!(answer.code, 401, "{path} {headers:?}: {}", answer.text);
            assert!(answer.text.contains("there is no bearer token"), "{}", answer.text);
        }
    }
    assert_eq!(*server.seen.lock().unwrap(), [], "nothing is asked for one without a token");
    let all = [("authorization", "Bearer all")];
    for path in [
        "/",
        "/flows/default/nightly-report",
        "/runs/default/nightly-report-now-8kfpz",
        "/clusters/default/analytics",
    ] {
        assert_eq!(get(&page, path, &all).await.code, 200, "{path}");
    }
    assert!(server.seen.lock().unwrap().iter().all(|(_, with)| with == "Bearer all"));
    // The other users get what they may have, and nothing that was read for the first.
    let before = server.seen.lock().unwrap().len();
    let none = get(&page, "/", &[("authorization", "bearer none")]).await;
    assert!(none.code == 403 && none.text.contains("you may not watch"), "{}", none.text);
    assert!(!none.text.contains("nightly-report"), "{}", none.text);
    let unknown = get(&page, "/", &[("authorization", "Bearer old")]).await;
    assert!(
        unknown.code == 401 && unknown.text.contains("does not accept your credentials"),
        "{}",
        unknown.text
    );
    let some = [("authorization", "Bearer some")];
    assert_eq!(get(&page, "/", &some).await.code, 200);
    let elsewhere = get(&page, "/?namespace=", &some).await;
    assert!(elsewhere.code == 403 && elsewhere.text.contains("in all namespaces"), "{}", elsewhere.text);
    let seen = server.seen.lock().unwrap();
    for (what, with) in seen.iter().skip(before) {
        assert!(
            ["Bearer none", "Bearer old", "Bearer some", "Bearer all"].contains(&with.as_str()),
            "{what}: {with:?}"
        );
    }
    let lists = seen.iter().filter(|(what, with)| what.ends_with("/flows") && with == "Bearer some").count();
    assert!(lists >= 1, "each reads for themselves");
}

#[tokio::test]
async fn one_whom_the_api_server_refuses_is_not_remembered() {
    let stage = furnished().await;
    let server = ApiServer::new(&stage).await;
    let page = server.page();
    let asked = || server.seen.lock().unwrap().iter().filter(|(_, with)| with == "Bearer old").count();
    let mut before = 0;
    for _ in 0..2 {
        assert_eq!(get(&page, "/", &[("authorization", "Bearer old")]).await.code, 401);
        assert!(asked() > before, "the API server is asked each time");
        before = asked();
    }
}

#[tokio::test]
async fn each_user_has_places_for_what_is_live() {
    let stage = furnished().await;
    let server = ApiServer::new(&stage).await;
    let page = server.page();
    let live = async |token: &str| {
        let headers = [HOST, ("authorization", token)];
        ask(&page, request(Method::GET, "/live?namespace=default&seen=0", &headers, "")).await
    };
    let mut open = Vec::new();
    loop {
        let answer = live("Bearer all").await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 503);
            break;
        }
        open.push(answer);
    }
    assert_eq!(open.len(), 60);
    assert_eq!(live("Bearer some").await.status(), 200, "another user has others");
    open.pop();
    assert_eq!(live("Bearer all").await.status(), 200, "one was closed");
}

#[tokio::test]
async fn forms_are_written_with_the_users_own_rights() {
    let stage = furnished().await;
    let server = ApiServer::new(&stage).await;
    let page = server.page();
    let form = async |token: &str, origin: &str| {
        let bearer = format!("Bearer {token}");
        let shown = get(&page, "/flows/default/nightly-report", &[("authorization", &bearer)]).await;
        let cookie = shown.header("set-cookie").split(';').next().unwrap().to_owned();
        assert!(shown.header("set-cookie").contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let token = shown.text.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let headers =
            [HOST, ("authorization", bearer.as_str()), ("cookie", cookie.as_str()), ("origin", origin)];
        let body = format!("form={token}&p.days=3");
        read(ask(&page, request(Method::POST, "/flows/default/nightly-report/run", &headers, &body)).await)
            .await
    };
    let before = stage.get(RUNS).await["items"].as_array().unwrap().len();
    let refused = form("some", "https://flows.example").await;
    assert!(refused.code == 403 && refused.text.contains("you may not create flowruns"), "{}", refused.text);
    let foreign = form("all", "https://evil.example").await;
    assert!(
        foreign.code == 403 && foreign.text.contains("does not come from a page of daskflow"),
        "{}",
        foreign.text
    );
    assert_eq!(stage.get(RUNS).await["items"].as_array().unwrap().len(), before);
    let created = form("all", "https://flows.example").await;
    assert_eq!(created.code, 303, "{}", created.text);
    assert_eq!(stage.get(RUNS).await["items"].as_array().unwrap().len(), before + 1);
    // A dashboard would be forwarded to the machine of the page, not to that of the browser.
    let cluster = get(&page, "/clusters/default/analytics", &[("authorization", "Bearer all")]).await.text;
    assert!(cluster.contains("<code>daskflow dashboard analytics -n default</code>"), "{cluster}");
    assert!(!cluster.contains("/dashboard\""), "{cluster}");
    // For the same reason, and with no more rights than before, no scheduler is asked.
    assert!(cluster.contains("The scheduler is asked only by a page on your own machine"), "{cluster}");
    assert!(server.seen.lock().unwrap().iter().all(|(what, _)| !what.contains("portforward")), "{cluster}");
}
