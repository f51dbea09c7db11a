//! Which request is answered by what.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use futures::StreamExt;
use http::header::{HeaderName, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::asked::Asked;
use super::connections::{self, CONNECTIONS_MAX};
use super::door::{Entry, Refusal};
use super::page::frame::Frame;
use super::page::trouble::Trouble;
use super::problem::Problem;
use super::query::Query;
use super::site::{Options, Site};
use super::{live, log, reply};
use crate::api::object_name::is_object_name;

/// The largest form that is read.
const FORM_BYTES_MAX: usize = 256 * 1024;
/// How often it is looked what is not looked at any more.
const SWEEP: Duration = Duration::from_secs(5);
/// How long a form may take to come.
const FORM: Duration = Duration::from_secs(30);
/// How long what a form asks for may take.
const WRITE: Duration = Duration::from_secs(30);
/// Codes of what may pass by itself.
const PASSING: [u16; 2] = [502, 503];
/// The id of the last event that a browser has.
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Files that all pages load: their path, their kind and what is in them. They say nothing of what is in a
/// cluster.
const FILES: [(&str, &str, &str); 3] = [
    ("/style.css", "text/css; charset=utf-8", include_str!("files/style.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("files/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("files/icon.svg")),
];

/// Serves a page for as long as it is polled.
///
/// # Errors
/// None: a connection that cannot be accepted is tried again.
pub async fn serve(listener: TcpListener, options: Options) -> std::io::Result<()> {
    connections::serve(listener, router(options), CONNECTIONS_MAX).await;
    Ok(())
}

/// The page as a service. Watches that no tab looks at end while it is there.
pub fn router(options: Options) -> Router {
    let site = Arc::new(Site::new(options));
    let watched = Arc::downgrade(&site);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            match watched.upgrade() {
                Some(site) => site.options.door.sweep(),
                None => return,
            }
        }
    });
    Router::new().fallback(move |request: Request| {
        let site = site.clone();
        async move {
            let mut response = Box::pin(answer(&site, request)).await;
            reply::secure(response.headers_mut());
            response
        }
    })
}

async fn answer(site: &Site, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some((_, media, text)) = FILES.iter().find(|(file, ..)| *file == path) {
        return reply::with(200, media, *text);
    }
    if path == "/healthz" {
        return reply::with(200, "text/plain; charset=utf-8", "ok\n");
    }
    let query = Query::of(parts.uri.query().unwrap_or_default().as_bytes());
    let form = Form { is_json: query.get("format") == Some("json"), is_read: is_read(&parts.method) };
    match site.options.door.admit(&parts) {
        Err(refusal) => outside(&refusal, form),
        Ok(Entry::Opened { cookie, to }) => with_cookie(reply::see(&to), &cookie),
        Ok(Entry::In(visit)) => {
            let asked = Asked { site, visit: &visit, query: &query };
            let response = match route(&asked, &parts, body).await {
                Ok(response) => response,
                Err(problem) => {
                    if problem.code == 401 {
                        site.options.door.forget(&visit.user);
                    }
                    inside(&asked, &problem, form)
                }
            };
            visit.cookie.iter().fold(response, |response, cookie| with_cookie(response, cookie))
        }
    }
}

/// The form in which it is said that something was not done.
#[derive(Clone, Copy)]
struct Form {
    is_json: bool,
    /// Whether a page was asked for, which can be asked for again.
    is_read: bool,
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

async fn route(asked: &Asked<'_>, parts: &Parts, body: Body) -> Result<Response<Body>, Problem> {
    let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    // What stands in an address is looked for by these names, and becomes part of requests.
    let named = path.get(1..3).unwrap_or_default();
    if named.len() == 2 && !named.iter().all(|name| is_object_name(name)) {
        return Err(Problem::no_page());
    }
    match (is_read(&parts.method), path.as_slice()) {
        (true, [""]) => asked.flows().await,
        (true, ["runs"]) => asked.runs().await,
        (true, ["clusters"]) => asked.clusters().await,
        (true, ["attention"]) => asked.attention().await,
        (true, ["live"]) => {
            let scope = asked.scope()?;
            let (own, place) = places(asked)?;
            let watched = asked.visit.user.watches.of(&scope)?;
            Ok(with_place(live::live(watched, asked.query, own), place))
        }
        (true, ["flows", namespace, name]) => asked.flow(namespace, name).await,
        (true, ["flows", namespace, name, "backfill"]) => asked.backfill_preview(namespace, name).await,
        (true, ["flows", namespace, name, "manifest"]) => asked.manifest(namespace, name).await,
        (true, ["clusters", namespace, name]) => asked.cluster(namespace, name).await,
        (true, ["runs", namespace, name]) => asked.run(namespace, name).await,
        (true, ["runs", namespace, name, "log"]) => {
            let (run, _) = asked.watched_run(namespace, name).await?;
            let cluster = asked.visit.user.cluster.within(namespace);
            Ok(log::whole(&cluster, &run, &log::Wanted::of(asked.query)).await?)
        }
        (true, ["runs", namespace, name, "log", "live"]) => {
            let (own, place) = places(asked)?;
            let run = asked.watched_run(namespace, name).await?;
            let cluster = asked.visit.user.cluster.within(namespace);
            let last = parts.headers.get(LAST_EVENT).and_then(|value| value.to_str().ok());
            Ok(with_place(log::live(&cluster, run, (asked.query, last), own).await?, place))
        }
        (false, [kind @ ("flows" | "runs" | "clusters"), namespace, name, verb])
            if parts.method == Method::POST =>
        {
            let body = timeout(FORM, to_bytes(body, FORM_BYTES_MAX)).await;
            let body = body.map_err(|_| Problem::new(408, "the form did not come in time: send it again"))?;
            let body =
                body.map_err(|_| Problem::new(400, "the form is larger than 256 KiB, or broke off"))?;
            let form = Query::of(&body);
            let written = timeout(WRITE, asked.write((kind, namespace, name), verb, &form)).await;
            written.unwrap_or_else(|_| {
                Err(Problem::new(504, "the API server did not answer in time: look whether it is done"))
            })
        }
        (true, _) => Err(Problem::no_page()),
        (false, _) => Err(Problem::new(405, "a page is only read: forms on it do what can be done")),
    }
}

/// Places for a connection that stays: one of the user's, and one of all.
fn places(asked: &Asked<'_>) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Problem> {
    let full = |_| Problem::new(503, "too many pages are open: close some of them");
    let own = asked.visit.user.live.clone().try_acquire_owned().map_err(full)?;
    Ok((own, asked.site.live.clone().try_acquire_owned().map_err(full)?))
}

/// An answer that has a place until its end.
fn with_place(response: Response<Body>, place: OwnedSemaphorePermit) -> Response<Body> {
    let place = Arc::new(place);
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |part| {
            let _keeps = &place;
            part
        }))
    })
}

fn with_cookie(mut response: Response<Body>, cookie: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// Why a request is not answered, for one who has not come in.
fn outside(refusal: &Refusal, form: Form) -> Response<Body> {
    let problem = Problem::new(refusal.code(), refusal.to_string());
    shown(&problem, Frame { title: problem.title().to_owned(), ..Frame::default() }, form)
}

/// The same for one who has.
fn inside(asked: &Asked<'_>, problem: &Problem, form: Form) -> Response<Body> {
    let frame = asked.frame(problem.title(), "", &asked.scope_or_usual());
    shown(problem, frame, form)
}

fn shown(problem: &Problem, frame: Frame, form: Form) -> Response<Body> {
    let Problem { code, words } = problem;
    if form.is_json {
        return reply::json(*code, &serde_json::json!({"code": code, "message": words}));
    }
    reply::page(
        *code,
        &Trouble { frame, code: *code, words: words.clone(), again: form.is_read && PASSING.contains(code) },
    )
}
