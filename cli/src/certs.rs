//! `tyrctl certs`: an authority and certificates for those who have none.

mod authority;
mod files;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use tyrscale_client::tls::Identity;

use self::authority::{Authority, Request};
use crate::{Failure, Output};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an authority: ca.crt, which everybody may have, and ca.key, which nobody else may.
    Init(Init),
    /// Issues a certificate of the authority, with a key of its own.
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Where the authority is kept.
    #[arg(long, value_name = "DIRECTORY", default_value = "certs")]
    dir: PathBuf,
    /// The domain that its certificates are for, as spiffe://DOMAIN/...
    #[arg(long, default_value = "tyrscale.internal")]
    domain: String,
    /// Days until it ends.
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Debug, clap::Args)]
struct Issue {
    /// Where the authority is kept and the certificate is put.
    #[arg(long, value_name = "DIRECTORY", default_value = "certs")]
    dir: PathBuf,
    /// What its holder does.
    #[arg(long, value_enum)]
    role: NodeRole,
    /// The holder's node id.
    #[arg(long)]
    node: String,
    /// The nodes it is one of; what a gateway says with its own --group.
    #[arg(long, default_value = "default")]
    group: String,
    /// A name or address at which a control plane is reached; repeat it for more. localhost, 127.0.0.1 and ::1 without
    /// any.
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Days until it ends.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=825))]
    days: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NodeRole {
    Gateway,
    Exporter,
    Recommender,
    ControlPlane,
}

impl NodeRole {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Exporter => "exporter",
            Self::Recommender => "recommender",
            Self::ControlPlane => "control-plane",
        }
    }
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    certificate: PathBuf,
    key: PathBuf,
    identity: String,
    days: u32,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let made = match args.command {
        Command::Init(init) => make_authority(&init)?,
        Command::Issue(issue) => issue_certificate(&issue)?,
    };
    output.write_one(&made, &["certificate", "key", "identity", "days"])
}

fn make_authority(init: &Init) -> Result<Made, Failure> {
    let domain = &init.domain;
    // A domain fits when an identity in it reads.
    let probe = format!("spiffe://{domain}/tyrscale/gateway/default/node");
    if probe.parse::<Identity>().is_err() {
        return Err(Failure::Usage(format!(
            "--domain {domain}: must be 1 to 128 of a-z, A-Z, 0-9, '.', '-' and '_'"
        )));
    }
    let (certificate, key) = Authority::make(domain, DAY * init.days)?;
    let paths = files::Paths::of(&init.dir, "ca");
    paths.write_new(&certificate, &key)?;
    Ok(Made {
        certificate: paths.certificate,
        key: paths.key,
        identity: format!("spiffe://{domain}"),
        days: init.days,
    })
}

fn issue_certificate(issue: &Issue) -> Result<Made, Failure> {
    let role = issue.role;
    let serves = role == NodeRole::ControlPlane;
    if !serves && !issue.hosts.is_empty() {
        return Err(Failure::Usage("--host is for --role control-plane".to_owned()));
    }
    let authority = Authority::read(&files::Paths::of(&issue.dir, "ca"))?;
    let identity: Identity = format!(
        "spiffe://{}/tyrscale/{}/{}/{}",
        authority.domain(),
        role.as_str(),
        issue.group,
        issue.node
    )
    .parse()
    .map_err(|_| {
        let rule = "must be 1 to 128 of a-z, A-Z, 0-9, '.', '-' and '_'";
        Failure::Usage(format!(
            "--node {} and --group {}: {rule}",
            issue.node, issue.group
        ))
    })?;
    let hosts = match (serves, issue.hosts.is_empty()) {
        (true, true) => ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
        _ => issue.hosts.clone(),
    };
    let (addresses, names) = hosts
        .into_iter()
        .partition::<Vec<_>, _>(|host| host.parse::<IpAddr>().is_ok());
    let (certificate, key) = authority.issue(&Request {
        identity: &identity,
        names,
        addresses: addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect(),
        lifetime: DAY * issue.days,
        serves,
    })?;
    let paths = files::Paths::of(&issue.dir, &format!("{}-{}", role.as_str(), issue.node));
    paths.write(&certificate, &key)?;
    Ok(Made {
        certificate: paths.certificate,
        key: paths.key,
        identity: identity.to_string(),
        days: issue.days,
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tyrscale_client::ClientTls;
    use tyrscale_client::tls::CertificateFiles;

    use super::*;

    fn init(dir: &TempDir) -> Init {
        Init {
            dir: dir.path().to_owned(),
            domain: "example.org".to_owned(),
            days: 10,
        }
    }

    fn issue(dir: &TempDir, node: &str) -> Issue {
        Issue {
            dir: dir.path().to_owned(),
            role: NodeRole::Gateway,
            node: node.to_owned(),
            group: "edge".to_owned(),
            hosts: Vec::new(),
            days: 5,
        }
    }

    #[test]
    fn a_certificate_names_its_holder_and_can_be_shown() {
        let dir = TempDir::new().unwrap();
        make_authority(&init(&dir)).unwrap();
        let made = issue_certificate(&issue(&dir, "gw-1")).unwrap();
        assert_eq!(made.identity, "spiffe://example.org/tyrscale/gateway/edge/gw-1");
        let tls = ClientTls {
            ca: Some(dir.path().join("ca.crt")),
            pair: Some(CertificateFiles {
                certificate: made.certificate,
                key: made.key.clone(),
            }),
        };
        assert!(tls.config(&[]).is_ok());
        #[cfg(unix)]
        for file in [dir.path().join("ca.key"), made.key] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }

    #[test]
    fn an_authority_is_never_overwritten_and_odd_names_are_refused() {
        let dir = TempDir::new().unwrap();
        assert!(issue_certificate(&issue(&dir, "gw-1")).is_err());
        make_authority(&init(&dir)).unwrap();
        assert!(make_authority(&init(&dir)).is_err());
        assert!(issue_certificate(&issue(&dir, "gw/1")).is_err());
        let with_host = Issue {
            hosts: vec!["gw.example".to_owned()],
            ..issue(&dir, "gw-1")
        };
        assert!(issue_certificate(&with_host).is_err());
        let odd = Init {
            domain: "a/b".to_owned(),
            ..init(&dir)
        };
        assert!(make_authority(&odd).is_err());
    }
}
