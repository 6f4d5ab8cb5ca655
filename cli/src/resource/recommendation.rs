//! Recommendations on the command line.

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{
    Meta, Resource, is_unset,
    part::part,
    word::{Word, number},
};
use crate::output::Columns;

part! {
    "Guards" Guards = v1::RecommendationGuards {
        /// Attempts in the window below which traffic says nothing; 20 when not given.
        #[arg(long = "min-samples", id = "min_samples", value_name = "N")]
        min_samples: u32,
        /// Points of weight that must move for a change to be worth it; 3 when not given.
        #[arg(long = "hysteresis", id = "hysteresis", value_name = "POINTS")]
        hysteresis: f64,
        /// Seconds between two changes; 60 when not given.
        #[arg(long = "min-dwell", id = "min_dwell", value_name = "SECONDS")]
        min_dwell_s: u32,
        /// Points by which a weight may move in one run; 30 when not given.
        #[arg(long = "max-step", id = "max_step", value_name = "POINTS")]
        max_step: f64,
        /// Points below which no upstream falls; 1 when not given.
        #[arg(long = "floor-weight", id = "floor_weight", value_name = "POINTS")]
        floor_weight: f64,
        /// Upstreams that keep at least 10 points; 1 when not given.
        #[arg(long = "min-usable", id = "min_usable", value_name = "N")]
        min_usable: u32,
        /// Seconds after which a measurement is stale; 60 when not given.
        #[arg(long = "max-age", id = "max_age", value_name = "SECONDS")]
        max_age_s: u32,
    }
}

part! {
    "Numbers in the formulas" Parameters = v1::RecommendationParameters {
        /// Blocks an upstream may be behind and keep its score; 2 when not given.
        #[arg(long = "tolerance-blocks", id = "tolerance_blocks", value_name = "BLOCKS")]
        tolerance_blocks: f64,
        /// Blocks behind that halve a score; 3 when not given.
        #[arg(long = "half-life-blocks", id = "half_life_blocks", value_name = "BLOCKS")]
        half_life_blocks: f64,
        /// The share of failures that halves a score; 2 when not given.
        #[arg(long = "half-life-error-percent", id = "half_life_error_percent", value_name = "PERCENT")]
        half_life_error_percent: f64,
        /// How much latency counts; 2 when not given.
        #[arg(long = "latency-exponent", id = "latency_exponent", value_name = "N")]
        latency_exponent: f64,
        /// How much price counts; 1 when not given.
        #[arg(long = "price-exponent", id = "price_exponent", value_name = "N")]
        price_exponent: f64,
        /// How much quality counts against price; 2 when not given.
        #[arg(long = "quality-exponent", id = "quality_exponent", value_name = "N")]
        quality_exponent: f64,
        /// What is kept free below the rate an upstream bears; 10 when not given.
        #[arg(long = "headroom-percent", id = "headroom_percent", value_name = "PERCENT")]
        headroom_percent: f64,
        /// Share of freshness in STRATEGY_BALANCED; 1 when not given.
        #[arg(long = "freshness-share", id = "freshness_share", value_name = "N")]
        freshness_share: f64,
        /// Share of latency; 1 when not given.
        #[arg(long = "latency-share", id = "latency_share", value_name = "N")]
        latency_share: f64,
        /// Share of errors; 1 when not given.
        #[arg(long = "error-share", id = "error_share", value_name = "N")]
        error_share: f64,
        /// Share of price; 0 when not given.
        #[arg(long = "price-share", id = "price_share", value_name = "N")]
        price_share: f64,
        /// Calls of no class among the route's; 1 when not given.
        #[arg(long = "calls-mix", id = "calls_mix", value_name = "N")]
        calls_mix: f64,
        /// eth_getLogs and filters among them; 0 when not given.
        #[arg(long = "logs-mix", id = "logs_mix", value_name = "N")]
        logs_mix: f64,
        /// debug_* and trace_* among them; 0 when not given.
        #[arg(long = "traces-mix", id = "traces_mix", value_name = "N")]
        traces_mix: f64,
        /// Transactions sent among them; 0 when not given.
        #[arg(long = "transactions-mix", id = "transactions_mix", value_name = "N")]
        transactions_mix: f64,
    }
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recommendation {
    /// The route whose upstreams get weights; its id too.
    #[arg(long)]
    route_id: Option<String>,
    /// Name of the network measured.
    #[arg(long)]
    network: Option<String>,
    /// Cron expression in UTC, or a name such as @hourly or "@every 1m".
    #[arg(long)]
    schedule: Option<String>,
    /// How measurements become weights.
    #[arg(long)]
    strategy: Option<Word<v1::RecommendationStrategy>>,
    /// What becomes of the weights; they are applied when not given.
    #[arg(long)]
    mode: Option<Word<v1::RecommendationMode>>,
    /// How far back measurements go, seconds; 300 when not given.
    #[arg(long = "window", id = "window", value_name = "SECONDS")]
    window_s: Option<u32>,
    /// What upstreams of equal score get: shares of their own weights, or the same.
    #[arg(long)]
    prior: Option<Word<v1::RecommendationPrior>>,
    /// The score for STRATEGY_CUSTOM, e.g. "100 / latency_s - lag_blocks".
    #[arg(long)]
    expression: Option<String>,
    /// The scores for STRATEGY_CUSTOM as Prometheus computes them.
    #[arg(long)]
    promql: Option<String>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    guards: Guards,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    parameters: Parameters,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

impl Resource for Recommendation {
    type Message = v1::Recommendation;
    const KIND: Kind = Kind::Recommendation;
    const ID: &'static str = "route_id";
    const COLUMNS: Columns = &["route_id", "network", "schedule", "strategy", "mode"];
    const REST_FIELDS: &'static [(&'static str, &'static str)] = &[
        ("route_id", "route_uuid"),
        ("network", "network_name"),
        ("schedule", "schedule"),
        ("strategy", "strategy"),
    ];

    fn id(&self) -> Option<&str> {
        self.route_id.as_deref()
    }

    fn meta_mut(&mut self) -> &mut Option<Meta> {
        &mut self.meta
    }

    fn into_message(self) -> v1::Recommendation {
        v1::Recommendation {
            route_id: self.route_id.unwrap_or_default(),
            network: self.network.unwrap_or_default(),
            schedule: self.schedule.unwrap_or_default(),
            strategy: number(self.strategy),
            mode: number(self.mode),
            window_s: self.window_s.unwrap_or_default(),
            prior: number(self.prior),
            guards: self.guards.into_message(),
            parameters: self.parameters.into_message(),
            expression: self.expression.unwrap_or_default(),
            promql: self.promql.unwrap_or_default(),
            meta: Meta::into_message(self.meta),
        }
    }

    fn from_message(message: v1::Recommendation) -> Self {
        Self {
            route_id: Some(message.route_id),
            network: Some(message.network),
            schedule: Some(message.schedule),
            strategy: Word::from_number(message.strategy),
            mode: Word::from_number(message.mode),
            window_s: Some(message.window_s),
            prior: Word::from_number(message.prior),
            guards: Guards::from_message(message.guards),
            parameters: Parameters::from_message(message.parameters),
            expression: Some(message.expression).filter(|text| !text.is_empty()),
            promql: Some(message.promql).filter(|text| !text.is_empty()),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Recommendation) -> v1::resource::Resource {
        v1::resource::Resource::Recommendation(message)
    }
}
