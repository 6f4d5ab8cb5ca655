//! Who may certify clients: a file of authorities, read anew when it changes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It cannot be read.
    #[error("{file} cannot be read")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds no PEM.
    #[error("{file} holds no certificates in PEM")]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// No certificate, or one that is not an authority's.
    #[error("{file} holds no certificate of an authority")]
    NoAuthority {
        /// The file.
        file: PathBuf,
    },
}

/// Verifies the certificates of clients, if they show one, against the authorities of a file.
pub struct Authorities {
    file: PathBuf,
    /// What the file held when last looked at, good or bad.
    seen: Mutex<Option<Vec<u8>>>,
    live: ArcSwap<Verifier>,
    provider: Arc<CryptoProvider>,
}

struct Verifier(Arc<dyn ClientCertVerifier>);

impl Authorities {
    /// Reads `file`, PEM; blocks.
    ///
    /// # Errors
    /// [`AuthoritiesError`].
    pub fn read(file: &Path, provider: Arc<CryptoProvider>) -> Result<Self, AuthoritiesError> {
        let contents = read(file)?;
        let verifier = verifier(file, &contents, &provider)?;
        Ok(Self {
            file: file.to_owned(),
            seen: Mutex::new(Some(contents)),
            live: ArcSwap::from_pointee(verifier),
            provider,
        })
    }

    /// Takes over what has changed in the file; blocks. What cannot be used is logged once, and the authorities before it
    /// stay.
    pub fn refresh(&self) {
        let contents = read(&self.file);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.as_deref() == contents.as_deref().ok() {
                return;
            }
            *seen = contents.as_ref().ok().cloned();
        }
        match contents.and_then(|contents| verifier(&self.file, &contents, &self.provider)) {
            Ok(verifier) => {
                tracing::info!(file = %self.file.display(), "authorities of clients replaced");
                self.live.store(Arc::new(verifier));
            }
            Err(error) => {
                tracing::warn!(%error, "authorities of clients cannot be replaced; those before are believed on");
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, AuthoritiesError> {
    std::fs::read(file).map_err(|source| AuthoritiesError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

/// The authorities in a PEM file.
pub(crate) fn roots(file: &Path, contents: &[u8]) -> Result<RootCertStore, AuthoritiesError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(contents) {
        let certificate = certificate.map_err(|source| AuthoritiesError::NotPem {
            file: file.to_owned(),
            source,
        })?;
        roots
            .add(certificate)
            .map_err(|_| AuthoritiesError::NoAuthority {
                file: file.to_owned(),
            })?;
    }
    if roots.is_empty() {
        return Err(AuthoritiesError::NoAuthority {
            file: file.to_owned(),
        });
    }
    Ok(roots)
}

fn verifier(
    file: &Path,
    contents: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, AuthoritiesError> {
    let roots = Arc::new(roots(file, contents)?);
    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map(Verifier)
        .map_err(|_| AuthoritiesError::NoAuthority {
            file: file.to_owned(),
        })
}

impl ClientCertVerifier for Authorities {
    /// Whether a certificate is needed depends on what is called, which is not known yet.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None, as the names of authorities that come and go cannot be borrowed; clients then show what they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let live = self.live.load();
        live.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.live.load().0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.live.load().0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.live.load().0.supported_verify_schemes()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
