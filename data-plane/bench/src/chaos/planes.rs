//! The control planes as their clients have them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::time::timeout;
use tyrscale_client::{ControlPlane, Credentials};
use tyrscale_model::{Version, wire};
use tyrscale_proto::v1;

/// How long a control plane may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Revisions read at once.
const PAGE: u32 = 1_000;

/// Where control planes listen.
#[derive(Debug, Clone)]
pub(crate) struct Planes(pub(crate) Vec<SocketAddr>);

impl Planes {
    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    /// The addresses of all, for a gateway: each gateway begins with another one.
    pub(crate) fn urls_from(&self, gateway: usize) -> Vec<String> {
        let mut urls: Vec<_> = self.0.iter().map(|address| format!("http://{address}")).collect();
        urls.rotate_left(gateway % self.count());
        urls
    }

    /// A client of one.
    pub(crate) async fn client(&self, number: usize) -> anyhow::Result<ControlPlane> {
        let address = self.0.get(number).context("no such control plane")?;
        let uri = format!("http://{address}").parse()?;
        Ok(ControlPlane::connect(&uri, &Credentials::default()).await?)
    }

    /// Waits until each of them has `head` as its newest version, its history without holes, and lists `gateways`
    /// that all run one of `versions`.
    pub(crate) async fn level(
        &self,
        head: &Version,
        versions: &[Version],
        gateways: usize,
        within: Duration,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        for number in 0..self.count() {
            loop {
                let looking = self.look(number, head, versions, gateways);
                let seen = timeout(PATIENCE, looking).await;
                match seen.unwrap_or_else(|_| bail!("it does not answer")) {
                    Ok(()) => break,
                    Err(error) if Instant::now() > end => {
                        return Err(error.context(format!("control plane {number} is not level")));
                    }
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
        }
        Ok(())
    }

    async fn look(
        &self,
        number: usize,
        head: &Version,
        versions: &[Version],
        gateways: usize,
    ) -> anyhow::Result<()> {
        let client = self.client(number).await?;
        let listed = client.status().list_nodes(v1::ListNodesRequest {}).await?;
        let v1::ListNodesResponse {
            nodes, head: newest, ..
        } = listed.into_inner();
        let newest = newest.as_ref().and_then(wire::version_from_wire);
        ensure!(newest == Some(*head), "it holds {newest:?} and not {head:?}");
        let numbers = revisions(&client).await?;
        ensure!(
            numbers.iter().copied().eq((1..=head.revision.0).rev()),
            "revisions are missing: {numbers:?}"
        );
        let behind: Vec<_> = nodes.iter().filter(|node| !runs(node, versions)).collect();
        ensure!(behind.is_empty(), "not all run one of {versions:?}: {behind:#?}");
        ensure!(
            nodes.len() == gateways,
            "it lists {} gateways of {gateways}",
            nodes.len()
        );
        Ok(())
    }
}

/// The numbers of all revisions, the newest first.
async fn revisions(client: &ControlPlane) -> anyhow::Result<Vec<u64>> {
    let (mut numbers, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRevisionsRequest {
            page_size: PAGE,
            page_token,
            ..v1::ListRevisionsRequest::default()
        };
        let page = client.configuration().list_revisions(request).await?.into_inner();
        let versions = page
            .revisions
            .iter()
            .filter_map(|revision| revision.version.as_ref());
        numbers.extend(versions.map(|version| version.revision));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(numbers);
        }
    }
}

fn runs(node: &v1::NodeStatus, versions: &[Version]) -> bool {
    let config = i32::from(v1::Lane::Config);
    let lane = node.lanes.iter().find(|lane| lane.lane == config);
    let running = lane.and_then(|lane| lane.running.as_ref());
    let running = running.and_then(wire::version_from_wire);
    node.connected_since.is_some() && running.is_some_and(|running| versions.contains(&running))
}
