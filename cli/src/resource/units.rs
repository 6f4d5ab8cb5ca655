//! Durations as people write them.

use std::time::Duration;

/// Reads a whole number with a unit: `500ms`, `2s`, `1m` or `1h`.
///
/// # Errors
/// What the text must look like.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} must be a whole number with a unit, such as 500ms, 2s, 1m or 1h");
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(milliseconds).ok_or_else(wrong)?;
    Ok(Duration::from_millis(total))
}

/// Reads a duration into milliseconds.
///
/// # Errors
/// What the text must look like, or that it is too long.
pub(crate) fn parse_milliseconds(text: &str) -> Result<u32, String> {
    u32::try_from(parse_duration(text)?.as_millis()).map_err(|_| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        for (text, milliseconds) in [("500ms", 500), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000)] {
            assert_eq!(parse_milliseconds(text), Ok(milliseconds));
        }
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1d",
            "99999999999999999999s",
            "9999999h",
        ] {
            assert!(parse_milliseconds(bad).is_err(), "{bad}");
        }
    }
}
