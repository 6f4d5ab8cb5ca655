//! What fields do to versions, and that secrets stay secrets.

use tyrscale_model::View;

use super::*;

fn with_headers(headers: &[(&str, &str)]) -> v1::Upstream {
    let texts = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    v1::Upstream {
        headers: texts.collect(),
        ..upstream()
    }
}

#[test]
fn headers_are_shown_masked_and_written_back_unchanged() {
    let stored = with_headers(&[("X-Api-Key", "s3cret"), ("x-plan", "gold")]);
    let snapshot = put(&empty(), vec![Wire::Route(route()), Wire::Upstream(stored)])
        .unwrap()
        .snapshot;
    let key = read(Wire::Upstream(upstream())).unwrap().key();
    let entry = snapshot.get(&key).unwrap();
    assert!(!format!("{entry:?}").contains("s3cret"));
    let Some(Wire::Upstream(shown)) = wire::entry_to_wire(entry).resource else {
        panic!("an upstream")
    };
    assert_eq!(shown.headers["x-api-key"], "***");
    assert!(!format!("{shown:?}").contains("s3cret") && !format!("{shown:?}").contains("gold"));

    let again = put(&snapshot, vec![Wire::Upstream(shown)]).unwrap();
    assert!(again.changes.is_empty());
    let stranger = with_headers(&[("x-other", "***")]);
    let refused = put(&snapshot, vec![Wire::Upstream(stranger)]).unwrap_err();
    assert_eq!(fields(refused), ["headers"]);
}

#[test]
fn one_header_can_change_while_the_others_stay_masked() {
    let stored = with_headers(&[("x-a", "one"), ("x-b", "two")]);
    let snapshot = put(&empty(), vec![Wire::Route(route()), Wire::Upstream(stored)])
        .unwrap()
        .snapshot;
    let changed = with_headers(&[("x-a", "***"), ("x-b", "three")]);
    let snapshot = put(&snapshot, vec![Wire::Upstream(changed)]).unwrap().snapshot;
    let upstream = snapshot.upstream(UPSTREAM.parse().unwrap()).unwrap();
    let values: Vec<_> = upstream
        .headers
        .expose()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(values, [("x-a", "one"), ("x-b", "three")]);
}

/// A resource without the optional fields has the payload, and so the digest, that it had before there were any.
#[test]
fn fields_that_are_not_set_leave_no_trace_in_the_payload() {
    let payload = read(Wire::Upstream(upstream())).unwrap().payload();
    let cordoned = v1::Upstream {
        cordoned: true,
        ..upstream()
    };
    let with_field = read(Wire::Upstream(cordoned)).unwrap().payload();
    assert_eq!(payload.len() + 2, with_field.len(), "one tag and one byte");
    let explicit = v1::Upstream {
        tier: 0,
        protocol: v1::UpstreamProtocol::Unspecified.into(),
        cordoned: false,
        ..upstream()
    };
    assert_eq!(read(Wire::Upstream(explicit)).unwrap().payload(), payload);
}

#[test]
fn a_field_changed_is_a_new_digest() {
    let snapshot = put(&empty(), vec![Wire::Route(route())]).unwrap().snapshot;
    let changed = v1::Route {
        slow_start_ms: 1,
        ..route()
    };
    let after = put(&snapshot, vec![Wire::Route(changed)]).unwrap().snapshot;
    assert_ne!(
        after.version(View::ALL).digest,
        snapshot.version(View::ALL).digest
    );
}

#[test]
fn credentials_of_proxies_are_shown_masked_and_written_back_unchanged() {
    let stored = v1::Rpc {
        egress_proxy: "user:s3cret@proxy.example:3128".to_owned(),
        ..rpc()
    };
    let network = network();
    let snapshot = put(&empty(), vec![Wire::Network(network), Wire::Rpc(stored)])
        .unwrap()
        .snapshot;
    let entry = snapshot.get(&read(Wire::Rpc(rpc())).unwrap().key()).unwrap();
    assert!(!format!("{entry:?}").contains("s3cret"));
    let Some(Wire::Rpc(shown)) = wire::entry_to_wire(entry).resource else {
        panic!("an rpc")
    };
    assert_eq!(shown.egress_proxy, "***@proxy.example:3128");
    assert!(
        put(&snapshot, vec![Wire::Rpc(shown.clone())])
            .unwrap()
            .changes
            .is_empty()
    );
    let elsewhere = v1::Rpc {
        egress_proxy: "***@evil.example:3128".to_owned(),
        ..shown
    };
    let refused = put(&snapshot, vec![Wire::Rpc(elsewhere)]).unwrap_err();
    assert_eq!(fields(refused), ["egress_proxy"]);
    let unknown = v1::Rpc {
        egress_proxy: "${secret:none}@proxy.example:3128".to_owned(),
        ..rpc()
    };
    let refused = put(&snapshot, vec![Wire::Rpc(unknown)]).unwrap_err();
    assert_eq!(fields(refused), ["egress_proxy"]);
}
