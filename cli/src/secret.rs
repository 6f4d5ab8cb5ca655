//! `tyrctl secret`: values go in and never come out.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Subcommand;
use prost_types::FieldMask;
use serde::Serialize;
use tyrscale_proto::v1;

use crate::{
    Connection, Failure, Output,
    args::TransportKind,
    input,
    output::say,
    transport::{GrpcClient, Reference, signed},
};

const COLUMNS: &[&str] = &[
    "name",
    "fingerprint",
    "revision",
    "modified",
    "modified_by",
    "used_by",
];
/// How many secrets are asked for at once.
const PAGE: u32 = 1000;

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Makes a secret, or gives one another value, which gateways use at once.
    Set {
        /// Its name: letters, digits, "_" and "-".
        name: String,
        /// The file whose first line is the value; "-" is standard input. Never on the command line, which others see.
        #[arg(long, value_name = "FILE", default_value = "-")]
        from_file: PathBuf,
        /// A label as NAME=VALUE; repeat it for more. They replace those there are.
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = input::parse_label)]
        labels: Vec<(String, String)>,
        /// Check everything, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// The secrets without their values: fingerprints, and what uses them.
    List,
    /// Takes a secret away that nothing refers to.
    Delete {
        /// Its name.
        name: String,
        /// Check everything, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Makes a new key and encrypts every secret with it; their values stay.
    RotateKey,
}

/// A secret as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    fingerprint: String,
    revision: u64,
    created: Option<String>,
    modified: Option<String>,
    modified_by: String,
    labels: BTreeMap<String, String>,
    used_by: Vec<String>,
}

impl Shown {
    fn of(secret: v1::Secret) -> Self {
        let meta = secret.meta.unwrap_or_default();
        let used_by = secret.referrers.iter().map(Reference::from_message);
        Self {
            name: secret.name,
            fingerprint: secret.fingerprint,
            revision: meta.modify_revision,
            created: meta.create_time.map(|time| time.to_string()),
            modified: meta.modify_time.map(|time| time.to_string()),
            modified_by: meta.modified_by,
            labels: meta.labels,
            used_by: used_by.map(|reference| reference.to_string()).collect(),
        }
    }
}

/// `tyrctl secret`.
pub(crate) async fn run(verb: Verb, connection: &Connection, output: Output) -> Result<(), Failure> {
    if connection.transport == TransportKind::Rest {
        let message = "REST knows no secrets: use --transport grpc";
        return Err(Failure::Usage(message.to_owned()));
    }
    let client = GrpcClient::connect(connection).await?;
    match verb {
        Verb::Set {
            name,
            from_file,
            labels,
            dry_run,
        } => {
            let value = input::read_line(&from_file)?;
            let secret = v1::Secret {
                name,
                value: Some(value),
                meta: (!labels.is_empty()).then(|| v1::ObjectMeta {
                    labels: labels.into_iter().collect(),
                    ..v1::ObjectMeta::default()
                }),
                ..v1::Secret::default()
            };
            set(&client, secret, dry_run, output).await
        }
        Verb::List => list(&client, output).await,
        Verb::Delete { name, dry_run } => delete(&client, name, dry_run).await,
        Verb::RotateKey => rotate(&client).await,
    }
}

async fn set(client: &GrpcClient, secret: v1::Secret, dry_run: bool, output: Output) -> Result<(), Failure> {
    let mut paths = vec!["value".to_owned()];
    if secret.meta.is_some() {
        paths.push("meta.labels".to_owned());
    }
    let request = signed(v1::UpdateSecretRequest {
        secret: Some(secret),
        update_mask: Some(FieldMask { paths }),
        allow_missing: true,
        validate_only: dry_run,
        request_id: String::new(),
    });
    let answer = client.control_plane().secrets().update_secret(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    tell(answer.version, dry_run);
    output.write_one(&Shown::of(answer.secret.unwrap_or_default()), COLUMNS)
}

async fn list(client: &GrpcClient, output: Output) -> Result<(), Failure> {
    let mut shown = Vec::new();
    let mut token = String::new();
    loop {
        let request = signed(v1::ListSecretsRequest {
            page_size: PAGE,
            page_token: token,
            ..v1::ListSecretsRequest::default()
        });
        let page = client.control_plane().secrets().list_secrets(request).await;
        let page = page.map_err(|status| client.failure(status))?.into_inner();
        shown.extend(page.secrets.into_iter().map(Shown::of));
        token = page.next_page_token;
        if token.is_empty() {
            return output.write_all(&shown, COLUMNS);
        }
    }
}

async fn delete(client: &GrpcClient, name: String, dry_run: bool) -> Result<(), Failure> {
    let request = signed(v1::DeleteSecretRequest {
        name,
        validate_only: dry_run,
        ..v1::DeleteSecretRequest::default()
    });
    let answer = client.control_plane().secrets().delete_secret(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    tell(answer.version, dry_run);
    Ok(())
}

async fn rotate(client: &GrpcClient) -> Result<(), Failure> {
    let request = signed(v1::RotateSecretKeyRequest {});
    let answer = client.control_plane().secrets().rotate_secret_key(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    say(&format!(
        "{} secrets are encrypted with a new key",
        answer.secrets
    ));
    tell(answer.version, false);
    Ok(())
}

fn tell(version: Option<v1::Version>, dry_run: bool) {
    let revision = version.unwrap_or_default().revision;
    say(&match dry_run {
        true => format!("nothing was changed; it would be revision {revision}"),
        false => format!("revision {revision}"),
    });
}
