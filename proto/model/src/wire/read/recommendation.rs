//! From messages of recommendations to the model.

use tyrscale_proto::v1;

use super::Reader;
use crate::{
    BlendShares, CallMix, Guards, Parameters, Recommendation, RecommendationMode, RecommendationPrior,
    RecommendationStrategy, Violation,
};

/// Reads a recommendation.
///
/// # Errors
/// Every broken rule of its fields.
pub fn recommendation_from_wire(message: &v1::Recommendation) -> Result<Recommendation, Vec<Violation>> {
    let mut reader = Reader::default();
    let route_id = reader.text("route_id", &message.route_id);
    let network = reader.text("network", &message.network);
    let schedule = reader.text("schedule", &message.schedule);
    let strategy = reader.word("strategy", message.strategy, strategy);
    let mode = reader.word("mode", message.mode, |value| {
        Some(match value {
            v1::RecommendationMode::Unspecified | v1::RecommendationMode::Apply => RecommendationMode::Apply,
            v1::RecommendationMode::Propose => RecommendationMode::Propose,
            v1::RecommendationMode::Shadow => RecommendationMode::Shadow,
        })
    });
    let prior = reader.word("prior", message.prior, |value| {
        Some(match value {
            v1::RecommendationPrior::Unspecified | v1::RecommendationPrior::Operator => {
                RecommendationPrior::Operator
            }
            v1::RecommendationPrior::Even => RecommendationPrior::Even,
        })
    });
    let expression = optional(&mut reader, "expression", &message.expression);
    let promql = optional(&mut reader, "promql", &message.promql);
    let recommendation = (|| {
        Some(Recommendation {
            route_id: route_id?,
            network: network?,
            schedule: schedule?,
            strategy: strategy?,
            mode: mode?,
            window_s: message.window_s,
            prior: prior?,
            guards: message.guards.map(guards_from_wire),
            parameters: message.parameters.map(parameters_from_wire),
            expression,
            promql,
        })
    })();
    reader.finish_checked(recommendation, Recommendation::violations)
}

/// A text that may be empty, which is none.
fn optional<T: std::str::FromStr<Err = Violation>>(
    reader: &mut Reader,
    field: &str,
    text: &str,
) -> Option<T> {
    (!text.is_empty()).then(|| reader.text(field, text)).flatten()
}

const fn strategy(value: v1::RecommendationStrategy) -> Option<RecommendationStrategy> {
    use v1::RecommendationStrategy as Wire;
    Some(match value {
        Wire::Unspecified => return None,
        Wire::Custom => RecommendationStrategy::Custom,
        Wire::HighestBlock => RecommendationStrategy::HighestBlock,
        Wire::AreaUnderTheCurve => RecommendationStrategy::AreaUnderTheCurve,
        Wire::RateLimit => RecommendationStrategy::RateLimit,
        Wire::AreaBlockNumber => RecommendationStrategy::AreaBlockNumber,
        Wire::AirUnderTheCurve => RecommendationStrategy::AirUnderTheCurve,
        Wire::Latency => RecommendationStrategy::Latency,
        Wire::ErrorRate => RecommendationStrategy::ErrorRate,
        Wire::Balanced => RecommendationStrategy::Balanced,
        Wire::Cost => RecommendationStrategy::Cost,
    })
}

const fn guards_from_wire(message: v1::RecommendationGuards) -> Guards {
    Guards {
        min_samples: message.min_samples,
        hysteresis: message.hysteresis,
        min_dwell_s: message.min_dwell_s,
        max_step: message.max_step,
        floor_weight: message.floor_weight,
        min_usable: message.min_usable,
        max_age_s: message.max_age_s,
    }
}

const fn parameters_from_wire(message: v1::RecommendationParameters) -> Parameters {
    Parameters {
        tolerance_blocks: message.tolerance_blocks,
        half_life_blocks: message.half_life_blocks,
        half_life_error_percent: message.half_life_error_percent,
        latency_exponent: message.latency_exponent,
        price_exponent: message.price_exponent,
        quality_exponent: message.quality_exponent,
        headroom_percent: message.headroom_percent,
        blend: BlendShares {
            freshness: message.freshness_share,
            latency: message.latency_share,
            errors: message.error_share,
            price: message.price_share,
        },
        mix: CallMix {
            calls: message.calls_mix,
            logs: message.logs_mix,
            traces: message.traces_mix,
            transactions: message.transactions_mix,
        },
    }
}
