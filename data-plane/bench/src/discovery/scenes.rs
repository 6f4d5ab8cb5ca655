//! The parts of the measurement, one function each.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tyrscale_model::Lane;
use tyrscale_proto::v1::{self, network_service_client::NetworkServiceClient};

use super::{
    calls::{Edit, create_network, head, make, roll_back, send},
    document::{Shape, apply},
    fleet::Fleet,
    plane::{Plane, Usage},
    report::{Changes, Filled, Reporting, Resumed, Steady, Stopped, Sustained, Synced, Undone, Writes},
    reporting::Reporters,
};
use crate::histogram::{Histogram, Quantiles};

/// Writes one after the other.
const SINGLE_WRITES: u32 = 300;
/// Writes of each of many writers.
const WRITES_EACH: u32 = 10;
/// All have reported once, and as long again is measured.
const REPORTED: Duration = Duration::from_secs(11);
/// Before each change: longer than the control plane leaves between two updates of one subscriber.
const PAUSE: Duration = Duration::from_millis(60);
/// Numbers of changes that no other part makes: the same again would be none.
const UNDONE_FROM: u32 = 100_000;
const STEADY_FROM: u32 = 200_000;
/// Connections that many writers share.
const WRITER_CONNECTIONS: usize = 8;

/// Puts everything into the empty store.
pub(crate) async fn fill(plane: &Plane, shape: Shape) -> anyhow::Result<Filled> {
    let channel = plane.connect().await?;
    let resources = shape.resources();
    let count = resources.len();
    let mut times = Vec::new();
    for dry_run in [true, false, false] {
        let requests = apply(resources.clone(), dry_run);
        let start = Instant::now();
        send(&channel, requests).await?;
        times.push(millis(start.elapsed()));
    }
    let [dry_run_ms, apply_ms, again_ms] = times.try_into().map_err(|_| anyhow::anyhow!("three times"))?;
    Ok(Filled {
        resources: count,
        dry_run_ms,
        apply_ms,
        again_ms,
    })
}

/// Writes single networks, alone and from many writers at once.
pub(crate) async fn write(plane: &Plane, writers: u32) -> anyhow::Result<Writes> {
    let channel = plane.connect().await?;
    let mut one = Histogram::default();
    for number in 0..SINGLE_WRITES {
        let start = Instant::now();
        create_network(
            &channel,
            format!("single-{number}"),
            1_000_000 + u64::from(number),
        )
        .await?;
        one.record(start.elapsed());
    }
    let mut channels = Vec::new();
    for _ in 0..WRITER_CONNECTIONS {
        channels.push(plane.connect().await?);
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (writer, channel) in (0..writers).zip(channels.iter().cycle()) {
        let channel = channel.clone();
        tasks.spawn(async move {
            for number in 0..WRITES_EACH {
                let chain_id = 2_000_000 + u64::from(writer * WRITES_EACH + number);
                create_network(&channel, format!("many-{writer}-{number}"), chain_id).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(written) = tasks.join_next().await {
        written??;
    }
    Ok(Writes {
        one: Quantiles::from(&one),
        writers,
        commits_per_second: f64::from(writers * WRITES_EACH) / start.elapsed().as_secs_f64(),
    })
}

/// Waits until a fleet that has nothing has everything.
pub(crate) async fn first_sync(plane: &Plane, fleet: &mut Fleet) -> anyhow::Result<Synced> {
    let before = plane.usage()?;
    let (head, start) = (head(plane).await?, fleet.shared.began);
    let took = fleet.reached(Lane::Config, head, start).await?;
    let after = plane.usage()?;
    fleet.proved(head).await?;
    Ok(Synced {
        last_ms: millis(took.quantile(1000)),
        cpu_ms: millis(after.cpu.saturating_sub(before.cpu)),
        rss_mib: mib(after),
    })
}

/// Makes changes one after the other, each once all subscribers have the one before.
pub(crate) async fn changes(
    plane: &Plane,
    fleet: &mut Fleet,
    count: u32,
    shape: Shape,
    edit: Edit,
) -> anyhow::Result<Changes> {
    let channel = plane.connect().await?;
    let (mut to_last, mut to_each) = (Histogram::default(), Vec::new());
    let warm_up = count / 10;
    let mut before = (plane.usage()?, fleet.payload(), fleet.shared.received.bytes());
    for number in 0..warm_up + count {
        if number == warm_up {
            before = (plane.usage()?, fleet.payload(), fleet.shared.received.bytes());
        }
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        let revision = make(&channel, shape, edit, number).await?;
        let took = fleet.reached(edit.lane(), revision, start).await?;
        if number >= warm_up {
            to_last.record(took.quantile(1000));
            to_each.push(took);
        }
    }
    let after = (plane.usage()?, fleet.payload(), fleet.shared.received.bytes());
    fleet.proved(head(plane).await?).await?;
    let mut each = Histogram::default();
    to_each.iter().for_each(|took| each.add(took));
    let deliveries = f64::from(count) * fleet.nodes.len() as f64;
    Ok(Changes {
        changes: count,
        to_last: Quantiles::from(&to_last),
        to_each: Quantiles::from(&each),
        cpu_ms_per_change: millis(after.0.cpu.saturating_sub(before.0.cpu)) / f64::from(count),
        payload_bytes_per_node: (after.1.0 - before.1.0) as f64 / deliveries,
        wire_bytes_per_node: (after.2 - before.2) as f64 / deliveries,
        rss_mib: mib(after.0),
    })
}

/// Makes changes at a rate, whether or not subscribers have the ones before.
pub(crate) async fn sustained(
    plane: &Plane,
    fleet: &mut Fleet,
    rate: u32,
    seconds: u32,
    shape: Shape,
) -> anyhow::Result<Sustained> {
    let channel = plane.connect().await?;
    let (before, updates, start) = (plane.usage()?, fleet.payload().1, Instant::now());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut lag = Histogram::default();
    let count = rate * seconds;
    for number in 0..count {
        ticks.tick().await;
        let committed = Instant::now();
        let revision = make(&channel, shape, Edit::Recommended, number).await?;
        // Each tenth is waited for; the others go on meanwhile.
        if number % 10 == 0 {
            fleet.reached(Lane::Weights, revision, committed).await?;
            lag.record(committed.elapsed());
        }
    }
    let (after, elapsed) = (plane.usage()?, start.elapsed().as_secs_f64());
    let updates = (fleet.payload().1 - updates) as f64;
    Ok(Sustained {
        changes: count,
        seconds: elapsed,
        lag: Quantiles::from(&lag),
        cores: after.cpu.saturating_sub(before.cpu).as_secs_f64() / elapsed,
        updates_per_node_and_second: updates / fleet.nodes.len() as f64 / elapsed,
        rss_mib: mib(after),
    })
}

/// Changes a route with its upstreams, and once all run that, restores what was before: how long until all run that again.
pub(crate) async fn undone(
    plane: &Plane,
    fleet: &mut Fleet,
    count: u32,
    shape: Shape,
) -> anyhow::Result<Undone> {
    let channel = plane.connect().await?;
    let mut to_last = Histogram::default();
    for number in 0..count {
        let good = head(plane).await?;
        let harmful = make(&channel, shape, Edit::Route, UNDONE_FROM + number).await?;
        fleet.reached(Lane::Config, harmful, Instant::now()).await?;
        tokio::time::sleep(PAUSE).await;
        let start = Instant::now();
        let restored = roll_back(&channel, good).await?;
        let took = fleet.reached(Lane::Config, restored, start).await?;
        to_last.record(took.quantile(1000));
    }
    fleet.proved(head(plane).await?).await?;
    Ok(Undone {
        to_last: Quantiles::from(&to_last),
    })
}

/// Makes a change each second, and looks at the memory meanwhile.
pub(crate) async fn steady(
    plane: &Plane,
    fleet: &mut Fleet,
    seconds: u32,
    shape: Shape,
) -> anyhow::Result<Steady> {
    let channel = plane.connect().await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let (mut to_last, mut points) = (Histogram::default(), Vec::new());
    let first = plane.usage()?;
    for second in 0..seconds {
        ticks.tick().await;
        let start = Instant::now();
        let edit = if second % 10 == 0 {
            Edit::Weight
        } else {
            Edit::Recommended
        };
        let revision = make(&channel, shape, edit, STEADY_FROM + second).await?;
        let took = fleet.reached(edit.lane(), revision, start).await?;
        to_last.record(took.quantile(1000));
        points.push((f64::from(second) / 60.0, plane.usage()?.rss_kib as f64));
    }
    let last = plane.usage()?;
    Ok(Steady {
        seconds,
        to_last: Quantiles::from(&to_last),
        cpu_ms_per_change: millis(last.cpu.saturating_sub(first.cpu)) / f64::from(seconds),
        rss_mib: (mib(first), mib(last)),
        rss_kib_per_minute: slope(&points),
    })
}

/// Of the straight line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    both / square
}

/// Lets all subscribers report, waits until each has, and makes changes meanwhile.
pub(crate) async fn reporting(
    plane: &Plane,
    fleet: &mut Fleet,
    (samples, count): (u32, u32),
    shape: Shape,
) -> anyhow::Result<Reporting> {
    let nodes = u32::try_from(fleet.nodes.len())?;
    let _reporters = Reporters::start(plane, nodes, samples, shape).await?;
    tokio::time::sleep(REPORTED).await;
    let (before, start) = (plane.usage()?, Instant::now());
    tokio::time::sleep(REPORTED).await;
    let cpu = plane.usage()?.cpu.saturating_sub(before.cpu);
    let cores = cpu.as_secs_f64() / start.elapsed().as_secs_f64();
    let changes = changes(plane, fleet, count, shape, Edit::Recommended).await?;
    Ok(Reporting {
        samples_each: samples,
        cores,
        changes,
    })
}

/// Makes changes while a tenth of the subscribers does not read.
pub(crate) async fn stopped(
    plane: &Plane,
    fleet: &mut Fleet,
    count: u32,
    shape: Shape,
) -> anyhow::Result<Stopped> {
    let stopped = fleet.nodes.len().div_ceil(10);
    let before = plane.usage()?;
    for node in fleet.nodes.iter().take(stopped) {
        node.stopped.store(true, Ordering::Relaxed);
    }
    let others = changes(plane, fleet, count, shape, Edit::Recommended).await?;
    let growth = plane.usage()?.rss_kib as f64 - before.rss_kib as f64;
    for node in fleet.nodes.iter().take(stopped) {
        node.stopped.store(false, Ordering::Relaxed);
    }
    fleet.reconnect().await?;
    fleet
        .reached(Lane::Config, head(plane).await?, Instant::now())
        .await?;
    Ok(Stopped {
        stopped,
        others,
        rss_growth_kib_per_stopped: growth / stopped as f64,
    })
}

/// Ends all streams and lets them open again, while calls are made.
pub(crate) async fn resume(plane: &Plane, fleet: &mut Fleet) -> anyhow::Result<Resumed> {
    let channel = plane.connect().await?;
    let before = plane.usage()?;
    let done = CancellationToken::new();
    let calls = tokio::spawn(call_until(channel, done.clone()));
    let start = Instant::now();
    fleet.reconnect().await?;
    let last = start.elapsed();
    done.cancel();
    let calls = calls.await?;
    let after = plane.usage()?;
    Ok(Resumed {
        last_ms: millis(last),
        cpu_ms: millis(after.cpu.saturating_sub(before.cpu)),
        calls: Quantiles::from(&calls),
    })
}

/// Makes a call each five milliseconds until told to end; how long each took.
async fn call_until(channel: Channel, done: CancellationToken) -> Histogram {
    let mut took = Histogram::default();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while done.run_until_cancelled(ticks.tick()).await.is_some() {
        let request = v1::GetNetworkRequest {
            name: "bench".to_owned(),
            at_revision: None,
        };
        let start = Instant::now();
        if NetworkServiceClient::new(channel.clone())
            .get_network(request)
            .await
            .is_ok()
        {
            took.record(start.elapsed());
        }
    }
    took
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Resident memory, in MiB.
pub(crate) fn mib(usage: Usage) -> f64 {
    usage.rss_kib as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_a_line_through_noise() {
        let points: Vec<_> = (0..100)
            .map(|x| (f64::from(x), 3.0 * f64::from(x) + f64::from(x % 2)))
            .collect();
        assert!((slope(&points) - 3.0).abs() < 0.01);
    }
}
