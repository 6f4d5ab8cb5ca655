//! The other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tyrscale_tls::PeerCertificate;

/// The other end of a connection, as far as the connection tells.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// What it showed, when TLS is spoken and it showed one that an authority certifies.
    pub certificate: Option<Arc<PeerCertificate>>,
}

impl Peer {
    /// What limits count by: an IPv4 address, or the network an IPv6 address is one of at will. Source: RFC 6177.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        match self.address.ip().to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(network.into())
            }
            address @ IpAddr::V4(_) => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let network = |address: &str| {
            let peer = Peer {
                address: address.parse().unwrap(),
                certificate: None,
            };
            peer.network().to_string()
        };
        assert_eq!(network("[2001:db8::1]:1"), network("[2001:db8::ffff]:2"));
        assert_ne!(network("[2001:db8::1]:1"), network("[2001:db8:0:1::1]:1"));
        assert_eq!(network("[::ffff:10.0.0.1]:1"), "10.0.0.1");
    }
}
