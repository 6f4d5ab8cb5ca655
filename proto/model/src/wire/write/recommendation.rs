//! Recommendations as messages.

use tyrscale_proto::v1;

use crate::{
    Guards, Parameters, Recommendation, RecommendationMode, RecommendationPrior, RecommendationStrategy,
};

pub(super) fn to_wire(recommendation: &Recommendation) -> v1::Recommendation {
    let mode = match recommendation.mode {
        RecommendationMode::Apply => v1::RecommendationMode::Apply,
        RecommendationMode::Propose => v1::RecommendationMode::Propose,
        RecommendationMode::Shadow => v1::RecommendationMode::Shadow,
    };
    let prior = match recommendation.prior {
        RecommendationPrior::Operator => v1::RecommendationPrior::Operator,
        RecommendationPrior::Even => v1::RecommendationPrior::Even,
    };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    v1::Recommendation {
        route_id: recommendation.route_id.to_string(),
        network: recommendation.network.to_string(),
        schedule: recommendation.schedule.as_str().to_owned(),
        strategy: strategy(recommendation.strategy).into(),
        mode: mode.into(),
        window_s: recommendation.window_s,
        prior: prior.into(),
        guards: recommendation.guards.map(guards),
        parameters: recommendation.parameters.map(parameters),
        expression: text(recommendation.expression.as_ref().map(crate::Expression::as_str)),
        promql: text(recommendation.promql.as_ref().map(crate::PromQl::as_str)),
        meta: None,
    }
}

const fn strategy(strategy: RecommendationStrategy) -> v1::RecommendationStrategy {
    match strategy {
        RecommendationStrategy::Custom => v1::RecommendationStrategy::Custom,
        RecommendationStrategy::HighestBlock => v1::RecommendationStrategy::HighestBlock,
        RecommendationStrategy::AreaUnderTheCurve => v1::RecommendationStrategy::AreaUnderTheCurve,
        RecommendationStrategy::RateLimit => v1::RecommendationStrategy::RateLimit,
        RecommendationStrategy::AreaBlockNumber => v1::RecommendationStrategy::AreaBlockNumber,
        RecommendationStrategy::AirUnderTheCurve => v1::RecommendationStrategy::AirUnderTheCurve,
        RecommendationStrategy::Latency => v1::RecommendationStrategy::Latency,
        RecommendationStrategy::ErrorRate => v1::RecommendationStrategy::ErrorRate,
        RecommendationStrategy::Balanced => v1::RecommendationStrategy::Balanced,
        RecommendationStrategy::Cost => v1::RecommendationStrategy::Cost,
    }
}

const fn guards(guards: Guards) -> v1::RecommendationGuards {
    v1::RecommendationGuards {
        min_samples: guards.min_samples,
        hysteresis: guards.hysteresis,
        min_dwell_s: guards.min_dwell_s,
        max_step: guards.max_step,
        floor_weight: guards.floor_weight,
        min_usable: guards.min_usable,
        max_age_s: guards.max_age_s,
    }
}

const fn parameters(parameters: Parameters) -> v1::RecommendationParameters {
    v1::RecommendationParameters {
        tolerance_blocks: parameters.tolerance_blocks,
        half_life_blocks: parameters.half_life_blocks,
        half_life_error_percent: parameters.half_life_error_percent,
        latency_exponent: parameters.latency_exponent,
        price_exponent: parameters.price_exponent,
        quality_exponent: parameters.quality_exponent,
        headroom_percent: parameters.headroom_percent,
        freshness_share: parameters.blend.freshness,
        latency_share: parameters.blend.latency,
        error_share: parameters.blend.errors,
        price_share: parameters.blend.price,
        calls_mix: parameters.mix.calls,
        logs_mix: parameters.mix.logs,
        traces_mix: parameters.mix.traces,
        transactions_mix: parameters.mix.transactions,
    }
}
