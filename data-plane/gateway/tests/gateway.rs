//! The gateway over real sockets, in front of simulated nodes.
#![cfg(test)]

mod gateway {
    mod bodies;
    mod breaker_and_health;
    mod calls;
    mod classes;
    mod coding;
    mod cors;
    mod failover;
    mod hardening;
    mod harness;
    mod headers;
    mod http2_upstream;
    mod metrics;
    #[cfg(feature = "otlp")]
    mod otlp;
    mod reload;
    mod routing;
    mod secrets;
    mod seeing;
    mod server;
    mod service;
    mod stale;
    mod strategies;
    mod tls;
    mod transport;
}
