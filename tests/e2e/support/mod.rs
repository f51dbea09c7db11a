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
pub mod shared;
pub mod timeline;
pub mod times;
pub mod turns;
pub mod workers;

pub use clock::{poll, within};
pub use harness::{leave_out, test, test_on};
pub use manifests::{dask_cluster, flow, run_now};
pub use namespace::Namespace;
pub use shared::Shared;
pub use turns::Load;
pub use workers::small_cluster;
