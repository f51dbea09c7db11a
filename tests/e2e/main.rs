//! End-to-end tests: real Kubernetes, real containers, real Dask and Prefect, and the operator's own image.
//!
//! `make e2e` makes a cluster and runs them. Without a cluster each test says why it is left out. Every test
//! works in a namespace of its own, or shares one with a cluster in it; it is deleted when they succeed and
//! kept when one fails. The tests run side by side, but not more Dask clusters than a small machine bears.
//! Those that kill the operator come after the others, each with an operator of its own, and those that
//! disturb everybody run alone (`support::turns`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../api/agreement/mod.rs"]
#[allow(dead_code, reason = "daskflow local gets the file that is changed as well")]
mod agreement;
#[path = "../api/cases.rs"]
mod cases;
#[path = "../dask/certificates.rs"]
#[allow(dead_code, reason = "tests of the connection to a scheduler need more of it")]
mod certificates;
#[path = "../api/kubectl.rs"]
mod kubectl_commands;
#[path = "../docs/pages.rs"]
mod pages;
mod support;

mod at_rest;
mod attempts;
mod autoscaling;
mod backfill;
mod bad_input;
mod burst;
mod catch_up;
mod clusters;
mod commands;
mod concurrency;
mod dashboard;
mod docs;
mod doors;
mod draining;
mod engines;
mod example;
mod gateway;
mod gitops;
mod helm;
mod history;
mod holds;
mod idle;
mod kubecluster;
mod kubectl;
mod laptop;
mod leader;
mod many_clocks;
mod metrics;
mod midnight;
mod mutations;
mod neighbours;
mod network_policy;
mod operator_killed;
mod outage;
mod outcomes;
mod page;
mod pods;
mod quota;
mod refusals;
mod repair;
mod rights;
mod rollout;
mod rules;
mod runs;
mod scaling;
mod sidecars;
mod thousand;
mod ticks;
mod tls;
