//! What is logged, changed over HTTP while the operator runs: `GET /log` tells the filter, `PUT /log` sets
//! another one until the operator ends.
//!
//! It has a listener of its own, on a loopback address. `kubectl port-forward` connects from within the pod's
//! network, so whoever may forward ports of the operator's pod may change it, and nobody else: neither other
//! pods nor a proxy before the metrics reach a loopback address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// The longest filter, in bytes.
const FILTER_BYTES_MAX: usize = 4_096;

/// A filter that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log filter {filter:?} cannot be read: {why}; write a level (error, warn, info, debug, trace or off), or levels of \
     modules as in \"daskflow=debug,warn\""
)]
pub struct BadFilter {
    filter: String,
    why: String,
}

/// Reads a filter.
pub(super) fn parse(filter: &str) -> Result<EnvFilter, BadFilter> {
    let bad = |why: String| BadFilter { filter: filter.to_owned(), why };
    // Only the fields of spans, in brackets, may hold spaces that mean something.
    let text = if filter.contains('[') { filter.to_owned() } else { filter.replace(char::is_whitespace, "") };
    // A bare word that is not a level would be read as a module name and silence everything else.
    let is_odd =
        |part: &&str| part.is_empty() || (!part.contains('=') && part.parse::<LevelFilter>().is_err());
    if !filter.contains('[')
        && let Some(word) = text.split(',').find(is_odd)
    {
        return Err(bad(format!("{word:?} is no level")));
    }
    EnvFilter::try_new(&text).map_err(|error| bad(error.to_string()))
}

/// The filter of the log lines of this process.
#[derive(Clone, Debug)]
pub struct Level {
    handle: reload::Handle<EnvFilter, Registry>,
    filter: Arc<Mutex<String>>,
}

impl Level {
    /// Of the layer that this is the handle of, which filters by `filter` now.
    pub(super) fn of(handle: reload::Handle<EnvFilter, Registry>, filter: &str) -> Self {
        Self { handle, filter: Arc::new(Mutex::new(filter.to_owned())) }
    }

    /// The filter.
    pub fn get(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets another filter.
    ///
    /// # Errors
    ///
    /// The filter makes no sense; the one before stays.
    pub fn set(&self, filter: &str) -> Result<(), BadFilter> {
        let parsed = parse(filter)?;
        let mut current = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |error: reload::Error| BadFilter { filter: filter.to_owned(), why: error.to_string() };
        self.handle.reload(parsed).map_err(gone)?;
        filter.clone_into(&mut current);
        Ok(())
    }
}

/// Serves the filter on `address`, which must be a loopback address, for as long as it is polled. Where the
/// address is taken, the filter stays as it is: that is no reason not to run flows.
pub async fn serve(address: SocketAddr, level: Level) {
    let result = match TcpListener::bind(address).await {
        Ok(listener) => axum::serve(listener, routes(level)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(%address, error, "what is logged cannot be changed while the operator runs");
    }
    std::future::pending::<()>().await;
}

fn routes(level: Level) -> Router {
    Router::new()
        .route("/log", get(tell).put(change))
        .layer(DefaultBodyLimit::max(FILTER_BYTES_MAX))
        .with_state(level)
}

async fn tell(State(level): State<Level>) -> String {
    format!("{}\n", level.get())
}

async fn change(State(level): State<Level>, filter: String) -> (StatusCode, String) {
    let filter = filter.trim();
    match level.set(filter) {
        Ok(()) => {
            tracing::info!(filter, "the log filter was changed");
            (StatusCode::OK, format!("{filter}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
