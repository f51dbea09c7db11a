//! What any body that lives long has: a clock, a log, output, heartbeats, probes and metrics over HTTP.

pub mod clock;
pub mod heartbeats;
pub mod http;
pub mod log;
pub mod out;
