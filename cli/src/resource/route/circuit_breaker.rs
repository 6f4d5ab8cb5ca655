//! Circuit breakers on the command line.

use tyrscale_proto::v1;

use crate::resource::{parse_milliseconds, part::part};

part! {
    "Circuit breaker" CircuitBreaker = v1::CircuitBreaker {
        /// Whether to stop sending to an upstream that fails.
        #[arg(long = "breaker", id = "breaker", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        enabled: bool,
        /// Trial requests while half-open; 3 when not given.
        #[arg(long = "breaker-max-requests", id = "breaker_max_requests", value_name = "N")]
        max_requests: u32,
        /// Failures in a row that open it; 3 when not given.
        #[arg(long = "breaker-max-consecutive-failures", id = "breaker_max_failures", value_name = "N")]
        max_consecutive_failures: u32,
        /// How often the closed state forgets its failures; 2m when not given.
        #[arg(long = "breaker-interval", id = "breaker_interval", value_name = "TIME", value_parser = parse_milliseconds)]
        interval_ms: u32,
        /// How long it stays open; 1m when not given.
        #[arg(long = "breaker-timeout", id = "breaker_timeout", value_name = "TIME", value_parser = parse_milliseconds)]
        timeout_ms: u32,
        /// Share of failures in an interval that opens it too; 0 is none.
        #[arg(long = "breaker-failure-percent", id = "breaker_failure_percent", value_name = "PERCENT")]
        failure_percent: u32,
        /// Requests below which the share says nothing; 20 when not given.
        #[arg(long = "breaker-min-samples", id = "breaker_min_samples", value_name = "N")]
        failure_min_samples: u32,
        /// By how much of its time it stays open longer, at random.
        #[arg(long = "breaker-jitter", id = "breaker_jitter", value_name = "PERCENT")]
        jitter_percent: u32,
    }
}
