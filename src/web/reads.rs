//! Pages, each as HTML and as JSON.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use http::Response;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde::Serialize;
use tokio::time::timeout;

use super::asked::Asked;
use super::page::frame::Frame;
use super::page::past::{Past, past};
use super::page::run::Around;
use super::page::seen::{Seen, name_of, namespace_of};
use super::page::trouble::Opening;
use super::page::words::link;
use super::page::{attention, backfill, clusters, flow, flows, run, runs};
use super::problem::Problem;
use super::watches::{Scope, Watched};
use super::writes::backfill_wanted;
use super::{log, reply};
use crate::api::{Flow, FlowRun, Kind, labels};
use crate::client::{Cluster, Error};

/// How long a page waits for objects that are read for the first time, before it is sent without them.
const WARM: Duration = Duration::from_millis(40);
/// How long a program waits for them.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

type Reply = Result<Response<Body>, Problem>;

/// What was read for a page, or the page that says that it is not read yet.
pub(super) enum Read {
    Seen(Arc<Seen>, Arc<Watched>),
    Opening(Response<Body>),
}

/// A page as it is for programs.
#[derive(Serialize)]
struct Whole<'a, P> {
    #[serde(flatten)]
    page: &'a P,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    without: &'a [String],
}

impl Asked<'_> {
    /// The objects of a scope, for a page that is `about` one kind of them.
    async fn read(&self, scope: &Scope, about: Option<Kind>, mut frame: Frame) -> Result<Read, Problem> {
        let watched = self.visit.user.watches.of(scope)?;
        let patience = if self.is_json() { PATIENCE } else { WARM };
        // That it takes longer is said by the page.
        let _ = timeout(patience, watched.opened()).await;
        match watched.seen(scope, about)? {
            Some(seen) => Ok(Read::Seen(seen, watched)),
            None if self.is_json() => Err(Problem::new(503, "the objects are not read yet: try again")),
            None => {
                frame.live = live(scope, watched.number(), "");
                Ok(Read::Opening(reply::page(200, &Opening { frame })))
            }
        }
    }

    /// A page, and for a program what could not be read as well.
    pub(super) fn answer(&self, page: &(impl Template + Serialize), without: &[String]) -> Response<Body> {
        if self.is_json() { reply::json(200, &Whole { page, without }) } else { reply::page(200, page) }
    }

    /// A page of a list, for which `draw` makes the page of what was read.
    async fn list<P: Template + Serialize>(
        &self,
        (title, part, about): (&str, &'static str, Option<Kind>),
        draw: impl FnOnce(Frame, &Seen, &Scope) -> P,
    ) -> Reply {
        let scope = self.scope()?;
        let frame = self.frame(title, part, &scope);
        match self.read(&scope, about, frame.clone()).await? {
            Read::Opening(page) => Ok(page),
            Read::Seen(seen, watched) => {
                let live = live(&scope, watched.number(), "");
                let frame = Frame { live, notes: seen.notes.clone(), ..frame };
                Ok(self.answer(&draw(frame, &seen, &scope), &seen.notes))
            }
        }
    }

    /// All Flows.
    pub async fn flows(&self) -> Reply {
        let now = self.site.options.clock.now();
        let draw =
            |frame: Frame, seen: &Seen, scope: &Scope| flows::flows(frame, seen, &self.wanted(scope), now);
        self.list(("Flows", "flows", Some(Kind::Flow)), draw).await
    }

    /// All runs.
    pub async fn runs(&self) -> Reply {
        let now = self.site.options.clock.now();
        let draw =
            |frame: Frame, seen: &Seen, scope: &Scope| runs::runs(frame, seen, &self.wanted(scope), now);
        self.list(("Runs", "runs", Some(Kind::FlowRun)), draw).await
    }

    /// All clusters.
    pub async fn clusters(&self) -> Reply {
        let draw =
            |frame: Frame, seen: &Seen, scope: &Scope| clusters::clusters(frame, seen, &self.wanted(scope));
        self.list(("Clusters", "clusters", Some(Kind::DaskCluster)), draw).await
    }

    /// What needs a look.
    pub async fn attention(&self) -> Reply {
        let now = self.site.options.clock.now();
        let draw = |frame: Frame, seen: &Seen, _: &Scope| attention::attention(frame, seen, now);
        self.list(("Attention", "attention", None), draw).await
    }

    /// The frame of an object's page, and what was read in its namespace.
    pub(super) async fn around(
        &self,
        (part, about): (&'static str, Kind),
        namespace: &str,
        name: &str,
    ) -> Result<(Frame, Read), Problem> {
        let mut frame = self.frame(name, part, &self.scope_around(namespace));
        let scope = Scope::Namespace(namespace.to_owned());
        let read = self.read(&scope, Some(about), frame.clone()).await?;
        if let Read::Seen(seen, _) = &read {
            frame.notes.clone_from(&seen.notes);
        }
        Ok((frame, read))
    }

    /// A Flow.
    pub async fn flow(&self, namespace: &str, name: &str) -> Reply {
        let (frame, read) = self.around(("flows", Kind::Flow), namespace, name).await?;
        let (seen, watched) = match read {
            Read::Opening(page) => return Ok(page),
            Read::Seen(seen, watched) => (seen, watched),
        };
        let found = seen.flow(namespace, name).ok_or_else(|| not_there("Flow", namespace, name))?;
        let live = live(&Scope::Namespace(namespace.to_owned()), watched.number(), &format!("&flow={name}"));
        let page = flow::flow(Frame { live, ..frame }, &seen, found, self.site.options.clock.now());
        Ok(self.answer(&page, &seen.notes))
    }

    /// What a backfill of a Flow would do.
    pub async fn backfill_preview(&self, namespace: &str, name: &str) -> Reply {
        let wanted = backfill_wanted(self.query)?;
        let (frame, read) = self.around(("flows", Kind::Flow), namespace, name).await?;
        let seen = match read {
            Read::Opening(page) => return Ok(page),
            Read::Seen(seen, _) => seen,
        };
        let is_it =
            |flow: &&Arc<Flow>| name_of(flow.as_ref()) == name && namespace_of(flow.as_ref()) == namespace;
        let found = seen.flows.iter().find(is_it).ok_or_else(|| not_there("Flow", namespace, name))?;
        let frame = Frame { title: format!("Backfill of {name}"), ..frame };
        let (now, all, flow) = (self.site.options.clock.now(), seen.clone(), found.clone());
        let failed =
            |error: &dyn std::error::Error| Problem::new(500, format!("it was not computed: {error}"));
        let _place = self.site.computed.acquire().await.map_err(|error| failed(&error))?;
        let computed =
            tokio::task::spawn_blocking(move || backfill::backfill(frame, &all, &flow, wanted, now));
        let page = computed.await.map_err(|error| failed(&error))?;
        Ok(self.answer(&page, &seen.notes))
    }

    /// The manifest of a Flow, whole.
    pub async fn manifest(&self, namespace: &str, name: &str) -> Reply {
        let (_, read) = self.around(("flows", Kind::Flow), namespace, name).await?;
        match read {
            Read::Seen(seen, _) => {
                let found = seen.flow(namespace, name).ok_or_else(|| not_there("Flow", namespace, name))?;
                Ok(reply::download(&format!("{name}.yaml"), flow::manifest(found)))
            }
            Read::Opening(_) => Ok(reply::see(&link("flows", namespace, name))),
        }
    }

    /// A run.
    pub async fn run(&self, namespace: &str, name: &str) -> Reply {
        let (frame, read) = self.around(("runs", Kind::FlowRun), namespace, name).await?;
        let (seen, watched) = match read {
            Read::Opening(page) => return Ok(page),
            Read::Seen(seen, watched) => (seen, watched),
        };
        let now = self.site.options.clock.now();
        let found = seen.run(namespace, name).ok_or_else(|| match remembered(&seen, namespace, name) {
            Some(run) => Problem::new(404, format!("the run {name} is deleted: it was {}", run.words(now))),
            None => not_there("FlowRun", namespace, name),
        })?;
        let live = live(&Scope::Namespace(namespace.to_owned()), watched.number(), &format!("&run={name}"));
        let cluster = self.visit.user.cluster.within(namespace);
        let read = around_run(&cluster, found, &log::Wanted::of(self.query)).await;
        let around = Around { logs_link: self.site.options.links.logs_of(found, now), ..read };
        let page = run::run(Frame { live, ..frame }, &seen, found, around, now);
        Ok(self.answer(&page, &seen.notes))
    }

    /// A run as it is watched.
    pub async fn watched_run(&self, namespace: &str, name: &str) -> Result<(FlowRun, Arc<Watched>), Problem> {
        let scope = Scope::Namespace(namespace.to_owned());
        let watched = self.visit.user.watches.of(&scope)?;
        let _ = timeout(PATIENCE, watched.opened()).await;
        let seen = watched.seen(&scope, Some(Kind::FlowRun))?.unwrap_or_default();
        let found = seen.run(namespace, name).ok_or_else(|| not_there("FlowRun", namespace, name))?;
        Ok((found.clone(), watched))
    }
}

/// The pods of a run and what they have written, as far as they may be read.
async fn around_run(cluster: &Cluster, found: &FlowRun, wanted: &log::Wanted) -> Around {
    let name = found.metadata.name.as_deref().unwrap_or_default();
    let selector = format!("{}={name}", labels::RUN);
    let pods = async {
        let api: kube::Api<Pod> = cluster.api();
        let listed = timeout(PATIENCE, api.list(&ListParams::default().labels(&selector))).await;
        match listed {
            Ok(Ok(listed)) => (listed.items, Vec::new()),
            Ok(Err(error)) => {
                let action = format!("list pods in the namespace {}", cluster.namespace);
                (Vec::new(), vec![format!("without pods: {}", Error::of(error, &action))])
            }
            Err(_) => (Vec::new(), vec!["without pods: the API server did not answer in time".to_owned()]),
        }
    };
    let ((pods, notes), log) = tokio::join!(pods, log::shown(cluster, found, wanted));
    Around { pods, notes, log, logs_link: None }
}

/// The address of the changes of a scope.
pub(super) fn live(scope: &Scope, number: u64, more: &str) -> String {
    let namespace = match scope {
        Scope::Namespace(name) => name.as_str(),
        Scope::All => "",
    };
    format!("/live?namespace={namespace}&seen={number}{more}")
}

/// What a Flow remembers of a run that is deleted.
fn remembered(seen: &Seen, namespace: &str, name: &str) -> Option<Past> {
    let flows = seen.flows.iter().filter(|flow| namespace_of(flow.as_ref()) == namespace);
    flows.flat_map(|flow| past(flow, &[])).find(|run| run.name == name)
}

/// That there is no such object.
pub(super) fn not_there(kind: &str, namespace: &str, name: &str) -> Problem {
    Problem::new(
        404,
        format!("there is no {kind} called {name} in the namespace {namespace}: it may be deleted meanwhile"),
    )
}
