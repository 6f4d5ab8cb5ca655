//! Streams to the control plane that are opened again and again, over its replicas in turn.

use std::{error::Error, time::Duration};

use http::Uri;
use tokio::time::Instant;
use tonic::transport::Channel;
use tyrscale_tls::ClientTls;

use crate::{
    ClientError, Timing,
    endpoint::Server,
    subscription::{Backoff, check_node_id},
};

/// Why a stream of reports or of membership ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UplinkError {
    #[error("control plane could not be reached")]
    Connect(#[source] tonic::transport::Error),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("control plane ended the stream")]
    Closed,
    #[error("control plane does not answer")]
    Silent,
}

/// Where streams lead to and how often they are tried.
#[derive(Debug)]
pub(crate) struct Uplink {
    endpoints: Vec<Server>,
    /// Which of them is next.
    next: usize,
    backoff: Backoff,
    timing: Timing,
    connected: Instant,
    /// What the streams are for, as logged.
    what: &'static str,
}

impl Uplink {
    /// # Errors
    /// [`ClientError::NoEndpoint`], [`ClientError::InvalidEndpoint`] or [`ClientError::InvalidNodeId`].
    pub(crate) fn new(
        endpoints: (&[Uri], &ClientTls),
        node_id: &str,
        timing: Timing,
        what: &'static str,
    ) -> Result<Self, ClientError> {
        check_node_id(node_id)?;
        let (endpoints, tls) = endpoints;
        let endpoints = endpoints
            .iter()
            .map(|uri| Server::new(uri, timing.connect_timeout, tls))
            .collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(ClientError::NoEndpoint);
        }
        Ok(Self {
            endpoints,
            next: 0,
            backoff: Backoff::default(),
            timing,
            connected: Instant::now(),
            what,
        })
    }

    /// Connects, however often it takes.
    pub(crate) async fn connect(&mut self) -> Channel {
        loop {
            let connected = match self.endpoints.get(self.next) {
                Some(endpoint) => endpoint.connect().await,
                None => {
                    self.next = 0;
                    continue;
                }
            };
            match connected {
                Ok(channel) => {
                    self.connected = Instant::now();
                    return channel;
                }
                Err(error) => self.wait(Duration::ZERO, &UplinkError::Connect(error)).await,
            }
        }
    }

    /// The stream on the last connection has ended: waits until the next may be tried.
    pub(crate) async fn ended(&mut self, error: &UplinkError) {
        self.wait(self.connected.elapsed(), error).await;
    }

    async fn wait(&mut self, held: Duration, error: &UplinkError) {
        let host = self.endpoints.get(self.next).map(Server::host);
        tracing::warn!(host, error = error as &dyn Error, "stream of {} ended", self.what);
        let wait = self.backoff.after(held, &self.timing, fastrand::f64());
        if self.backoff.attempt() > 0 {
            self.next += 1;
        }
        tokio::time::sleep(wait).await;
    }
}
