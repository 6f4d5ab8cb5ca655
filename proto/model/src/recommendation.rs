//! Recommendations: routes whose weights are computed on a schedule.

use std::{fmt, str::FromStr};

use croner::parser::CronParser;

use crate::{Kind, Name, ResourceKey, RouteId, Violation, ViolationCode, rpc::words};

/// How measurements become weights. The words are those of the original REST interface.
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
}

words!(RecommendationStrategy, "strategy", "must be one of [STRATEGY_CUSTOM STRATEGY_HIGHEST_BLOCK STRATEGY_AREA_UNDER_THE_CURVE STRATEGY_RATE_LIMIT STRATEGY_AREA_BLOCK_NUMBER STRATEGY_AIR_UNDER_THE_CURVE]", {
    Custom => "STRATEGY_CUSTOM",
    HighestBlock => "STRATEGY_HIGHEST_BLOCK",
    AreaUnderTheCurve => "STRATEGY_AREA_UNDER_THE_CURVE",
    RateLimit => "STRATEGY_RATE_LIMIT",
    AreaBlockNumber => "STRATEGY_AREA_BLOCK_NUMBER",
    AirUnderTheCurve => "STRATEGY_AIR_UNDER_THE_CURVE",
});

/// When a recommendation runs: a cron expression of five to seven fields, a nickname such as `@hourly`, or
/// `@every` with a duration such as `90s`, `1m` or `1h30m`; in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(String);

impl Schedule {
    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a duration of whole numbers with the units h, m, s or ms, above 0.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let milliseconds = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return false,
        };
        let Ok(number) = number.parse::<u64>() else {
            return false;
        };
        total = total.saturating_add(number.saturating_mul(milliseconds));
        rest = tail;
    }
    total > 0
}

impl FromStr for Schedule {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::new("schedule", ViolationCode::Required, "must be set"));
        }
        let valid = match text.strip_prefix("@every ") {
            Some(duration) => is_duration(duration.trim()),
            None if text == "@reboot" => true,
            None => {
                let parser = CronParser::builder()
                    .seconds(croner::parser::Seconds::Optional)
                    .year(croner::parser::Year::Optional)
                    .build();
                text.len() <= 256 && parser.parse(text).is_ok()
            }
        };
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Violation::new(
                "schedule",
                ViolationCode::Invalid,
                "must be a valid cron expression",
            ))
        }
    }
}

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
}

impl Recommendation {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_cron_nicknames_or_intervals() {
        for good in [
            "*/10 * * * *",
            "0 */10 * * * *",
            "@hourly",
            "@every 1m",
            "@every 1h30m",
            "@reboot",
            "@daily",
        ] {
            assert!(good.parse::<Schedule>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "junk * * * * *",
            "61 * * * *",
            "*/0 * * * *",
            "@every",
            "@every 0s",
            "@every m",
            "@never",
            "* *",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad}");
        }
    }
}
