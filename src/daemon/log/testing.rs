//! For the tests: a log that is kept.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn logging(filter: &str, format: Format) -> (tracing::subscriber::DefaultGuard, Level, Log) {
    tracing_to(None, filter, format)
}

pub(crate) fn tracing_to(
    traces: Option<&Traces>,
    filter: &str,
    format: Format,
) -> (tracing::subscriber::DefaultGuard, Level, Log) {
    let log = Log::default();
    let writer = log.clone();
    let (subscriber, level) = subscriber(filter, format, traces, move || writer.clone()).unwrap();
    (tracing::subscriber::set_default(subscriber), level, log)
}
