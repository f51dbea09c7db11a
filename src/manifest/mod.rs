//! Manifests as users keep them in files: read with the lines that everything stands on, and checked without
//! a cluster.
//!
//! What it is: text in, [`Fault`]s out. The rules are the ones of the custom resource definitions (their
//! schemas and their CEL) and of [`crate::plan`]; none is written down here a second time.
//!
//! What it is not: it reads no file and asks no API server. What only a server knows (whether an object of
//! that name is there, what an admission webhook says) is not found here. Rules about a change of an object
//! (`oldSelf`) have nothing to compare with and are passed over, as at a first `kubectl apply`.

pub mod admission;
mod cel;
mod fault;
pub mod first;
mod json;
pub mod kustomization;
mod list;
mod meant;
mod metadata;
pub mod migration;
mod object;
mod placeholder;
mod planner;
mod rules;
mod scalar;
mod schema;
mod schemas;
pub mod shell;
pub mod similar;
mod way;
mod yaml;

pub use fault::Fault;
pub use object::{Checked, Manifest, check, check_at};
