//! The page (`daskflow::web`, `daskflow ui`): requests and what is answered, on the API in this process.

mod browser;
mod clusters;
mod connections;
mod door;
mod links;
mod live;
mod many;
mod outages;
mod pages;
mod program;
mod proxied;
mod visitor;
mod watches;
mod writes;
