//! Laws that hold over any history, each lived through many times: `cargo test --test laws cluster` for one
//! kind. The election is not lived through but explored, state by state.
//!
//! With `DASKFLOW_LAWS=long`, as `make laws` has it, they live through many more, for as long as a search for
//! rare faults takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cluster;
mod dask;
mod lease;
mod operator;
mod wants;
mod words;

/// How many histories a law lives through: in each run of the tests, or in a long search.
fn histories([always, long]: [u32; 2]) -> u32 {
    if is_long() { long } else { always }
}

fn is_long() -> bool {
    std::env::var_os("DASKFLOW_LAWS").is_some_and(|length| length == "long")
}
