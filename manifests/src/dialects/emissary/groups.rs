//! Mappings that ask for the same requests share them, and the order in which groups are asked.
//!
//! Source: emissary `python/ambassador/src/ambassador/ir/{irhttpmapping,irbasemappinggroup,irhttpmappinggroup}.py`.

use std::collections::BTreeMap;

use super::globs;
use super::hosts::{Asked, Host};
use super::install::Install;
use super::mapping::Mapping;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::model::Labels;
use crate::text::{Span, Spanned};

/// Mappings of one precedence, prefix, method, host, headers and parameters.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// In the order of their routes.
    pub(super) members: Vec<Member>,
    /// Where copies go.
    pub(super) shadow: Option<usize>,
    /// The Mapping by which clients are redirected.
    pub(super) redirect: Option<usize>,
    /// The first, whose settings count where all must have the same.
    pub(super) first: usize,
    /// The labels of all members.
    labels: Labels,
    order: Order,
}

/// A Mapping of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Member {
    /// Its index.
    pub(super) mapping: usize,
    /// Per cent of the requests that reach its route and those before it.
    pub(super) up_to: u32,
}

impl Group {
    /// What decides whose Host's it is.
    pub(super) fn asks<'a>(&'a self, mappings: &'a [Mapping]) -> Asked<'a> {
        // a group that redirects has neither its labels nor a pattern
        let by = self.redirect.unwrap_or(self.first);
        let mapping = &mappings[by];
        Asked {
            host: mapping.host.as_deref(),
            is_regex: mapping.host_is_regex && self.redirect.is_none(),
            labels: &self.labels,
        }
    }

    /// Of its members the last that says something: one setting counts for all.
    pub(super) fn last<'a, T: 'a>(
        &self,
        mappings: &'a [Mapping],
        mut of: impl FnMut(&'a Mapping) -> Option<T>,
    ) -> Option<T> {
        let mut members: Vec<usize> = self.members.iter().map(|it| it.mapping).collect();
        members.sort_unstable();
        members.into_iter().rev().find_map(|at| of(&mappings[at]))
    }

    /// Its members in the order in which they were read.
    pub(super) fn as_read(&self) -> Vec<usize> {
        let mut members: Vec<usize> = self.members.iter().map(|it| it.mapping).collect();
        members.sort_unstable();
        members
    }
}

/// Greater ones are asked first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Order {
    precedence: i64,
    prefix_length: usize,
    headers_length: usize,
    params_length: usize,
    prefix: String,
    method: String,
    keys: Vec<String>,
}

impl Order {
    fn of(mapping: &Mapping) -> Self {
        let lengths = |all: &[super::matching::Condition]| all.iter().map(|it| it.length()).sum();
        let keys = mapping.headers.iter().chain(&mapping.params);
        Self {
            precedence: precedence(mapping),
            prefix_length: mapping.prefix.chars().count(),
            headers_length: lengths(&mapping.headers),
            params_length: lengths(&mapping.params),
            prefix: mapping.prefix.clone(),
            method: method(mapping).to_owned(),
            keys: keys.map(|it| it.key()).collect(),
        }
    }
}

fn precedence(mapping: &Mapping) -> i64 {
    mapping.spec.precedence.map_or(0, |it| it.value)
}

fn method(mapping: &Mapping) -> &str {
    let written = mapping.spec.method.as_ref();
    let written = written.filter(|method| !method.is_empty());
    written.map_or("GET", |method| method.value.as_str())
}

/// What makes two Mappings one group. Texts follow one another without anything between, as in Emissary.
fn id(mapping: &Mapping, hosts: &[Host], loose: bool) -> String {
    let mut id = format!("HTTP-{}{}", method(mapping), mapping.prefix);
    for condition in mapping.headers.iter().chain(&mapping.params) {
        id.push_str(&condition.name);
        id.push_str(&condition.value);
    }
    if mapping.host.is_none() {
        for wanted in hosts.iter().filter_map(|host| host.selector.as_ref()) {
            if globs::selects(wanted, &mapping.labels, loose) {
                for (key, value) in wanted {
                    id.push_str(key);
                    id.push_str(value);
                }
            }
        }
    }
    if precedence(mapping) != 0 {
        id.push_str(&precedence(mapping).to_string());
    }
    id
}

/// All groups in the order of their routes. Mappings of one group must agree in several fields; those that do not are left out.
pub(super) fn all(
    mappings: &mut [Mapping],
    hosts: &[Host],
    install: &Install,
    cx: &mut Compile<'_>,
) -> Vec<Group> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (at, mapping) in mappings.iter().enumerate() {
        let id = id(mapping, hosts, install.loose_selectors);
        let place = *places.entry(id).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                members: Vec::new(),
                shadow: None,
                redirect: None,
                first: at,
                labels: Labels::new(),
                order: Order::of(mapping),
            });
        }
        let first = &mappings[groups[place].first];
        let differs = differences(first, mapping);
        if !differs.is_empty() {
            report_difference(first, mapping, &differs, cx);
            continue;
        }
        add(&mut groups[place], at, mappings, cx);
    }
    for group in &mut groups {
        weigh(group, mappings, cx);
        for member in &group.members {
            group.labels.extend(mappings[member.mapping].labels.clone());
        }
        let asked = group.asks(mappings);
        let is_taken = hosts
            .iter()
            .any(|host| host.takes(asked, install.loose_selectors));
        if !is_taken {
            report_homeless(&mappings[group.first], hosts, cx);
        }
    }
    // of equal ones the later comes first
    groups.sort_by(|a, b| a.order.cmp(&b.order));
    groups.reverse();
    groups
}

fn add(group: &mut Group, at: usize, mappings: &[Mapping], cx: &mut Compile<'_>) {
    let mapping = &mappings[at];
    let is = |flag: Option<Spanned<bool>>| flag.is_some_and(|it| it.value);
    let left_out = |why: &str, other: usize| {
        Diagnostic::warning("emissary::left-out", why.to_owned())
            .label(mapping.span, "left out")
            .label(mappings[other].span, "its group has this one")
    };
    let (is_shadow, is_redirect) = (is(mapping.spec.shadow), is(mapping.spec.host_redirect));
    if is_shadow {
        if is_redirect {
            let span = mapping
                .spec
                .host_redirect
                .map_or(mapping.span, |it| it.span);
            cx.diagnostics.push(
                Diagnostic::warning(
                    "emissary::left-out",
                    "of `shadow` and `host_redirect` the former counts",
                )
                .label(span, "has no effect"),
            );
        }
        match group.shadow {
            Some(other) => {
                let message = "a group has one Mapping with `shadow`";
                cx.diagnostics.push(left_out(message, other));
            }
            None => group.shadow = Some(at),
        }
        return;
    }
    if is_redirect {
        let refused = match (group.redirect, group.members.first()) {
            (Some(other), _) => left_out("a group has one Mapping with `host_redirect`", other),
            (None, Some(other)) => left_out(
                "a group whose requests go somewhere redirects none",
                other.mapping,
            ),
            (None, None) => {
                group.redirect = Some(at);
                return;
            }
        };
        cx.diagnostics.push(refused);
        return;
    }
    match group.redirect {
        Some(other) => {
            let message = "all requests of its group are redirected";
            cx.diagnostics.push(left_out(message, other));
        }
        None => group.members.push(Member {
            mapping: at,
            up_to: 100,
        }),
    }
}

/// The fields in which Mappings of one group must agree, as far as a later one has them.
///
/// Source: emissary `irhttpmappinggroup.py` (`CoreMappingKeys`).
fn differences(first: &Mapping, other: &Mapping) -> Vec<(&'static str, Span)> {
    let (a, b) = (&first.spec, &other.spec);
    let mut found = Vec::new();
    let mut compare = |name, is_there: bool, is_equal: bool, span: Option<Span>| {
        if is_there && !is_equal {
            found.push((name, span.unwrap_or(other.span)));
        }
    };
    macro_rules! field {
        ($($name:ident),*) => {$(
            let span = b.$name.as_ref().map(|it| it.span);
            compare(stringify!($name), b.$name.is_some(), a.$name == b.$name, span);
        )*};
    }
    field!(
        bypass_auth,
        connect_timeout_ms,
        cluster_idle_timeout_ms,
        cluster_max_connection_lifetime_ms,
        method,
        prefix_regex,
        prefix_exact
    );
    let value = |node: &Option<crate::text::Node>| node.as_ref().map(plain);
    let span = |node: &Option<crate::text::Node>| node.as_ref().map(|it| it.span);
    let pairs = [
        ("keepalive", &a.keepalive, &b.keepalive),
        ("labels", &a.labels, &b.labels),
    ];
    for (name, a, b) in pairs {
        compare(name, b.is_some(), value(a) == value(b), span(b));
    }
    let balance = b.load_balancer.as_ref().map(|it| it.span);
    let is_equal = first.balance == other.balance;
    compare("load_balancer", balance.is_some(), is_equal, balance);
    compare(
        "circuit_breakers",
        true,
        first.breakers == other.breakers,
        None,
    );
    compare("prefix", true, first.prefix == other.prefix, None);
    compare("headers", true, first.headers == other.headers, None);
    found
}

/// What a tree says, without its places.
fn plain(node: &crate::text::Node) -> String {
    use crate::text::Value;
    match &node.value {
        Value::Seq(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(map) => {
            let mut entries: Vec<String> = map
                .entries()
                .iter()
                .map(|entry| format!("{:?}:{}", entry.key.text, plain(&entry.value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => {
            format!("{:?}", node.value)
        }
    }
}

fn report_difference(
    first: &Mapping,
    other: &Mapping,
    differs: &[(&'static str, Span)],
    cx: &mut Compile<'_>,
) {
    let names: Vec<String> = differs
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let message = format!(
        "Emissary leaves the Mapping {} out: it shares its requests with {}, and differs in {}",
        other.name,
        first.name,
        names.join(", ")
    );
    let mut warning = Diagnostic::warning("emissary::left-out", message);
    for (_, span) in differs {
        warning = warning.label(*span, "differs");
    }
    cx.diagnostics.push(
        warning
            .label(first.span, "the first of the group")
            .help("write the same in both, or nothing in this one"),
    );
}

/// Shares among the members: those that are written, then the rest in equal parts. One that is alone has everything.
///
/// Source: emissary `irbasemappinggroup.py` (`normalize_weights_in_mappings`).
fn weigh(group: &mut Group, mappings: &[Mapping], cx: &mut Compile<'_>) {
    let written = |at: usize| mappings[at].spec.weight;
    if let [only] = &mut group.members[..] {
        if let Some(weight) = written(only.mapping).filter(|it| it.value != 100) {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "emissary::weight",
                    "the only Mapping of a group has all of its requests",
                )
                .label(weight.span, "has no effect")
                .help("others of the group have the same prefix, host, method, headers, parameters and precedence"),
            );
        }
        only.up_to = 100;
        return;
    }
    if group.members.is_empty() {
        return;
    }
    let members: Vec<usize> = group.members.iter().map(|it| it.mapping).collect();
    let weights: Vec<(usize, Option<Spanned<u32>>)> =
        members.iter().map(|at| (*at, written(*at))).collect();
    group.members = shares(&weights, cx);
}

/// The shares of members with their weights, as far as they are written.
pub(super) fn shares(
    weights: &[(usize, Option<Spanned<u32>>)],
    cx: &mut Compile<'_>,
) -> Vec<Member> {
    let given = weights.iter().filter_map(|(_, weight)| *weight);
    let total: u64 = given.clone().map(|weight| u64::from(weight.value)).sum();
    if total > 100 {
        let mut error = Diagnostic::error(
            "emissary::weight",
            format!("the weights of a group come to {total} per cent"),
        );
        for weight in given.clone() {
            error = error.label(weight.span, "one of them");
        }
        cx.diagnostics.push(error);
    }
    let mut found = Vec::new();
    let mut up_to = 0_u32;
    for (mapping, weight) in weights {
        if let Some(weight) = weight {
            up_to = up_to.saturating_add(weight.value).min(100);
            found.push(Member {
                mapping: *mapping,
                up_to,
            });
        }
    }
    let rest: Vec<usize> = weights
        .iter()
        .filter(|(_, weight)| weight.is_none())
        .map(|(mapping, _)| *mapping)
        .collect();
    let each = half_even(100 - up_to, u32::try_from(rest.len()).unwrap_or(u32::MAX));
    for (nth, mapping) in rest.iter().enumerate() {
        up_to = if nth + 1 == rest.len() {
            100
        } else {
            (up_to + each).min(100)
        };
        found.push(Member {
            mapping: *mapping,
            up_to,
        });
    }
    if rest.is_empty() && total < 100 {
        let mut warning = Diagnostic::warning(
            "emissary::weight",
            format!(
                "the weights of a group come to {total} per cent: the rest of its requests goes to the next route that takes them, or is answered 404"
            ),
        );
        for weight in given {
            warning = warning.label(weight.span, "one of them");
        }
        cx.diagnostics.push(warning);
    }
    found
}

/// A quotient as Python rounds it: a half to the even side.
fn half_even(whole: u32, parts: u32) -> u32 {
    if parts == 0 {
        return 0;
    }
    let (quotient, rest) = (whole / parts, whole % parts);
    let twice = u64::from(rest) * 2;
    let up = twice > u64::from(parts) || (twice == u64::from(parts) && quotient % 2 == 1);
    quotient + u32::from(up)
}

fn report_homeless(mapping: &Mapping, hosts: &[Host], cx: &mut Compile<'_>) {
    let message = format!("no Host takes the Mapping {}", mapping.name);
    let help = match (&mapping.host, mapping.host_is_regex) {
        (None, false) => {
            "a Mapping without `hostname` is taken by Hosts whose `mappingSelector` asks for its labels; `hostname: \"*\"` is taken by all others"
        }
        (Some(_), _) | (None, true) => {
            "a Host takes it whose `hostname` can be its own, and whose `mappingSelector`, if it has one, asks for its labels"
        }
    };
    let mut warning = Diagnostic::warning("emissary::no-host", message)
        .label(mapping.span, "no request reaches it");
    if let Some(host) = hosts.first() {
        let span = super::span_of(host.origin, cx);
        if !span.is_nowhere() {
            warning = warning.label(span, "does not take it");
        }
    }
    cx.diagnostics.push(warning.help(help));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_to_the_even_side() {
        for (whole, parts, want) in [
            (100, 3, 33),
            (100, 8, 12),
            (50, 4, 12),
            (70, 4, 18),
            (10, 4, 2),
            (100, 1, 100),
            (0, 2, 0),
            (5, 0, 0),
        ] {
            assert_eq!(half_even(whole, parts), want, "{whole}/{parts}");
        }
    }
}
