//! `certificates`: an authority and a certificate for `localhost` and `127.0.0.1`, for TLS on both sides.

use std::path::PathBuf;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// File of the authority.
pub(crate) const AUTHORITY: &str = "authority.pem";
/// File of the certificate.
pub(crate) const CERTIFICATE: &str = "certificate.pem";
/// File of its private key.
pub(crate) const KEY: &str = "key.pem";
/// File of certificate and key in one, as HAProxy takes them.
const BUNDLE: &str = "bundle.pem";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write to; it is made when it is not there.
    folder: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    let mut authority = CertificateParams::new(Vec::new())?;
    // A certificate issued by its own name would pass for a self-signed one.
    authority
        .distinguished_name
        .push(DnType::CommonName, "authority of a measurement");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let bundle = format!("{}{}", certificate.pem(), key.serialize_pem());
    let files = [
        (AUTHORITY, authority.pem()),
        (CERTIFICATE, certificate.pem()),
        (KEY, key.serialize_pem()),
        (BUNDLE, bundle),
    ];
    for (name, text) in files {
        let file = args.folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
