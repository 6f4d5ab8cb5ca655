//! TLS of every plane: certificates that are replaced while running, and who they say their holder is.
//!
//! A server shows [`Certificates`] and may ask clients for one that an [`Authorities`] file certifies; a client
//! ([`ClientTls`]) reads its files at each connection. [`follow_files`] looks at a server's files every few seconds, so
//! that neither side is restarted for a new certificate. What a certificate says of its holder is [`PeerCertificate`].

mod authorities;
mod certificate;
mod certificates;
mod client;
mod follow;
mod identity;

pub use authorities::{Authorities, AuthoritiesError};
pub use certificate::{CertificateError, CertificateFiles};
pub use certificates::Certificates;
pub use client::{ClientTls, ClientTlsArgs, ClientTlsError};
pub use follow::follow_files;
pub use identity::{Identity, IdentityError, PeerCertificate, trust_domain};
