//! Canaries: some of a path's requests go to another Service.

use std::collections::BTreeMap;

use proxy_core::config::{HeaderMatch, TextMatch};

use super::PREFIX;
use crate::targets::edge::patterns;
use crate::targets::edge::services::Named;

/// A canary of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Canary {
    /// Where its requests go.
    pub(super) to: Named,
    /// So many of so many.
    pub(super) share: Option<(u32, u32)>,
    header: Option<(String, Asked)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Asked {
    Value(String),
    Pattern(String),
}

/// Whether a canary can ask for it: one header, by its value or by a pattern.
pub(super) fn can_ask(condition: &HeaderMatch) -> bool {
    asked(condition).is_some()
}

fn asked(condition: &HeaderMatch) -> Option<Asked> {
    if condition.name.starts_with(':') || condition.invert || condition.ignore_case {
        return None;
    }
    let name_is_plain = condition
        .name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-');
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~/:".contains(c))
    };
    match &condition.value {
        _ if !name_is_plain => None,
        TextMatch::Exact(text) if !text.is_empty() && plain(text) => {
            Some(Asked::Value(text.to_string()))
        }
        value @ (TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present) => {
            let pattern = patterns::search(value, false)?;
            // what the release lets a pattern be made of
            let known =
                |c: char| c.is_ascii_alphanumeric() || "-._~/:^$[](){}*+?|&=\\ ".contains(c);
            pattern
                .chars()
                .all(known)
                .then_some(Asked::Pattern(pattern))
        }
    }
}

impl Canary {
    /// One that has nothing yet.
    pub(super) const fn of(to: Named) -> Self {
        Self {
            to,
            share: None,
            header: None,
        }
    }

    /// The one that has the requests with a header.
    pub(super) fn by_header(to: Named, condition: &HeaderMatch) -> Self {
        Self {
            header: asked(condition).map(|asked| (condition.name.to_string(), asked)),
            ..Self::of(to)
        }
    }

    /// Its annotations.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut set = |name: &str, value: String| {
            all.insert(format!("{PREFIX}{name}"), value);
        };
        set("canary", "true".into());
        if let Some((name, asked)) = &self.header {
            set("canary-by-header", name.clone());
            match asked {
                Asked::Value(value) => set("canary-by-header-value", value.clone()),
                Asked::Pattern(pattern) => set("canary-by-header-pattern", pattern.clone()),
            }
        }
        if let Some((weight, total)) = self.share {
            // a total below 100 counts as 100
            let by = 100_u32.div_ceil(total.max(1)).max(1);
            let exact = 100_u32.checked_rem(total).is_some_and(|rest| rest == 0);
            let by = if exact { 100 / total } else { by };
            set(
                "canary-weight",
                (u64::from(weight) * u64::from(by)).to_string(),
            );
            let total = u64::from(total) * u64::from(by);
            if total != 100 {
                set("canary-weight-total", total.to_string());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::model::ServiceId;
    use proxy_core::config::Absent;

    fn to() -> Named {
        Named {
            service: ServiceId(0),
            namespace: "default".into(),
            name: "next".into(),
            port: 80,
            by_address: false,
        }
    }

    fn of(canary: &Canary) -> Vec<String> {
        let all = canary.annotations();
        let short = |(key, value): (String, String)| {
            let key = key.strip_prefix(PREFIX).expect("its own").to_owned();
            format!("{key}={value}")
        };
        all.into_iter().map(short).collect()
    }

    #[test]
    fn shares_are_weights_of_a_hundred_or_of_a_larger_total() {
        for (share, expected) in [
            ((10, 100), vec!["canary=true", "canary-weight=10"]),
            ((1, 4), vec!["canary=true", "canary-weight=25"]),
            (
                (1, 3),
                vec!["canary=true", "canary-weight=34", "canary-weight-total=102"],
            ),
            (
                (1, 1000),
                vec!["canary=true", "canary-weight=1", "canary-weight-total=1000"],
            ),
        ] {
            let canary = Canary {
                share: Some(share),
                ..Canary::of(to())
            };
            assert_eq!(of(&canary), expected, "{share:?}");
        }
    }

    #[test]
    fn a_canary_asks_for_one_header() {
        let condition = |value: TextMatch| HeaderMatch {
            name: "x-user".into(),
            value,
            invert: false,
            ignore_case: false,
            absent: Absent::Unequal,
        };
        let exact = condition(TextMatch::Exact("jason".into()));
        assert_eq!(
            of(&Canary::by_header(to(), &exact)),
            [
                "canary=true",
                "canary-by-header=x-user",
                "canary-by-header-value=jason"
            ]
        );
        let pattern = condition(TextMatch::Prefix("j".into()));
        assert_eq!(
            of(&Canary::by_header(to(), &pattern)),
            [
                "canary=true",
                "canary-by-header=x-user",
                "canary-by-header-pattern=^j"
            ]
        );
        let odd = HeaderMatch {
            invert: true,
            ..exact
        };
        assert!(!can_ask(&odd));
    }
}
