//! The four services as tasks of this process: started together, stopped in order.

use std::{collections::BTreeSet, error::Error, future::Future, path::Path};

use clap::{Command, FromArgMatches};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tyrscale_control_plane::{AccessArgs, BackupArgs, ControlPlaneConfig};
use tyrscale_exporter::ExporterConfig;
use tyrscale_recommender::RecommenderConfig;

use super::{announce::Addresses, ports::Listeners};
use crate::Failure;

const GATEWAY: &str = "gateway";

/// The services. Dropping it ends them at once.
pub(super) struct Services {
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    running: BTreeSet<&'static str>,
    stop_gateway: CancellationToken,
    stop_others: CancellationToken,
}

impl Services {
    /// Starts all four with data below `data_dir`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when an environment variable of a service holds what it does not take.
    pub(super) fn start(
        listeners: Listeners,
        addresses: &Addresses,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        let control_plane_config = control_plane_config(listeners.insecure, data_dir)?;
        let gateway_config = gateway_config(addresses, data_dir)?;
        let exporter_config = ExporterConfig {
            control_plane: vec![addresses.grpc.clone()],
            node_id: "exporter".to_owned(),
            data_dir: Some(data_dir.join("exporter")),
            ..defaults()?
        };
        let recommender_config = RecommenderConfig {
            control_plane: vec![addresses.grpc.clone()],
            node_id: "recommender".to_owned(),
            data_dir: Some(data_dir.join("recommender")),
            ..defaults()?
        };
        let mut services = Self {
            tasks: JoinSet::new(),
            running: BTreeSet::new(),
            stop_gateway: CancellationToken::new(),
            stop_others: CancellationToken::new(),
        };
        let control_plane_listeners = tyrscale_control_plane::Listeners {
            grpc: listeners.grpc,
            rest: listeners.rest,
            admin: Some(listeners.control_plane_admin),
        };
        let gateway_listeners = tyrscale_gateway::Listeners {
            data: listeners.gateway,
            tls: None,
            admin: listeners.gateway_admin,
        };
        let exporter_listeners = tyrscale_exporter::Listeners {
            admin: listeners.exporter_admin,
        };
        let recommender_listeners = tyrscale_recommender::Listeners {
            admin: listeners.recommender_admin,
        };
        let (stop_gateway, stop) = (services.stop_gateway.clone(), services.stop_others.clone());
        services.spawn(
            "control plane",
            tyrscale_control_plane::run(control_plane_config, control_plane_listeners, stop.clone()),
        );
        services.spawn(
            GATEWAY,
            tyrscale_gateway::run(gateway_config, gateway_listeners, stop_gateway),
        );
        services.spawn(
            "exporter",
            tyrscale_exporter::run(exporter_config, exporter_listeners, stop.clone()),
        );
        services.spawn(
            "recommender",
            tyrscale_recommender::run(recommender_config, recommender_listeners, stop),
        );
        Ok(services)
    }

    fn spawn<E: Error + 'static>(
        &mut self,
        name: &'static str,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.running.insert(name);
        self.tasks
            .spawn(async move { (name, service.await.map_err(|error| causes(&error))) });
    }

    /// Lasts until a service ends that was not told to, and says why it did.
    pub(super) async fn failure(&mut self) -> Failure {
        match self.next_end().await {
            Some((service, Ok(()))) => Failure::Service {
                service,
                error: "ended without being told to".to_owned(),
            },
            Some((service, Err(error))) => Failure::Service { service, error },
            None => Failure::Refused("no service runs".to_owned()),
        }
    }

    /// Stops the gateway, which finishes the requests it holds, then the others. Each bounds its own stop.
    ///
    /// # Errors
    /// The first service that ended with an error.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        self.stop_gateway.cancel();
        loop {
            if !self.running.contains(GATEWAY) {
                self.stop_others.cancel();
            }
            match self.next_end().await {
                Some((service, Err(error))) if outcome.is_ok() => {
                    outcome = Err(Failure::Service { service, error });
                }
                Some(_) => {}
                None => return outcome,
            }
        }
    }

    async fn next_end(&mut self) -> Option<(&'static str, Result<(), String>)> {
        match self.tasks.join_next().await? {
            Ok((service, result)) => {
                self.running.remove(service);
                Some((service, result))
            }
            Err(error) => {
                // A panic does not tell whose it is; everything is to stop.
                self.running.clear();
                Some(("a service", Err(error.to_string())))
            }
        }
    }
}

fn control_plane_config(insecure: bool, data_dir: &Path) -> Result<ControlPlaneConfig, Failure> {
    let mut backups: BackupArgs = defaults()?;
    backups.examiner = std::env::current_exe().ok();
    Ok(ControlPlaneConfig {
        data_dir: data_dir.join("control-plane"),
        backups,
        // The services meet on loopback, where nobody is asked.
        access: AccessArgs {
            insecure,
            audit_keep: AccessArgs::AUDIT_KEEP,
            ..AccessArgs::default()
        },
        ..defaults()?
    })
}

fn gateway_config(addresses: &Addresses, data_dir: &Path) -> Result<tyrscale_gateway::Config, Failure> {
    let args = tyrscale_gateway::Args {
        control_planes: vec![addresses.grpc.clone()],
        data_dir: data_dir.join("gateway"),
        node_id: None,
        ..defaults()?
    };
    tyrscale_gateway::Config::try_from(args).map_err(|error| Failure::Usage(format!("gateway: {error}")))
}

/// The options of a service as its own program has them when nothing is typed: environment, then defaults.
fn defaults<T: clap::Args + FromArgMatches>() -> Result<T, Failure> {
    let command = T::augment_args(Command::new("up").no_binary_name(true));
    command
        .try_get_matches_from(std::iter::empty::<&str>())
        .and_then(|matches| T::from_arg_matches(&matches))
        .map_err(|error| Failure::Usage(error.to_string()))
}

/// An error and what caused it, in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
