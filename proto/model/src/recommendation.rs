//! Recommendations: routes whose weights are computed on a schedule.

mod expression;
mod guards;
mod parameters;
mod promql;
mod schedule;

use std::{fmt, str::FromStr};

pub use expression::{Expression, Measure};
pub use guards::Guards;
pub use parameters::{BlendShares, CallMix, Parameters};
pub use promql::PromQl;
pub use schedule::Schedule;

use crate::{Kind, Name, ResourceKey, RouteId, Violation, ViolationCode, rpc::words, rules::Rules};

/// How measurements become weights. The first six words are those of the original REST interface and its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecommendationStrategy {
    /// An expression of the operator's.
    Custom,
    /// Freshness.
    HighestBlock,
    /// The area between the network's best height and the node's.
    AreaUnderTheCurve,
    /// The rate each upstream bears.
    RateLimit,
    /// Another name of [`RecommendationStrategy::AreaUnderTheCurve`].
    AreaBlockNumber,
    /// The old spelling of [`RecommendationStrategy::AreaUnderTheCurve`].
    AirUnderTheCurve,
    /// The time of answers.
    Latency,
    /// The share of attempts that fail.
    ErrorRate,
    /// Freshness, latency, errors and price together.
    Balanced,
    /// Price against quality.
    Cost,
}

words!(RecommendationStrategy, "strategy", "must be one of [STRATEGY_CUSTOM STRATEGY_HIGHEST_BLOCK STRATEGY_AREA_UNDER_THE_CURVE STRATEGY_RATE_LIMIT STRATEGY_AREA_BLOCK_NUMBER STRATEGY_AIR_UNDER_THE_CURVE STRATEGY_LATENCY STRATEGY_ERROR_RATE STRATEGY_BALANCED STRATEGY_COST]", {
    Custom => "STRATEGY_CUSTOM",
    HighestBlock => "STRATEGY_HIGHEST_BLOCK",
    AreaUnderTheCurve => "STRATEGY_AREA_UNDER_THE_CURVE",
    RateLimit => "STRATEGY_RATE_LIMIT",
    AreaBlockNumber => "STRATEGY_AREA_BLOCK_NUMBER",
    AirUnderTheCurve => "STRATEGY_AIR_UNDER_THE_CURVE",
    Latency => "STRATEGY_LATENCY",
    ErrorRate => "STRATEGY_ERROR_RATE",
    Balanced => "STRATEGY_BALANCED",
    Cost => "STRATEGY_COST",
});

/// What becomes of computed weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RecommendationMode {
    /// They are written.
    #[default]
    Apply,
    /// They are written once an operator approves the run.
    Propose,
    /// They are only recorded.
    Shadow,
}

words!(RecommendationMode, "mode", "must be one of [apply propose shadow]", {
    Apply => "apply",
    Propose => "propose",
    Shadow => "shadow",
});

/// What upstreams of equal score get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RecommendationPrior {
    /// Shares of their own weights.
    #[default]
    Operator,
    /// The same.
    Even,
}

words!(RecommendationPrior, "prior", "must be one of [operator even]", {
    Operator => "operator",
    Even => "even",
});

/// Has the weights of a route computed. One per route, and one per network.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// The id: the route whose upstreams get weights.
    pub route_id: RouteId,
    /// The network measured.
    pub network: Name,
    /// When.
    pub schedule: Schedule,
    /// How.
    pub strategy: RecommendationStrategy,
    /// What becomes of the weights.
    pub mode: RecommendationMode,
    /// How far back measurements go, seconds; 0: [`Recommendation::DEFAULT_WINDOW_S`].
    pub window_s: u32,
    /// What upstreams of equal score get.
    pub prior: RecommendationPrior,
    /// What keeps the weights from doing harm; absent: the defaults.
    pub guards: Option<Guards>,
    /// The numbers in the strategies' formulas; absent: the defaults.
    pub parameters: Option<Parameters>,
    /// The score of an upstream, for [`RecommendationStrategy::Custom`].
    pub expression: Option<Expression>,
    /// The scores of all upstreams, for [`RecommendationStrategy::Custom`].
    pub promql: Option<PromQl>,
}

impl Recommendation {
    /// How far back measurements go when it does not say, seconds.
    pub const DEFAULT_WINDOW_S: u32 = 300;

    /// One with everything else at its default.
    #[must_use]
    pub const fn new(
        route_id: RouteId,
        network: Name,
        schedule: Schedule,
        strategy: RecommendationStrategy,
    ) -> Self {
        Self {
            route_id,
            network,
            schedule,
            strategy,
            mode: RecommendationMode::Apply,
            window_s: 0,
            prior: RecommendationPrior::Operator,
            guards: None,
            parameters: None,
            expression: None,
            promql: None,
        }
    }

    /// The key of the recommendation of a route.
    #[must_use]
    pub fn key_of(route_id: RouteId) -> ResourceKey {
        ResourceKey::new(Kind::Recommendation, route_id.to_string())
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        Self::key_of(self.route_id)
    }

    /// How far back measurements go, seconds.
    #[must_use]
    pub const fn window_s(&self) -> u32 {
        match self.window_s {
            0 => Self::DEFAULT_WINDOW_S,
            set => set,
        }
    }

    /// What keeps its weights from doing harm.
    #[must_use]
    pub fn guards(&self) -> Guards {
        self.guards.unwrap_or_default()
    }

    /// The numbers in the formulas.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        self.parameters.unwrap_or_default()
    }

    /// The rules the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.zero_or("window_s", self.window_s, 10..=86_400);
        let is_custom = self.strategy == RecommendationStrategy::Custom;
        let wanted = "the strategy STRATEGY_CUSTOM";
        rules.needs("expression", self.expression.is_some(), wanted, is_custom);
        rules.needs("promql", self.promql.is_some(), wanted, is_custom);
        let both = self.expression.is_some() && self.promql.is_some();
        let rule = "must not be set beside expression";
        rules.refuse_if(both, "promql", ViolationCode::Invalid, rule);
        let mut found = rules.finish();
        found.extend(self.guards.iter().flat_map(Guards::violations));
        found.extend(self.parameters.iter().flat_map(Parameters::violations));
        found
    }
}
