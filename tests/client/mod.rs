//! What people do with a cluster (`daskflow::client`, and the commands): on the API in this process, which
//! answers as an API server does, so that no cluster is needed.

mod faults;
mod follow;
pub mod forward;
pub mod front;
mod init;
mod local;
mod objects;
mod pages;
pub mod program;
mod report;
pub mod stage;
mod writes;
