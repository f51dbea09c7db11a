//! Who may ask the API over a port of this machine: whoever has its token, over TLS with a certificate of its
//! own.
//!
//! Both are made when it begins to listen, and are worth nothing when it ends. A client that takes the
//! certificate for its authority is kept from sending the token to another program that has the port later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

/// How many bytes of chance a token has.
const TOKEN_BYTES: usize = 32;
/// What the certificate is for.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];
/// How many connections may be in their handshake, and for how long.
const HANDSHAKES_MAX: usize = 64;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long until connections are accepted again where the machine has no room for one.
const AGAIN: Duration = Duration::from_secs(1);

/// A certificate with its key, and a token.
pub struct Access {
    certificate: String,
    token: String,
    tls: TlsAcceptor,
}

/// No certificate or token can be made.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No certificate.
    #[error("no certificate can be made for the API")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("TLS does not take the certificate of the API")]
    Tls(#[from] rustls::Error),
    /// The machine has no randomness.
    #[error("this machine gives no random numbers for a token")]
    Token,
}

impl Access {
    /// A new certificate for the names of loopback, and a new token, both of the machine's own randomness.
    ///
    /// # Errors
    ///
    /// The machine has none, or the certificate cannot be used.
    pub fn new() -> Result<Self, AccessError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, "daskflow");
        let certificate = params.self_signed(&key)?;
        let provider = Arc::new(ring::default_provider());
        let mut token = [0; TOKEN_BYTES];
        provider.secure_random.fill(&mut token).map_err(|_| AccessError::Token)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        let token = token.map(|byte| format!("{byte:02x}")).concat();
        Ok(Self { certificate: certificate.pem(), token, tls: TlsAcceptor::from(Arc::new(tls)) })
    }

    /// The certificate in PEM, which is its own authority.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The token, for `Authorization: Bearer`. A secret.
    pub fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn guard(&self) -> Guard {
        Guard(digest(&self.token))
    }

    /// Takes the connections of a listener, and gives those that speak TLS.
    pub(super) fn connections(&self, listener: TcpListener, address: SocketAddr) -> Connections {
        let (sender, taken) = mpsc::channel(1);
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, self.tls.clone(), sender)));
        Connections { address, taken, _accepting: accepting }
    }
}

/// Knows the token by its digest: to compare digests says nothing about the token, however long it takes.
#[derive(Clone, Copy)]
pub(super) struct Guard([u8; 32]);

impl Guard {
    /// Whether a request has the token.
    pub fn admits(self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        // The name of the scheme may be written in any case (RFC 9110, 11.1).
        let token = given.and_then(|value| value.split_once(' '));
        token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && digest(token.trim()) == self.0
        })
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// Connections whose handshake is done.
pub(super) struct Connections {
    address: SocketAddr,
    taken: mpsc::Receiver<Connection>,
    _accepting: AbortOnDropHandle<()>,
}

impl axum::serve::Listener for Connections {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        match self.taken.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Accepts always. A handshake that takes its time keeps no other one waiting.
async fn accept(listener: TcpListener, tls: TlsAcceptor, sender: mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no connection was accepted");
                sleep(AGAIN).await;
                continue;
            }
        };
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                // Whoever served them may have ended.
                let _ = sender.send((stream, from)).await;
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_alone_is_admitted() {
        let access = Access::new().unwrap();
        assert_eq!(access.token().len(), 2 * TOKEN_BYTES);
        assert_ne!(access.token(), Access::new().unwrap().token());
        let admits = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            access.guard().admits(&headers)
        };
        let token = access.token();
        assert!(admits(&format!("Bearer {token}")) && admits(&format!("bearer  {token}")));
        for wrong in [
            token.to_owned(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("Basic {token}"),
            format!("Bearer {token}0"),
        ] {
            assert!(!admits(&wrong), "{wrong}");
        }
        assert!(!access.guard().admits(&HeaderMap::new()));
    }
}
