//! What a person does with a cluster: find, read, run, wait, follow, stop, scale, check, connect, report.
//!
//! All of it is requests of the caller's own client, so it needs no right but the caller's. It prints
//! nothing: what it gives is shown by the commands, and by whatever else people use. Every error names the
//! object and the next step.
//!
//! What it does not do: it decides nothing that the operator decides. A run is created, and what becomes of
//! it is read.

pub mod certificate;
pub mod cluster;
pub mod dashboard;
pub mod error;
pub mod find;
pub mod follow;
pub mod forward;
pub mod logs;
pub mod preflight;
pub mod read;
pub mod redact;
pub mod report;
pub mod runs;
pub mod scale;
pub mod suspend;
pub mod tail;
pub mod version;
pub mod wait;

pub use cluster::Cluster;
pub use error::Error;
