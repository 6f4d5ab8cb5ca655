//! Connections to whichever control plane answers.

use http::Uri;
use tyrscale_client::{ClientError, ControlPlane, Credentials};

/// Control planes, tried in turn.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    uris: Vec<Uri>,
    credentials: Credentials,
    next: usize,
}

impl Endpoints {
    pub(crate) const fn new(uris: Vec<Uri>, credentials: Credentials) -> Self {
        Self {
            uris,
            credentials,
            next: 0,
        }
    }

    /// Connects to the next one.
    pub(crate) async fn connect(&mut self) -> Result<ControlPlane, ClientError> {
        let place = self.next % self.uris.len().max(1);
        self.next = place + 1;
        let uri = self.uris.get(place).ok_or(ClientError::NoEndpoint)?;
        ControlPlane::connect(uri, &self.credentials).await
    }
}
