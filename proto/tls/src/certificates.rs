//! The certificates of a server: chosen by server name, read anew when their files change.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::{Certificate, CertificateError, CertificateFiles, Contents};

/// The certificates that clients are shown; the first is for clients that ask for none of them by name.
#[derive(Debug)]
pub struct Certificates {
    sources: Vec<Source>,
    live: ArcSwap<Vec<Arc<Certificate>>>,
    provider: Arc<CryptoProvider>,
    hasher: RandomState,
}

/// A pair of files.
#[derive(Debug)]
struct Source {
    files: CertificateFiles,
    /// A hash of what it held when last looked at, good or bad; `None` when it could not be read.
    seen: Mutex<Option<u64>>,
}

impl Certificates {
    /// Reads all of `files`; blocks.
    ///
    /// # Errors
    /// [`CertificateError`] of the first that cannot be served.
    pub fn read(files: &[CertificateFiles], provider: Arc<CryptoProvider>) -> Result<Self, CertificateError> {
        let hasher = RandomState::new();
        let (mut sources, mut live) = (Vec::new(), Vec::new());
        for files in files {
            let contents = Contents::read(files)?;
            let certificate = Certificate::parse(files, &contents, &provider)?;
            warn_if_expired(&certificate);
            live.push(Arc::new(certificate));
            sources.push(Source {
                files: files.clone(),
                seen: Mutex::new(Some(hasher.hash_one(&contents))),
            });
        }
        Ok(Self {
            sources,
            live: ArcSwap::from_pointee(live),
            provider,
            hasher,
        })
    }

    /// Takes over what has changed in the files; blocks. What cannot be served is logged once, and the
    /// certificate before it stays.
    pub fn refresh(&self) {
        let mut live = Vec::clone(&self.live.load());
        let mut changed = false;
        for (source, certificate) in self.sources.iter().zip(&mut live) {
            let Some(read) = self.changed(source) else {
                continue;
            };
            match read.and_then(|contents| Certificate::parse(&source.files, &contents, &self.provider)) {
                Ok(fresh) => {
                    tracing::info!(
                        server_name = fresh.name(),
                        expires = fresh.expires,
                        "certificate replaced"
                    );
                    warn_if_expired(&fresh);
                    *certificate = Arc::new(fresh);
                    changed = true;
                }
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(
                        server_name = certificate.name(),
                        %error,
                        source,
                        "certificate cannot be replaced; the one before is served on"
                    );
                }
            }
        }
        if changed {
            self.live.store(Arc::new(live));
        }
    }

    /// What `source` holds, if that is something else than when it was last looked at.
    fn changed(&self, source: &Source) -> Option<Result<Contents, CertificateError>> {
        let read = Contents::read(&source.files);
        let hash = read.as_ref().ok().map(|contents| self.hasher.hash_one(contents));
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_changed = *seen != hash;
        *seen = hash;
        is_changed.then_some(read)
    }

    /// Name and end (seconds of Unix time) of each.
    pub fn ends(&self) -> Vec<(String, i64)> {
        let live = self.live.load();
        live.iter().map(|it| (it.name().to_owned(), it.expires)).collect()
    }

    /// The certificate for a client that asks for `name`: of those whose key `is_usable`, the best fit, the first
    /// of equals.
    fn choose(
        &self,
        name: Option<&str>,
        is_usable: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let live = self.live.load();
        let usable = live
            .iter()
            .rev()
            .filter(|certificate| is_usable(&certificate.key));
        let best = usable.max_by_key(|certificate| name.as_ref().map(|name| certificate.fit(name)));
        best.map(|certificate| Arc::clone(&certificate.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.choose(hello.server_name(), |key| {
            key.key.choose_scheme(schemes).is_some()
        })
    }
}

fn warn_if_expired(certificate: &Certificate) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    if now.is_some_and(|now| certificate.expires <= now) {
        tracing::warn!(server_name = certificate.name(), "certificate has expired");
    }
}

#[cfg(test)]
mod tests;
