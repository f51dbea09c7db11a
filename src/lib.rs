//! daskflow deploys flows onto Dask clusters.
//!
//! The layers, and who may know whom: `cli` knows `operator`; `operator` knows `plan` and `dask`; `plan` knows `api`;
//! `api` and `dask` know none of the others. `plan` decides and is pure; `operator` acts. `tests/architecture.rs`
//! enforces it.

pub mod api;
pub mod cli;
pub mod dask;
pub mod operator;
pub mod plan;
