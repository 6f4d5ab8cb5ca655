//! A control plane with TLS, certificates of nodes and tokens, and an authority for it.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{ApiToken, ClientTls, ControlPlane, Credentials, tls::CertificateFiles};
use tyrscale_control_plane::{AccessArgs, ControlPlaneConfig, ControlPlaneError, Listeners, run};
use tyrscale_proto::v1;

use crate::plane::{LIMIT, config};

/// An authority whose certificates lie in a directory.
pub(crate) struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// From when until when a certificate is good, in seconds from now.
pub(crate) type Validity = (i64, i64);

pub(crate) const GOOD: Validity = (-60, 3600);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// A certificate for a server on loopback.
    pub(crate) fn server(&self, stem: &str) -> CertificateFiles {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
        self.write(stem, CertificateParams::new(names).unwrap(), GOOD)
    }

    /// A certificate for a node.
    pub(crate) fn node(&self, role: &str, node: &str, validity: Validity) -> CertificateFiles {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        let uri = format!("spiffe://test.example/tyrscale/{role}/default/{node}");
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
        self.write(&format!("{role}-{node}"), params, validity)
    }

    fn write(&self, stem: &str, mut params: CertificateParams, (from, until): Validity) -> CertificateFiles {
        let at = |seconds: i64| {
            let offset = Duration::from_secs(seconds.unsigned_abs());
            let now = SystemTime::now();
            if seconds < 0 { now - offset } else { now + offset }
        };
        params.not_before = at(from).into();
        params.not_after = at(until).into();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles {
            certificate: self.dir.path().join(format!("{stem}.crt")),
            key: self.dir.path().join(format!("{stem}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

/// A control plane that asks who calls.
pub(crate) struct Guarded {
    pub(crate) authority: Authority,
    pub(crate) grpc: SocketAddr,
    pub(crate) rest: SocketAddr,
    pub(crate) admin_token: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControlPlaneError>>,
    pub(crate) dir: TempDir,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut AccessArgs)) -> Self {
        let authority = Authority::new();
        let server = authority.server("server");
        let dir = TempDir::new().unwrap();
        let mut access = AccessArgs {
            tls_cert: Some(server.certificate),
            tls_key: Some(server.key),
            client_ca: Some(authority.file()),
            tokens: true,
            audit_log: Some(dir.path().join("audit.jsonl")),
            ..AccessArgs::default()
        };
        change(&mut access);
        let config = ControlPlaneConfig {
            access,
            ..config(&dir)
        };
        let data_dir = config.data_dir.clone();
        let listeners = Listeners::bind(&config).await.unwrap();
        let (grpc, rest) = (
            listeners.grpc.local_addr().unwrap(),
            listeners.rest.local_addr().unwrap(),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(config, listeners, stop.clone()));
        let mut guarded = Self {
            authority,
            grpc,
            rest,
            admin_token: String::new(),
            stop,
            task,
            dir,
        };
        // It serves once it answers, and has written the token before.
        guarded.connect(None, None).await.unwrap();
        guarded.admin_token = fs::read_to_string(data_dir.join("admin.token"))
            .unwrap_or_default()
            .trim()
            .to_owned();
        guarded
    }

    pub(crate) async fn connect(
        &self,
        token: Option<&str>,
        pair: Option<CertificateFiles>,
    ) -> Result<ControlPlane, tyrscale_client::ClientError> {
        let credentials = Credentials {
            tls: ClientTls {
                ca: Some(self.authority.file()),
                pair,
            },
            token: token.map(|token| token.parse::<ApiToken>().unwrap()),
        };
        let uri = format!("https://localhost:{}", self.grpc.port()).parse().unwrap();
        timeout(LIMIT, ControlPlane::connect(&uri, &credentials))
            .await
            .unwrap()
    }

    pub(crate) async fn admin(&self) -> ControlPlane {
        self.connect(Some(&self.admin_token), None).await.unwrap()
    }

    /// A client with a new token.
    pub(crate) async fn user(&self, role: v1::AccessRole, networks: &[&str]) -> (ControlPlane, v1::Token) {
        let scope = v1::AccessScope {
            networks: networks.iter().map(ToString::to_string).collect(),
            ..v1::AccessScope::default()
        };
        self.user_of(role, &networks.join("-"), scope).await
    }

    /// The same, of any scope.
    pub(crate) async fn user_of(
        &self,
        role: v1::AccessRole,
        name: &str,
        scope: v1::AccessScope,
    ) -> (ControlPlane, v1::Token) {
        let request = v1::CreateTokenRequest {
            subject: format!("{}-{name}", role.as_str_name().to_lowercase()),
            role: role.into(),
            scope: Some(scope),
            lifetime: None,
        };
        let answer = self.admin().await.access().create_token(request).await;
        let answer = answer.unwrap().into_inner();
        let client = self.connect(Some(&answer.text), None).await.unwrap();
        (client, answer.token.unwrap())
    }

    pub(crate) async fn audit(&self) -> Vec<v1::AuditRecord> {
        let request = v1::ListAuditRequest {
            page_size: 1000,
            ..v1::ListAuditRequest::default()
        };
        let answer = self.admin().await.access().list_audit(request).await;
        answer.unwrap().into_inner().records
    }

    /// Stops it and sees that it ends by itself.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}
