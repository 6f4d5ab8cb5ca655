//! Certificates of a control plane and its subscribers, where both prove who they are.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider, pki_types::PrivateKeyDer};
use tokio_rustls::TlsConnector;
use tyrscale_client::{ClientTls, tls::CertificateFiles};

const AUTHORITY: &str = "authority.pem";
const SERVER: &str = "control-plane";
/// Source: RFC 9113, section 3.2.
const HTTP2: &[u8] = b"h2";

/// An authority, and whom it certifies. All share one key: only names tell them apart.
pub(crate) struct Credentials {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    roots: Arc<RootCertStore>,
}

impl Credentials {
    /// Makes an authority and the control plane's certificate, as files in `folder`.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        let name = "authority of a measurement";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(folder.join(AUTHORITY), authority.pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let made = Self {
            folder: folder.to_owned(),
            authority,
            key: KeyPair::generate()?,
            roots: Arc::new(roots),
        };
        made.write(SERVER, CertificateParams::new(vec!["127.0.0.1".to_owned()])?)?;
        Ok(made)
    }

    /// What the control plane is started with.
    pub(crate) fn flags(&self) -> [OsString; 6] {
        let CertificateFiles { certificate, key } = self.files(SERVER);
        [
            "--tls-cert".into(),
            certificate.into(),
            "--tls-key".into(),
            key.into(),
            "--client-ca".into(),
            self.folder.join(AUTHORITY).into(),
        ]
    }

    /// Speaks as a user, who shows nothing.
    pub(crate) fn user(&self) -> anyhow::Result<TlsConnector> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        Ok(connector(config))
    }

    /// Speaks as the gateway of an id.
    pub(crate) fn gateway(&self, id: &str) -> anyhow::Result<TlsConnector> {
        let certificate = params_of(id)?.signed_by(&self.key, &self.authority)?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_auth_cert(vec![certificate.der().clone()], key)?;
        Ok(connector(config))
    }

    /// As [`Credentials::gateway`], for who reads files.
    pub(crate) fn client(&self, id: &str) -> anyhow::Result<ClientTls> {
        self.write(id, params_of(id)?)?;
        Ok(ClientTls {
            ca: Some(self.folder.join(AUTHORITY)),
            pair: Some(self.files(id)),
        })
    }

    fn files(&self, stem: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.folder.join(format!("{stem}.crt")),
            key: self.folder.join(format!("{stem}.key")),
        }
    }

    fn write(&self, stem: &str, params: CertificateParams) -> anyhow::Result<()> {
        let files = self.files(stem);
        let certificate = params.signed_by(&self.key, &self.authority)?;
        std::fs::write(files.certificate, certificate.pem())?;
        std::fs::write(files.key, self.key.serialize_pem())?;
        Ok(())
    }
}

fn params_of(id: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    let name = format!("spiffe://bench/tyrscale/gateway/default/{id}");
    params.subject_alt_names.push(SanType::URI(name.try_into()?));
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ClientAuth);
    Ok(params)
}

fn connector(mut config: ClientConfig) -> TlsConnector {
    config.alpn_protocols = vec![HTTP2.to_vec()];
    TlsConnector::from(Arc::new(config))
}
