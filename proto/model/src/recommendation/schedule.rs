//! When a recommendation runs.

use std::{fmt, str::FromStr};

use croner::{Cron, parser::CronParser};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::{UnixMillis, Violation, ViolationCode};

/// When a recommendation runs: a cron expression of five to seven fields, a nickname such as `@hourly`, or
/// `@every` with a duration such as `90s`, `1m` or `1h30m`; in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    times: Times,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Times {
    /// Once, when the recommender begins.
    AtStart,
    /// At the multiples of so many milliseconds since 1970, so that every recommender means the same times.
    Every(u64),
    Cron(Box<Cron>),
}

impl Schedule {
    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it runs once, when the recommender begins.
    #[must_use]
    pub const fn is_at_start(&self) -> bool {
        matches!(self.times, Times::AtStart)
    }

    /// The first time it is due later than `after`; `None` when there is none.
    #[must_use]
    pub fn next_run(&self, after: UnixMillis) -> Option<UnixMillis> {
        match &self.times {
            Times::AtStart => None,
            Times::Every(interval) => {
                let passed = after.0.checked_div(*interval)?;
                passed.checked_add(1)?.checked_mul(*interval).map(UnixMillis)
            }
            Times::Cron(cron) => {
                let after = Timestamp::from_millisecond(i64::try_from(after.0).ok()?).ok()?;
                let next: Zoned = cron
                    .find_next_occurrence(&after.to_zoned(TimeZone::UTC), false)
                    .ok()?;
                u64::try_from(next.timestamp().as_millisecond())
                    .ok()
                    .map(UnixMillis)
            }
        }
    }
}

/// The milliseconds of a duration of whole numbers with the units h, m, s or ms, above 0.
fn parse_interval(text: &str) -> Option<u64> {
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
            _ => return None,
        };
        total = total.saturating_add(number.parse::<u64>().ok()?.saturating_mul(milliseconds));
        rest = tail;
    }
    (total > 0).then_some(total)
}

fn parse_times(text: &str) -> Option<Times> {
    if let Some(duration) = text.strip_prefix("@every ") {
        return parse_interval(duration.trim()).map(Times::Every);
    }
    if text == "@reboot" {
        return Some(Times::AtStart);
    }
    let parser = CronParser::builder()
        .seconds(croner::parser::Seconds::Optional)
        .year(croner::parser::Year::Optional)
        .build();
    let cron = (text.len() <= 256).then(|| parser.parse(text).ok())??;
    Some(Times::Cron(Box::new(cron)))
}

impl FromStr for Schedule {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::new("schedule", ViolationCode::Required, "must be set"));
        }
        let rule = "must be a valid cron expression";
        let times = parse_times(text);
        let times = times.ok_or_else(|| Violation::new("schedule", ViolationCode::Invalid, rule))?;
        Ok(Self {
            text: text.to_owned(),
            times,
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    fn at(text: &str) -> UnixMillis {
        let time: Timestamp = text.parse().unwrap();
        UnixMillis(u64::try_from(time.as_millisecond()).unwrap())
    }

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

    #[test]
    fn the_next_run_is_the_first_time_after_in_utc() {
        for (text, after, next) in [
            ("*/10 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"),
            ("*/10 * * * *", "2026-01-01T00:09:59.999Z", "2026-01-01T00:10:00Z"),
            ("30 */10 * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:10:30Z"),
            ("@hourly", "2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"),
            ("@every 1m", "2026-01-01T00:00:59.500Z", "2026-01-01T00:01:00Z"),
        ] {
            assert_eq!(
                schedule(text).next_run(at(after)),
                Some(at(next)),
                "{text} after {after}"
            );
        }
        assert_eq!(schedule("@reboot").next_run(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(
            schedule("0 0 0 1 1 * 2020").next_run(at("2026-01-01T00:00:00Z")),
            None
        );
    }

    proptest! {
        #[test]
        fn runs_follow_one_another_whoever_asks_when(
            text in prop_oneof![Just("@every 7s"), Just("*/5 * * * * *"), Just("*/3 * * * *"), Just("@hourly")],
            start in 1_600_000_000_000u64..2_000_000_000_000,
            between in 0u64..1,
        ) {
            let schedule = schedule(text);
            let first = schedule.next_run(UnixMillis(start)).unwrap();
            prop_assert!(first.0 > start);
            let asked = UnixMillis(start + (first.0 - start - 1) * between);
            prop_assert_eq!(schedule.next_run(asked), Some(first));
            prop_assert_eq!(schedule.next_run(UnixMillis(first.0 - 1)), Some(first));
            prop_assert!(schedule.next_run(first).unwrap().0 > first.0);
        }
    }
}
