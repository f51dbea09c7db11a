//! What the end-to-end tests have in common.

pub mod audit;
pub mod certificate_kind;
pub mod client;
pub mod clock;
pub mod figures;
pub mod harness;
pub mod logs;
pub mod manifests;
pub mod metrics;
pub mod namespace;
pub mod operator;
pub mod programs;
pub mod report;
pub mod runners;
pub mod settings;
pub mod timeline;
pub mod workers;

pub use clock::{poll, within};
pub use harness::{Load, leave_out, test};
pub use manifests::{dask_cluster, flow, run_now};
pub use namespace::Namespace;
pub use workers::small_cluster;
