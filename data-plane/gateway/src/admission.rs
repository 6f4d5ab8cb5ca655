//! What clients may ask of a route: how much at once, how often, and which methods.
//!
//! Rates are the gateway's own, shared by its threads, and never make anybody wait. Clients are told apart by the
//! header that the route names, else by their address; what is remembered of them is bounded.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tyrscale_balance::{KeyedLimiter, Rate, TokenBucket};
use tyrscale_http1::Fields;
use tyrscale_model::{MethodFilter, RouteLimits};

use crate::config::Settings;

/// How many clients of a route are remembered. One that is forgotten has a full burst again.
const CLIENTS: usize = 65_536;

/// What clients may ask of one route.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: RouteLimits,
    /// `None` where all methods are served.
    methods: Option<MethodFilter>,
    all: Option<Arc<Shared>>,
    each: Option<Arc<Each>>,
}

/// The rate of all clients together.
#[derive(Debug)]
struct Shared {
    rate: Rate,
    bucket: Mutex<TokenBucket>,
}

/// The rate of each client.
#[derive(Debug)]
struct Each {
    rate: Rate,
    limiter: KeyedLimiter<Key, RandomState>,
    /// Keys are kept as their hashes: they may be long, and they are secrets.
    hasher: RandomState,
}

/// What tells a client from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    Header(u64),
}

/// A client whose calls count.
#[derive(Debug)]
pub(crate) struct Client(Option<Key>);

/// Whose rate is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Route,
    Client,
}

impl Scope {
    pub(crate) const ALL: [Self; 2] = [Self::Route, Self::Client];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Client => "client",
        }
    }
}

/// A call above a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    pub(crate) scope: Scope,
    /// When the next call may pass.
    ready_at: Instant,
}

impl Limited {
    /// Whole seconds until the next call may pass, at least one.
    pub(crate) fn seconds_from(&self, now: Instant) -> u64 {
        let wait = self.ready_at.saturating_duration_since(now);
        let begun = u64::from(wait.subsec_nanos() > 0);
        wait.as_secs().saturating_add(begun).max(1)
    }
}

impl Admission {
    /// What the configuration says; a rate that stays as it was `before` goes on with what is used of it.
    pub(crate) fn compile(model: &tyrscale_model::Route, before: Option<&Self>, now: Instant) -> Self {
        let limits = model.limits.as_deref().cloned().unwrap_or_default();
        let rate =
            |rate: Option<tyrscale_model::Rate>| rate.and_then(|it| Rate::new(it.per_second, it.burst));
        let all = rate(limits.rate()).map(|rate| shared(rate, before.and_then(|it| it.all.as_ref()), now));
        let each = rate(limits.client_rate()).map(|rate| each(rate, before.and_then(|it| it.each.as_ref())));
        Self {
            methods: model.methods.clone(),
            limits,
            all,
            each,
        }
    }

    /// Most calls in a batch.
    pub(crate) fn max_batch(&self, settings: &Settings) -> usize {
        let own = usize::try_from(self.limits.max_batch).unwrap_or(usize::MAX);
        lower(settings.max_batch, own)
    }

    /// Largest body of a request, in bytes.
    pub(crate) fn max_body_bytes(&self, settings: &Settings) -> usize {
        let own = usize::try_from(self.limits.max_body_bytes).unwrap_or(usize::MAX);
        lower(settings.max_body_bytes, own)
    }

    /// What is said about a call above a rate; empty: the usual.
    pub(crate) fn message(&self) -> &str {
        &self.limits.message
    }

    /// Whether a method is served.
    pub(crate) fn serves(&self, method: &str) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.lets_through(method))
    }

    /// Whose calls a request's count as; `None` when no rate counts them. `address` tells the client's.
    pub(crate) fn client(&self, fields: &Fields, address: impl FnOnce() -> IpAddr) -> Option<Client> {
        if self.all.is_none() && self.each.is_none() {
            return None;
        }
        let address = address();
        if self.limits.exempts(address) {
            return None;
        }
        let key = self.each.as_ref().map(|each| {
            let header = self.limits.client_key_header.as_ref();
            let named = header.and_then(|header| fields.get(header.as_str()));
            named.map_or_else(
                || Key::Address(network(address)),
                |key| Key::Header(each.hasher.hash_one(key)),
            )
        });
        Some(Client(key))
    }

    /// Takes one call of a client in. One above the client's own rate costs the others nothing.
    ///
    /// # Errors
    /// [`Limited`] when it is above a rate.
    pub(crate) fn admit(&self, client: &Client, now: Instant) -> Result<(), Limited> {
        let limited = |scope| move |ready_at| Limited { scope, ready_at };
        if let (Some(each), Client(Some(key))) = (&self.each, client) {
            each.limiter.try_pass(key, now).map_err(limited(Scope::Client))?;
        }
        self.all.as_ref().map_or(Ok(()), |all| {
            let mut bucket = all.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            if bucket.try_take(now) {
                Ok(())
            } else {
                Err(limited(Scope::Route)(bucket.ready_at(now).unwrap_or(now)))
            }
        })
    }
}

fn shared(rate: Rate, before: Option<&Arc<Shared>>, now: Instant) -> Arc<Shared> {
    let bucket = match before {
        Some(same) if same.rate == rate => return Arc::clone(same),
        Some(other) => {
            let mut bucket = other
                .bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            bucket.set_rate(rate, now);
            bucket
        }
        None => TokenBucket::new(rate, now),
    };
    Arc::new(Shared {
        rate,
        bucket: Mutex::new(bucket),
    })
}

fn each(rate: Rate, before: Option<&Arc<Each>>) -> Arc<Each> {
    match before {
        Some(same) if same.rate == rate => Arc::clone(same),
        _ => Arc::new(Each {
            rate,
            limiter: KeyedLimiter::new(rate, CLIENTS, RandomState::new()),
            hasher: RandomState::new(),
        }),
    }
}

/// The lower of two limits, the second of which may be none of its own, 0.
fn lower(limit: usize, own: usize) -> usize {
    if own == 0 { limit } else { limit.min(own) }
}

/// What one client has addresses of: one, or a network of 64 bits. Source: RFC 4291, section 2.5.4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tyrscale_model::{LoadBalancer, Route};

    use super::*;

    fn route(limits: RouteLimits) -> Route {
        let id = "00000000-0000-4000-0001-000000000001".parse().unwrap();
        Route {
            limits: Some(Box::new(limits)),
            ..Route::new(id, "h", "/", LoadBalancer::LeastLoad)
        }
    }

    fn of_each(header: Option<&str>) -> RouteLimits {
        RouteLimits {
            client_requests_per_second: 1.0,
            client_burst: 1,
            client_key_header: header.map(|name| name.parse().unwrap()),
            ..RouteLimits::default()
        }
    }

    fn passes(admission: &Admission, key: Option<&str>, address: &str, now: Instant) -> bool {
        let fields = key.map(|key| ("x-key", key.as_bytes()));
        let fields = Fields::from_pairs(fields).unwrap();
        admission
            .client(&fields, || address.parse().unwrap())
            .is_none_or(|client| admission.admit(&client, now).is_ok())
    }

    #[test]
    fn a_network_of_64_bits_is_one_client_and_a_mapped_address_is_the_address() {
        let now = Instant::now();
        let admission = Admission::compile(&route(of_each(None)), None, now);
        for (address, expected) in [
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("2001:db8:0:1::1", true),
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(passes(&admission, None, address, now), expected, "{address}");
        }
    }

    #[test]
    fn keys_tell_clients_apart_and_those_without_one_are_their_address() {
        let now = Instant::now();
        let admission = Admission::compile(&route(of_each(Some("x-key"))), None, now);
        for (key, expected) in [
            (Some("a"), true),
            (Some("b"), true),
            (Some("a"), false),
            (None, true),
            (None, false),
        ] {
            assert_eq!(passes(&admission, key, "10.0.0.1", now), expected, "{key:?}");
        }
    }

    #[test]
    fn a_client_over_its_own_rate_costs_the_others_nothing() {
        let now = Instant::now();
        let limits = RouteLimits {
            requests_per_second: 1.0,
            burst: 2,
            ..of_each(None)
        };
        let admission = Admission::compile(&route(limits), None, now);
        assert!(passes(&admission, None, "10.0.0.1", now));
        for _ in 0..10 {
            assert!(!passes(&admission, None, "10.0.0.1", now));
        }
        assert!(passes(&admission, None, "10.0.0.2", now));
        assert!(
            !passes(&admission, None, "10.0.0.3", now),
            "all together are over the rate of the route"
        );
    }

    #[test]
    fn what_is_used_of_a_rate_stays_used_through_a_change_of_the_configuration() {
        let now = Instant::now();
        let limits = RouteLimits {
            requests_per_second: 0.5,
            burst: 4,
            ..RouteLimits::default()
        };
        let first = Admission::compile(&route(limits.clone()), None, now);
        for _ in 0..4 {
            assert!(passes(&first, None, "10.0.0.1", now));
        }
        let same = Admission::compile(&route(limits.clone()), Some(&first), now);
        assert!(!passes(&same, None, "10.0.0.1", now));
        let faster = RouteLimits {
            requests_per_second: 1.0,
            ..limits
        };
        let changed = Admission::compile(&route(faster), Some(&same), now);
        assert!(!passes(&changed, None, "10.0.0.1", now));
        assert!(passes(&changed, None, "10.0.0.1", now + Duration::from_secs(1)));
    }

    #[test]
    fn clients_are_told_whole_seconds_to_wait() {
        let now = Instant::now();
        let after = |millis| Limited {
            scope: Scope::Route,
            ready_at: now + Duration::from_millis(millis),
        };
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (10_000, 10)] {
            assert_eq!(after(millis).seconds_from(now), seconds, "{millis}");
        }
    }
}
