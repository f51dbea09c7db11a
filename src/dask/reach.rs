//! To which addresses connections may go, where somebody else has written the address: not to what only this
//! machine is to reach.
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Addresses at which clouds tell a machine its secrets, beside the link-local 169.254.169.254: of Alibaba
/// Cloud, of Azure's hosts, and over IPv6 of AWS (all of `fd00:ec2::/32`,
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>), Google and
/// Oracle.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// So many names are looked up at a time. All blocking threads together are 512 (tokio's default), and
/// decoding needs some.
const LOOKUPS_MAX: usize = 64;

/// So many addresses of a name are tried; that of a hostile one may have thousands.
const ADDRESSES_MAX: usize = 8;

/// Where connections may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere.
    #[default]
    All,
    /// Anywhere but to loopback, link-local, multicast and metadata addresses.
    Others,
    /// Into these networks only, whatever they are.
    Networks(Vec<IpNet>),
}

impl Reach {
    /// Whether a connection may go to this address. An IPv4 address inside of an IPv6 one counts as itself.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = inner(address);
        match self {
            Self::All => true,
            Self::Others => !is_own(address),
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// Of the addresses that a host has, those to which connections may go.
    pub(super) fn of(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        addresses.into_iter().filter(|address| self.has(address.ip())).take(ADDRESSES_MAX).collect()
    }
}

/// The places for lookups.
#[derive(Clone, Debug)]
pub(super) struct Lookups(Arc<Semaphore>);

impl Lookups {
    /// The addresses of a host. The system's resolver blocks a thread, for as long as a name server is
    /// silent, and cannot be called off: a place is given back when the thread is, not when whoever asked
    /// gives up.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let place = self.0.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let host = host.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
            drop(place);
            found
        });
        lookup.await.map_err(std::io::Error::other)?
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS_MAX)))
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped (`::ffff:0:0/96`), compatible (`::/96`), translated
/// (`64:ff9b::/96`, RFC 6052) or by 6to4 (`2002::/16`, RFC 3056); else the address itself.
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let of = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match v6.segments() {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => of(high, low),
        _ => IpAddr::V6(v6),
    }
}

/// Whether an address means something else to each machine, or is the way to a machine's secrets.
fn is_own(address: IpAddr) -> bool {
    let is_of_machine = match address {
        IpAddr::V4(address) => {
            address.is_link_local() || address.is_broadcast() || METADATA_V4.contains(&address)
        }
        IpAddr::V6(address) => {
            let is_of_aws = matches!(address.segments(), [0xfd00, 0xec2, ..]);
            address.is_unicast_link_local() || is_of_aws || METADATA_V6.contains(&address)
        }
    };
    is_of_machine || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("127.0.0.1", false)]
    #[case("127.8.9.10", false)]
    #[case("::1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("0.0.0.0", false)]
    #[case("::", false)]
    #[case("169.254.169.254", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("fe80::1", false)]
    #[case("fd00:ec2::254", false)]
    #[case("fd00:ec2::23", false)]
    #[case("fd20:ce::254", false)]
    #[case("fd00:c1::a9fe:a9fe", false)]
    #[case("64:ff9b::7f00:1", false)]
    #[case("64:ff9b::a9fe:a9fe", false)]
    #[case("2002:7f00:1::", false)]
    #[case("::127.0.0.1", false)]
    #[case("64:ff9b::a00:1", true)]
    #[case("100.100.100.200", false)]
    #[case("168.63.129.16", false)]
    #[case("224.0.0.1", false)]
    #[case("ff02::1", false)]
    #[case("255.255.255.255", false)]
    #[case("10.0.0.1", true)]
    #[case("192.168.1.1", true)]
    #[case("100.64.0.1", true)]
    #[case("fd00::1", true)]
    #[case("8.8.8.8", true)]
    fn what_only_this_machine_is_to_reach_is_out_of_reach(#[case] address: IpAddr, #[case] has: bool) {
        assert_eq!(Reach::Others.has(address), has);
        assert!(Reach::All.has(address));
    }

    #[test]
    fn networks_that_are_named_are_all_that_there_is() {
        let reach =
            Reach::Networks(["10.1.0.0/16", "127.0.0.1/32"].map(|text| text.parse().unwrap()).to_vec());
        let has = |address: &str| reach.has(address.parse().unwrap());
        assert!(has("10.1.2.3") && has("127.0.0.1") && has("::ffff:10.1.2.3"));
        assert!(!has("10.2.0.1") && !has("127.0.0.2") && !has("fd00::1"));
    }

    #[tokio::test]
    async fn names_count_as_what_they_mean() {
        let lookups = Lookups::default();
        assert_eq!(Reach::Others.of(lookups.resolve("localhost", 1).await.unwrap()), []);
        assert!(!Reach::All.of(lookups.resolve("localhost", 1).await.unwrap()).is_empty());
    }
}
