use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use tempfile::TempDir;

use super::*;

/// Makes a certificate for `names` and writes it and its key to `stem.pem` and `stem.key`.
fn write(directory: &Path, stem: &str, names: &[&str]) -> CertificateFiles {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let files = CertificateFiles {
        certificate: directory.join(format!("{stem}.pem")),
        key: directory.join(format!("{stem}.key")),
    };
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

fn read(files: &[CertificateFiles]) -> Certificates {
    Certificates::read(files, Arc::new(default_provider())).unwrap()
}

/// The first name of the certificate that `name` gets.
fn chosen(certificates: &Certificates, name: Option<&str>) -> String {
    let key = certificates.choose(name, |_| true).unwrap();
    let live = certificates.live.load();
    let found = live.iter().find(|it| Arc::ptr_eq(&it.key, &key));
    found.unwrap().name().to_owned()
}

#[test]
fn the_best_fit_is_chosen_and_the_first_without_one() {
    let directory = TempDir::new().unwrap();
    let files = [
        write(directory.path(), "default", &["default.example"]),
        write(directory.path(), "wild", &["*.a.example"]),
        write(directory.path(), "exact", &["eth.a.example", "b.example"]),
        write(directory.path(), "second", &["second.example", "b.example"]),
    ];
    let certificates = read(&files);
    for (name, expected) in [
        (None, "default.example"),
        (Some("unknown.example"), "default.example"),
        (Some("x.a.example"), "*.a.example"),
        (Some("x.y.a.example"), "default.example"),
        (Some("a.example"), "default.example"),
        (Some("ETH.a.Example"), "eth.a.example"),
        (Some("b.example"), "eth.a.example"),
    ] {
        assert_eq!(chosen(&certificates, name), expected, "{name:?}");
    }
}

#[test]
fn a_key_the_client_cannot_verify_is_passed_over() {
    let directory = TempDir::new().unwrap();
    let certificates = read(&[
        write(directory.path(), "one", &["a.example"]),
        write(directory.path(), "two", &["a.example"]),
    ]);
    let second = Arc::clone(&certificates.live.load()[1].key);
    let key = certificates.choose(Some("a.example"), |key| std::ptr::eq(key, &raw const *second));
    assert!(Arc::ptr_eq(&key.unwrap(), &second));
    assert!(certificates.choose(Some("a.example"), |_| false).is_none());
}

#[test]
fn a_changed_pair_is_taken_over_and_a_bad_one_is_not() {
    let directory = TempDir::new().unwrap();
    let files = write(directory.path(), "pair", &["old.example"]);
    let certificates = read(std::slice::from_ref(&files));
    let other = write(directory.path(), "other", &["new.example"]);
    // Half of the change: the certificate is there, its key is not yet.
    fs::copy(&other.certificate, &files.certificate).unwrap();
    certificates.refresh();
    assert_eq!(chosen(&certificates, None), "old.example");
    fs::copy(&other.key, &files.key).unwrap();
    certificates.refresh();
    assert_eq!(chosen(&certificates, None), "new.example");
    for bad in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(&files.certificate, bad).unwrap();
        certificates.refresh();
        assert_eq!(chosen(&certificates, None), "new.example", "{bad}");
    }
    fs::remove_file(&files.certificate).unwrap();
    certificates.refresh();
    assert_eq!(chosen(&certificates, None), "new.example");
}

#[test]
fn what_has_not_changed_is_not_looked_into_again() {
    let directory = TempDir::new().unwrap();
    let files = write(directory.path(), "pair", &["a.example"]);
    let certificates = read(std::slice::from_ref(&files));
    assert!(certificates.changed(&certificates.sources[0]).is_none());
    fs::write(&files.key, "no key").unwrap();
    assert!(certificates.changed(&certificates.sources[0]).is_some());
    assert!(certificates.changed(&certificates.sources[0]).is_none());
}

#[test]
fn what_is_no_pair_is_refused_with_its_file() {
    let directory = TempDir::new().unwrap();
    let good = write(directory.path(), "good", &["a.example"]);
    let other = write(directory.path(), "other", &["a.example"]);
    let provider = Arc::new(default_provider());
    let mismatched = CertificateFiles {
        key: other.key,
        ..good.clone()
    };
    let missing = CertificateFiles {
        certificate: directory.path().join("missing.pem"),
        ..good
    };
    for (files, file) in [(mismatched, "other.key"), (missing, "missing.pem")] {
        let error = Certificates::read(&[files], Arc::clone(&provider)).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}
