//! A replica that does not see yet what others committed.

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tyrscale_proto::v1::{
    self, Resume, directive::Directive, discovery_service_client::DiscoveryServiceClient,
    stream_config_request as request, stream_config_response::Message,
};

use crate::{
    delayed::Delayed,
    replicas::{Etcd, LIMIT, Replica},
};

struct Stream {
    out: mpsc::Sender<v1::StreamConfigRequest>,
    inbox: Streaming<v1::StreamConfigResponse>,
}

impl Stream {
    async fn open(replica: &Replica, have: Vec<v1::Version>) -> (Self, v1::LanePlan) {
        let (out, messages) = mpsc::channel(4);
        let mut client = DiscoveryServiceClient::new(replica.channel().await);
        let hello = v1::Hello {
            node: Some(v1::Node {
                id: "gw".to_owned(),
                role: v1::NodeRole::Gateway.into(),
                ..Default::default()
            }),
            protocol_min: 1,
            protocol_max: 1,
            have,
            ..Default::default()
        };
        let message = Some(request::Message::Hello(hello));
        out.send(v1::StreamConfigRequest { message }).await.unwrap();
        let answer = client.stream_config(ReceiverStream::new(messages)).await;
        let mut stream = Self {
            out,
            inbox: answer.unwrap().into_inner(),
        };
        let Message::Welcome(mut welcome) = stream.next().await.message.unwrap() else {
            panic!("no welcome");
        };
        (stream, welcome.lanes.remove(0))
    }

    /// The next message that is no heartbeat.
    async fn next(&mut self) -> v1::StreamConfigResponse {
        loop {
            let message = timeout(LIMIT, self.inbox.message()).await.unwrap().unwrap();
            let message = message.expect("the stream goes on");
            if !matches!(message.message, Some(Message::Heartbeat(_))) {
                return message;
            }
        }
    }

    /// Acknowledges the next update, which starts from what runs, and tells what runs then.
    async fn follow(&mut self) -> (Option<v1::Version>, v1::Version) {
        let response = self.next().await;
        let (base, target) = match response.message.unwrap() {
            Message::Delta(delta) => (delta.base, delta.target.unwrap()),
            Message::Chunk(chunk) => (chunk.base, chunk.target.unwrap()),
            other => panic!("no update: {other:?}"),
        };
        let ack = v1::Ack {
            nonce: response.nonce,
            running: Some(target.clone()),
            ..Default::default()
        };
        let message = Some(request::Message::Ack(ack));
        self.out.send(v1::StreamConfigRequest { message }).await.unwrap();
        (base, target)
    }
}

/// F12: it is sent to another replica after a while, and never back.
#[tokio::test(flavor = "multi_thread")]
async fn c94_who_moves_to_a_replica_that_lags_is_held_and_then_led_forward() {
    let etcd = Etcd::start().await;
    let way = Delayed::start(etcd.endpoint.trim_start_matches("http://").parse().unwrap()).await;
    let ahead = Replica::start(&etcd).await;
    let lagging = Replica::start_over(&etcd, &format!("http://{}", way.address)).await;
    for number in 1..=8 {
        ahead.put(&format!("n{number}"), number).await;
    }
    assert_eq!(lagging.put("n9", 9).await, 9);
    let (mut stream, _) = Stream::open(&ahead, Vec::new()).await;
    assert_eq!(stream.follow().await.1.revision, 9);
    way.let_flow(false);
    ahead.put("n10", 10).await;
    let (_, running) = stream.follow().await;
    assert_eq!(running.revision, 10);

    let (mut moved, plan) = Stream::open(&lagging, vec![running.clone()]).await;
    assert_eq!(
        (plan.resume(), plan.why.as_str()),
        (Resume::Hold, "the server is behind")
    );
    assert_eq!(plan.target.unwrap().revision, 9);
    // Nothing but the advice to go elsewhere, after five seconds.
    let advice = moved.next().await.message.unwrap();
    let Message::Directive(v1::Directive {
        directive: Some(Directive::Reconnect(_)),
    }) = advice
    else {
        panic!("{advice:?}")
    };
    way.let_flow(true);
    ahead.put("n11", 11).await;
    let (base, target) = moved.follow().await;
    assert_eq!((base, target.revision), (Some(running), 11));
    ahead.stop().await;
    lagging.stop().await;
}
