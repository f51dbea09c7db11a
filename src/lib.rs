//! daskflow deploys flows onto Dask clusters.
//!
//! The layers, and who may know whom: `cli` knows `operator` and `manifest`; `operator` knows `plan` and
//! `dask`; `manifest` knows `plan`; `plan` knows `api`; `api`, `dask` and `gateway`, a client of Dask
//! Gateway's REST API, know none of the others. `plan` decides and is pure, and so is `manifest`, which
//! checks what users write; `operator` acts. `cluster_api`, a Kubernetes API in this process, knows
//! `manifest` and `api`. `local` runs the operator on it, with processes in the place of pods. `daemon` is
//! what any body that lives long has: a clock, a log, probes. `causes` puts errors into words. `client` is
//! what people do with a cluster, as requests of their own; `view` is what objects look like to them, and is
//! pure; `cli` prints both, and `web` serves both to browsers.
//! `tests/files/architecture` enforces it.

pub mod api;
pub mod causes;
pub mod cli;
pub mod client;
pub mod cluster_api;
pub mod daemon;
pub mod dask;
pub mod gateway;
pub mod local;
pub mod manifest;
pub mod operator;
pub mod plan;
pub mod view;
pub mod web;
