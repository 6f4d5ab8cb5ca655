//! The options about who may call.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use tyrscale_access::{AuditFiles, GateRules, Rate};
#[cfg(feature = "oidc")]
use tyrscale_access::{OidcRules, Role};
use tyrscale_tls::CertificateFiles;

use super::ConfigError;

/// Who may call the control plane, and how it is spoken with.
#[derive(Debug, Clone, Default, Args)]
pub struct AccessArgs {
    /// PEM file of the certificate that clients are shown and those that lead to its authority: gRPC and REST then
    /// speak TLS. Needs --tls-key. Read anew when it changes.
    #[arg(long, env = "TYRSCALE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the private key of --tls-cert.
    #[arg(long, env = "TYRSCALE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// PEM file of the authorities that certify nodes: each must show a certificate that names it. Read anew when it
    /// changes.
    #[arg(long, env = "TYRSCALE_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Every call of a user needs a token. The first start writes one for an administrator to admin.token in the data
    /// directory.
    #[arg(long, env = "TYRSCALE_TOKENS")]
    pub tokens: bool,
    /// Listen on addresses that other machines can reach without what protects them.
    #[arg(long, env = "TYRSCALE_INSECURE")]
    pub insecure: bool,
    /// File of 32 secret bytes that hashes of tokens and the audit log's chain are made with; by default one made at
    /// the first start and kept in the data directory.
    #[arg(long, env = "TYRSCALE_PEPPER_FILE", value_name = "FILE")]
    pub pepper_file: Option<PathBuf>,
    /// Start although living tokens were made with another pepper, which is lost: they are revoked, and a new
    /// administrator's token is written. Needs --tokens.
    #[arg(long, env = "TYRSCALE_RENEW_PEPPER", requires = "tokens")]
    pub renew_pepper: bool,
    /// File that gets each audit record as a line of JSON, besides the store.
    #[arg(long, env = "TYRSCALE_AUDIT_LOG", value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// Bytes after which another --audit-log file is begun; at least 4096, or 0 for never. A full one has the number of its last
    /// record behind its name.
    #[arg(long, env = "TYRSCALE_AUDIT_LOG_BYTES", default_value_t = 64 * 1024 * 1024)]
    pub audit_log_bytes: u64,
    /// Full --audit-log files kept, the newest.
    #[arg(long, env = "TYRSCALE_AUDIT_LOG_FILES", default_value_t = 10)]
    pub audit_log_files: usize,
    /// Audit records kept in the store, the newest; at least 1000, or 0 for all.
    #[arg(long, env = "TYRSCALE_AUDIT_KEEP", default_value_t = AccessArgs::AUDIT_KEEP)]
    pub audit_keep: u64,
    /// Calls a second of one token, or of one address without a token, with --tokens; four times as many at once.
    /// 0: any number.
    #[arg(long, env = "TYRSCALE_MAX_CALLS_PER_SECOND", default_value_t = 200)]
    pub max_calls_per_second: u32,
    /// A provider whose tokens are believed.
    #[cfg(feature = "oidc")]
    #[command(flatten)]
    pub oidc: OidcArgs,
}

/// An OpenID Connect provider whose tokens are believed.
#[cfg(feature = "oidc")]
#[derive(Debug, Clone, Default, Args)]
pub struct OidcArgs {
    /// The provider: the claim iss of its tokens. Needs --tokens, --oidc-audience and --oidc-jwks.
    #[arg(long, env = "TYRSCALE_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// One of the claim aud of its tokens.
    #[arg(long, env = "TYRSCALE_OIDC_AUDIENCE", default_value = "tyrscale")]
    pub oidc_audience: String,
    /// File or URL of its keys, a JWK set.
    #[arg(long, env = "TYRSCALE_OIDC_JWKS", value_name = "FILE|URL")]
    pub oidc_jwks: Option<tyrscale_access::KeySource>,
    /// The claim that holds roles: a text or a list; parts of a path joined by dots.
    #[arg(long, env = "TYRSCALE_OIDC_ROLE_CLAIM", default_value = "roles")]
    pub oidc_role_claim: String,
    /// What a value of that claim stands for, as VALUE=viewer|operator|editor|admin; repeat it for more. Each role's own
    /// name without any.
    #[arg(long = "oidc-role", env = "TYRSCALE_OIDC_ROLES", value_delimiter = ',', value_parser = role_of_value)]
    pub oidc_roles: Vec<(String, Role)>,
}

#[cfg(feature = "oidc")]
fn role_of_value(text: &str) -> Result<(String, Role), &'static str> {
    let wrong = "must be VALUE=viewer, VALUE=operator, VALUE=editor or VALUE=admin";
    let (value, role) = text.rsplit_once('=').ok_or(wrong)?;
    let role = ROLES
        .into_iter()
        .find(|known| known.as_str() == role)
        .ok_or(wrong)?;
    Ok((value.to_owned(), role))
}

#[cfg(feature = "oidc")]
const ROLES: [Role; 4] = [Role::Viewer, Role::Operator, Role::Editor, Role::Admin];

#[cfg(feature = "oidc")]
impl OidcArgs {
    /// What is believed; none without a provider.
    pub(crate) fn rules(&self) -> Option<OidcRules> {
        let (issuer, keys) = self.oidc_issuer.clone().zip(self.oidc_jwks.clone())?;
        let own_names = || ROLES.map(|role| (role.as_str().to_owned(), role)).to_vec();
        let roles = match self.oidc_roles.as_slice() {
            [] => own_names(),
            roles => roles.to_vec(),
        };
        Some(OidcRules {
            issuer,
            audience: self.oidc_audience.clone(),
            keys,
            role_claim: self.oidc_role_claim.clone(),
            roles: roles.into_iter().collect(),
        })
    }
}

impl AccessArgs {
    /// Audit records kept in the store unless it is said otherwise.
    pub const AUDIT_KEEP: u64 = 100_000;

    /// The files of the certificate that clients are shown.
    pub(crate) fn certificate(&self) -> Option<CertificateFiles> {
        let pair = self.tls_cert.clone().zip(self.tls_key.clone());
        pair.map(|(certificate, key)| CertificateFiles { certificate, key })
    }

    /// What callers must show.
    pub(crate) fn rules(&self) -> GateRules {
        let rate = Rate {
            burst: self.max_calls_per_second.saturating_mul(4),
            every: Duration::from_secs(1) / self.max_calls_per_second.max(1),
        };
        GateRules {
            tokens: self.tokens,
            certificates: self.client_ca.is_some(),
            rate: (self.tokens && self.max_calls_per_second > 0).then_some(rate),
        }
    }

    /// Where audit records go besides the store.
    pub(crate) fn audit_files(&self) -> Option<AuditFiles> {
        self.audit_log.clone().map(|path| AuditFiles {
            path,
            max_bytes: self.audit_log_bytes,
            keep: self.audit_log_files,
        })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |flag, rule: &str| {
            let rule = rule.to_owned();
            Err(ConfigError { flag, rule })
        };
        if (1..4096).contains(&self.audit_log_bytes) {
            return refuse("--audit-log-bytes", "must be at least 4096, or 0");
        }
        if (1..1000).contains(&self.audit_keep) {
            return refuse("--audit-keep", "must be at least 1000, or 0");
        }
        #[cfg(feature = "oidc")]
        match (&self.oidc.oidc_issuer, &self.oidc.oidc_jwks) {
            (Some(_), None) => return refuse("--oidc-issuer", "needs --oidc-jwks"),
            (None, Some(_)) => return refuse("--oidc-jwks", "needs --oidc-issuer"),
            (Some(_), Some(_)) if !self.tokens => return refuse("--oidc-issuer", "needs --tokens"),
            _ => {}
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => refuse("--tls-cert", "needs --tls-key"),
            (None, Some(_)) => refuse("--tls-key", "needs --tls-cert"),
            (None, None) if self.client_ca.is_some() => {
                refuse("--client-ca", "needs --tls-cert and --tls-key")
            }
            _ => Ok(()),
        }
    }

    /// Whether it is safe to listen there.
    pub(crate) fn check_listener(&self, flag: &'static str, address: SocketAddr) -> Result<(), ConfigError> {
        let needed = [
            ("--tls-cert", self.tls_cert.is_some()),
            ("--tls-key", self.tls_key.is_some()),
            ("--client-ca", self.client_ca.is_some()),
            ("--tokens", self.tokens),
        ];
        let missing = needed.iter().filter(|(_, given)| !given).map(|(flag, _)| *flag);
        let missing: Vec<_> = missing.collect();
        if self.insecure || address.ip().to_canonical().is_loopback() || missing.is_empty() {
            return Ok(());
        }
        let rule = format!(
            "{address} can be reached from other machines: that needs {} as well, or --insecure",
            missing.join(", ")
        );
        Err(ConfigError { flag, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> AccessArgs {
        AccessArgs {
            tls_cert: Some("cert".into()),
            tls_key: Some("key".into()),
            client_ca: Some("ca".into()),
            tokens: true,
            ..AccessArgs::default()
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_tls_certificates_and_tokens() {
        let (near, far) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:8889".parse().unwrap());
        let open = AccessArgs::default();
        assert_eq!(open.check_listener("--grpc-listen", near), Ok(()));
        assert_eq!(
            open.check_listener("--grpc-listen", "[::1]:1".parse().unwrap()),
            Ok(())
        );
        assert_eq!(
            open.check_listener("--grpc-listen", far).unwrap_err().to_string(),
            "--grpc-listen 0.0.0.0:8889 can be reached from other machines: that needs --tls-cert, --tls-key, \
             --client-ca, --tokens as well, or --insecure"
        );
        assert_eq!(whole().check_listener("--grpc-listen", far), Ok(()));
        let without_tokens = AccessArgs {
            tokens: false,
            ..whole()
        };
        let refused = without_tokens.check_listener("--rest-listen", far).unwrap_err();
        assert!(refused.rule.contains("needs --tokens as well"), "{refused}");
        let insecure = AccessArgs {
            insecure: true,
            ..open
        };
        assert_eq!(insecure.check_listener("--grpc-listen", far), Ok(()));
    }

    #[test]
    fn half_a_certificate_is_refused() {
        let cases = [
            (
                AccessArgs {
                    tls_key: None,
                    ..whole()
                },
                "--tls-cert needs --tls-key",
            ),
            (
                AccessArgs {
                    tls_cert: None,
                    tls_key: None,
                    ..whole()
                },
                "--client-ca needs --tls-cert and --tls-key",
            ),
        ];
        for (args, words) in cases {
            assert_eq!(args.check().unwrap_err().to_string(), words);
        }
    }
}
