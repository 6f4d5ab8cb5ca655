use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

/// Any JSON value, with the member names of an envelope among the keys.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("error".to_owned()),
        Just("result".to_owned()),
        Just("code".to_owned()),
        ".{0,4}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e30..1e30).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(key.clone(), inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn scan_whole(text: &str) -> Result<&str, Stop> {
    let mut scanner = Scanner::new(text, usize::MAX);
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

fn agrees_with_serde_json(text: &str) {
    assert_eq!(
        scan_whole(text).is_ok(),
        serde_json::from_str::<IgnoredAny>(text).is_ok(),
        "{text:?}"
    );
}

#[test]
fn corner_cases_are_judged_as_serde_json_judges_them() {
    for text in [
        "",
        " ",
        "0",
        "-",
        "-0",
        "01",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e+",
        "1E-7",
        "1e400",
        "+1",
        "nul",
        "nulls",
        "true ",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12aG\"",
        "\"\\ud800\"",
        "\"\t\"",
        "\"\u{7f}\"",
        "[",
        "[]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1]]",
        "{",
        "{}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":[}]",
        "[{\"a\":[]}]",
        "\u{feff}1",
        "1 \u{a0}",
    ] {
        agrees_with_serde_json(text);
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(Scanner::new(&deep, 128).value(), Err(Stop::TooDeep));
    assert_eq!(scan_whole(&deep).map(str::len), Ok(400_000));
    assert_eq!(Scanner::new("[[[]]]", 2).value(), Err(Stop::TooDeep));
    assert_eq!(Scanner::new("[[[]]]", 3).value(), Ok("[[[]]]"));
}

proptest! {
    #[test]
    fn accepts_exactly_what_serde_json_accepts(text in r#"[\[\]{}:,"\\ a0-2.eE+\-tnu]{0,14}"#) {
        agrees_with_serde_json(&text);
    }

    #[test]
    fn one_changed_byte_is_judged_as_serde_json_judges_it(
        value in any_json(), pretty in any::<bool>(), at in any::<prop::sample::Index>(), byte in 0_u8..128,
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let mut bytes = text.unwrap().into_bytes();
        agrees_with_serde_json(std::str::from_utf8(&bytes).unwrap());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = std::str::from_utf8(&bytes) {
            agrees_with_serde_json(text);
        }
    }

    #[test]
    fn a_prefix_of_valid_json_only_ever_lacks_its_end(value in any_json(), cut in any::<prop::sample::Index>()) {
        let text = serde_json::to_string(&vec![value]).unwrap();
        let cut = (0..=cut.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        prop_assert_eq!(Scanner::new(text.get(..cut).unwrap(), usize::MAX).value(), Err(Stop::End));
    }
}

#[test]
fn a_string_ends_at_its_quote_wherever_that_stands() {
    for length in 0..80 {
        let plain = "\u{e9}a ".chars().cycle().take(length).collect::<String>();
        for (rest, is_string) in [
            ("\"", true),
            ("\\\"\"", true),
            ("\\u0041 \"", true),
            ("\\", false),
            ("\\x\"", false),
            ("\n\"", false),
            ("\u{0}\"", false),
            ("\u{1f}\"", false),
            ("\u{7f}!#[]\"", true),
            ("", false),
        ] {
            let text = format!("\"{plain}{rest}");
            assert_eq!(scan_whole(&text) == Ok(&text), is_string, "{text:?}");
        }
    }
}
