//! `tyrctl token`.

use std::{collections::BTreeMap, time::Duration};

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use tyrscale_proto::v1;

use super::{connect, role_word, time};
use crate::{
    Connection, Failure, Output,
    input::parse_label,
    output::{say, write_data},
    transport::{GrpcClient, signed},
};

const COLUMNS: &[&str] = &[
    "id", "subject", "role", "networks", "labels", "created", "expires", "last_use", "revoked",
];

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Makes a token and writes it to standard output, once.
    Create {
        /// Who will hold it.
        subject: String,
        /// What it may do: each role may do what the ones before it may.
        #[arg(long, value_enum)]
        role: Role,
        /// A network that it is for; repeat it for more. Everything without any.
        #[arg(long = "network")]
        networks: Vec<String>,
        /// A label as NAME=VALUE that it is for: what it writes must carry it, and the route of upstreams too; repeat it
        /// for more. Everything without any.
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
        labels: Vec<(String, String)>,
        /// Days until it ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
    },
    /// The tokens, without their secrets.
    List {
        /// Revoked and expired ones too.
        #[arg(long)]
        all: bool,
    },
    /// Makes the next token of a token's subject; the old one lives on until it is revoked or ends.
    Rotate {
        /// Its id.
        id: String,
    },
    /// Refuses a token from now on.
    Revoke {
        /// Its id.
        id: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Read, with secrets masked.
    Viewer,
    /// Set weights, cordon, drain, freeze, roll back.
    Operator,
    /// Write the configuration.
    Editor,
    /// Tokens, nodes, the audit log, restores.
    Admin,
}

#[derive(Debug, Serialize)]
struct Token {
    id: String,
    subject: String,
    role: String,
    networks: Vec<String>,
    labels: BTreeMap<String, String>,
    created: Option<String>,
    expires: Option<String>,
    last_use: Option<String>,
    revoked: Option<String>,
    created_by: String,
}

impl From<v1::Token> for Token {
    fn from(token: v1::Token) -> Self {
        let role = role_word(token.role()).to_owned();
        let scope = token.scope.unwrap_or_default();
        Self {
            role,
            id: token.id,
            subject: token.subject,
            networks: scope.networks,
            labels: scope.labels,
            created: token.create_time.map(time),
            expires: token.expire_time.map(time),
            last_use: token.last_use_time.map(time),
            revoked: token.revoke_time.map(time),
            created_by: token.created_by,
        }
    }
}

/// A token that was made, and its text.
#[derive(Debug, Serialize)]
struct Made {
    text: String,
    #[serde(flatten)]
    token: Token,
}

impl TokenVerb {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let client = connect(connection).await?;
        match self {
            Self::Create {
                subject,
                role,
                networks,
                labels,
                days,
            } => {
                let labels = labels.into_iter().collect();
                let scope = v1::AccessScope { networks, labels };
                create(&client, request(subject, role, scope, days), output).await
            }
            Self::List { all } => list(&client, all, output).await,
            Self::Rotate { id } => rotate(&client, id, output).await,
            Self::Revoke { id } => revoke(&client, id, output).await,
        }
    }
}

fn request(subject: String, role: Role, scope: v1::AccessScope, days: u32) -> v1::CreateTokenRequest {
    let role = match role {
        Role::Viewer => v1::AccessRole::Viewer,
        Role::Operator => v1::AccessRole::Operator,
        Role::Editor => v1::AccessRole::Editor,
        Role::Admin => v1::AccessRole::Admin,
    };
    let lifetime = Duration::from_secs(u64::from(days) * 86_400);
    v1::CreateTokenRequest {
        subject,
        role: role.into(),
        scope: Some(scope),
        lifetime: lifetime.try_into().ok(),
    }
}

async fn create(client: &GrpcClient, request: v1::CreateTokenRequest, output: Output) -> Result<(), Failure> {
    let mut access = client.control_plane().access();
    let answer = access.create_token(signed(request)).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    write_made(answer.token, answer.text, output)
}

async fn rotate(client: &GrpcClient, id: String, output: Output) -> Result<(), Failure> {
    let request = signed(v1::RotateTokenRequest { id });
    let answer = client.control_plane().access().rotate_token(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    write_made(answer.token, answer.text, output)
}

/// As a table the text alone, so that it can go to a file.
fn write_made(token: Option<v1::Token>, text: String, output: Output) -> Result<(), Failure> {
    let token = Token::from(token.unwrap_or_default());
    say(&format!(
        "token {} of {}, role {}, until {}: it is shown this once",
        token.id,
        token.subject,
        token.role,
        token.expires.as_deref().unwrap_or_default()
    ));
    match output {
        Output::Table => write_data(&text),
        Output::Json | Output::Yaml => output.write_document(&Made { text, token }),
    }
}

async fn list(client: &GrpcClient, include_dead: bool, output: Output) -> Result<(), Failure> {
    let request = signed(v1::ListTokensRequest { include_dead });
    let answer = client.control_plane().access().list_tokens(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let tokens: Vec<Token> = answer.tokens.into_iter().map(Token::from).collect();
    output.write_all(&tokens, COLUMNS)
}

async fn revoke(client: &GrpcClient, id: String, output: Output) -> Result<(), Failure> {
    let request = signed(v1::RevokeTokenRequest { id });
    let answer = client.control_plane().access().revoke_token(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    output.write_one(&Token::from(answer.token.unwrap_or_default()), COLUMNS)
}
