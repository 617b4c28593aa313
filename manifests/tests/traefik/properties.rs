//! What holds of any input.

use proptest::prelude::*;

use super::rig::*;

fn matcher() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Host(`a.com`)".to_owned()),
        Just("Host(`*.com`)".to_owned()),
        Just("HostRegexp(`^b`)".to_owned()),
        Just("PathPrefix(`/x`)".to_owned()),
        Just("Path(`/x/y`)".to_owned()),
        Just("PathRegexp(`y$`)".to_owned()),
        Just("Method(`POST`)".to_owned()),
        Just("Header(`X-A`, `1`)".to_owned()),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    matcher().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|it| format!("!({it})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} || {b})")),
        ]
    })
}

/// The rule by itself: an obvious reading of its text.
fn holds(rule: &str, ask: &Ask<'_>) -> bool {
    let (value, rest) = any(rule, ask);
    assert_eq!(rest, "", "{rule}");
    value
}

fn any<'t>(text: &'t str, ask: &Ask<'_>) -> (bool, &'t str) {
    let (mut value, mut rest) = one(text, ask);
    loop {
        if let Some(next) = rest.strip_prefix(" && ") {
            let (right, after) = one(next, ask);
            (value, rest) = (value & right, after);
        } else if let Some(next) = rest.strip_prefix(" || ") {
            let (right, after) = one(next, ask);
            (value, rest) = (value | right, after);
        } else {
            return (value, rest);
        }
    }
}

fn one<'t>(text: &'t str, ask: &Ask<'_>) -> (bool, &'t str) {
    if let Some(inner) = text.strip_prefix('!') {
        let (value, rest) = one(inner, ask);
        return (!value, rest);
    }
    if let Some(inner) = text.strip_prefix('(') {
        let (value, rest) = any(inner, ask);
        return (value, rest.strip_prefix(')').expect("closed"));
    }
    let end = text.find(')').expect("a call") + 1;
    let path = ask.path.split('?').next().unwrap_or_default();
    let value = match &text[..end] {
        "Host(`a.com`)" => ask.host == "a.com",
        "Host(`*.com`)" => ask.host.ends_with(".com") && ask.host.matches('.').count() == 1,
        "HostRegexp(`^b`)" => ask.host.starts_with('b'),
        "PathPrefix(`/x`)" => path.starts_with("/x"),
        "Path(`/x/y`)" => path == "/x/y",
        "PathRegexp(`y$`)" => path.ends_with('y'),
        "Method(`POST`)" => ask.method == "POST",
        _ => ask.headers.contains(&("x-a", "1")),
    };
    (value, &text[end..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_router_takes_exactly_what_its_rule_says(rule in rule()) {
        let built = build(&[routes(&[&to_a(&rule)])]);
        for host in ["a.com", "b.com", "b.org"] {
            for path in ["/x", "/x/y?z=1", "/", "/y"] {
                for method in ["GET", "POST"] {
                    for headers in [&[][..], &[("x-a", "1")]] {
                        let ask = Ask { method, headers, ..get(host, path) };
                        let want = if holds(&rule, &ask) { "a:80" } else { "404" };
                        prop_assert_eq!(built.ask(&ask), want, "{} {}{}", method, host, path);
                    }
                }
            }
        }
    }

    #[test]
    fn no_text_of_a_rule_breaks_the_reader(rule in "[a-zA-Z`\"'()&|! ,.*/{}\\\\\\[\\]^$:0-9-]{0,60}") {
        let text = rule.replace('\'', "''");
        let built = build(&[routes(&[&to_a(&text), &to_b("Path(`/sure`)")])]);
        prop_assert_eq!(built.ask(&get("sure", "/sure")).contains(":80"), true);
    }
}
