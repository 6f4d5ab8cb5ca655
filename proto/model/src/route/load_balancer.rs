//! How a route picks an upstream.

use std::{fmt, str::FromStr};

use crate::{Violation, ViolationCode, rpc::words};

/// How a route picks an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoadBalancer {
    /// Smooth weighted round robin.
    WeightRoundRobin,
    /// Fewest requests in flight for its weight.
    LeastLoad,
    /// The highest weight that works.
    FailoverPriority,
    /// Several at once for methods that only read; the first good answer wins.
    Concurrent,
    /// Of two at random, the lower peak latency times requests in flight, for its weight.
    #[default]
    P2cPeakEwma,
}

words!(
    LoadBalancer,
    "load_balancer",
    "must be one of [weight-round-robin least-load failover-priority concurrent p2c-peak-ewma]",
    {
        WeightRoundRobin => "weight-round-robin",
        LeastLoad => "least-load",
        FailoverPriority => "failover-priority",
        Concurrent => "concurrent",
        P2cPeakEwma => "p2c-peak-ewma",
    }
);
