//! To which addresses connections may go, where somebody else has written the address: not to what only this machine is
//! to reach.
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses at which clouds tell a machine its secrets, beside the link-local 169.254.169.254: of AWS over IPv6
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>), of Alibaba Cloud, and the one
/// of Azure's hosts.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

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
        let address = address.to_canonical();
        match self {
            Self::All => true,
            Self::Others => !is_own(address),
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// The addresses that a host has, as far as connections may go to them.
    pub(super) async fn lookup(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let all = tokio::net::lookup_host((host, port)).await?;
        Ok(all.filter(|address| self.has(address.ip())).collect())
    }
}

/// Whether an address means something else to each machine, or is the way to a machine's secrets.
fn is_own(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || METADATA.contains(&address)
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
        assert_eq!(Reach::Others.lookup("localhost", 1).await.unwrap(), []);
        assert!(!Reach::All.lookup("localhost", 1).await.unwrap().is_empty());
    }
}
