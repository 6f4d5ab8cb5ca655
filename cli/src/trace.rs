//! `tyrctl trace`: what requests went through, as the gateway that served them recorded it.

use http::Uri;
use serde_json::Value;

use crate::{Failure, Output, http_client::HttpClient};

/// Where a gateway shows its traces.
const PAGE: &str = "/debug/traces";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Id of one trace: shows its steps. Without it, the last requests that were recorded are listed.
    id: Option<String>,
    /// The gateway's admin address.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:7780",
        env = "TYRCTL_GATEWAY_ADMIN"
    )]
    gateway: Uri,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<(), Failure> {
    if args.id.as_deref().is_some_and(|id| !is_trace_id(id)) {
        return Err(Failure::Usage(
            "the id of a trace is 32 lower-case hex digits".to_owned(),
        ));
    }
    let traces = fetch(&args.gateway, args.id.as_deref()).await?;
    match (args.id, traces.as_slice()) {
        (Some(id), []) => Err(Failure::Refused(format!(
            "this gateway keeps no trace {id}: the oldest are dropped, and not every request is recorded"
        ))),
        (Some(_), parts) => parts.iter().try_for_each(|part| write(part, output)),
        (None, traces) => output.write_all(
            traces,
            &[
                "trace",
                "route",
                "method",
                "calls",
                "status",
                "attempts",
                "took_ms",
                "served_by",
            ],
        ),
    }
}

fn write(trace: &Value, output: Output) -> Result<(), Failure> {
    if output != Output::Table {
        return output.write_document(trace);
    }
    output.write_one(
        trace,
        &[
            "trace",
            "route",
            "method",
            "calls",
            "status",
            "attempts",
            "took_ms",
            "served_by",
        ],
    )?;
    let steps = trace.get("steps").and_then(Value::as_array);
    output.write_all(
        steps.map(Vec::as_slice).unwrap_or_default(),
        &["at_ms", "upstream", "event", "reason"],
    )
}

fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

async fn fetch(gateway: &Uri, id: Option<&str>) -> Result<Vec<Value>, Failure> {
    let base = gateway.to_string();
    let url = match id {
        Some(id) => format!("{}{PAGE}/{id}", base.trim_end_matches('/')),
        None => format!("{}{PAGE}", base.trim_end_matches('/')),
    };
    let wrong = || Failure::Usage("--gateway must be a URL such as http://127.0.0.1:7780".to_owned());
    let request = http::Request::get(url).body(String::new()).map_err(|_| wrong())?;
    let client = HttpClient::new().map_err(|error| Failure::Refused(error.to_string()))?;
    let answer = client.send(request).await.map_err(|error| {
        Failure::Refused(format!(
            "cannot ask the gateway at {gateway}: {error} (--gateway says where it is)"
        ))
    })?;
    let not_traces = || Failure::Refused(format!("what answers at {gateway} is no gateway's admin address"));
    if !answer.status.is_success() {
        return Err(not_traces());
    }
    let mut page: Value = serde_json::from_slice(&answer.body).map_err(|_| not_traces())?;
    match page.get_mut("traces").map(Value::take) {
        Some(Value::Array(traces)) => Ok(traces),
        _ => Err(not_traces()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_trace_id;

    #[test]
    fn an_id_is_32_hex_digits() {
        assert!(is_trace_id("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "4bf9",
            "4BF92F3577B34DA6A3CE929D0E0E4736",
            "../../../../../../../../livez/aaaa",
        ] {
            assert!(!is_trace_id(bad), "{bad}");
        }
    }
}
