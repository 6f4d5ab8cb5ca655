use proptest::prelude::*;

use super::*;
use crate::{Lineage, Revision, Row, Secret, wire};

fn url(text: &str) -> HttpUrl {
    text.parse().unwrap()
}

#[test]
fn secrets_are_masked_and_the_rest_is_not() {
    for (text, masked) in [
        (
            "https://eth.example/v2/abcdefghij0123456789xyz",
            "https://eth.example/v2/***",
        ),
        ("https://user:pass@eth.example/", "https://***@eth.example/"),
        ("http://node:8545/?apikey=1&x=", "http://node:8545/?apikey=***&x="),
        ("http://node:8545?secret", "http://node:8545?***"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        (
            "https://h/ethereum-mainnet-archive/rpc",
            "https://h/ethereum-mainnet-archive/rpc",
        ),
    ] {
        assert_eq!(url(text).masked(), masked);
        assert_eq!(format!("{}", url(text)), masked);
        assert!(format!("{:?}", url(text)).contains(masked));
    }
}

#[test]
fn parts_are_read() {
    let parsed = url("HTTPS://u%40:p@Host.Example/a/b?k=v#frag");
    assert_eq!(parsed.scheme(), Scheme::Https);
    assert_eq!(parsed.host(), "host.example");
    assert_eq!(parsed.port(), 443);
    assert_eq!(parsed.expose_path(), "/a/b");
    assert_eq!(parsed.expose_query(), Some("k=v"));
    assert_eq!(parsed.expose_user_info().as_deref(), Some("u@:p"));
    assert_eq!(url("http://[::1]:8545").host(), "[::1]");
    assert_eq!(url("http://[::1]:8545").port(), 8545);
    assert_eq!(url("http://h").expose_path(), "/");
}

#[test]
fn what_is_no_http_url_is_refused() {
    for bad in [
        "",
        "ftp://h/",
        "http://",
        "h:80",
        "/path",
        "http://h:0",
        "http://h:70000",
        "http://h ost/",
        "http://:80",
    ] {
        assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
    }
}

#[test]
fn one_endpoint_has_one_normal_form() {
    for (one, other) in [
        ("http://h/a", "HTTP://H:80/a/"),
        ("https://h", "https://h:443/"),
        ("http://h/a?x=1", "http://h/a/?x=1"),
    ] {
        assert_eq!(url(one).normalized(), url(other).normalized());
    }
    assert_ne!(url("http://h/a").normalized(), url("http://h/A").normalized());
}

proptest! {
    #[test]
    fn no_text_panics_and_masking_keeps_a_url(text in "\\PC{0,60}") {
        if let Ok(parsed) = text.parse::<HttpUrl>() {
            prop_assert!(parsed.masked().parse::<HttpUrl>().is_ok());
        }
    }

    #[test]
    fn no_key_survives_masking(key in "[a-zA-Z0-9]{19,40}[0-9]", name in "[a-z]{1,6}") {
        for text in [
            format!("https://h.example/v2/{key}"),
            format!("https://{name}:{key}@h.example/v2"),
            format!("https://h.example/v2?{name}={key}"),
            format!("https://h.example/{key}/x?{key}"),
        ] {
            prop_assert!(!url(&text).masked().contains(&key));
        }
    }
}

/// A content of one secret.
fn holding(name: &str, value: &str) -> Snapshot {
    let secret = Secret {
        name: name.parse().unwrap(),
        sealed: bytes::Bytes::from_static(b"sealed"),
        fingerprint: String::new(),
        value: None,
    };
    let row = Row {
        key: secret.key(),
        revision: Revision(1),
        payload: crate::Resource::Secret(secret).payload(),
        value: Some(value.parse().unwrap()),
    };
    Snapshot::empty(Lineage([1; 16]))
        .advance(Lineage([1; 16]), Revision(1), vec![row], &[])
        .unwrap()
}

#[test]
fn references_stand_in_user_info_path_and_query_and_are_shown() {
    let text = "https://${secret:u}:${secret:p}@h.example/v2/${secret:a}/qz?key=${secret:b}&x=qzz";
    let parsed = url(text);
    assert_eq!(
        parsed.masked(),
        "https://${secret:u}:${secret:p}@h.example/v2/${secret:a}/qz?key=${secret:b}&x=***"
    );
    assert_eq!(parsed.expose_path(), "/v2/${secret:a}/qz");
    assert_eq!(parsed.expose_query(), Some("key=${secret:b}&x=qzz"));
    let names: Vec<String> = parsed.secrets().map(|name| name.to_string()).collect();
    assert_eq!(names, ["u", "p", "a", "b"]);
    assert!(url("http://h/${secret:a}").normalized() != url("http://h/${secret:b}").normalized());
    for masked in [
        ("http://u:${secret:a}@h/", "http://***@h/"),
        ("http://h/?k=x${secret:a}", "http://h/?k=***"),
        ("http://h/abcdefghij0123456789${secret:a}", "http://h/***"),
        ("http://h/?${secret:a}", "http://h/?${secret:a}"),
    ] {
        assert_eq!(url(masked.0).masked(), masked.1);
    }
    for bad in [
        "http://${secret:a}/",
        "http://x${secret:a}.example/",
        "http://h:${secret:a}/",
        "${secret:a}://h/",
        "http://h/${secret:}",
    ] {
        assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
    }
}

#[test]
fn a_value_that_is_not_there_is_named() {
    let violation = url("http://h/${secret:b}")
        .filled(&holding("a", "x"))
        .unwrap_err();
    assert!(violation.message.contains("secret/b"), "{violation}");
}

#[test]
fn a_value_does_not_lead_to_another_path() {
    for (template, value) in [
        ("http://h/v2/${secret:a}/x", ".."),
        ("http://h/v2/${secret:a}", "."),
        ("http://h/v2/.${secret:a}?x=1", "."),
        ("http://h/v2/%2E${secret:a}/x", "."),
        ("http://h/${secret:a}${secret:a}/x", "."),
    ] {
        let violation = url(template).filled(&holding("a", value)).unwrap_err();
        assert_eq!(violation.field, "url");
        assert!(violation.message.contains("segment"), "{template}: {violation}");
    }
    for (template, value, path) in [
        ("http://h/v2/${secret:a}/x", "...", "/v2/.../x"),
        ("http://h/v2/${secret:a}/x", "%2e%2e", "/v2/%252e%252e/x"),
        ("http://h/v2/${secret:a}/x", "../y", "/v2/..%2Fy/x"),
        ("http://h/v2/../${secret:a}", "k", "/v2/../k"),
    ] {
        let filled = url(template).filled(&holding("a", value)).unwrap();
        assert_eq!(filled.expose_path(), path);
    }
    let query = url("http://h/?k=${secret:a}")
        .filled(&holding("a", ".."))
        .unwrap();
    assert_eq!(query.expose_query(), Some("k=.."));
}

proptest! {
    #[test]
    fn a_value_stays_in_its_part_and_is_not_shown(value in "[!-~]{4,40}") {
        prop_assume!(value != "***");
        let content = holding("a", &value);
        let template = url("https://h.example:8443/v2/${secret:a}/x?key=${secret:a}&y=1");
        let filled = template.filled(&content).unwrap();
        prop_assert_eq!((filled.host(), filled.port()), ("h.example", 8443));
        prop_assert_eq!(filled.expose_path().split('/').count(), 4);
        let query = filled.expose_query().unwrap();
        prop_assert_eq!(query.split('&').count(), 2);
        let decoded = percent_decode_str(filled.expose_path()).decode_utf8().unwrap().into_owned();
        prop_assert_eq!(decoded, format!("/v2/{value}/x"));
        prop_assert_eq!(&filled.expose().parse::<HttpUrl>().unwrap(), &filled);
        if value.len() > 8 {
            let shown = format!("{template:?} {template} {content:?} {:?}", wire::entry_to_wire(
                content.get(&Secret::key_of(&"a".parse().unwrap())).unwrap()
            ));
            prop_assert!(!shown.contains(&value));
        }
        let user = url("http://u:${secret:a}@h/").filled(&content).unwrap();
        prop_assert_eq!(user.expose_user_info(), Some(format!("u:{value}")));
    }
}
