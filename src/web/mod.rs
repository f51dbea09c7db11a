//! The page: Flows, runs and clusters in a browser, of a cluster that the visitor may look at.
//!
//! Every request to the API server is made with the visitor's own rights: on a machine of theirs with the
//! client of their kubeconfig, in a cluster with the bearer token of the request that asks for the page. The
//! page has no rights of its own, keeps nothing, and decides nothing: it shows objects in the words of
//! [`crate::view`], and does what [`crate::client`] does for the commands.
//!
//! What always holds: what comes from objects and logs is escaped (no template has a way around it); the
//! browser may load nothing from elsewhere (`Content-Security-Policy`); what changes something is a form of
//! our own page, and is checked to be one ([`door`]); one user's watches are seen by no other ([`users`]).

mod asked;
mod bearer;
mod cluster;
mod connections;
mod dashboards;
mod door;
mod live;
mod load;
mod log;
mod page;
mod problem;
mod query;
mod reads;
mod reply;
mod routes;
mod secret;
mod site;
mod users;
mod watches;
mod writes;

pub use bearer::Server;
pub use door::{Door, Loopback};
pub use routes::{router, serve};
pub use secret::NoRandomness;
pub use site::{Links, Options};
pub use users::{Clients, Users};
pub use watches::Scope;
