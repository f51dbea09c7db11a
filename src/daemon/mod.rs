//! What any body that lives long has: a clock, a log, heartbeats, probes and metrics over HTTP.

pub mod clock;
pub mod heartbeats;
pub mod http;
pub mod log;
