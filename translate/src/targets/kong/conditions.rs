//! Conditions of rules as annotations.

use std::collections::BTreeMap;

use compare::Area;
use proxy_core::config::{Absent, HeaderMatch, TextMatch};

use super::{PREFIX, Writer};
use crate::targets::edge::flat::{Rule, Sides, Upgrade};
use crate::targets::edge::patterns;

impl Writer<'_, '_> {
    /// The conditions that are annotations; none: one cannot be said, which is told.
    pub(super) fn conditions(
        &mut self,
        rule: &Rule<'_>,
        upgrade: Option<Upgrade>,
    ) -> Option<BTreeMap<String, String>> {
        let route = rule.route();
        let matches = &rule.matches;
        let mut all = BTreeMap::new();
        let key = |name: &str| format!("{PREFIX}{name}");
        if !matches.methods.is_empty() {
            all.insert(key("methods"), matches.methods.join(","));
        }
        let mut unsaid = Vec::new();
        if rule.takes_single_labels() {
            let what = format!("`{}` stands for one label", rule.host());
            let why = "a wildcard of Kong's takes any number of labels";
            let loss = self.loss(rule, Area::Destination, route.origin, what, why);
            self.written.lose(loss.also(Area::Answer));
        }
        for condition in rule.headers() {
            match header(condition) {
                Some(values) => {
                    let name = key(&format!("headers.{}", condition.name));
                    if values.contains(',') {
                        all.insert(key("headers-separator"), ";".into());
                    }
                    if all.insert(name, values).is_some() {
                        unsaid.push(format!("two conditions on `{}`", condition.name));
                    }
                    self.tell_case(rule, condition);
                }
                None => unsaid.push(format!("the condition on `{}`", condition.name)),
            }
        }
        unsaid.extend(
            matches
                .params
                .iter()
                .map(|it| format!("the condition on `?{}=`", it.name)),
        );
        if matches.grpc {
            all.insert(key("headers.content-type"), "~*^application/grpc".into());
        }
        if let Some(share) = matches.fraction {
            unsaid.push(format!(
                "a share of {} % of the requests",
                share.as_fraction() * 100.0
            ));
        }
        if let Some(first) = unsaid.first() {
            let why = "no annotation of Kong's asks for it";
            let loss = self.loss(
                rule,
                Area::Destination,
                route.origin,
                format!("a rule for {first}"),
                why,
            );
            let loss = loss.nearest("the rule is left out: its requests go to the rules after it");
            self.written.lose(
                loss.also(Area::Redirect)
                    .also(Area::Answer)
                    .also(Area::Rewrite),
            );
            return None;
        }
        match (rule.sides, upgrade) {
            (Sides::Both | Sides::Plain, _) => {}
            (Sides::Tls, Some(upgrade)) => {
                all.insert(key("protocols"), "https".into());
                let known = matches!(upgrade.status, 301 | 302 | 307 | 308);
                let status = if known { upgrade.status } else { 302 };
                all.insert(key("https-redirect-status-code"), status.to_string());
                if !known || upgrade.changes_path {
                    let why = "Kong redirects to the same path with 301, 302, 307 or 308";
                    let what = format!(
                        "requests are sent to TLS with {}, in a way of its own",
                        upgrade.status
                    );
                    self.lose(
                        rule,
                        Area::Redirect,
                        upgrade.origin,
                        what,
                        why,
                        &status.to_string(),
                    );
                }
            }
            (Sides::Tls, None) => {
                all.insert(key("protocols"), "https".into());
                let why = "Kong answers a request in plaintext to a route for TLS alone with 426";
                let what = "requests in plaintext have rules of their own, or none";
                let loss = self
                    .loss(rule, Area::Answer, route.origin, what, why)
                    .nearest("426");
                self.written
                    .lose(loss.also(Area::Destination).also(Area::Redirect));
            }
        }
        Some(all)
    }

    /// Kong compares values of headers whatever their case.
    fn tell_case(&mut self, rule: &Rule<'_>, condition: &HeaderMatch) {
        let has_letters = match &condition.value {
            TextMatch::Exact(text)
            | TextMatch::Prefix(text)
            | TextMatch::Suffix(text)
            | TextMatch::Contains(text) => text.chars().any(char::is_alphabetic),
            TextMatch::Regex(_) => true,
            TextMatch::Range(..) | TextMatch::Address(_) | TextMatch::Present => false,
        };
        if has_letters && !condition.ignore_case {
            let what = format!("the case of `{}`'s value counts", condition.name);
            let why = "Kong compares values of headers whatever their case";
            let loss = self.loss(rule, Area::Destination, rule.route().origin, what, why);
            self.written.lose(loss.also(Area::Answer));
        }
    }
}

/// The value of a header's annotation: a text, or `~*` and a pattern; none: Kong cannot ask for it.
fn header(condition: &HeaderMatch) -> Option<String> {
    if condition.name.starts_with(':') || condition.invert || condition.absent == Absent::Empty {
        return None;
    }
    Some(match &condition.value {
        TextMatch::Exact(text)
            if !text.is_empty() && !text.starts_with("~*") && **text == *text.trim() =>
        {
            text.to_string()
        }
        value @ (TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present) => format!("~*{}", patterns::search(value, false)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: &str, value: TextMatch) -> HeaderMatch {
        HeaderMatch {
            name: name.into(),
            value,
            invert: false,
            ignore_case: false,
            absent: Absent::Unequal,
        }
    }

    #[test]
    fn headers_are_texts_or_patterns() {
        let regex = TextMatch::regex("a.*").expect("valid");
        for (value, expected) in [
            (TextMatch::Exact("jason".into()), Some("jason")),
            (TextMatch::Prefix("j".into()), Some("~*^j")),
            (regex, Some("~*^a.*$")),
            (TextMatch::Present, Some("~*.*")),
            (TextMatch::Range(1, 2), None),
        ] {
            assert_eq!(header(&condition("x-user", value)).as_deref(), expected);
        }
    }

    #[test]
    fn what_kong_does_not_ask_of_headers_is_known() {
        let exact = || TextMatch::Exact("a".into());
        assert_eq!(header(&condition(":client", exact())), None);
        let turned = HeaderMatch {
            invert: true,
            ..condition("x-user", exact())
        };
        assert_eq!(header(&turned), None);
    }
}
