use clap::Parser;

use super::*;
use crate::args::duration;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn config(options: &[&str]) -> Result<Config, ConfigError> {
    let line = Line::try_parse_from(std::iter::once(&"gateway").chain(options)).unwrap();
    Config::try_from(line.args)
}

#[test]
fn options_left_out_give_the_documented_defaults() {
    let Settings {
        max_body_bytes,
        header_timeout,
        attempt_timeout,
        ..
    } = config(&[]).unwrap().settings;
    let default = Settings::default();
    assert_eq!(max_body_bytes, default.max_body_bytes);
    assert_eq!(
        (header_timeout, attempt_timeout),
        (default.header_timeout, default.attempt_timeout)
    );
}

#[test]
fn what_would_stop_every_request_is_refused_by_name() {
    for (options, message) in [
        (["--max-batch", "0"], "--max-batch must be above 0"),
        (["--attempt-timeout", "0s"], "--attempt-timeout must be above 0"),
        (
            ["--max-header-bytes", "100"],
            "--max-header-bytes must be at least 8192",
        ),
        (["--body-timeout", "0s"], "--body-timeout must be above 0"),
        (["--write-timeout", "0s"], "--write-timeout must be above 0"),
        (
            ["--max-batch-answer-bytes", "0"],
            "--max-batch-answer-bytes must be above 0",
        ),
        (["--upstream-ca", "/nowhere"], "--upstream-ca cannot be read"),
    ] {
        assert_eq!(config(&options).unwrap_err().to_string(), message);
    }
}

#[test]
fn certificates_come_with_keys_and_an_address() {
    let listen = ["--tls-listen", "127.0.0.1:7443"];
    let pair = ["--tls-cert", "a.pem", "--tls-key", "a.key"];
    assert!(config(&[]).unwrap().tls.is_none());
    let two = [
        listen.as_slice(),
        &pair,
        &["--tls-cert", "b.pem", "--tls-key", "b.key"],
    ]
    .concat();
    let files = config(&two).unwrap().tls.unwrap().certificates;
    assert_eq!(files.len(), 2);
    assert_eq!(
        (files[1].certificate.to_str(), files[1].key.to_str()),
        (Some("b.pem"), Some("b.key"))
    );
    for (options, option) in [
        (listen.to_vec(), "--tls-listen needs"),
        ([listen.as_slice(), &pair[..2]].concat(), "--tls-listen needs"),
        (pair.to_vec(), "--tls-cert and --tls-key need"),
    ] {
        assert!(
            config(&options).unwrap_err().to_string().starts_with(option),
            "{options:?}"
        );
    }
}

#[test]
fn more_connections_than_can_be_counted_are_refused() {
    for (most, is_bounded) in [(Semaphore::MAX_PERMITS, true), (usize::MAX, false)] {
        let refused = config(&["--max-connections", &most.to_string()]);
        assert_eq!(refused.is_ok(), is_bounded, "{most}");
    }
}

#[test]
fn a_control_plane_is_an_http_url_without_secrets() {
    for (url, is_one) in [
        ("http://127.0.0.1:8889", true),
        ("http://[::1]:8889/", true),
        ("http://control.example", true),
        ("localhost", false),
        ("https://127.0.0.1:8889", true),
        ("http://user:pass@127.0.0.1:8889", false),
        ("http://127.0.0.1:8889/v1", false),
        ("http://127.0.0.1:8889?key=1", false),
    ] {
        match config(&["--control-plane", url]) {
            Ok(_) => assert!(is_one, "{url}"),
            Err(error) => {
                let rule = "--control-plane must be an http or https URL of a host and port only, such as http://127.0.0.1:8889";
                assert!(!is_one && error.to_string() == rule, "{url} {error}");
            }
        }
    }
}

#[test]
fn a_node_id_is_printable_and_short() {
    for (id, is_one) in [
        ("gateway-1.eu:a", true),
        (&"a".repeat(128), true),
        ("", false),
        ("a b", false),
        ("a/b", false),
        ("ä", false),
        ("a\n", false),
        (&"a".repeat(129), false),
    ] {
        match config(&["--node-id", id]) {
            Ok(_) => assert!(is_one, "{id}"),
            Err(error) => assert!(
                !is_one && error.to_string().starts_with("--node-id must be 1 to 128"),
                "{id}"
            ),
        }
    }
}

#[test]
fn durations_have_a_unit_and_an_end() {
    assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
    assert_eq!(duration("24h").unwrap(), Duration::from_secs(86_400));
    for bad in [
        "",
        "5",
        "s",
        "-1s",
        "1.5s",
        "25h",
        "99999999999999999999s",
        "1 s",
        "1d",
    ] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn trusted_proxies_are_addresses_or_networks() {
    let settings = config(&["--trusted-proxy", "10.0.0.0/8,::1"]).unwrap().settings;
    for (address, trusted) in [
        ("10.9.9.9", true),
        ("::1", true),
        ("::ffff:10.1.1.1", true),
        ("11.0.0.1", false),
    ] {
        assert_eq!(settings.trusts(address.parse().unwrap()), trusted, "{address}");
    }
}

#[test]
fn labels_are_names_with_values() {
    let labels = config(&["--label", "canary=true", "--label", "site=a=b,empty="])
        .unwrap()
        .labels;
    let expected = [("canary", "true"), ("site", "a=b"), ("empty", "")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(labels, expected.into());
    for bad in ["canary", "=true"] {
        assert!(
            Line::try_parse_from(["gateway", "--label", bad]).is_err(),
            "{bad}"
        );
    }
    let many: Vec<String> = (0..=MAX_LABELS)
        .map(|number| format!("--label=n{number}=v"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(config(&many), Err(ConfigError::ManyLabels)));
}

#[test]
fn labels_to_select_by_are_such_as_routes_have_and_each_named_once() {
    let selected = |words: &[&str]| config(words).map(|config| config.selection);
    assert!(selected(&[]).unwrap().is_everything());
    let labels = [("team", "a"), ("site", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let wanted = Selection::of(labels.into());
    assert_eq!(selected(&["--select-label", "team=a,site=b"]).unwrap(), wanted);
    let refusals = [
        ("my team=a", "--select-label: labels: must have names of"),
        ("team=a,team=b", "--select-label: labels: must each be named once"),
    ];
    for (bad, why) in refusals {
        let refused = selected(&["--select-label", bad]).unwrap_err().to_string();
        assert!(refused.starts_with(why), "{refused}");
    }
}
