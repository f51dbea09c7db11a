//! daskflow deploys flows onto Dask clusters.
pub mod api;
pub mod dask;
pub mod plan;
