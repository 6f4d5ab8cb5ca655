//! An authority, and what it certifies.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tyrscale_client::tls::{Identity, trust_domain};

use super::files::Paths;
use crate::Failure;

/// An authority with its key.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    domain: String,
}

/// What is to be certified.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) identity: &'a Identity,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) lifetime: Duration,
    /// Whether its holder serves, and does not only call.
    pub(super) serves: bool,
}

impl Authority {
    /// Makes an authority for a domain; gives its certificate and its key, PEM.
    pub(super) fn make(domain: &str, lifetime: Duration) -> Result<(String, String), Failure> {
        let mut params = params(&format!("TyrScale authority of {domain}"), Vec::new(), lifetime)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names.push(uri(&format!("spiffe://{domain}"))?);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Reads an authority.
    pub(super) fn read(paths: &Paths) -> Result<Self, Failure> {
        let (certificate, key) = paths.read()?;
        let not_one = || {
            Failure::Usage(format!(
                "{} and its key are no authority of `tyrctl certs init`",
                paths.certificate.display()
            ))
        };
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| not_one())?;
        let domain = trust_domain(&der).ok_or_else(not_one)?;
        let key = KeyPair::from_pem(&key).map_err(|_| not_one())?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|_| not_one())?;
        Ok(Self { issuer, domain })
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Certifies; gives the certificate and its key, PEM. It begins now: `RevokeNode` tells those issued later from those
    /// before.
    pub(super) fn issue(&self, request: &Request<'_>) -> Result<(String, String), Failure> {
        let mut params = params(&request.identity.node, request.names.clone(), request.lifetime)?;
        let addresses = request
            .addresses
            .iter()
            .map(|address| SanType::IpAddress(*address));
        params.subject_alt_names.extend(addresses);
        params.subject_alt_names.push(uri(&request.identity.to_string())?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if request.serves {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn params(name: &str, names: Vec<String>, lifetime: Duration) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + lifetime).into();
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, Failure> {
    Ok(SanType::URI(text.try_into().map_err(failed)?))
}

fn failed(error: rcgen::Error) -> Failure {
    Failure::Refused(format!("cannot certify: {error}"))
}
