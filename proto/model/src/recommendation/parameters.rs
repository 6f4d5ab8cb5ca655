//! The numbers in the formulas of the strategies.

use crate::{Violation, ViolationCode, recommendation::guards::bound, rules::Rules};

/// The numbers in the formulas of the strategies; what is absent means the default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parameters {
    /// Blocks an upstream may be behind and keep its score.
    pub tolerance_blocks: Option<f64>,
    /// Blocks behind that halve a score.
    pub half_life_blocks: Option<f64>,
    /// The share of failed attempts that halves a score, percent.
    pub half_life_error_percent: Option<f64>,
    /// How much latency counts.
    pub latency_exponent: Option<f64>,
    /// How much price counts.
    pub price_exponent: Option<f64>,
    /// How much quality counts against price.
    pub quality_exponent: Option<f64>,
    /// What is kept free below the rate at which an upstream throttles, percent.
    pub headroom_percent: Option<f64>,
    /// The shares of the parts of the balanced strategy.
    pub blend: BlendShares,
    /// The calls of the route by class.
    pub mix: CallMix,
}

/// The shares of the parts of the balanced strategy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BlendShares {
    /// Of freshness; absent: 1.
    pub freshness: Option<f64>,
    /// Of latency; absent: 1.
    pub latency: Option<f64>,
    /// Of errors; absent: 1.
    pub errors: Option<f64>,
    /// Of price; absent: 0.
    pub price: Option<f64>,
}

/// The calls of a route by class of price, as parts of any whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CallMix {
    /// Calls of no class; absent: 1.
    pub calls: Option<f64>,
    /// Logs and filters; absent: 0.
    pub logs: Option<f64>,
    /// Traces; absent: 0.
    pub traces: Option<f64>,
    /// Transactions sent; absent: 0.
    pub transactions: Option<f64>,
}

impl Parameters {
    /// Blocks an upstream may be behind and keep its score.
    #[must_use]
    pub fn tolerance_blocks(&self) -> f64 {
        self.tolerance_blocks.unwrap_or(2.0)
    }

    /// Blocks behind that halve a score.
    #[must_use]
    pub fn half_life_blocks(&self) -> f64 {
        self.half_life_blocks.unwrap_or(3.0)
    }

    /// The share of failed attempts that halves a score, 0 to 1.
    #[must_use]
    pub fn half_life_errors(&self) -> f64 {
        self.half_life_error_percent.unwrap_or(2.0) / 100.0
    }

    /// How much latency counts.
    #[must_use]
    pub fn latency_exponent(&self) -> f64 {
        self.latency_exponent.unwrap_or(2.0)
    }

    /// How much price counts.
    #[must_use]
    pub fn price_exponent(&self) -> f64 {
        self.price_exponent.unwrap_or(1.0)
    }

    /// How much quality counts against price.
    #[must_use]
    pub fn quality_exponent(&self) -> f64 {
        self.quality_exponent.unwrap_or(2.0)
    }

    /// What is kept free below the rate at which an upstream throttles, 0 to 1.
    #[must_use]
    pub fn headroom(&self) -> f64 {
        self.headroom_percent.unwrap_or(10.0) / 100.0
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        for (field, value, lowest, highest) in [
            ("tolerance_blocks", self.tolerance_blocks, 0.0, 1e6),
            ("half_life_blocks", self.half_life_blocks, 0.01, 1e6),
            (
                "half_life_error_percent",
                self.half_life_error_percent,
                0.01,
                100.0,
            ),
            ("latency_exponent", self.latency_exponent, 0.0, 10.0),
            ("price_exponent", self.price_exponent, 0.0, 10.0),
            ("quality_exponent", self.quality_exponent, 0.0, 20.0),
            ("headroom_percent", self.headroom_percent, 0.0, 90.0),
            ("freshness_share", self.blend.freshness, 0.0, 1000.0),
            ("latency_share", self.blend.latency, 0.0, 1000.0),
            ("error_share", self.blend.errors, 0.0, 1000.0),
            ("price_share", self.blend.price, 0.0, 1000.0),
            ("calls_mix", self.mix.calls, 0.0, 1e6),
            ("logs_mix", self.mix.logs, 0.0, 1e6),
            ("traces_mix", self.mix.traces, 0.0, 1e6),
            ("transactions_mix", self.mix.transactions, 0.0, 1e6),
        ] {
            bound(&mut rules, field, value, lowest..=highest);
        }
        let no_share = self.blend.shares().iter().all(|share| *share == 0.0);
        let rule = "must not be 0 like all other shares";
        rules.refuse_if(no_share, "freshness_share", ViolationCode::Invalid, rule);
        rules.within("parameters")
    }
}

impl BlendShares {
    /// Of freshness, latency, errors and price.
    #[must_use]
    pub fn shares(&self) -> [f64; 4] {
        let of = |share: Option<f64>| share.unwrap_or(1.0);
        [
            of(self.freshness),
            of(self.latency),
            of(self.errors),
            self.price.unwrap_or(0.0),
        ]
    }
}
