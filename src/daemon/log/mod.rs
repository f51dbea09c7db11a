//! Log lines: text for people or JSON for programs, each with the object that it is about, and a filter that
//! can be changed while the operator runs.
//!
//! A reconcile opens a span with `kind`, `namespace` and `name`; all that is logged within it has them,
//! whoever logs.

mod json;
pub mod level;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::io;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry, reload};

pub use level::{BadFilter, Level};
#[cfg(feature = "otlp")]
pub use otlp::Traces;

/// Traces, of which this build knows nothing: they are the cargo feature `otlp`.
#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
pub enum Traces {}

#[cfg(not(feature = "otlp"))]
impl Traces {
    fn layer(&self) -> tracing_subscriber::layer::Identity {
        match *self {}
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// From now on this process logs to standard error what `filter` lets through, such as `info` or
/// `daskflow=debug,warn`, and sends `traces` of it. The answer changes the filter.
///
/// # Errors
///
/// The filter makes no sense.
pub fn start(filter: &str, format: Format, traces: Option<&Traces>) -> Result<Level, BadFilter> {
    let (subscriber, level) = subscriber(filter, format, traces, io::stderr)?;
    subscriber.init();
    Ok(level)
}

/// What takes the log lines of a process, or of a test.
fn subscriber<W>(
    filter: &str,
    format: Format,
    traces: Option<&Traces>,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + 'static, Level), BadFilter>
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (filtering, handle) = reload::Layer::new(level::parse(filter)?);
    let text = (format == Format::Text).then(|| fmt::layer().with_ansi(false).with_writer(writer.clone()));
    let json = (format == Format::Json).then(|| json::Lines::to(writer));
    let traces = traces.map(Traces::layer);
    Ok((registry().with(filtering).with(traces).with(text).with(json), Level::of(handle, filter)))
}
