//! `daskflow status`

use clap::Args;
use serde_json::Value;

use super::access::Access;
use super::failure::Failure;
use super::format::{Format, Output};
use super::session::Session;
use crate::api::Kind;
use crate::client::find::{self, Found, Named};
use crate::client::read::{self, Scope};
use crate::view::objects::Objects;
use crate::view::status::{self, Shown};
use crate::view::tree::Tree;

/// Exit code 0: it is shown, whatever is wrong with it. 1: it is not there, or may not be read. 2: the
/// command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A Flow, a run, a cluster or a backfill, by its name, with its kind before it where several have it:
    /// `flow/nightly`. Default: all of the namespace.
    #[arg(value_name = "[KIND/]NAME")]
    object: Option<Named>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "object"])]
    all_namespaces: bool,
    /// Only objects with these labels, such as team=data.
    #[arg(short = 'l', long, default_value = "", hide_default_value = true, conflicts_with = "object")]
    selector: String,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    if let Some(named) = &arguments.object {
        one(named, session).await?;
    } else {
        let scope = Scope { everywhere: arguments.all_namespaces, selector: arguments.selector.clone() };
        all(&scope, session).await?;
    }
    Ok(0)
}

/// The kinds that are looked for, the usual ones first: a cluster of a run's own has the run's name.
pub(super) const KINDS: [Kind; 4] = [Kind::Flow, Kind::FlowRun, Kind::DaskCluster, Kind::FlowBackfill];

/// An object with all that belongs to it, and sentences about what could not be read of it.
pub(super) async fn tree(found: &Found, session: &Session<'_>) -> Result<(Tree, Vec<String>), Failure> {
    let (objects, notes) = read::around(&session.cluster, found).await?;
    let shown = Shown { objects: &objects, now: session.clock.now(), detail: true };
    let tree = match found {
        Found::Cluster(cluster) => status::cluster(cluster, &shown),
        Found::Flow(flow) => status::flow(flow, &shown),
        Found::Run(run) => status::run(run, &shown),
        Found::Backfill(backfill) => status::backfill(backfill, &shown),
    };
    Ok((tree, notes))
}

async fn one(named: &Named, session: &mut Session<'_>) -> Result<(), Failure> {
    let found = find::find(&session.cluster, named, &KINDS).await?;
    if !session.format.is_for_people() {
        return session.print(&[found.to_value()?], "");
    }
    let (tree, notes) = tree(&found, session).await?;
    session.draw(&tree)?;
    for note in notes {
        session.note(&note);
    }
    Ok(())
}

async fn all(scope: &Scope, session: &mut Session<'_>) -> Result<(), Failure> {
    let objects = read::all(&session.cluster, scope).await?;
    if !session.format.is_for_people() {
        let text = session.format.of(values(&objects)?)?;
        session.out.write_all(text.as_bytes())?;
        return Ok(());
    }
    let detail = session.format == Format::Wide;
    let mut namespaces: Vec<Option<String>> = namespaces(&objects);
    namespaces.sort();
    namespaces.dedup();
    for namespace in &namespaces {
        if scope.everywhere {
            writeln!(session.out, "{}:", namespace.as_deref().unwrap_or_default())?;
        }
        let within = within(&objects, namespace.as_ref());
        let shown = Shown { objects: &within, now: session.clock.now(), detail };
        for tree in status::all(&shown) {
            session.draw(&tree)?;
        }
    }
    if namespaces.is_empty() {
        let place = if scope.everywhere {
            "any namespace".to_owned()
        } else {
            format!("the namespace {}", session.cluster.namespace)
        };
        session.note(&format!("there is nothing of daskflow in {place}: -n names another one, -A shows all"));
    }
    Ok(())
}

/// All of them as they were read.
fn values(objects: &Objects) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for one in &objects.flows {
        all.push(serde_json::to_value(one)?);
    }
    for one in &objects.runs {
        all.push(serde_json::to_value(one)?);
    }
    for one in &objects.clusters {
        all.push(serde_json::to_value(one)?);
    }
    for one in &objects.backfills {
        all.push(serde_json::to_value(one)?);
    }
    Ok(all)
}

fn namespaces(objects: &Objects) -> Vec<Option<String>> {
    let flows = objects.flows.iter().map(|one| &one.metadata);
    let runs = objects.runs.iter().map(|one| &one.metadata);
    let clusters = objects.clusters.iter().map(|one| &one.metadata);
    let backfills = objects.backfills.iter().map(|one| &one.metadata);
    let all = flows.chain(runs).chain(clusters).chain(backfills);
    all.map(|metadata| metadata.namespace.clone()).collect()
}

/// The objects of one namespace.
fn within(objects: &Objects, namespace: Option<&String>) -> Objects {
    let mut part = objects.clone();
    part.flows.retain(|one| one.metadata.namespace.as_ref() == namespace);
    part.runs.retain(|one| one.metadata.namespace.as_ref() == namespace);
    part.clusters.retain(|one| one.metadata.namespace.as_ref() == namespace);
    part.backfills.retain(|one| one.metadata.namespace.as_ref() == namespace);
    part
}
