//! What a plan of each kind is made from: read from the caches, from the API server where a plan asks for it,
//! and from Dask schedulers. Nothing is decided here, and nothing is written.

mod backfill;
mod cluster;
mod flow;
mod run;
