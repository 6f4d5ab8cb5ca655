//! Method filters on the command line.

use tyrscale_proto::v1;

use super::part::{Texts, part};

part! {
    "Methods" Methods = v1::MethodFilter {
        /// Methods let through, also when ignored, "eth_*,net_version"; alone, nothing else is.
        #[arg(long = "allow-methods", id = "allow_methods", value_name = "LIST")]
        allow: Texts,
        /// Methods not let through, "debug_*,trace_*".
        #[arg(long = "ignore-methods", id = "ignore_methods", value_name = "LIST")]
        ignore: Texts,
    }
}
