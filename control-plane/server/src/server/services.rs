//! The services of the gRPC port, put together.

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{server::NamedService, service::Routes};
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder;
use tyrscale_access::Guard;
use tyrscale_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        self, access_service_server::AccessServiceServer,
        configuration_service_server::ConfigurationServiceServer,
        coordination_service_server::CoordinationServiceServer, network_service_server::NetworkServiceServer,
        plugin_service_server::PluginServiceServer,
        recommendation_run_service_server::RecommendationRunServiceServer,
        recommendation_service_server::RecommendationServiceServer, route_service_server::RouteServiceServer,
        rpc_service_server::RpcServiceServer, secret_service_server::SecretServiceServer,
        status_service_server::StatusServiceServer, telemetry_service_server::TelemetryServiceServer,
        upstream_service_server::UpstreamServiceServer,
    },
};
use tyrscale_store::Store;

use crate::{
    access::AccessService,
    coordination::{Coordination, Coordinator},
    error::ControlPlaneError,
    grpc::{
        configuration::Configuration, crud::Crud, recommendation::Recommendations, runs::Runs,
        status::FleetStatus,
    },
    runs::RunRecords,
    secrets::Vault,
    telemetry::{Telemetry, TelemetryReader},
    weights::Book,
};

/// The largest message of a subscriber: a refusal with its violations, in bytes.
pub(super) const MAX_ANSWER: usize = 64 * 1024;
/// The largest report of a node, in bytes.
const MAX_REPORT: usize = 8 * 1024 * 1024;
/// The largest message of any other client: one resource at its limit fits, in bytes.
const MAX_REQUEST: usize = 1024 * 1024;

/// Adds what describes the services.
pub(super) fn add_reflection(routes: &mut Routes) -> Result<(), ControlPlaneError> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let added = std::mem::take(routes)
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?);
    *routes = added;
    Ok(())
}

/// Adds what people and tools call.
pub(super) fn add_services(
    routes: &mut Routes,
    (store, vault): &(Store, Vault),
    configuration: Configuration,
    status: FleetStatus,
    recommendations: Recommendations,
) {
    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service).max_decoding_message_size(MAX_REQUEST)
        };
    }
    macro_rules! crud {
        ($message:ident) => {
            Crud::<v1::$message>::new(store.clone(), vault.clone())
        };
    }
    *routes = std::mem::take(routes)
        .add_service(limited!(NetworkServiceServer, crud!(Network)))
        .add_service(limited!(SecretServiceServer, crud!(Secret)))
        .add_service(limited!(RpcServiceServer, crud!(Rpc)))
        .add_service(limited!(RouteServiceServer, crud!(Route)))
        .add_service(limited!(UpstreamServiceServer, crud!(Upstream)))
        .add_service(limited!(RecommendationServiceServer, recommendations))
        .add_service(limited!(PluginServiceServer, crud!(PluginAttachment)))
        .add_service(limited!(ConfigurationServiceServer, configuration))
        .add_service(limited!(StatusServiceServer, status));
}

/// What nodes do besides following: they report and share work.
pub(super) fn add_node_services(
    routes: &mut Routes,
    (telemetry, coordination): (&Telemetry, &Coordination),
    guard: &Guard,
    streams: &TaskTracker,
    stop: &CancellationToken,
) {
    let reports = TelemetryReader::new(telemetry.clone(), guard.clone(), streams.clone(), stop.clone());
    let members = Coordinator::new(coordination.clone(), guard.clone(), streams.clone(), stop.clone());
    *routes = std::mem::take(routes)
        .add_service(TelemetryServiceServer::new(reports).max_decoding_message_size(MAX_REPORT))
        .add_service(CoordinationServiceServer::new(members).max_decoding_message_size(MAX_ANSWER));
}

/// The service that tells what recommenders did.
pub(super) async fn runs_of(
    stored: (Store, Vault),
    book: &Book,
    coordination: &Coordination,
    guard: &Guard,
) -> Result<RecommendationRunServiceServer<Runs<Recommendations>>, ControlPlaneError> {
    let records = RunRecords::open(&stored.0).await?;
    let recommendations = Recommendations::new(stored, book.clone(), coordination.clone());
    let runs = Runs::new(records, recommendations, guard.clone());
    Ok(RecommendationRunServiceServer::new(runs).max_decoding_message_size(MAX_REQUEST))
}

/// Tells of all services but that for subscribers whether they serve.
pub(super) async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving {
        tonic_health::ServingStatus::Serving
    } else {
        tonic_health::ServingStatus::NotServing
    };
    let services = [
        "",
        <NetworkServiceServer<Crud<v1::Network>> as NamedService>::NAME,
        <RpcServiceServer<Crud<v1::Rpc>> as NamedService>::NAME,
        <RouteServiceServer<Crud<v1::Route>> as NamedService>::NAME,
        <UpstreamServiceServer<Crud<v1::Upstream>> as NamedService>::NAME,
        <RecommendationServiceServer<Recommendations> as NamedService>::NAME,
        <RecommendationRunServiceServer<Runs<Recommendations>> as NamedService>::NAME,
        <PluginServiceServer<Crud<v1::PluginAttachment>> as NamedService>::NAME,
        <ConfigurationServiceServer<Configuration> as NamedService>::NAME,
        <StatusServiceServer<FleetStatus> as NamedService>::NAME,
        <AccessServiceServer<AccessService> as NamedService>::NAME,
        <TelemetryServiceServer<TelemetryReader> as NamedService>::NAME,
        <CoordinationServiceServer<Coordinator> as NamedService>::NAME,
    ];
    for service in services {
        health.set_service_status(service, status).await;
    }
}
