//! A client of Prometheus' HTTP API: counters and heights over time, and expressions.

mod args;
mod http_client;
mod series;

use std::collections::BTreeMap;

use serde::Deserialize;
use tyrscale_model::{RouteId, UpstreamId};
use tyrscale_scoring::{History, Span};

pub use args::{PrometheusArgs, PrometheusConfigError, PrometheusCredentials};
use http_client::HttpClient;

use crate::source::Subject;

/// Points asked for of each series.
const POINTS: u64 = 240;
/// The shortest interval between two points, milliseconds.
const MIN_STEP: u64 = 1000;

/// Why Prometheus could not be asked, or what it answered instead. Never with its URL or credentials in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrometheusError {
    /// No answer came.
    #[error("prometheus could not be reached: {0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("prometheus did not answer in time")]
    Timeout,
    /// The answer is larger than what is taken.
    #[error("prometheus answered with more than {0} bytes")]
    TooLarge(usize),
    /// It refused.
    #[error("prometheus answered with status {status}: {message}")]
    Refused { status: u16, message: String },
    /// The answer is not of the form of its API.
    #[error("prometheus answered what is not understood: {0}")]
    Unreadable(String),
}

/// Whose series are asked for.
#[derive(Debug)]
pub(crate) struct SeriesQuery<'a> {
    pub(crate) route: RouteId,
    pub(crate) subjects: &'a [Subject],
    pub(crate) span: Span,
}

/// A Prometheus.
#[derive(Debug, Clone)]
pub(crate) struct Prometheus {
    client: HttpClient,
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Matrix(Vec<Series>),
    Vector(Vec<Sample>),
    #[serde(other)]
    Other,
}

/// A series over time.
#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// A series at one time.
#[derive(Debug, Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    /// # Errors
    /// [`PrometheusConfigError`] when it cannot be asked as configured.
    pub(crate) fn new(args: &PrometheusArgs) -> Result<Option<Self>, PrometheusConfigError> {
        let client = HttpClient::new(args)?;
        Ok(client.map(|client| Self { client }))
    }

    /// The histories of the subjects, in their order.
    pub(crate) async fn histories(&self, query: &SeriesQuery<'_>) -> Result<Vec<History>, PrometheusError> {
        let step = (query.span.to.saturating_sub(query.span.from) / POINTS).max(MIN_STEP);
        let selectors = series::selectors(query.route, query.subjects);
        let mut found = Vec::new();
        for selector in selectors {
            // One step more, for what stood at the begin of the span.
            let form = [
                ("query", selector),
                ("start", at_second(query.span.from.saturating_sub(step))),
                ("end", at_second(query.span.to)),
                ("step", at_second(step)),
            ];
            match self.ask("query_range", &form).await? {
                Data::Matrix(series) => found.extend(series),
                Data::Vector(_) | Data::Other => return Err(unreadable("no matrix")),
            }
        }
        Ok(series::histories(&found, query.subjects))
    }

    /// The scores an expression gives at a time, by upstream.
    pub(crate) async fn scores(
        &self,
        promql: &str,
        subjects: &[Subject],
        at: u64,
    ) -> Result<BTreeMap<UpstreamId, f64>, PrometheusError> {
        let form = [("query", promql.to_owned()), ("time", at_second(at))];
        match self.ask("query", &form).await? {
            Data::Vector(samples) => Ok(series::scores(&samples, subjects)),
            Data::Matrix(_) | Data::Other => Err(unreadable("the expression gives no instant vector")),
        }
    }

    async fn ask(&self, path: &str, form: &[(&str, String)]) -> Result<Data, PrometheusError> {
        let body = self.client.post(path, form).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| unreadable(&error.to_string()))?;
        Ok(answer.data)
    }
}

fn unreadable(what: &str) -> PrometheusError {
    PrometheusError::Unreadable(what.to_owned())
}

/// Milliseconds as the API writes times: seconds with a fraction.
fn at_second(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
