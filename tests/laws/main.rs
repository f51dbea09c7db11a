//! Laws that hold over any history, each lived through many times: `cargo test --test laws cluster` for one kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod backfill;
mod cluster;
mod flow;
