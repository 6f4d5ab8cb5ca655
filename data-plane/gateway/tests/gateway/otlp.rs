//! Traces sent to a collector.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tyrscale_gateway::{RecorderArgs, Settings};

use super::harness::{HOST_NAME, Harness, bounded, call_body, node, route, settings, upstream_id};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        drop(self.0.send(request.into_inner()).await);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_request_reaches_the_collector_as_a_span_of_its_senders_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut received) = mpsc::channel(16);
    let collector =
        tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    let _serving = tokio::spawn(collector.serve_with_incoming(TcpListenerStream::new(listener)));
    let settings = Settings {
        recorder: RecorderArgs {
            otlp_endpoint: Some(endpoint.parse().unwrap()),
            ..RecorderArgs::default()
        },
        ..settings()
    };
    let node = node("a").await;
    let gateway = Harness::with_route(settings, route(1, HOST_NAME), &[&node]).await;
    let request = gateway.client.request("/eth").header("traceparent", TRACEPARENT);
    let body = http_body_util::Full::new(call_body("eth_chainId"));
    gateway.client.send(request.body(body).unwrap()).await;
    let batch = bounded(received.recv()).await.unwrap();
    let span = &batch.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "eth_chainId");
    assert_eq!(
        span.trace_id,
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()
    );
    assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["asked", "answered"]);
    let served_by = span
        .attributes
        .iter()
        .find(|it| it.key == "tyrscale.upstream")
        .unwrap();
    assert!(format!("{served_by:?}").contains(&upstream_id(1).to_string()));
}
