//! Recommendations on the command line.

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{
    Meta, Resource,
    word::{Word, number},
};
use crate::output::Columns;

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
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

impl Resource for Recommendation {
    type Message = v1::Recommendation;
    const KIND: Kind = Kind::Recommendation;
    const ID: &'static str = "route_id";
    const COLUMNS: Columns = &["route_id", "network", "schedule", "strategy"];
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
            meta: Meta::into_message(self.meta),
        }
    }

    fn from_message(message: v1::Recommendation) -> Self {
        Self {
            route_id: Some(message.route_id),
            network: Some(message.network),
            schedule: Some(message.schedule),
            strategy: Word::from_number(message.strategy),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Recommendation) -> v1::resource::Resource {
        v1::resource::Resource::Recommendation(message)
    }
}
