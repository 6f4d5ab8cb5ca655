//! What calls cost.

use crate::{Violation, ViolationCode, rules::Rules};

/// What calls to an endpoint cost, per million, in any currency that is the same for all endpoints of a network.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CallPrices {
    /// A call of none of the classes below.
    pub calls: f64,
    /// `eth_getLogs` and filters; absent: as any call.
    pub logs: Option<f64>,
    /// `debug_*` and `trace_*`; absent: as any call.
    pub traces: Option<f64>,
    /// `eth_sendRawTransaction` and its kind; absent: as any call.
    pub transactions: Option<f64>,
}

impl CallPrices {
    /// The highest price, per million calls.
    pub const MAX: f64 = 1e9;

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        for (field, price) in [
            ("calls", Some(self.calls)),
            ("logs", self.logs),
            ("traces", self.traces),
            ("transactions", self.transactions),
        ] {
            let broken = price.is_some_and(|price| !(0.0..=Self::MAX).contains(&price));
            let rule = "must be 0 to 1000000000";
            rules.refuse_if(broken, field, ViolationCode::OutOfRange, rule);
        }
        rules.within("prices")
    }
}
