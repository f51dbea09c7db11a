//! Traces: each reconcile is a span, with its log lines as events, and goes to a collector by OTLP over plain
//! HTTP.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>. The standard environment variables for sampling,
//! headers and attributes of the resource apply. It speaks no TLS: a collector in the same cluster passes on
//! what is to leave it.

use std::sync::mpsc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use opentelemetry_sdk::{Resource, runtime};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// A collector that takes longer is given up: the last spans are sent while the operator stops.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans to a collector until it is ended.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// To the collector at this address, such as `http://collector:4318`, from a task of the tokio runtime
    /// that is entered.
    ///
    /// # Errors
    ///
    /// The address cannot be read, or an environment variable of OpenTelemetry.
    pub fn to(endpoint: &str) -> Result<Self, ExporterBuildError> {
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter =
            SpanExporter::builder().with_http().with_endpoint(url).with_timeout(EXPORT_TIMEOUT).build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("daskflow").with_attribute(version).build();
        let processor = BatchSpanProcessor::builder(exporter, runtime::Tokio).build();
        let provider = SdkTracerProvider::builder().with_resource(resource).with_span_processor(processor);
        Ok(Self(provider.build()))
    }

    /// What hears of the spans.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("daskflow")).with_threads(false)
    }

    /// Sends what is left, for five seconds at most. It blocks, so it must not be called from a task.
    pub fn end(self) {
        let (ended, end) = mpsc::channel();
        // The batches that are left are sent one after the other, each with its own limit; the SDK has none
        // for all.
        std::thread::spawn(move || ended.send(self.0.shutdown()));
        match end.recv_timeout(EXPORT_TIMEOUT) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last traces could not be sent");
            }
            Err(_) => tracing::warn!("the last traces could not be sent in time"),
        }
    }
}
