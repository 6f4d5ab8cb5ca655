//! How a stream begins, and how it must not.

use std::{fs, os::unix::fs::PermissionsExt as _};

use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery};
use tyrscale_proto::v1::{self, stream_config_request::Message};

use crate::{
    follower::{Follower, Wire, hello},
    plane::{Plane, get},
};

async fn nobody_is_listed(plane: &Plane) {
    let mut client = v1::status_service_client::StatusServiceClient::new(plane.channel.clone());
    let listed = client
        .list_nodes(v1::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.nodes, []);
}

#[tokio::test]
async fn c1_an_ack_before_hello_ends_the_stream() {
    let plane = Plane::start().await;
    let mut wire = Wire::open(&plane.channel).await;
    wire.say(Message::Ack(v1::Ack::default())).await;
    let end = wire.ends().await;
    assert_eq!(
        (end.code(), end.message()),
        (Code::FailedPrecondition, "hello first")
    );
    plane.stop().await;
}

#[tokio::test]
async fn c2_a_second_hello_ends_the_stream() {
    let plane = Plane::start().await;
    let (mut follower, _) = Follower::connect(&plane.channel, "n").await;
    follower.wire.say(Message::Hello(hello("n", "boot"))).await;
    assert_eq!(follower.wire.ends().await.code(), Code::FailedPrecondition);
    plane.stop().await;
}

#[tokio::test]
async fn c3_a_bad_node_id_is_refused_and_not_listed() {
    let plane = Plane::start().await;
    for id in ["", &"a".repeat(300), "a\u{1}b", "a b"] {
        let mut wire = Wire::open(&plane.channel).await;
        wire.say(Message::Hello(hello(id, "boot"))).await;
        assert_eq!(wire.ends().await.code(), Code::InvalidArgument, "{id:?}");
    }
    nobody_is_listed(&plane).await;
    plane.stop().await;
}

#[tokio::test]
async fn c4_only_a_common_protocol_is_spoken() {
    let plane = Plane::start().await;
    let speaking = |protocol_min, protocol_max| v1::Hello {
        protocol_min,
        protocol_max,
        ..hello("n", "boot")
    };
    for (min, max) in [(2, 9), (0, 0)] {
        let mut wire = Wire::open(&plane.channel).await;
        wire.say(Message::Hello(speaking(min, max))).await;
        assert_eq!(
            wire.ends().await.code(),
            Code::FailedPrecondition,
            "{min} to {max}"
        );
    }
    let mut wire = Wire::open(&plane.channel).await;
    wire.say(Message::Hello(speaking(0, 9))).await;
    assert_eq!(wire.welcome().await.protocol, 1);
    plane.stop().await;
}

#[tokio::test]
async fn c5_a_stream_without_hello_ends_in_time() {
    let plane = Plane::start().await;
    let mut wire = Wire::open(&plane.channel).await;
    assert_eq!(wire.ends().await.code(), Code::DeadlineExceeded);
    nobody_is_listed(&plane).await;
    plane.stop().await;
}

/// A hello of a newer subscriber.
#[derive(Clone, PartialEq, prost::Message)]
struct NewerHello {
    #[prost(message, optional, tag = "1")]
    node: Option<v1::Node>,
    #[prost(uint32, tag = "2")]
    protocol_min: u32,
    #[prost(uint32, tag = "3")]
    protocol_max: u32,
    #[prost(string, repeated, tag = "4")]
    features: Vec<String>,
    #[prost(string, tag = "99")]
    news: String,
}

/// Its message around it.
#[derive(Clone, PartialEq, prost::Message)]
struct NewerRequest {
    #[prost(message, optional, tag = "1")]
    hello: Option<NewerHello>,
    #[prost(string, tag = "77")]
    news: String,
}

#[tokio::test]
async fn c8_unknown_fields_and_features_are_passed_over() {
    let plane = Plane::start().await;
    let request = NewerRequest {
        hello: Some(NewerHello {
            node: hello("n", "boot").node,
            protocol_min: 1,
            protocol_max: 1,
            features: vec!["telepathy".to_owned()],
            news: "unknown".to_owned(),
        }),
        news: "unknown".to_owned(),
    };
    let mut client = Grpc::new(plane.channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/tyrscale.v1.DiscoveryService/StreamConfig");
    let codec = tonic_prost::ProstCodec::<NewerRequest, v1::StreamConfigResponse>::default();
    let (out, messages) = tokio::sync::mpsc::channel(1);
    out.send(request).await.unwrap();
    let messages = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(messages));
    let mut inbox = client
        .streaming(messages, path, codec)
        .await
        .unwrap()
        .into_inner();
    let first = inbox.message().await.unwrap().unwrap();
    assert!(matches!(
        first.message,
        Some(v1::stream_config_response::Message::Welcome(_))
    ));
    plane.stop().await;
}

/// A store that takes its time: the look at it before it is opened ends when a file is there.
#[tokio::test]
async fn c6_a_hello_while_the_store_is_loading_is_told_to_come_again() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let files = tempfile::tempdir().unwrap();
    let (examiner, go) = (files.path().join("examiner"), files.path().join("go"));
    let script = format!("#!/bin/sh\nuntil [ -e {} ]; do sleep 0.05; done\n", go.display());
    fs::write(&examiner, script).unwrap();
    fs::set_permissions(&examiner, fs::Permissions::from_mode(0o700)).unwrap();
    let plane = plane
        .restart_with(|config| config.backups.examiner = Some(examiner))
        .await;
    let refused = Follower::try_greet(&plane.channel, "n").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("is loading its store"), "{refused}");
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
    let page = get(plane.rest, "/api/v1/networks").await.to_lowercase();
    assert!(
        page.starts_with("http/1.1 503") && page.contains("retry-after: 1\r\n"),
        "{page}"
    );
    assert!(get(plane.admin, "/readyz").await.contains("is loading its store"));
    fs::write(go, "").unwrap();
    let plan = loop {
        let mut wire = match Follower::try_greet(&plane.channel, "n").await {
            Ok(()) => Wire::open(&plane.channel).await,
            Err(_) => continue,
        };
        wire.say(Message::Hello(hello("n", "boot"))).await;
        break wire.welcome().await.lanes.remove(0);
    };
    assert_eq!(
        (plan.resume(), plan.target.unwrap().revision),
        (v1::Resume::Snapshot, 1)
    );
    plane.stop().await;
}
