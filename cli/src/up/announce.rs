//! What `tyrctl up` tells once everything runs.

use std::{
    fmt::{self, Write},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use http::Uri;
use serde::{Serialize, Serializer};
use tokio::net::TcpListener;

use super::{ports::Listeners, scene::HOST, trial::Trial};
use crate::{Failure, Output, output};

/// The URLs of the services, without a slash at the end.
#[derive(Debug, Serialize)]
pub(super) struct Addresses {
    /// The control plane's gRPC services.
    #[serde(serialize_with = "as_text")]
    pub(super) grpc: Uri,
    /// The control plane's REST interface.
    pub(super) rest: String,
    pub(super) control_plane_admin: String,
    /// Where the gateway takes requests.
    pub(super) gateway: String,
    pub(super) gateway_admin: String,
    pub(super) exporter_admin: String,
    pub(super) recommender_admin: String,
}

impl Addresses {
    /// Where the listeners are, as this machine reaches them.
    pub(super) fn of(listeners: &Listeners) -> io::Result<Self> {
        Ok(Self {
            grpc: url_of(&listeners.grpc)?.parse().map_err(io::Error::other)?,
            rest: url_of(&listeners.rest)?,
            control_plane_admin: url_of(&listeners.control_plane_admin)?,
            gateway: url_of(&listeners.gateway)?,
            gateway_admin: url_of(&listeners.gateway_admin)?,
            exporter_admin: url_of(&listeners.exporter_admin)?,
            recommender_admin: url_of(&listeners.recommender_admin)?,
        })
    }

    /// Where the gateway is under the host of the route.
    fn route_url(&self, path: &str) -> String {
        let port = self.gateway.rsplit_once(':').map_or("", |(_, port)| port);
        format!("http://{HOST}:{port}{path}")
    }
}

fn url_of(listener: &TcpListener) -> io::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok(format!("http://{address}"))
}

fn as_text<S: Serializer>(uri: &Uri, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(uri.to_string().trim_end_matches('/'))
}

/// Where everything is, what was tried, and what to try next.
#[derive(Debug, Serialize)]
pub(super) struct Announcement<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) data_dir: &'a Path,
    pub(super) trial: Option<&'a Trial>,
    /// How this program was called.
    #[serde(skip)]
    pub(super) program: &'a str,
}

impl Announcement<'_> {
    /// Writes it to standard output.
    pub(super) fn write(&self, output: Output) -> Result<(), Failure> {
        match output {
            Output::Table => {
                let mut text = String::new();
                self.tell(&mut text)
                    .map_err(|error| Failure::Refused(error.to_string()))?;
                output::write_data(&text)
            }
            Output::Json | Output::Yaml => output.write_document(self),
        }
    }

    fn tell(&self, text: &mut String) -> fmt::Result {
        let addresses = self.addresses;
        let grpc = addresses.grpc.to_string();
        writeln!(text, "TyrScale is running.\n")?;
        writeln!(
            text,
            "  gateway        {}  (metrics and health: {})",
            addresses.gateway, addresses.gateway_admin
        )?;
        writeln!(text, "  control plane  {}  (gRPC)", grpc.trim_end_matches('/'))?;
        writeln!(
            text,
            "                 {}  (REST; documented at /swagger/index.html)",
            addresses.rest
        )?;
        writeln!(
            text,
            "                 {}  (metrics and health)",
            addresses.control_plane_admin
        )?;
        writeln!(
            text,
            "  exporter       {}  (metrics and health)",
            addresses.exporter_admin
        )?;
        writeln!(
            text,
            "  recommender    {}  (metrics and health)",
            addresses.recommender_admin
        )?;
        writeln!(text, "  data           {}", self.data_dir.display())?;
        match self.trial {
            Some(trial) => {
                self.tell_trial(trial, text)?;
                self.tell_next(trial, text)
            }
            None => {
                let program = self.program;
                writeln!(text, "\nNothing is configured by this start. Try:\n")?;
                writeln!(text, "  {program} up --demo")?;
                writeln!(text, "  {program}{} network list", self.server_flag())
            }
        }
    }

    fn tell_trial(&self, trial: &Trial, text: &mut String) -> fmt::Result {
        let url = self.addresses.route_url(&trial.path);
        writeln!(
            text,
            "\n{} requests to {url}, balanced by weight:\n",
            trial.answers.len()
        )?;
        for (index, answer) in trial.answers.iter().enumerate() {
            let node = answer.node.as_deref().unwrap_or("an upstream");
            writeln!(
                text,
                "  {:>2}  {node:<11}  {} = {}  ({} ms)",
                index + 1,
                trial.method,
                answer.answer,
                answer.milliseconds
            )?;
        }
        writeln!(text)?;
        for upstream in &trial.upstreams {
            write!(text, "  {:<11}  weight {:<4}", upstream.name, upstream.weight)?;
            match trial.answers.iter().any(|answer| answer.node.is_some()) {
                true => writeln!(text, "  served {}", upstream.served)?,
                false => writeln!(text)?,
            }
        }
        Ok(())
    }

    fn tell_next(&self, trial: &Trial, text: &mut String) -> fmt::Result {
        let tyrctl = format!("{}{}", self.program, self.server_flag());
        let url = self.addresses.route_url(&trial.path);
        let method = trial.method;
        writeln!(text, "\nTry next, from another terminal:\n")?;
        writeln!(text, "  # a request of your own, and who answers")?;
        writeln!(
            text,
            "  curl -i {url} -H 'content-type: application/json' \\\n    -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":[]}}'"
        )?;
        if let Some(upstream) = trial.upstreams.first() {
            writeln!(
                text,
                "  # drain {}: the gateway has it in milliseconds",
                upstream.name
            )?;
            writeln!(text, "  {tyrctl} upstream update {} --weight 0", upstream.id)?;
        }
        writeln!(text, "  # who runs which revision; what there is")?;
        writeln!(text, "  {tyrctl} status")?;
        writeln!(text, "  {tyrctl} upstream list")?;
        writeln!(text, "  # what the gateway counts")?;
        writeln!(text, "  curl -s {}/metrics", self.addresses.gateway_admin)
    }

    /// The flag that leads to this control plane, when it is not where it is looked for.
    fn server_flag(&self) -> String {
        let grpc = self.addresses.grpc.to_string();
        match grpc.trim_end_matches('/') {
            "http://127.0.0.1:8889" => String::new(),
            server => format!(" --server {server}"),
        }
    }
}
