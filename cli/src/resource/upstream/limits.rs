//! What an upstream may be asked.

use tyrscale_proto::v1;

use crate::resource::part::part;

part! {
    "Limits of the upstream" Limits = v1::UpstreamLimits {
        /// Calls a second; 0 is no limit.
        #[arg(long = "limit-rps", id = "limit_rps", value_name = "RATE")]
        requests_per_second: f64,
        /// Calls above the rate at once; a second's worth when not given.
        #[arg(long = "limit-burst", id = "limit_burst", value_name = "N")]
        burst: u32,
        /// Requests in flight; 0 is no limit.
        #[arg(long = "limit-concurrent", id = "limit_concurrent", value_name = "N")]
        max_concurrent: u32,
    }
}
