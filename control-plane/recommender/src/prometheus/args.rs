//! How Prometheus is reached.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};

/// Where measurements come from when not from the control plane
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Prometheus")]
pub struct PrometheusArgs {
    /// Prometheus that scrapes gateways and exporters, as http://host:port or https://host; without it the
    /// control plane's telemetry is measured
    #[arg(long, env = "TYRSCALE_PROMETHEUS_URL", value_name = "URL")]
    pub prometheus_url: Option<Uri>,
    /// File with "bearer TOKEN" or "basic USER:PASSWORD"
    #[arg(long, env = "TYRSCALE_PROMETHEUS_CREDENTIALS_FILE", value_name = "FILE")]
    pub prometheus_credentials_file: Option<PathBuf>,
    /// The same from the environment
    #[arg(
        long,
        env = "TYRSCALE_PROMETHEUS_CREDENTIALS",
        value_name = "CREDENTIALS",
        hide_env_values = true,
        conflicts_with = "prometheus_credentials_file"
    )]
    pub prometheus_credentials: Option<PrometheusCredentials>,
    /// Seconds a query may take
    #[arg(
        long,
        env = "TYRSCALE_PROMETHEUS_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=120)
    )]
    pub prometheus_timeout: u64,
}

/// Why Prometheus cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusConfigError {
    /// The URL is none of http or https, or holds credentials.
    #[error("the prometheus url must be http://host:port or https://host without user and password")]
    InvalidUrl,
    /// The file of the credentials cannot be read.
    #[error("cannot read the prometheus credentials in {}", path.display())]
    ReadCredentials {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What it holds are no credentials.
    #[error(transparent)]
    InvalidCredentials(#[from] InvalidCredentials),
}

/// A text that is no credentials. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("prometheus credentials must be \"bearer TOKEN\" or \"basic USER:PASSWORD\"")]
pub struct InvalidCredentials;

/// What is shown to Prometheus. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct PrometheusCredentials(HeaderValue);

impl PrometheusCredentials {
    /// The value of the header `authorization`.
    pub(super) const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for PrometheusCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrometheusCredentials(***)")
    }
}

impl FromStr for PrometheusCredentials {
    type Err = InvalidCredentials;

    fn from_str(text: &str) -> Result<Self, InvalidCredentials> {
        let (scheme, secret) = text.trim().split_once(' ').ok_or(InvalidCredentials)?;
        let header = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => format!("Bearer {}", secret.trim()),
            "basic" if secret.contains(':') => format!("Basic {}", BASE64_STANDARD.encode(secret.trim())),
            _ => return Err(InvalidCredentials),
        };
        let mut header: HeaderValue = header.parse().map_err(|_| InvalidCredentials)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl PrometheusArgs {
    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_secs(self.prometheus_timeout)
    }

    pub(super) fn credentials(&self) -> Result<Option<PrometheusCredentials>, PrometheusConfigError> {
        let Some(path) = &self.prometheus_credentials_file else {
            return Ok(self.prometheus_credentials.clone());
        };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| PrometheusConfigError::ReadCredentials {
            path: path.clone(),
            source,
        })?;
        Ok(Some(text.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_bearer_or_a_user_and_are_never_shown() {
        let header = |text: &str| text.parse::<PrometheusCredentials>().unwrap().header().clone();
        assert_eq!(header("bearer canary\n"), "Bearer canary");
        assert_eq!(header("Basic user:pass"), "Basic dXNlcjpwYXNz");
        let shown = format!("{:?}", "bearer canary".parse::<PrometheusCredentials>());
        assert!(!shown.contains("canary"), "{shown}");
        for bad in ["", "canary", "basic canary", "digest canary"] {
            let refused = bad.parse::<PrometheusCredentials>().unwrap_err();
            assert!(!refused.to_string().contains("canary"));
        }
    }
}
