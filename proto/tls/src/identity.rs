//! Who the holder of a certificate is: a URI among its alternative names.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The longest text of a part, in bytes.
const MAX_PART: usize = 128;

/// A node as its certificate names it: `spiffe://<domain>/tyrscale/<role>/<group>/<node>`. Source: the SPIFFE ID
/// standard, section 2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Whose authority certifies it.
    pub domain: String,
    /// What it does: `gateway`, `exporter`, `recommender`, `control-plane`.
    pub role: String,
    /// The nodes it is one of.
    pub group: String,
    /// Its id.
    pub node: String,
}

/// A text that names no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an identity is spiffe://<domain>/tyrscale/<role>/<group>/<node>, each part 1 to 128 of a-z, A-Z, 0-9, '.', '-' and '_'"
)]
pub struct IdentityError;

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("spiffe://").ok_or(IdentityError)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [domain, "tyrscale", role, group, node] = parts[..] else {
            return Err(IdentityError);
        };
        if ![domain, role, group, node].into_iter().all(is_part) {
            return Err(IdentityError);
        }
        let own = str::to_owned;
        Ok(Self {
            domain: own(domain),
            role: own(role),
            group: own(group),
            node: own(node),
        })
    }
}

fn is_part(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=MAX_PART).contains(&text.len()) && text.bytes().all(is_allowed) && !matches!(text, "." | "..")
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            role,
            group,
            node,
        } = self;
        write!(f, "spiffe://{domain}/tyrscale/{role}/{group}/{node}")
    }
}

/// What a certificate that was verified says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Who it is; none when it names no node.
    pub identity: Option<Identity>,
    /// The serial number, in hexadecimal digits: names the certificate among those of its authority.
    pub serial: String,
    /// When it begins, in seconds of Unix time.
    pub not_before: i64,
    /// When it ends, in seconds of Unix time.
    pub not_after: i64,
}

impl PeerCertificate {
    /// Reads a certificate; none when it is no X.509.
    #[must_use]
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let uris = uris(&parsed);
        // A certificate of two names would leave open which of them acts.
        let identity = match &uris[..] {
            [uri] => uri.parse().ok(),
            _ => None,
        };
        Some(Self {
            identity,
            serial: parsed
                .raw_serial()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }
}

/// The domain that an authority is for, when its certificate says one: `spiffe://<domain>`.
#[must_use]
pub fn trust_domain(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    match &uris(&parsed)[..] {
        [uri] => uri
            .strip_prefix("spiffe://")
            .filter(|domain| is_part(domain))
            .map(str::to_owned),
        _ => None,
    }
}

fn uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|it| &it.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["node.example".to_owned()]).unwrap();
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_names_one_node() {
        let uri = "spiffe://example.org/tyrscale/gateway/edge/gw-1";
        let read = PeerCertificate::read(&certificate(&[uri])).unwrap();
        let identity = read.identity.unwrap();
        assert_eq!(identity.role, "gateway");
        assert_eq!(identity.group, "edge");
        assert_eq!(identity.node, "gw-1");
        assert!(read.not_before < read.not_after);
        for uris in [
            &[][..],
            &["spiffe://a.example/other/gateway/edge/gw-1"],
            &[uri, "spiffe://example.org/tyrscale/gateway/edge/gw-2"],
        ] {
            let read = PeerCertificate::read(&certificate(uris)).unwrap();
            assert_eq!(read.identity, None, "{uris:?}");
        }
    }

    #[test]
    fn parts_are_neither_empty_nor_odd() {
        for bad in [
            "spiffe://a/tyrscale/gateway//gw",
            "spiffe://a/tyrscale/gateway/../gw",
            "spiffe://a/tyrscale/gateway/g/gw/more",
            "spiffe://a/tyrscale/gateway/g/gw 1",
            "https://a/tyrscale/gateway/g/gw",
            "spiffe:///tyrscale/gateway/g/gw",
        ] {
            assert_eq!(bad.parse::<Identity>(), Err(IdentityError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_identity_reads_as_it_is_written(parts in prop::array::uniform4("[a-zA-Z0-9_-]{1,20}")) {
            let [domain, role, group, node] = parts;
            let identity = Identity { domain, role, group, node };
            prop_assert_eq!(identity.to_string().parse::<Identity>(), Ok(identity));
        }

        #[test]
        fn no_bytes_make_reading_a_certificate_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            drop(PeerCertificate::read(&CertificateDer::from(bytes)));
        }
    }
}
