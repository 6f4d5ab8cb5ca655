//! Where the services listen.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

use crate::Failure;

/// An address for each socket; port 0 takes a free one.
#[derive(Debug, clap::Args)]
pub(crate) struct Ports {
    /// Address of the control plane's gRPC services.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8889")]
    grpc_listen: SocketAddr,
    /// Address of the control plane's REST interface.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8888")]
    rest_listen: SocketAddr,
    /// Address of the control plane's metrics and health.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8890")]
    control_plane_admin_listen: SocketAddr,
    /// Address where the gateway takes JSON-RPC requests.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7777")]
    gateway_listen: SocketAddr,
    /// Address of the gateway's metrics and health.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7780")]
    gateway_admin_listen: SocketAddr,
    /// Address of the exporter's metrics and health.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7781")]
    exporter_admin_listen: SocketAddr,
    /// Address of the recommender's metrics and health.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7782")]
    recommender_admin_listen: SocketAddr,
    /// Let the control plane listen on addresses that other machines can reach, where everybody may do everything.
    #[arg(long)]
    insecure: bool,
}

/// A socket for each purpose.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) grpc: TcpListener,
    pub(super) rest: TcpListener,
    pub(super) control_plane_admin: TcpListener,
    pub(super) gateway: TcpListener,
    pub(super) gateway_admin: TcpListener,
    pub(super) exporter_admin: TcpListener,
    pub(super) recommender_admin: TcpListener,
    /// Whether the control plane may be reached from other machines.
    pub(super) insecure: bool,
}

impl Ports {
    /// Listens everywhere before anything starts.
    pub(super) async fn bind(&self) -> Result<Listeners, Failure> {
        Ok(Listeners {
            insecure: self.insecure,
            grpc: bind(self.grpc_listen, "--grpc-listen").await?,
            rest: bind(self.rest_listen, "--rest-listen").await?,
            control_plane_admin: bind(self.control_plane_admin_listen, "--control-plane-admin-listen")
                .await?,
            gateway: bound(
                tyrscale_gateway::bind(self.gateway_listen),
                self.gateway_listen,
                "--gateway-listen",
            )?,
            gateway_admin: bind(self.gateway_admin_listen, "--gateway-admin-listen").await?,
            exporter_admin: bind(self.exporter_admin_listen, "--exporter-admin-listen").await?,
            recommender_admin: bind(self.recommender_admin_listen, "--recommender-admin-listen").await?,
        })
    }
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    bound(TcpListener::bind(address).await, address, flag)
}

fn bound(listener: io::Result<TcpListener>, address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    listener.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
            _ => error.to_string(),
        };
        Failure::Refused(format!(
            "cannot listen on {address}: {why}; end what listens there, or say another address with {flag}"
        ))
    })
}
