//! Hosts that routes ask for by a condition, inside a virtual host that takes more of them.
//!
//! Emissary has one virtual host for all of a Host's Mappings, and the Mapping's host beside it as a condition on `:authority`. Gateways here have hosts
//! of rules alone: a virtual host is divided into one for each host that some route asks for, with the routes that are for it in their order, and what
//! is left.

use proxy_core::config::{HeaderMatch, RouteMatch, TextMatch};

use super::flat::OfHost;
use super::hosts::Domain;

/// The host that a route asks for, and the condition that does; none: it asks for none, or in words that are none of a host's.
pub(super) fn asked(matches: &RouteMatch) -> Option<(usize, Domain)> {
    let conditions = matches.headers.iter().enumerate();
    let mut of_host = conditions.filter(|(_, it)| &*it.name == ":authority" || &*it.name == "host");
    let (at, condition) = of_host.next()?;
    if of_host.next().is_some() {
        return None;
    }
    domain(condition).map(|domain| (at, domain))
}

fn domain(condition: &HeaderMatch) -> Option<Domain> {
    if condition.invert {
        return None;
    }
    match &condition.value {
        TextMatch::Exact(host) if !host.is_empty() && !host.contains('*') => Some(Domain::of(host)),
        TextMatch::Suffix(rest) if rest.starts_with('.') => {
            Some(Domain::Under(rest.to_ascii_lowercase()))
        }
        TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Regex(_)
        | TextMatch::Range(..)
        | TextMatch::Address(_)
        | TextMatch::Present => None,
    }
}

/// Virtual hosts, each divided by what its routes ask for.
pub(super) fn divided(hosts: Vec<OfHost<'_>>) -> Vec<OfHost<'_>> {
    let all: Vec<Vec<Domain>> = hosts.iter().map(|host| host.domains.clone()).collect();
    let each = hosts.into_iter().enumerate();
    each.flat_map(|(at, host)| divide(host, at, &all)).collect()
}

fn divide<'a>(mut host: OfHost<'a>, own: usize, all: &[Vec<Domain>]) -> Vec<OfHost<'a>> {
    let mut wanted: Vec<Domain> = Vec::new();
    for rule in &host.rules {
        if let Some((_, domain)) = asked(&rule.route.matches)
            && !wanted.contains(&domain)
        {
            wanted.push(domain);
        }
    }
    if wanted.is_empty() {
        return vec![host];
    }
    // others are never asked for here
    wanted.retain(|domain| best(all, domain) == Some(own));
    let of_domain = |domain: &Domain| OfHost {
        domains: vec![domain.clone()],
        host: host.host,
        rules: host
            .rules
            .iter()
            .copied()
            .filter(|rule| asked(&rule.route.matches).is_none_or(|(_, of)| of.covers(domain)))
            .collect(),
    };
    let mut found: Vec<OfHost<'a>> = wanted.iter().map(of_domain).collect();
    host.domains.retain(|domain| !wanted.contains(domain));
    host.rules
        .retain(|rule| asked(&rule.route.matches).is_none());
    if !host.domains.is_empty() {
        found.push(host);
    }
    found
}

/// The virtual host that takes a host: that with the domain that says most of it.
fn best(all: &[Vec<Domain>], domain: &Domain) -> Option<usize> {
    let weight = |(at, domains): (usize, &Vec<Domain>)| {
        let taking = domains.iter().filter(|own| own.covers(domain));
        let longest = taking.map(|own| own.text().len()).max()?;
        Some((domains.contains(domain), longest, at))
    };
    let having = all.iter().enumerate().filter_map(weight);
    having.max().map(|(_, _, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_that_says_most_takes_a_host() {
        let all = ["*", "*.example.com", "shop.example.com"].map(|text| vec![Domain::of(text)]);
        for (host, expected) in [("shop.example.com", 2), ("a.example.com", 1), ("other", 0)] {
            assert_eq!(best(&all, &Domain::of(host)), Some(expected), "{host}");
        }
        assert_eq!(best(&all[1..], &Domain::of("other")), None);
    }
}
