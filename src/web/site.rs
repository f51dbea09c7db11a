//! What a page is of, and how it is served.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::dashboards::Dashboards;
use super::door::Door;
use super::watches::Scope;
use crate::daemon::clock::Clock;

/// How many connections with live changes or logs there are at the same time.
const LIVE_MAX: usize = 1_000;

/// Where other things are that the page leads to: addresses in which `${namespace}` and `${name}` stand for
/// those of the object.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The dashboard of a cluster.
    pub dashboard: Option<String>,
}

/// What is served, and to whom.
pub struct Options {
    /// Who may come in.
    pub door: Door,
    /// What is shown where the address names no namespace.
    pub scope: Scope,
    /// Whether nothing may be changed by the page.
    pub read_only: bool,
    /// Where other things are.
    pub links: Links,
    /// The time of day.
    pub clock: Clock,
}

/// The same, while it is served.
pub(super) struct Site {
    pub options: Options,
    /// Places for connections that stay.
    pub live: Arc<Semaphore>,
    /// The dashboards that are forwarded to this machine, on a person's machine only.
    pub dashboards: Dashboards,
}

impl Site {
    pub fn new(options: Options) -> Self {
        Self { options, live: Arc::new(Semaphore::new(LIVE_MAX)), dashboards: Dashboards::default() }
    }
}
