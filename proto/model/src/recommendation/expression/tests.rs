use proptest::prelude::*;

use super::*;

fn value(text: &str) -> Option<f64> {
    let expression: Expression = text.parse().unwrap();
    expression.evaluate(|measure| match measure {
        Measure::Lag => Some(3.0),
        Measure::Latency => Some(0.25),
        _ => None,
    })
}

#[test]
fn operators_bind_as_in_arithmetic() {
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("8 - 2 - 1", 5.0),
        ("8 / 2 / 2", 2.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", -4.0),
        ("2 * -3", -6.0),
        (".5", 0.5),
        ("1 + 1 < 3", 1.0),
        ("100 / latency_s - lag_blocks", 397.0),
        ("(lag_blocks > 5) * 100", 0.0),
        ("max(1, lag_blocks, 2)", 3.0),
        ("min(lag_blocks)", 3.0),
        ("clamp(lag_blocks, 0, 2)", 2.0),
        ("exp(ln(2)) + sqrt(4) + abs(-1)", 5.0),
    ] {
        let found = value(text).unwrap();
        assert!((found - expected).abs() < 1e-9, "{text} is {found}");
    }
}

#[test]
fn what_is_not_measured_has_no_value_unless_another_stands_for_it() {
    assert_eq!(value("price + 1"), None);
    assert_eq!(value("or(price, 7)"), Some(7.0));
    assert_eq!(value("or(lag_blocks, 7)"), Some(3.0));
    assert_eq!(value("0 * max(price, 1)"), None);
}

#[test]
fn what_is_no_finite_number_has_no_value() {
    for text in ["1 / 0", "0 / 0", "ln(-1)", "exp(10000)", "sqrt(-1)"] {
        assert_eq!(value(text), None, "{text}");
    }
}

#[test]
fn a_text_that_is_no_expression_is_refused_by_its_fault() {
    let deep = "(".repeat(65) + "1" + &")".repeat(65);
    let minuses = "-".repeat(900) + "1";
    let long = "1+".repeat(600) + "1";
    for (text, fault) in [
        ("", "not the end"),
        ("1 +", "at byte 4, not the end"),
        ("1 2", "an operator or the end at byte 3"),
        ("(1", "\")\""),
        ("1 < 2 < 3", "an operator or the end"),
        ("latency", "must be one of [height "),
        ("pow(1, 2)", "a function of [min "),
        ("clamp(1)", "clamp takes 3 arguments, not 1"),
        ("min()", "a number"),
        ("1.2.3", "is no number"),
        ("a\u{e9}", "\"a\" must be"),
        ("$x", "not '$'"),
        (&deep, "nest deeper"),
        (&minuses, "nest deeper"),
        (&long, "at most 1024 bytes"),
    ] {
        let violation = text.parse::<Expression>().unwrap_err();
        assert!(violation.message.contains(fault), "{text}: {violation}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[-+*/^<>(),. a-z_0-9\u{e9}]{0,60}") {
        if let Ok(expression) = text.parse::<Expression>() {
            let value = expression.evaluate(|_| Some(1.5));
            prop_assert!(value.is_none_or(f64::is_finite));
            let value = expression.evaluate(|_| None);
            prop_assert!(value.is_none_or(f64::is_finite));
        }
    }
}
