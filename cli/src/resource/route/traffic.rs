//! What becomes of a route's traffic: retries, limits, tiers, consistency, and pages in browsers.

use tyrscale_proto::v1;

use crate::resource::{
    parse_milliseconds,
    part::{Texts, part},
};

part! {
    "Retries" Retry = v1::Retry {
        /// Attempts of one request over all upstreams; when not given one per upstream and those on the same, at most 8.
        #[arg(long = "retry-max-attempts", id = "retry_max_attempts", value_name = "N")]
        max_attempts: u32,
        /// How often failed upstreams are asked again when no other is left; 2 when not given.
        #[arg(long = "retry-same-upstream", id = "retry_same_upstream", value_name = "N")]
        same_upstream_attempts: u32,
        /// First pause before an upstream is asked again; 25ms when not given.
        #[arg(long = "retry-backoff", id = "retry_backoff", value_name = "TIME", value_parser = parse_milliseconds)]
        backoff_ms: u32,
        /// Longest such pause; 1s when not given.
        #[arg(long = "retry-backoff-max", id = "retry_backoff_max", value_name = "TIME", value_parser = parse_milliseconds)]
        backoff_max_ms: u32,
        /// Until an upstream's answer begins; the gateway's own when not given.
        #[arg(long = "attempt-timeout", id = "attempt_timeout", value_name = "TIME", value_parser = parse_milliseconds)]
        attempt_timeout_ms: u32,
        /// For all attempts, until the answer begins; the gateway's own when not given.
        #[arg(long = "request-timeout", id = "request_timeout", value_name = "TIME", value_parser = parse_milliseconds)]
        request_timeout_ms: u32,
        /// Retries as a share of requests, percent; 100 when not given.
        #[arg(long = "retry-budget-percent", id = "retry_budget_percent", value_name = "PERCENT")]
        budget_percent: u32,
        /// Retries a second allowed beside the share; 10 when not given.
        #[arg(long = "retry-budget-min", id = "retry_budget_min", value_name = "N")]
        budget_min_per_second: u32,
    }
}

part! {
    "Limits of clients" Limits = v1::RouteLimits {
        /// Calls a second of all clients together; 0 is no limit.
        #[arg(long = "limit-rps", id = "limit_rps", value_name = "RATE")]
        requests_per_second: f64,
        /// Calls above the rate at once; a second's worth when not given.
        #[arg(long = "limit-burst", id = "limit_burst", value_name = "N")]
        burst: u32,
        /// Calls a second of each client; 0 is no limit.
        #[arg(long = "limit-client-rps", id = "limit_client_rps", value_name = "RATE")]
        client_requests_per_second: f64,
        /// Calls of a client above its rate at once; a second's worth when not given.
        #[arg(long = "limit-client-burst", id = "limit_client_burst", value_name = "N")]
        client_burst: u32,
        /// Header whose value tells clients apart; their address when not given.
        #[arg(long = "limit-client-key-header", id = "limit_client_key_header", value_name = "NAME")]
        client_key_header: String,
        /// Addresses and networks that are not limited, "10.0.0.0/8,::1".
        #[arg(long = "limit-exempt-networks", id = "limit_exempt_networks", value_name = "LIST")]
        exempt_networks: Texts,
        /// Most calls in a batch; the gateway's own limit when not given.
        #[arg(long = "limit-batch", id = "limit_batch", value_name = "N")]
        max_batch: u32,
        /// Largest body of a request; the gateway's own limit when not given.
        #[arg(long = "limit-body-bytes", id = "limit_body_bytes", value_name = "BYTES")]
        max_body_bytes: u64,
        /// Message of the error beyond a rate.
        #[arg(long = "limit-message", id = "limit_message", value_name = "TEXT")]
        message: String,
    }
}

part! {
    "Pages in browsers" Cors = v1::Cors {
        /// Origins whose pages may call: "*", or a list such as `https://app.example,https://*.example.com`.
        #[arg(long = "cors-origins", id = "cors_origins", value_name = "LIST")]
        allowed_origins: Texts,
        /// Request headers they may set.
        #[arg(long = "cors-headers", id = "cors_headers", value_name = "LIST")]
        allowed_headers: Texts,
        /// Headers of the answer they may read.
        #[arg(long = "cors-exposed-headers", id = "cors_exposed_headers", value_name = "LIST")]
        exposed_headers: Texts,
        /// Whether they may send credentials.
        #[arg(long = "cors-credentials", id = "cors_credentials", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        allow_credentials: bool,
        /// Seconds a browser may remember the leave.
        #[arg(long = "cors-max-age", id = "cors_max_age", value_name = "SECONDS")]
        max_age_s: u32,
    }
}

part! {
    "Tiers of upstreams" Tiers = v1::Tiers {
        /// A tier keeps all its traffic while its healthy share times this is at least 100; 140 when not given.
        #[arg(long = "tier-overprovisioning", id = "tier_overprovisioning", value_name = "PERCENT")]
        overprovisioning_percent: u32,
        /// How long a tier must be able to take more before it gets more back; 10s when not given.
        #[arg(long = "tier-return-after", id = "tier_return_after", value_name = "TIME", value_parser = parse_milliseconds)]
        return_after_ms: u32,
    }
}

part! {
    "Consistency" Consistency = v1::Consistency {
        /// Whether latest, safe and finalized are replaced by the number they stand for.
        #[arg(long = "rewrite-block-tags", id = "rewrite_block_tags", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        rewrite_block_tags: bool,
        /// Most blocks a range of eth_getLogs may span; 0 is no limit.
        #[arg(long = "max-log-range", id = "max_log_range", value_name = "BLOCKS")]
        max_log_range: u64,
        /// Whether null for something looked up by hash asks another upstream.
        #[arg(long = "empty-lookups-elsewhere", id = "empty_lookups_elsewhere", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        empty_lookups_elsewhere: bool,
        /// Blocks an upstream may be ahead and be believed; 15000 when not given.
        #[arg(long = "max-height-jump", id = "max_height_jump", value_name = "BLOCKS")]
        max_height_jump: u64,
    }
}
