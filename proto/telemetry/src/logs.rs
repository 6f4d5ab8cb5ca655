//! The log subscriber of a process. Logs go to standard error: standard output is for data.

use std::fmt;
use std::str::FromStr;

use tracing::Dispatch;
use tracing::metadata::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::error::TelemetryError;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::UnknownLogFormat {
                value: value.to_owned(),
            }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Sends the process's logs to standard error. `filter` is a list of rules such as
/// `info,tyrscale_gateway=debug`: a level for everything, and levels for targets by prefix. Nothing is logged
/// that no rule names.
///
/// The subscriber is the process's: the first call wins, later ones only check their filter.
///
/// # Errors
/// [`TelemetryError::InvalidFilter`] naming the rule that cannot be read.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let dispatch = subscriber(format, parse_filter(filter)?, std::io::stderr);
    // Fails only when a subscriber is already there, which is what later callers want.
    drop(tracing::dispatcher::set_global_default(dispatch));
    Ok(())
}

fn subscriber<W>(format: LogFormat, filter: Targets, writer: W) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => Dispatch::new(tracing_subscriber::registry().with(lines).with(filter)),
        LogFormat::Json => Dispatch::new(
            tracing_subscriber::registry()
                .with(lines.json().flatten_event(true))
                .with(filter),
        ),
    }
}

/// Stricter than the library's parser, which takes a misspelt level for a target.
fn parse_filter(filter: &str) -> Result<Targets, TelemetryError> {
    filter
        .split(',')
        .map(str::trim)
        .try_fold(Targets::new(), |targets, rule| {
            parse_rule(targets, rule).ok_or_else(|| TelemetryError::InvalidFilter {
                rule: rule.to_owned(),
            })
        })
}

fn parse_rule(targets: Targets, rule: &str) -> Option<Targets> {
    let Some((target, level)) = rule.split_once('=') else {
        return Some(targets.with_default(parse_level(rule)?));
    };
    let is_target_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    let is_target = !target.is_empty() && target.bytes().all(is_target_byte);
    is_target.then_some(())?;
    Some(targets.with_target(target, parse_level(level)?))
}

fn parse_level(word: &str) -> Option<LevelFilter> {
    // The library reads an empty word as a level.
    if word.is_empty() { None } else { word.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, init_logs, parse_filter, subscriber};
    use crate::error::TelemetryError;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let dispatch = subscriber(format, parse_filter(filter).unwrap(), move || writer.clone());
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(target: "tyrscale_gateway::accept", revision = 7, "taken");
            tracing::debug!(target: "tyrscale_gateway::accept", "detail");
            tracing::info!(target: "h2::codec", "frame");
        });
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_rule_for_a_target_goes_before_the_rule_for_everything() {
        let text = logged(LogFormat::Text, "warn, tyrscale_gateway=debug");
        assert!(text.contains("taken") && text.contains("detail"), "{text}");
        assert!(!text.contains("frame"), "{text}");
    }

    #[test]
    fn a_level_for_everything_leaves_out_what_is_finer() {
        let text = logged(LogFormat::Text, "info");
        assert!(text.contains("taken") && text.contains("frame"), "{text}");
        assert!(!text.contains("detail"), "{text}");
    }

    #[test]
    fn a_json_line_carries_level_target_message_and_fields() {
        let text = logged(LogFormat::Json, "tyrscale_gateway=info");
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "tyrscale_gateway::accept");
        assert_eq!(line["message"], "taken");
        assert_eq!(line["revision"], 7);
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_bad_rule_is_named() {
        for (filter, bad) in [
            ("info,tyrscale_gateway=loud", "tyrscale_gateway=loud"),
            ("inof", "inof"),
            ("info,=debug", "=debug"),
            ("info,h2=", "h2="),
            ("info,", ""),
            ("", ""),
            ("my crate=info", "my crate=info"),
            ("info,[span{field}]=debug", "[span{field}]=debug"),
        ] {
            match init_logs(LogFormat::Text, filter) {
                Err(TelemetryError::InvalidFilter { rule }) => assert_eq!(rule, bad),
                other => panic!("{filter}: {other:?}"),
            }
        }
    }

    #[test]
    fn starting_logs_twice_is_no_error() {
        init_logs(LogFormat::Text, "off").unwrap();
        init_logs(LogFormat::Json, "off").unwrap();
    }

    #[test]
    fn a_format_reads_back_as_it_is_written() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse::<LogFormat>().unwrap(), format);
        }
        assert!("JSON".parse::<LogFormat>().is_err());
    }
}
