//! Where a scheduler listens: `tcp://host:port` or `tls://host:port`.
//!
//! It is not a resolver: a host is kept as written, and looked up at each connect.
use std::fmt;
use std::str::FromStr;

/// The port that a Dask scheduler listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 8786;

/// The longest host that is taken: a DNS name has at most 253 characters.
const HOST_BYTES_MAX: usize = 253;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain TCP.
    Tcp,
    /// TLS from the first byte on.
    Tls,
}

/// The address of a scheduler. Displays as Dask writes it, always with the port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// Why a text is not the address of a scheduler. The message tells what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `scheme://` in front.
    #[error("address {0:?} has no scheme: write tcp://host:port or tls://host:port")]
    NoScheme(String),
    /// A scheme of Dask, or of something else, that is not spoken here.
    #[error("address scheme {0:?} is not supported: use tcp:// or tls://")]
    Scheme(String),
    /// Nothing where the host should be.
    #[error("address {0:?} has no host: write tcp://host:port or tls://host:port")]
    NoHost(String),
    /// The host has characters that no host has, or is too long.
    #[error(
        "address has {0:?} for a host: write a DNS name, an IPv4 address, or an IPv6 address in brackets"
    )]
    Host(String),
    /// An IPv6 address without brackets, or a stray colon.
    #[error("address {0:?} has more than one colon after the scheme: write an IPv6 address in brackets")]
    Colons(String),
    /// The port is no number from 1 to 65535.
    #[error("address port {0:?} is not a number from 1 to 65535")]
    Port(String),
}

impl Address {
    /// The address of a host and port that are known to be good, for instance of a Service.
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Result<Self, AddressError> {
        if port == 0 {
            return Err(AddressError::Port(port.to_string()));
        }
        Ok(Self { scheme, host: parse_host(host)?, port })
    }

    /// How the bytes travel.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: a DNS name or an IP address, an IPv6 one without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 8786 where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| AddressError::NoScheme(shown(text)))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "tcp" => Scheme::Tcp,
            "tls" => Scheme::Tls,
            _ => return Err(AddressError::Scheme(shown(scheme))),
        };
        let (host, port) = split_port(rest)?;
        if host.is_empty() {
            return Err(AddressError::NoHost(shown(text)));
        }
        let port = port.map_or(Ok(DEFAULT_PORT), parse_port)?;
        Ok(Self { scheme, host: parse_host(host)?, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Tcp => "tcp",
            Scheme::Tls => "tls",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Cuts `host[:port]` or `[v6][:port]`; the brackets are dropped, and promise that an IPv6 address is inside.
fn split_port(rest: &str) -> Result<(&str, Option<&str>), AddressError> {
    if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(|| AddressError::Host(shown(rest)))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(AddressError::Host(shown(host)));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(AddressError::Port(shown(after))),
        };
    }
    match rest.split_once(':') {
        None => Ok((rest, None)),
        Some((_, port)) if port.contains(':') => Err(AddressError::Colons(shown(rest))),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse::<u16>().ok() } else { None };
    port.filter(|port| *port != 0).ok_or_else(|| AddressError::Port(shown(text)))
}

fn parse_host(host: &str) -> Result<String, AddressError> {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let fits = !host.is_empty() && host.len() <= HOST_BYTES_MAX;
    if fits && host.bytes().all(legal) { Ok(host.to_owned()) } else { Err(AddressError::Host(shown(host))) }
}

/// The text as a message may show it: user text is cut, so that a condition stays short.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_both_schemes_are_read() {
        let cases = [
            ("tcp://10.0.0.41:8786", "tcp://10.0.0.41:8786"),
            ("tls://scheduler.flows.svc:9000", "tls://scheduler.flows.svc:9000"),
            ("tcp://analytics-scheduler", "tcp://analytics-scheduler:8786"),
            ("TLS://host", "tls://host:8786"),
            ("tcp://[::1]:9000", "tcp://[::1]:9000"),
            ("tcp://[fe80::1]", "tcp://[fe80::1]:8786"),
        ];
        for (text, shown) in cases {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
        }
        let address: Address = "tcp://[::1]:9000".parse().unwrap();
        assert_eq!((address.host(), address.port(), address.scheme()), ("::1", 9000, Scheme::Tcp));
    }

    #[test]
    fn others_are_refused_with_what_to_write_instead() {
        let cases = [
            ("scheduler:8786", "has no scheme: write tcp://host:port"),
            ("", "has no scheme"),
            ("http://host:8787", "scheme \"http\" is not supported: use tcp:// or tls://"),
            ("ws://host", "scheme \"ws\" is not supported"),
            ("tcp://", "has no host"),
            ("tcp://:8786", "has no host"),
            ("tcp://host:", "port \"\" is not a number from 1 to 65535"),
            ("tcp://host:0", "port \"0\""),
            ("tcp://host:65536", "port \"65536\""),
            ("tcp://host:+1", "port \"+1\""),
            ("tcp://host:8786/", "port \"8786/\""),
            ("tcp://::1:8786", "write an IPv6 address in brackets"),
            ("tcp://[::1:8786", "for a host"),
            ("tcp://[host]:8786", "for a host"),
            ("tcp://[::1]8786", "port \"8786\""),
            ("tcp://user@host:1", "for a host"),
            ("tcp://ho st:1", "for a host"),
        ];
        for (text, part) in cases {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?} gave {error:?}");
        }
        let long = format!("tcp://{}:1", "a".repeat(254));
        assert!(long.parse::<Address>().unwrap_err().to_string().len() < 250);
    }

    #[test]
    fn a_built_address_obeys_the_same_rules() {
        assert_eq!(Address::new(Scheme::Tcp, "127.0.0.1", 1).unwrap().to_string(), "tcp://127.0.0.1:1");
        assert_eq!(Address::new(Scheme::Tls, "::1", 1).unwrap().to_string(), "tls://[::1]:1");
        assert!(Address::new(Scheme::Tcp, "a b", 1).is_err());
        assert!(Address::new(Scheme::Tcp, "a", 0).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_displays_the_same(text in "(tcp|tls)?(://)?.{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }
}
