//! What needs nothing but the files of the project and its program: rules, definitions, pages, commands,
//! metrics, the shape of the code, what comes into it, and what GitOps tools make of our objects.
//!
//! `cargo test --test files docs` are those of one file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../api/agreement/mod.rs"]
mod agreement;
mod api_rules;
mod architecture;
#[path = "../api/cases.rs"]
mod cases;
mod cli_next;
mod cli_validate;
#[path = "../client/mod.rs"]
mod client;
mod cluster_api;
#[path = "../compat/mod.rs"]
mod compat;
mod crd_additive;
mod crd_size;
mod docs;
mod get_started;
mod gitops;
#[path = "../local/mod.rs"]
mod local;
mod metrics;
#[path = "../docs/pages.rs"]
mod pages;
mod program;
mod supply_chain;
#[path = "../web/mod.rs"]
mod web;
mod words;
