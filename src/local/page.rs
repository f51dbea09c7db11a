//! The page of what runs here, for a browser of this machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use kube::Client;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::machine::Machine;
use crate::causes::chain;
use crate::client::Cluster;
use crate::daemon::clock::Clock;
use crate::web::{self, Door, Links, Loopback, Options, Scope};

/// The page, which is served for as long as this lives. That there is none is said, and ends nothing else.
pub async fn serve(client: &Client, clock: &Clock, machine: &Machine) -> Option<Page> {
    match begin(client, clock).await {
        Ok(page) => {
            machine.news.say(&format!("page: {} (opens once)", page.address));
            Some(page)
        }
        Err(error) => {
            machine.news.say(&format!("there is no page: {}", chain(&error)));
            None
        }
    }
}

/// It ends with this.
pub struct Page {
    /// The address that opens it, once in one browser.
    pub address: String,
    _server: AbortOnDropHandle<io::Result<()>>,
}

async fn begin(client: &Client, clock: &Clock) -> io::Result<Page> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let cluster = Cluster { client: client.clone(), namespace: "default".to_owned() };
    let loopback = Loopback::new(cluster, listener.local_addr()?).map_err(io::Error::other)?;
    let loopback = loopback.with_another_by("`daskflow ui --local`");
    let address = loopback.url();
    let options = Options {
        door: Door::Loopback(loopback),
        scope: Scope::All,
        read_only: false,
        links: Links::default(),
        clock: clock.clone(),
    };
    let server = AbortOnDropHandle::new(tokio::spawn(web::serve(listener, options)));
    Ok(Page { address, _server: server })
}
