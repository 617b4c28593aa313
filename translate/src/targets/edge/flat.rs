//! A gateway's rules as one list, in the order in which requests are to be asked of them.
//!
//! Systems that are gateways alone have no listeners and no virtual hosts of their own to write: they have two ports, one of them for TLS, and rules
//! with hosts. Here the routes of all listeners of a gateway become such rules, those of both ports once where they are the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use manifests::model::GatewayId;
use proxy_core::config::{
    Name, PathMatch, PathRedirect, Route, RouteAction, RouteMatch, ServerName,
};
use proxy_core::origin::OriginId;

use super::hosts::Domain;
pub(crate) use super::rule::{Rule, Sides};
use super::{authority, plain};
use crate::intent::{self, Door, Gateway, Serves, Source, Tls};

/// A certificate that is shown to clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    /// For these server names; empty: for all.
    pub(crate) hosts: Vec<Domain>,
    /// What the configuration calls it: `namespace/name` of a Secret where it is one.
    pub(crate) certificate: Name,
    /// Whether clients have to show one, too.
    pub(crate) mutual: bool,
    /// The rule.
    pub(crate) origin: OriginId,
}

/// Something that a gateway serves beside requests at its two ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Beyond {
    /// What it is, in words.
    pub(crate) what: String,
    /// What is written in its place; empty: nothing.
    pub(crate) nearest: String,
    /// The rule.
    pub(crate) origin: OriginId,
}

/// A host whose requests in plaintext are all sent to TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Upgrade {
    /// The status of the redirect.
    pub(crate) status: u16,
    /// Whether it changes more than scheme and port: a slash at the end of the path goes.
    pub(crate) changes_path: bool,
    /// The rule.
    pub(crate) origin: OriginId,
}

/// A gateway, flat.
pub(crate) struct Flat<'a> {
    /// Which.
    pub(crate) gateway: &'a Gateway<'a>,
    /// In the order in which requests are asked of them.
    pub(crate) rules: Vec<Rule<'a>>,
    /// Certificates, the more telling ones first.
    pub(crate) shown: Vec<Shown>,
    /// What else it serves.
    pub(crate) beyond: Vec<Beyond>,
    /// Whether it has rules for plaintext.
    pub(crate) plain: bool,
    /// Whether it has rules for TLS.
    pub(crate) tls: bool,
}

impl<'a> Flat<'a> {
    /// Whether all requests in plaintext to these hosts are sent to TLS, where rules are for them.
    pub(crate) fn upgrade(&self, domains: &[Domain]) -> Option<Upgrade> {
        let of_host = || self.rules.iter().filter(|it| it.domains == domains);
        let mut plain = of_host().filter(|it| it.sides == Sides::Plain);
        let has_tls = of_host().any(|it| it.sides == Sides::Tls);
        let has_both = of_host().any(|it| it.sides == Sides::Both);
        if !has_tls || has_both {
            return None;
        }
        let first = plain.next()?;
        let upgrade = to_tls(first.route())?;
        let mut others = plain.map(|it| to_tls(it.route()));
        let alike = |it: Option<Upgrade>| it.is_some_and(|it| it.status == upgrade.status);
        let takes_rest = of_host()
            .filter(|it| it.sides == Sides::Plain)
            .any(|it| takes_all(&it.matches));
        let covered = takes_rest || {
            // each rule over TLS has its like in plaintext
            let plain: Vec<String> = of_host()
                .filter(|it| it.sides == Sides::Plain)
                .map(|it| format!("{:?}", it.matches.path))
                .collect();
            let mut tls = of_host().filter(|it| it.sides == Sides::Tls);
            tls.all(|it| plain.contains(&format!("{:?}", it.matches.path)))
        };
        (others.all(alike) && covered).then_some(upgrade)
    }

    /// The certificate of a host: that of the names that say most of it.
    pub(crate) fn certificate(&self, host: &Domain) -> Option<&Shown> {
        let weight = |shown: &Shown| {
            let names = shown.hosts.iter().filter(|it| it.covers(host));
            names.map(|it| 1 + it.text().len()).max()
        };
        let named = self.shown.iter().filter(|it| weight(it).is_some());
        let best = named.max_by_key(|it| weight(it));
        best.or_else(|| self.shown.iter().find(|it| it.hosts.is_empty()))
    }

    /// The rules of a gateway.
    pub(crate) fn of(gateway: &'a Gateway<'a>, source: Source<'_>) -> Self {
        let mut beyond = Vec::new();
        for door in &gateway.doors {
            let what = match &door.serves {
                Serves::Bytes { .. } => {
                    format!("connections carried as bytes at port {}", door.port)
                }
                Serves::Datagrams { .. } => format!("datagrams at port {}", door.port),
                Serves::Requests { .. } | Serves::Untouched | Serves::Closed => continue,
            };
            add(&mut beyond, what, "", door.chain.origin);
        }
        let plain = side(gateway, false, &mut beyond);
        let tls = side(gateway, true, &mut beyond);
        let (of_plain, of_tls) = (hosts(&plain, source), hosts(&tls, source));
        Self {
            gateway,
            rules: plain::joined(rules(gateway.id, &of_plain, &of_tls)),
            shown: shown(&tls),
            beyond,
            plain: of_plain.iter().any(|host| !host.rules.is_empty()),
            tls: of_tls.iter().any(|host| !host.rules.is_empty()),
        }
    }
}

fn add(beyond: &mut Vec<Beyond>, what: String, nearest: &str, origin: OriginId) {
    if beyond.iter().all(|it| it.what != what) {
        beyond.push(Beyond {
            what,
            nearest: nearest.to_owned(),
            origin,
        });
    }
}

/// A filter chain that carries requests.
struct Chain<'a> {
    door: &'a Door<'a>,
    names: Vec<Domain>,
    hosts: &'a [intent::Host<'a>],
    table: u32,
}

/// The chains of the port that stands for a side: the usual port, else the lowest. The others are told.
fn side<'a>(gateway: &'a Gateway<'a>, tls: bool, beyond: &mut Vec<Beyond>) -> Vec<Chain<'a>> {
    let all = gateway.doors.iter().filter_map(|door| {
        let Serves::Requests { http, hosts } = &door.serves else {
            return None;
        };
        let is_own = matches!(door.tls, Tls::Ends { .. }) == tls;
        is_own.then(|| Chain {
            door,
            names: server_names(door),
            hosts,
            table: http.table.0,
        })
    });
    let mut all: Vec<Chain<'a>> = all.collect();
    let usual = if tls { 443 } else { 80 };
    let ports = all.iter().map(|chain| chain.door.port);
    let Some(port) = ports.min_by_key(|port| (*port != usual, *port)) else {
        return all;
    };
    for chain in all.iter().filter(|chain| serves(chain)) {
        let (own, origin) = (chain.door.port, chain.door.chain.origin);
        if own != port {
            add(beyond, format!("requests at port {own}"), "", origin);
        } else if port != usual {
            let nearest = format!("they are served at port {usual}");
            add(beyond, format!("requests at port {own}"), &nearest, origin);
        }
    }
    all.retain(|chain| chain.door.port == port);
    all
}

/// Whether a chain has rules that are no answers of the gateway's: some gateways read whatever comes to a port, and know nothing of it.
fn serves(chain: &Chain<'_>) -> bool {
    let mut rules = chain.hosts.iter().flat_map(|host| &host.rules);
    rules.any(|rule| !matches!(rule.route.action, RouteAction::Direct(_)))
}

fn server_names(door: &Door<'_>) -> Vec<Domain> {
    let names = door.server_names().iter();
    names
        .map(|name| match name {
            ServerName::Exact(host) => Domain::Exact(host.to_string()),
            ServerName::Suffix(rest) => Domain::Under(rest.to_string()),
        })
        .collect()
}

/// The certificates that clients see.
fn shown(chains: &[Chain<'_>]) -> Vec<Shown> {
    let each = chains.iter().filter_map(|chain| match chain.door.tls {
        Tls::None | Tls::Passed => None,
        Tls::Ends {
            certificate,
            mutual,
        } => Some(Shown {
            hosts: chain.names.clone(),
            certificate: certificate.clone(),
            mutual,
            origin: chain.door.chain.origin,
        }),
    });
    let mut all: Vec<Shown> = Vec::new();
    for one in each {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all.sort_by_key(|it| it.hosts.is_empty());
    all
}

/// A virtual host of a side.
pub(super) struct OfHost<'a> {
    pub(super) domains: Vec<Domain>,
    pub(super) host: &'a intent::Host<'a>,
    pub(super) rules: Vec<&'a intent::Rule<'a>>,
}

/// The virtual hosts of a side. Where several chains have one of its domains it is that of the chain whose server names say most of it, since
/// clients ask for the host by that name.
fn hosts<'a>(chains: &[Chain<'a>], source: Source<'_>) -> Vec<OfHost<'a>> {
    let mut found: Vec<OfHost<'a>> = Vec::new();
    for (at, chain) in chains.iter().enumerate() {
        if chains[..at]
            .iter()
            .any(|before| before.table == chain.table)
        {
            // one table behind several names: it was taken with the first
            continue;
        }
        for host in chain.hosts {
            let mut domains = Domain::all(host.host);
            domains.retain(|domain| owner(chains, domain) == Some(chain.table));
            if !domains.is_empty() {
                found.push(OfHost {
                    domains,
                    host,
                    rules: meant(host, source),
                });
            }
        }
    }
    authority::divided(found)
}

/// The rules of a virtual host that people have to do with: not what a gateway answers by itself, and not a 404 for the rest, which is what becomes
/// of requests that no rule takes.
fn meant<'a>(host: &'a intent::Host<'a>, source: Source<'_>) -> Vec<&'a intent::Rule<'a>> {
    let is_own = |rule: &intent::Rule<'_>| {
        matches!(rule.route.action, RouteAction::Direct(_)) && !source.is_written(rule.route.origin)
    };
    let mut rules: Vec<&intent::Rule<'_>> =
        host.rules.iter().filter(|rule| !is_own(rule)).collect();
    let is_nobodys = |rule: &intent::Rule<'_>| match &rule.route.action {
        RouteAction::Direct(answer) => answer.status == 404 && takes_all(&rule.route.matches),
        RouteAction::Forward(_) | RouteAction::Redirect(_) => false,
    };
    if rules.last().is_some_and(|rule| is_nobodys(rule)) {
        rules.pop();
    }
    rules
}

/// The table whose virtual host of a domain counts.
fn owner(chains: &[Chain<'_>], domain: &Domain) -> Option<u32> {
    let having = chains.iter().enumerate().filter(|(_, chain)| {
        let mut hosts = chain.hosts.iter();
        hosts.any(|host| Domain::all(host.host).contains(domain))
    });
    let weight = |chain: &Chain<'_>| {
        let names = chain.names.iter().filter(|name| name.covers(domain));
        names
            .map(|name| 1 + name.text().len())
            .max()
            .unwrap_or_default()
    };
    // of equals the first
    let best = having.max_by_key(|(at, chain)| (weight(chain), Reverse(*at)));
    best.map(|(_, chain)| chain.table)
}

/// Hosts in full first, then the longer wildcards, then all others.
fn specificity(domains: &[Domain]) -> (u8, Reverse<usize>, String) {
    let each = domains.iter().map(|domain| {
        let text = domain.text();
        let class = match domain {
            Domain::Exact(_) => 0,
            Domain::Under(_) => 1,
            Domain::Starting(_) => 2,
            Domain::Any => 3,
        };
        (class, Reverse(text.len()), text)
    });
    each.max().unwrap_or((3, Reverse(0), String::new()))
}

/// Whether a route takes every request.
pub(crate) fn takes_all(matches: &RouteMatch) -> bool {
    let any_path = match &matches.path {
        PathMatch::Prefix(path) => &**path == "/",
        PathMatch::Segments(path) => path.is_empty(),
        PathMatch::Exact(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => false,
    };
    any_path
        && matches.methods.is_empty()
        && matches.headers.is_empty()
        && matches.params.is_empty()
        && !matches.grpc
        && matches.fraction.is_none()
}

/// The redirect of a route to its own host and path over TLS; none: it is another one, or none.
fn to_tls(route: &Route) -> Option<Upgrade> {
    let RouteAction::Redirect(redirect) = &route.action else {
        return None;
    };
    let own_port = redirect.port.is_none_or(|port| port == 443);
    let slash = match &redirect.path {
        None => false,
        Some(PathRedirect::Regex(pattern, to)) if pattern.as_str() == "/$" && to.is_empty() => true,
        Some(_) => return None,
    };
    let is_it = redirect.scheme.as_deref() == Some("https")
        && redirect.host.is_none()
        && own_port
        && !redirect.strip_query;
    is_it.then_some(Upgrade {
        status: redirect.status,
        changes_path: slash,
        origin: route.origin,
    })
}

/// What answers over TLS alone have of some gateways.
const STRICT: &str = "strict-transport-security";

/// Whether two hosts have the same routes: those that one rule made for two listeners are alike to the last letter, but for what is said over TLS
/// alone.
fn alike(one: &OfHost<'_>, other: &OfHost<'_>) -> bool {
    let digest = |host: &OfHost<'_>| {
        let mut routes = host.host.host.routes.clone();
        for route in &mut routes {
            route.response_edits.retain(|edit| edit.name() != STRICT);
        }
        format!("{routes:?}")
    };
    digest(one) == digest(other)
}

/// The first rule of a gateway by which answers over TLS ask clients to come by TLS alone.
pub(crate) fn asks_for_tls(flat: &Flat<'_>) -> Option<OriginId> {
    let chains = side(flat.gateway, true, &mut Vec::new());
    let routes = chains.iter().flat_map(|chain| chain.hosts);
    let mut routes = routes.flat_map(|host| &host.host.routes);
    let found = routes.find(|route| {
        let mut edits = route.response_edits.iter();
        edits.any(|edit| edit.name() == STRICT)
    });
    found.map(|route| route.origin)
}

fn rules<'a>(gateway: GatewayId, plain: &[OfHost<'a>], tls: &[OfHost<'a>]) -> Vec<Rule<'a>> {
    let by_domains: BTreeMap<&[Domain], &OfHost<'a>> =
        tls.iter().map(|it| (&it.domains[..], it)).collect();
    let mut groups: Vec<(Sides, &OfHost<'a>)> = Vec::new();
    for host in plain {
        let same = by_domains.get(&host.domains[..]);
        let both = same.is_some_and(|it| alike(it, host));
        groups.push((if both { Sides::Both } else { Sides::Plain }, host));
    }
    for host in tls {
        let mut both = groups.iter().filter(|(sides, _)| *sides == Sides::Both);
        if both.all(|(_, it)| it.domains != host.domains) {
            groups.push((Sides::Tls, host));
        }
    }
    groups.sort_by_key(|(sides, host)| (specificity(&host.domains), *sides));
    let mut all = Vec::new();
    for (sides, host) in &groups {
        let not = closed_off(&groups, *sides, host);
        all.extend(host.rules.iter().map(|rule| Rule {
            domains: host.domains.clone(),
            not: not.clone(),
            sides: *sides,
            gateway,
            matches: matches_of(rule.route),
            of: rule,
        }));
    }
    all
}

/// The conditions of a route in the plainest words, but for one on its host.
fn matches_of(route: &Route) -> RouteMatch {
    let mut matches = plain::plainest(&route.matches, &route.action);
    if let Some((at, _)) = authority::asked(&matches) {
        matches.headers.remove(at);
    }
    matches
}

/// Domains of other virtual hosts that these domains take, and whose routes let requests through: these are for nobody else.
fn closed_off(groups: &[(Sides, &OfHost<'_>)], sides: Sides, of: &OfHost<'_>) -> Vec<Domain> {
    let mut found = Vec::new();
    for (others, host) in groups {
        let last = host.rules.last();
        let takes_rest = last.is_some_and(|rule| takes_all(&rule.route.matches));
        if std::ptr::eq(host.host, of.host) || takes_rest || !others.meets(sides) {
            continue;
        }
        for domain in &host.domains {
            let is_within = of
                .domains
                .iter()
                .any(|own| own != domain && own.covers(domain));
            if is_within && !found.contains(domain) {
                found.push(domain.clone());
            }
        }
    }
    found
}
