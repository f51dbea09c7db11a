//! What speaks to a Dask scheduler: real ones of several releases, scripts that play one, and bytes without
//! sense.
//!
//! `cargo test --test dask real` are those with real schedulers, `faults::` and so on those of one file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod certificates;
mod faults;
mod faults_scaling;
mod fuzz;
mod leave;
mod peer;
mod processes;
mod real;
mod real_closing;
mod real_scaling;
mod real_tls;
mod tls;
