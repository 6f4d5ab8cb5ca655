use super::*;

const PAGE: &str = "https://app.example";

fn policy(origins: &[&str], change: impl FnOnce(&mut Cors)) -> CorsPolicy {
    let mut rule = Cors {
        allowed_origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        ..Cors::default()
    };
    change(&mut rule);
    CorsPolicy::new(&rule)
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap()
}

fn preflight_of(policy: &CorsPolicy, origin: &str) -> String {
    let request = fields(&[("Origin", origin), ("Access-Control-Request-Method", "POST")]);
    written(policy.preflight(&Method::OPTIONS, &request).unwrap())
}

fn answer_to(policy: &CorsPolicy, origin: &str) -> String {
    written(policy.answer(&fields(&[("origin", origin)])))
}

/// One line for each field.
fn written(said: Said) -> String {
    said.iter()
        .map(|(name, value)| format!("{name}: {}\n", std::str::from_utf8(value).unwrap()))
        .collect()
}

#[test]
fn a_preflight_of_an_allowed_page_gets_leave() {
    let policy = policy(&[PAGE, "https://*.example.org"], |rule| {
        rule.allowed_headers = vec!["x-key".parse().unwrap()];
        rule.allow_credentials = true;
        rule.max_age_s = 600;
    });
    for origin in [PAGE, "https://a.b.example.org"] {
        let expected = format!(
            "vary: origin\n\
             access-control-allow-origin: {origin}\n\
             access-control-allow-credentials: true\n\
             access-control-allow-methods: POST\n\
             access-control-allow-headers: content-type, x-key\n\
             access-control-max-age: 600\n"
        );
        assert_eq!(preflight_of(&policy, origin), expected);
    }
    assert_eq!(preflight_of(&policy, "https://evil.example"), "vary: origin\n");
}

#[test]
fn what_asks_for_nothing_is_no_preflight() {
    let policy = policy(&["*"], |_| {});
    let asked = ("access-control-request-method", "POST");
    for (method, pairs) in [
        (Method::OPTIONS, &[][..]),
        (Method::OPTIONS, &[("origin", PAGE)]),
        (Method::OPTIONS, &[asked]),
        (Method::POST, &[("origin", PAGE), asked]),
    ] {
        assert!(
            policy.preflight(&method, &fields(pairs)).is_none(),
            "{method} {pairs:?}"
        );
    }
}

#[test]
fn answers_say_who_may_read_them() {
    let policy = policy(&[PAGE], |rule| {
        rule.exposed_headers = vec!["x-served-by".parse().unwrap()];
    });
    let expected = format!(
        "vary: origin\naccess-control-allow-origin: {PAGE}\naccess-control-expose-headers: x-served-by\n"
    );
    assert_eq!(answer_to(&policy, PAGE), expected);
    for other in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "\u{e9}",
    ] {
        assert_eq!(answer_to(&policy, other), "vary: origin\n", "{other}");
    }
    assert_eq!(written(policy.answer(&fields(&[]))), "vary: origin\n");
    let two = fields(&[("origin", PAGE), ("origin", PAGE)]);
    assert_eq!(written(policy.answer(&two)), "vary: origin\n");
}

#[test]
fn a_policy_for_all_says_the_same_to_all() {
    let policy = policy(&["*"], |rule| rule.allowed_headers = vec!["*".parse().unwrap()]);
    for origin in [PAGE, "null"] {
        assert_eq!(answer_to(&policy, origin), "access-control-allow-origin: *\n");
    }
    assert!(preflight_of(&policy, PAGE).contains("allow-headers: authorization, *\n"));
}

#[test]
fn what_is_about_cors_is_known_by_its_name() {
    assert!(is_about(b"Access-Control-Allow-Origin") && is_about(b"access-control-"));
    assert!(!is_about(b"access") && !is_about(b"vary"));
}
