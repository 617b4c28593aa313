use proptest::prelude::*;

use super::super::names::{intersection, is_within};
use super::harness::{Read, Request};

/// A condition of the plain model: a prefix of the path, and a header that must or must not be there.
#[derive(Clone, Debug)]
struct Plain {
    prefix: Option<&'static str>,
    header: Option<bool>,
}

impl Plain {
    fn yaml(&self) -> String {
        let prefix = self
            .prefix
            .map(|prefix| format!("uri: {{prefix: {prefix}}}"));
        let header = self.header.map(|there| {
            let field = if there { "headers" } else { "withoutHeaders" };
            format!("{field}: {{x-a: {{}}}}")
        });
        let fields: Vec<String> = prefix.into_iter().chain(header).collect();
        format!("{{{}}}", fields.join(", "))
    }

    fn takes(&self, path: &str, has_header: bool) -> bool {
        self.prefix.is_none_or(|prefix| path.starts_with(prefix))
            && self.header.is_none_or(|there| there == has_header)
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let prefix = prop::option::of(prop::sample::select(vec!["/", "/a", "/a/b", "/c"]));
    let header = prop::option::of(any::<bool>());
    (prefix, header).prop_map(|(prefix, header)| Plain { prefix, header })
}

fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "*",
        "*.com",
        "*.a.com",
        "*.b.com",
        "a.com",
        "x.a.com",
        "y.x.a.com",
        "b.com",
        "x.b.com",
        "com",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn the_first_rule_of_which_some_condition_holds_answers(
        rules in prop::collection::vec(prop::collection::vec(plain(), 0..3), 1..6),
        path in prop::sample::select(vec!["/", "/a", "/a/b", "/ab", "/c", "/d"]),
        has_header in any::<bool>(),
    ) {
        let written: String = rules
            .iter()
            .enumerate()
            .map(|(nth, conditions)| {
                let conditions: Vec<String> = conditions.iter().map(Plain::yaml).collect();
                format!("- {{match: [{}], directResponse: {{status: {}}}}}\n", conditions.join(", "), 200 + nth)
            })
            .collect();
        let read = Read::spec(&format!("http:\n{written}"));
        let headers: &[(&str, &str)] = if has_header { &[("x-a", "")] } else { &[] };
        let request = Request { headers, ..Request::get(path) };
        let expected = rules.iter().position(|conditions| {
            conditions.is_empty() || conditions.iter().any(|it| it.takes(path, has_header))
        });
        let expected = expected.map(|nth| (200 + nth).to_string()).unwrap_or_default();
        prop_assert_eq!(read.decide(&request), expected);
    }

    #[test]
    fn what_two_hosts_share_is_what_both_take(one in host(), other in host(), name in host()) {
        prop_assume!(!name.starts_with('*'));
        let both = is_within(&name, &one) && is_within(&name, &other);
        let shared = intersection(&one, &other).is_some_and(|shared| is_within(&name, shared));
        prop_assert_eq!(shared, both);
    }
}
