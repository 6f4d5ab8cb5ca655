//! `swap`: what an update costs a gateway, from the bytes of its message until requests go by it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use prost::Message as _;
use serde::Serialize;
use tyrscale_gateway::{Changed, Gateway, Settings};
use tyrscale_model::{ResourceKey, Row, Snapshot, View, wire};
use tyrscale_proto::v1::{self, stream_config_response::Message};

use crate::configuration::{Configuration, Edit, Shape};
use crate::histogram::{Histogram, Quantiles};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shape: Shape,
    /// Updates of one weight.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    updates: u32,
    /// How often the whole is taken.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    wholes: u32,
}

#[derive(Debug, Serialize)]
struct Report {
    resources: usize,
    whole: Quantiles,
    one_weight: Quantiles,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // For what a gateway begins beside it, such as probes.
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let mut configuration = Configuration::new(args.shape.clone())?;
    let bytes = message(configuration.snapshot(), None);
    let (mut whole, mut one) = (Histogram::default(), Histogram::default());
    for _ in 0..args.wholes {
        // What a gateway has that begins.
        let gateway = Gateway::new(Settings::default())?;
        let nothing = Snapshot::empty(configuration.snapshot().lineage());
        let (_, took) = take(&gateway, &nothing, &bytes, configuration.snapshot())?;
        whole.record(took);
    }
    let gateway = Gateway::new(Settings::default())?;
    let nothing = Snapshot::empty(configuration.snapshot().lineage());
    let (mut running, _) = take(&gateway, &nothing, &bytes, configuration.snapshot())?;
    for number in 0..args.updates {
        let edit = Edit::Put {
            upstream: 0,
            weight: f64::from(2 + number % 50),
        };
        let keys = configuration.edit(edit)?;
        let bytes = message(configuration.snapshot(), Some(&keys));
        let (next, took) = take(&gateway, &running, &bytes, configuration.snapshot())?;
        running = next;
        one.record(took);
    }
    crate::tell(&Report {
        resources: running.len(),
        whole: Quantiles::from(&whole),
        one_weight: Quantiles::from(&one),
    })
}

/// An update to what is there, of these keys or of everything, as its bytes come.
fn message(snapshot: &Snapshot, keys: Option<&[ResourceKey]>) -> Vec<u8> {
    let entries: Vec<_> = match keys {
        Some(keys) => keys.iter().filter_map(|key| snapshot.get(key)).collect(),
        None => snapshot.iter().map(|(_, entry)| entry).collect(),
    };
    let upserts = entries.iter().map(|entry| wire::row_to_wire(&Row::of(entry)));
    let delta = v1::Delta {
        target: Some(wire::version_to_wire(&snapshot.version(View::ALL))),
        upserts: upserts.collect(),
        ..Default::default()
    };
    v1::StreamConfigResponse {
        message: Some(Message::Delta(delta)),
        nonce: 1,
    }
    .encode_to_vec()
}

/// Takes an update as a subscriber does: decodes it, goes on from what runs, proves the digest, and serves from it.
fn take(
    gateway: &Gateway,
    running: &Snapshot,
    bytes: &[u8],
    sent: &Snapshot,
) -> anyhow::Result<(Snapshot, Duration)> {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let start = Instant::now();
    let response = v1::StreamConfigResponse::decode(bytes)?;
    let Some(Message::Delta(delta)) = response.message else {
        anyhow::bail!("another message");
    };
    let target = delta.target.as_ref().and_then(wire::version_from_wire);
    let target = target.context("no target")?;
    let rows = delta.upserts.iter().map(wire::row_from_wire);
    let rows: Vec<Row> = rows.collect::<Option<_>>().context("a kind that is not known")?;
    let keys: Vec<ResourceKey> = rows.iter().map(|row| row.key.clone()).collect();
    let next = running
        .advance(target.lineage, target.revision, rows, &[])
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    anyhow::ensure!(next.version(View::ALL) == target, "the digest is another");
    let changed = if gateway.version().is_some() {
        Changed::Keys(&keys)
    } else {
        Changed::All
    };
    gateway.apply(&next, changed, View::ALL)?;
    let took = start.elapsed();
    anyhow::ensure!(next.revision() == sent.revision(), "not what was sent");
    Ok((next, took))
}
