//! Nodes and their certificates over real sockets.

use std::time::Duration;

use tokio::{io::AsyncReadExt, sync::mpsc, time::timeout};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status, Streaming};
use tyrscale_client::{ClientTls, tls::CertificateFiles};
use tyrscale_proto::v1::{
    self, NodeRole, StreamConfigResponse, discovery_service_client::DiscoveryServiceClient,
    stream_config_request::Message, stream_config_response::Message as Answer,
};

use crate::{
    guarded::{Authority, GOOD, Guarded},
    plane::{LIMIT, config},
};

/// A subscriber's stream, and what keeps it open.
struct Stream {
    _requests: mpsc::Sender<v1::StreamConfigRequest>,
    answers: Streaming<StreamConfigResponse>,
}

impl Stream {
    async fn next(&mut self) -> Result<Option<Answer>, Status> {
        let next = timeout(LIMIT, self.answers.message()).await.unwrap();
        next.map(|answer| answer.and_then(|answer| answer.message))
    }

    /// Reads on until the stream ends.
    async fn end(mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}

/// Says hello as a node, with a certificate or without.
async fn hello(
    plane: &Guarded,
    pair: Option<CertificateFiles>,
    role: NodeRole,
    node: &str,
) -> Result<Stream, Status> {
    let client = plane.connect(None, pair).await;
    let client = client.map_err(|error| Status::unavailable(error.to_string()))?;
    let (requests, inbox) = mpsc::channel(4);
    let hello = v1::Hello {
        node: Some(v1::Node {
            id: node.to_owned(),
            role: role.into(),
            ..v1::Node::default()
        }),
        protocol_min: 1,
        protocol_max: 1,
        ..v1::Hello::default()
    };
    let message = Some(Message::Hello(hello));
    requests.send(v1::StreamConfigRequest { message }).await.unwrap();
    let mut discovery: DiscoveryServiceClient<_> = client.discovery();
    let answers = timeout(LIMIT, discovery.stream_config(ReceiverStream::new(inbox))).await;
    let mut stream = Stream {
        _requests: requests,
        answers: answers.unwrap()?.into_inner(),
    };
    match stream.next().await? {
        Some(Answer::Welcome(_)) => Ok(stream),
        other => panic!("{other:?}"),
    }
}

async fn refusal(plane: &Guarded, pair: Option<CertificateFiles>, role: NodeRole, node: &str) -> Code {
    match hello(plane, pair, role, node).await {
        Ok(_) => panic!("{node} was let in"),
        Err(status) => status.code(),
    }
}

/// C7.
#[tokio::test]
async fn a_node_is_the_one_its_certificate_names() {
    let plane = Guarded::start().await;
    let gateway = plane.authority.node("gateway", "gw-1", GOOD);
    let recommender = plane.authority.node("recommender", "r-1", GOOD);
    let unnamed = plane.authority.server("unnamed");
    hello(&plane, Some(gateway.clone()), NodeRole::Gateway, "gw-1")
        .await
        .unwrap();
    for (pair, role, node, code) in [
        (
            Some(gateway.clone()),
            NodeRole::Gateway,
            "gw-2",
            Code::PermissionDenied,
        ),
        (
            Some(gateway.clone()),
            NodeRole::Exporter,
            "gw-1",
            Code::PermissionDenied,
        ),
        (
            Some(recommender),
            NodeRole::Gateway,
            "r-1",
            Code::PermissionDenied,
        ),
        (Some(unnamed), NodeRole::Gateway, "gw-1", Code::Unauthenticated),
        (None, NodeRole::Gateway, "gw-1", Code::Unauthenticated),
    ] {
        assert_eq!(refusal(&plane, pair, role, node).await, code, "{role:?} {node}");
    }
    // A node is no user.
    let client = plane.connect(None, Some(gateway)).await.unwrap();
    let listed = client
        .networks()
        .list_networks(v1::ListNetworksRequest::default())
        .await;
    assert_eq!(listed.unwrap_err().code(), Code::PermissionDenied);
    let refused = plane.audit().await;
    let impostor = refused
        .iter()
        .find(|record| record.summary.contains("gateway/") && record.subject == "gw-1");
    assert_eq!(impostor.unwrap().outcome(), v1::AuditOutcome::Denied);
    plane.stop().await;
}

/// What becomes of the first message of a stream that reports.
async fn reports(plane: &Guarded, pair: &CertificateFiles, node: &str) -> Result<(), Code> {
    let client = plane.connect(None, Some(pair.clone())).await.unwrap();
    let report = v1::StreamTelemetryRequest {
        node_id: node.to_owned(),
        boot_id: "1".to_owned(),
        sequence: 1,
        ..v1::StreamTelemetryRequest::default()
    };
    let open = async {
        // The stream stays open, as that of a node does.
        let requests = tokio_stream::iter([report]).chain(tokio_stream::pending());
        let mut answers = client.telemetry().stream_telemetry(requests).await?.into_inner();
        answers.message().await
    };
    let answered = timeout(LIMIT, open).await.unwrap();
    answered.map(drop).map_err(|status| status.code())
}

/// What becomes of the first message of a member.
async fn joins(plane: &Guarded, pair: &CertificateFiles, member: &str) -> Result<(), Code> {
    let client = plane.connect(None, Some(pair.clone())).await.unwrap();
    let request = v1::JoinRequest {
        member_set: "exporters".to_owned(),
        member_id: member.to_owned(),
        ..v1::JoinRequest::default()
    };
    let open = async {
        let requests = tokio_stream::iter([request]).chain(tokio_stream::pending());
        let mut answers = client.coordination().join(requests).await?.into_inner();
        answers.message().await
    };
    let answered = timeout(LIMIT, open).await.unwrap();
    answered.map(drop).map_err(|status| status.code())
}

async fn campaigns(plane: &Guarded, pair: &CertificateFiles, candidate: &str) -> Result<(), Code> {
    let client = plane.connect(None, Some(pair.clone())).await.unwrap();
    let request = v1::CampaignRequest {
        election: "recommender".to_owned(),
        candidate_id: candidate.to_owned(),
        ..v1::CampaignRequest::default()
    };
    let answered = client.coordination().campaign(request).await;
    answered.map(drop).map_err(|status| status.code())
}

async fn records(plane: &Guarded, pair: &CertificateFiles, node: &str) -> Result<(), Code> {
    let client = plane.connect(None, Some(pair.clone())).await.unwrap();
    let run = v1::RecommendationRun {
        route_id: "00000000-0000-4000-8000-000000000001".to_owned(),
        id: "2026-11-27T00:00:00Z".to_owned(),
        node_id: node.to_owned(),
        state: v1::RunState::Open.into(),
        ..v1::RecommendationRun::default()
    };
    let request = v1::RecordRunRequest {
        run: Some(run),
        fencing_token: 1,
    };
    let answered = client.recommendation_runs().record_run(request).await;
    answered.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn reports_memberships_candidacies_and_records_are_in_the_certified_name() {
    let plane = Guarded::start().await;
    let exporter = plane.authority.node("exporter", "e-1", GOOD);
    let recommender = plane.authority.node("recommender", "r-1", GOOD);
    let refused = Err(Code::PermissionDenied);
    assert_eq!(reports(&plane, &exporter, "e-1").await, Ok(()));
    assert_eq!(reports(&plane, &exporter, "e-2").await, refused);
    assert_eq!(joins(&plane, &exporter, "e-1").await, Ok(()));
    assert_eq!(joins(&plane, &exporter, "e-2").await, refused);
    assert_eq!(campaigns(&plane, &recommender, "r-1/process").await, Ok(()));
    assert_eq!(campaigns(&plane, &recommender, "r-2/process").await, refused);
    assert_eq!(records(&plane, &recommender, "r-1").await, Ok(()));
    assert_eq!(records(&plane, &recommender, "r-2").await, refused);
    let audit = plane.audit().await;
    let impostors = audit
        .iter()
        .filter(|record| record.summary.contains("its certificate is for"));
    assert_eq!(impostors.count(), 4);
    plane.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_out_of_its_time_is_refused() {
    let plane = Guarded::start().await;
    let stranger = Authority::new().node("gateway", "gw-1", GOOD);
    let expired = plane.authority.node("gateway", "old", (-7200, -3600));
    let early = plane.authority.node("gateway", "early", (3600, 7200));
    for (pair, node) in [(stranger, "gw-1"), (expired, "old"), (early, "early")] {
        let code = refusal(&plane, Some(pair), NodeRole::Gateway, node).await;
        assert!(
            matches!(code, Code::Unavailable | Code::Unknown),
            "{node}: {code:?}"
        );
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_certificate() {
    let plane = Guarded::start().await;
    let short = plane.authority.node("gateway", "gw-1", (-60, 3));
    let stream = hello(&plane, Some(short), NodeRole::Gateway, "gw-1")
        .await
        .unwrap();
    let ended = stream.end().await;
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(ended.message().contains("expired"), "{ended}");
    plane.stop().await;
}

#[tokio::test]
async fn a_revoked_node_loses_its_stream_and_does_not_come_back() {
    let plane = Guarded::start().await;
    let pair = plane.authority.node("gateway", "gw-1", GOOD);
    let other = plane.authority.node("gateway", "gw-2", GOOD);
    let stream = hello(&plane, Some(pair.clone()), NodeRole::Gateway, "gw-1")
        .await
        .unwrap();
    let mut untouched = hello(&plane, Some(other), NodeRole::Gateway, "gw-2")
        .await
        .unwrap();
    let revoke = v1::RevokeNodeRequest {
        node_id: "gw-1".to_owned(),
        reason: "stolen".to_owned(),
    };
    plane.admin().await.access().revoke_node(revoke).await.unwrap();
    let ended = stream.end().await;
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(ended.message().contains("revoked"), "{ended}");
    let again = refusal(&plane, Some(pair), NodeRole::Gateway, "gw-1").await;
    assert_eq!(again, Code::Unauthenticated);
    // Its heartbeats go on.
    assert!(untouched.next().await.unwrap().is_some());
    let listed = plane.admin().await.access();
    let listed = { listed }
        .list_revoked_nodes(v1::ListRevokedNodesRequest {})
        .await;
    let listed = listed.unwrap().into_inner().nodes;
    assert_eq!(
        (listed[0].node_id.as_str(), listed[0].reason.as_str()),
        ("gw-1", "stolen")
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let plane = Guarded::start().await;
    let shown = async || {
        let stream = tokio::net::TcpStream::connect(plane.grpc).await.unwrap();
        let tls = ClientTls {
            ca: Some(plane.authority.file()),
            pair: None,
        };
        let stream = tls.connect("localhost", &[b"h2"], stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = shown().await;
    assert_eq!(shown().await, before);
    plane.authority.server("server");
    let replaced = async {
        while shown().await == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, replaced).await.unwrap();
    plane.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let plane = Guarded::start().await;
    let mut stream = tokio::net::TcpStream::connect(plane.grpc).await.unwrap();
    let mut answer = Vec::new();
    let closed = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open");
    plane.stop().await;
}

#[tokio::test]
async fn an_address_that_others_reach_is_not_served_unprotected() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut config = config(&dir);
    config.grpc_listen = "0.0.0.0:0".parse().unwrap();
    let listeners = tyrscale_control_plane::Listeners::bind(&config).await.unwrap();
    let refused = tyrscale_control_plane::run(config, listeners, Default::default()).await;
    let words = refused.unwrap_err().to_string();
    assert!(
        words.contains("--grpc-listen") && words.contains("--insecure"),
        "{words}"
    );
}
