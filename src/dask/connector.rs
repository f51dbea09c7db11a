//! The way to schedulers: opens connections, over TCP or over what its owner has in the place of it.
//!
//! It is given, not global: connectors that were made apart from each other share nothing, neither the room
//! for long messages nor the places for looking names up.
use super::address::{Address, Scheme};
use super::budget::Budget;
use super::connection::{Connection, Stream};
use super::error::Error;
use super::reach::{Lookups, Reach};
use super::tls::Credentials;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A stream that is being opened. It has no time limit of its own.
pub type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, Error>> + Send>>;

/// Opens connections to schedulers. A clone is cheap and the same.
#[derive(Clone)]
pub struct Connector {
    dial: Arc<dyn Fn(&Address) -> Opening + Send + Sync>,
    budget: Budget,
}

impl Connector {
    /// Over TCP, to addresses within reach; all others are [`Error::OutOfReach`]. Its connections share the
    /// room of `budget` with all others that do.
    pub fn tcp(reach: Reach, budget: &Budget) -> Self {
        let way = Arc::new((reach, Lookups::default()));
        let dial = move |address: &Address| -> Opening {
            let (way, address) = (way.clone(), address.clone());
            Box::pin(async move {
                let (reach, lookups) = way.as_ref();
                tcp_stream(reach, lookups, &address).await
            })
        };
        Self::by(dial, budget)
    }

    /// Over the streams that `dial` opens to addresses, such as pipes within this process.
    pub fn by(dial: impl Fn(&Address) -> Opening + Send + Sync + 'static, budget: &Budget) -> Self {
        Self { dial: Arc::new(dial), budget: budget.clone() }
    }

    /// Opens a stream and nothing more, for what is not spoken by a scheduler: to the same addresses.
    ///
    /// # Errors
    /// The address is out of reach, or takes no connection within `deadline`.
    pub async fn stream(&self, address: &Address, deadline: Duration) -> Result<Box<dyn Stream>, Error> {
        let late = Error::Timeout { what: "accept the connection", limit: deadline };
        timeout(deadline, (self.dial)(address)).await.unwrap_or(Err(late))
    }

    /// Connects, over TLS with these credentials or plainly as the address says, and shakes hands, all within
    /// `deadline`. A `tcp://` address needs no credentials and makes no use of them.
    ///
    /// # Errors
    /// A `tls://` address without credentials is [`Error::WrongScheme`]; else whatever keeps the two from
    /// shaking hands.
    pub async fn open(
        &self,
        address: &Address,
        credentials: Option<&Credentials>,
        deadline: Duration,
    ) -> Result<Connection, Error> {
        let credentials = match (address.scheme(), credentials) {
            (Scheme::Tcp, _) => None,
            (Scheme::Tls, Some(credentials)) => Some(credentials),
            (Scheme::Tls, None) => {
                return Err(Error::WrongScheme(
                    "a tls:// address needs certificates, and this connection has none",
                ));
            }
        };
        let opening = async {
            let mut stream = (self.dial)(address).await?;
            if let Some(credentials) = credentials {
                stream = Box::new(credentials.secure(address.host(), stream).await?);
            }
            Connection::greet(stream, Some(address.scheme()), self.budget.clone()).await
        };
        let late = Error::Timeout { what: "accept the connection and answer the handshake", limit: deadline };
        timeout(deadline, opening).await.unwrap_or(Err(late))
    }
}

impl Default for Connector {
    /// Over TCP to anywhere, with a budget of its own.
    fn default() -> Self {
        Self::tcp(Reach::All, &Budget::default())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Opens a stream over TCP.
async fn tcp_stream(reach: &Reach, lookups: &Lookups, address: &Address) -> Result<Box<dyn Stream>, Error> {
    let found = lookups.resolve(address.host(), address.port()).await.map_err(Error::Unreachable)?;
    let places = reach.of(found);
    if places.is_empty() {
        return Err(Error::OutOfReach { host: address.host().to_owned() });
    }
    let stream = TcpStream::connect(places.as_slice()).await.map_err(Error::Unreachable)?;
    stream.set_nodelay(true).map_err(Error::Unreachable)?;
    Ok(Box::new(stream))
}
