//! One certificate with its key, and whom it is for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Where one certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file of the certificate or of the key cannot be read.
    #[error("{file} cannot be read")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no PEM of what it should hold.
    #[error("{file} holds no {what} in PEM")]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The certificate is none.
    #[error("{file} holds no X.509 certificate")]
    NotX509 {
        /// The file.
        file: PathBuf,
    },
    /// The key is not the certificate's, or of a kind that is not spoken.
    #[error("the key in {file} does not fit its certificate")]
    Key {
        /// The file of the key.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

/// The bytes of a pair of files, as read at one time.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    /// Reads both files; blocks.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub(crate) fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|source| CertificateError::Unreadable {
                file: file.clone(),
                source,
            })
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    /// The certificate, then those that lead to its authority.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
        CertificateDer::pem_slice_iter(&self.certificate).collect()
    }

    pub(crate) fn private_key(&self) -> Result<PrivateKeyDer<'static>, pem::Error> {
        PrivateKeyDer::from_pem_slice(&self.key)
    }
}

/// A certificate that can be served.
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// The DNS names it is for, in lower case; `*.` stands for one label.
    names: Vec<String>,
    /// When it ends, in seconds of Unix time.
    pub(crate) expires: i64,
}

impl Certificate {
    /// What `contents` of `files` say.
    ///
    /// # Errors
    /// [`CertificateError`] when they are no certificate with its key.
    pub(crate) fn parse(
        files: &CertificateFiles,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let not_pem = |file: &PathBuf, what| {
            let file = file.clone();
            move |source| CertificateError::NotPem { file, what, source }
        };
        let chain = contents
            .chain()
            .map_err(not_pem(&files.certificate, "certificate"))?;
        let not_x509 = || CertificateError::NotX509 {
            file: files.certificate.clone(),
        };
        let first = chain.first().ok_or_else(not_x509)?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|_| not_x509())?;
        let (names, expires) = (dns_names(&parsed), parsed.validity().not_after.timestamp());
        let key = contents
            .private_key()
            .map_err(not_pem(&files.key, "private key"))?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| CertificateError::Key {
            file: files.key.clone(),
            source,
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            expires,
        })
    }

    /// The first name it is for: what it is called in metrics and logs.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// How well it is for `name`, which is in lower case. Source: RFC 9525, section 6.3.
    pub(crate) fn fit(&self, name: &str) -> Fit {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let is_wildcard_of_parent =
            |own: &String| own.strip_prefix("*.").is_some_and(|own| Some(own) == parent);
        if self.names.iter().any(|own| own == name) {
            Fit::Exact
        } else if self.names.iter().any(is_wildcard_of_parent) {
            Fit::Wildcard
        } else {
            Fit::None
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// How well a certificate is for a name; a better fit is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    None,
    Wildcard,
    Exact,
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.iter().flat_map(|it| &it.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
