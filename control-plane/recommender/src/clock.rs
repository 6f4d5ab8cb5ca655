//! The one place that reads the wall clock.

use jiff::Timestamp;
use tyrscale_model::UnixMillis;

/// Now.
pub(crate) fn now() -> UnixMillis {
    UnixMillis(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default())
}

/// A time as RFC 3339 in UTC.
pub(crate) fn text(time: UnixMillis) -> String {
    let milliseconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| time.0.to_string(), |time| time.to_string())
}
