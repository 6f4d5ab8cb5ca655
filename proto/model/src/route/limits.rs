//! What clients may ask of a route.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use crate::{Rate, Violation, ViolationCode, rules::Rules};

/// What clients may ask of a route; 0 and empty mean no limit of the route's own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RouteLimits {
    /// Calls a second of all clients together.
    pub requests_per_second: f64,
    /// Calls above the rate at once.
    pub burst: u32,
    /// Calls a second of each client.
    pub client_requests_per_second: f64,
    /// Calls of a client above its rate at once.
    pub client_burst: u32,
    /// The header whose value tells clients apart; without one, the address does.
    pub client_key_header: Option<HeaderName>,
    /// Whose requests are neither counted nor limited.
    pub exempt_networks: Vec<IpNet>,
    /// Most calls in a batch.
    pub max_batch: u32,
    /// Largest body of a request, bytes.
    pub max_body_bytes: u64,
    /// The message of the error beyond a rate; empty: a standard one.
    pub message: String,
}

impl RouteLimits {
    /// The most exempt networks.
    pub const MAX_EXEMPT: usize = 64;
    /// The longest message, bytes.
    pub const MAX_MESSAGE: usize = 256;
    /// The largest limit of a batch, calls.
    pub const MAX_BATCH: u32 = 100_000;

    /// The rate of all clients together.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        Rate::of(self.requests_per_second, self.burst)
    }

    /// The rate of each client.
    #[must_use]
    pub fn client_rate(&self) -> Option<Rate> {
        Rate::of(self.client_requests_per_second, self.client_burst)
    }

    /// Whether requests from an address are neither counted nor limited.
    #[must_use]
    pub fn exempts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.exempt_networks
            .iter()
            .any(|network| network.contains(&address))
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let (all, each) = ("requests_per_second", "client_requests_per_second");
        Rate::check(&mut rules, (all, self.requests_per_second), ("burst", self.burst));
        Rate::check(
            &mut rules,
            (each, self.client_requests_per_second),
            ("client_burst", self.client_burst),
        );
        let has_each = self.client_requests_per_second != 0.0;
        let has_any = has_each || self.requests_per_second != 0.0;
        let either = "requests_per_second or client_requests_per_second";
        rules.needs(
            "client_key_header",
            self.client_key_header.is_some(),
            each,
            has_each,
        );
        rules.set_of("exempt_networks", &self.exempt_networks, Self::MAX_EXEMPT);
        let exempts = !self.exempt_networks.is_empty();
        rules.needs("exempt_networks", exempts, either, has_any);
        rules.at_most("max_batch", self.max_batch, Self::MAX_BATCH);
        rules.text("message", &self.message, Self::MAX_MESSAGE);
        rules.needs("message", !self.message.is_empty(), either, has_any);
        rules.within("limits")
    }
}

/// Reads an address or network; host bits of a network are dropped.
///
/// # Errors
/// A text that is neither.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, Violation> {
    let network = text.parse::<IpNet>().map(|network| network.trunc()).ok();
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    network.or_else(address).ok_or_else(|| {
        let rule = "must be an IP address or a network such as 10.0.0.0/8";
        Violation::new("", ViolationCode::Invalid, rule)
    })
}
