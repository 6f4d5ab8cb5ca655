//! What one changed weight costs on the wire.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};
use tyrscale_proto::v1::{
    self, SyncState, resource::Resource, upstream_service_client::UpstreamServiceClient,
};

use crate::{
    follower::Follower,
    plane::{Plane, connect, id, route, upstream},
    status::until,
};

const ROUTES: usize = 10_000;
const UPSTREAMS: usize = 30_000;

/// Passes one connection on to `server` and counts the bytes that come back.
async fn counting_proxy(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = TcpStream::connect(server).await.unwrap().into_split();
        tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            counter.fetch_add(count, Ordering::SeqCst);
            if to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    });
    (address, received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c55_one_weight_of_40000_resources_sends_each_gateway_one_upsert_in_under_512_bytes() {
    let plane = Plane::start_with(|config| config.heartbeat_ms = 600_000).await;
    let mut resources: Vec<_> = (0..ROUTES).map(|number| Resource::Route(route(number))).collect();
    let upstreams = (0..UPSTREAMS).map(|number| upstream(ROUTES + number, number % ROUTES, 50.0));
    resources.extend(upstreams.map(Resource::Upstream));
    plane.put(resources).await;

    let mut gateways = Vec::new();
    for name in ["gw-1", "gw-2"] {
        let (address, received) = counting_proxy(plane.grpc).await;
        let follower = Follower::synced(&connect(address).await, name).await;
        until(&plane, name, SyncState::Synced).await;
        gateways.push((follower, received));
    }
    let before: Vec<_> = gateways
        .iter()
        .map(|(_, received)| received.load(Ordering::SeqCst))
        .collect();
    let change = v1::UpdateUpstreamRequest {
        upstream: Some(v1::Upstream {
            id: id(ROUTES + 7),
            weight: 12.5,
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["weight".to_owned()],
        }),
        ..Default::default()
    };
    UpstreamServiceClient::new(plane.channel.clone())
        .update_upstream(change)
        .await
        .unwrap();
    for ((follower, received), before) in gateways.iter_mut().zip(before) {
        let update = follower.follow().await;
        assert_eq!((update.upserts.len(), update.removals.len()), (1, 0));
        assert_eq!(update.upserts[0].id, id(ROUTES + 7));
        assert!(
            update.upserts[0].payload.len() <= 160,
            "{}",
            update.upserts[0].payload.len()
        );
        let sent = received.load(Ordering::SeqCst) - before;
        assert!(sent < 512, "{sent} bytes");
        println!("{sent} bytes on the wire");
    }
    plane.stop().await;
}
