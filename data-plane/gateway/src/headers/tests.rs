use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap()
}

fn peer(trusted: bool) -> Peer {
    Peer::new([10, 0, 0, 9].into(), Scheme::Http, trusted)
}

fn names<'a>(fields: impl Iterator<Item = Field<'a>>) -> Vec<&'a str> {
    fields
        .map(|field| std::str::from_utf8(field.name()).unwrap())
        .collect()
}

#[test]
fn headers_of_the_connection_stay_behind_also_those_it_names() {
    let came = fields(&[
        ("connection", "close, X-Session"),
        ("x-session", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic eA=="),
        ("X-Custom", "kept"),
    ]);
    assert_eq!(names(for_upstream(&came, &peer(false), &[])), ["X-Custom"]);
}

#[test]
fn credentials_for_the_gateway_are_not_told_to_the_upstream() {
    let came = fields(&[("Authorization", "Bearer t"), ("cookie", "s=1")]);
    assert_eq!(for_upstream(&came, &peer(true), &[]).count(), 0);
    let forwarded = [http::header::AUTHORIZATION];
    assert_eq!(
        names(for_upstream(&came, &peer(false), &forwarded)),
        ["Authorization"]
    );
}

#[test]
fn what_is_said_anew_is_not_said_twice() {
    let came = fields(&[
        ("Content-Type", "text/plain"),
        ("Accept-Encoding", "gzip"),
        ("host", "a"),
    ]);
    let all = [
        http::header::CONTENT_TYPE,
        http::header::ACCEPT_ENCODING,
        http::header::HOST,
    ];
    assert_eq!(for_upstream(&came, &peer(true), &all).count(), 0);
    assert_eq!(
        names(own(&came, &peer(true), Some(b"1.1.1.1"), "identity")),
        [
            "accept-encoding",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
        ]
    );
}

#[test]
fn only_a_trusted_peer_may_say_where_a_request_came_from() {
    let came = fields(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
    assert_eq!(came_by(&came, &peer(false)), None);
    let all = came_by(&came, &peer(true)).unwrap();
    assert_eq!(all, *b"1.1.1.1, 2.2.2.2, 10.0.0.9");
    let forwarded = |trusted, came_by| -> Vec<Vec<u8>> {
        let peer = peer(trusted);
        let fields = own(&came, &peer, came_by, "identity");
        let addresses = fields.filter(|field| field.is("x-forwarded-for"));
        addresses.map(|field| field.value().to_vec()).collect()
    };
    assert_eq!(forwarded(false, None), [b"10.0.0.9"]);
    assert_eq!(forwarded(true, Some(&all)), std::slice::from_ref(&all));
    let whence = fields(&[
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-host", "h"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "1.1.1.1"),
    ]);
    assert_eq!(for_upstream(&whence, &peer(false), &[]).count(), 0);
    assert_eq!(for_upstream(&whence, &peer(true), &[]).count(), 5);
    assert_eq!(own(&whence, &peer(false), None, "identity").count(), 5);
    assert_eq!(own(&whence, &peer(true), None, "identity").count(), 2);
}

#[test]
fn the_port_is_the_one_the_client_names() {
    for (host, scheme, expected) in [
        ("a.example:8443", Scheme::Https, "8443"),
        ("a.example", Scheme::Https, "443"),
        ("a.example", Scheme::Http, "80"),
        ("[::1]:7777", Scheme::Http, "7777"),
        ("[fd00::1]", Scheme::Http, "80"),
        ("a.example:", Scheme::Http, "80"),
        ("", Scheme::Http, "80"),
    ] {
        assert_eq!(port(host.as_bytes(), scheme), expected.as_bytes(), "{host}");
    }
}

#[test]
fn the_client_is_the_last_address_that_is_not_trusted() {
    let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
    for (lines, trusted, expected) in [
        (vec!["1.1.1.1"], false, "10.0.0.9"),
        (vec![], true, "10.0.0.9"),
        (vec!["1.1.1.1"], true, "1.1.1.1"),
        (vec!["6.6.6.6, 1.1.1.1,10.0.0.8"], true, "1.1.1.1"),
        (vec!["6.6.6.6", "1.1.1.1", "10.0.0.8"], true, "1.1.1.1"),
        (vec!["10.0.0.7, 10.0.0.8"], true, "10.0.0.7"),
        (vec!["1.1.1.1, unknown, 10.0.0.8"], true, "10.0.0.8"),
        (vec!["1.1.1.1:55"], true, "1.1.1.1"),
        (vec!["[2001:db8::1]:55"], true, "2001:db8::1"),
        (vec!["[2001:db8::1]"], true, "2001:db8::1"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let found = client(&fields(&lines), &peer(trusted), is_trusted);
        assert_eq!(found.to_string(), expected, "{lines:?}");
    }
}

fn address() -> Address {
    let url = "http://n/v3/0123456789abcdef".parse().unwrap();
    Address::new(&url, &tyrscale_model::UpstreamHeaders::default()).unwrap()
}

#[test]
fn an_answer_tells_neither_the_place_of_the_upstream_nor_its_secrets() {
    let mut answer = fields(&[
        ("Location", "/"),
        ("content-location", "/"),
        ("refresh", "5"),
        ("www-authenticate", "Basic"),
        ("alt-svc", "clear"),
        ("strict-transport-security", "max-age=1"),
        ("x-original", "POST /v3/0123456789abcdef"),
        ("content-length", "5"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("content-type", "text/html"),
        ("Set-Cookie", "a=1"),
        ("clear-site-data", "\"*\""),
        ("Access-Control-Allow-Origin", "*"),
        ("cache-control", "no-store"),
    ]);
    for_client(&mut answer, &address());
    assert_eq!(names(answer.iter()), ["cache-control"]);
}

#[test]
fn a_wait_is_asked_for_in_seconds_or_by_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    let asked = |value| retry_after(&fields(&[("retry-after", value)]), || now);
    for (value, seconds) in [
        ("30", Some(30)),
        (" 0 ", Some(0)),
        ("Thu, 01 Jan 1970 00:02:00 GMT", Some(20)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(asked(value), seconds.map(Duration::from_secs), "{value}");
    }
}
