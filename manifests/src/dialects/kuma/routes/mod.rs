//! MeshHTTPRoute: which requests a rule takes, and what is done with them.

mod check;

use std::cmp::Reverse;

use proxy_core::config::{
    Absent, ClusterIndex, DirectResponse, Forward, HeaderEdits, HeaderMatch, HostRewrite, Mirror,
    ParamMatch, PathMatch, PathRedirect, PathRewrite, Redirect, Route, RouteAction, RouteMatch,
    Share, TextMatch, WeightedCluster,
};
use proxy_core::origin::{OriginId, Sourced};

pub(super) use self::check::{check_conf, check_match, header_match};
use super::backends::Backend;
use super::chains::{forward, route};
use super::clusters::Clusters;
use super::merge::merged;
use super::policies::HttpEntry;
use super::registry::{Behind, Item, ItemPort};
use super::retries;
use super::rules::Toward;
use super::settings::{hash_of, timeouts};
use super::target::RouteId;
use super::types::{
    self, Filter, FilterType, HeaderMatchType, HttpMatch, HttpRuleConf, PathRewriteType, PathType,
    Retry, Strategy, Timeouts, UrlRewrite, ValueType,
};
use crate::diagnostics::Diagnostics;
use crate::model::Labels;
use crate::text::{Node, Spanned, read_part};

/// A condition on a header; none where its pattern cannot be read, which was reported.
pub(super) fn header(one: &types::HeaderMatch) -> Option<HeaderMatch> {
    let text = one.value.as_ref().map_or("", |it| it.value.as_str());
    let (value, invert) = match one.r#type.map_or(HeaderMatchType::Exact, |it| it.value) {
        HeaderMatchType::Exact => (TextMatch::Exact(text.into()), false),
        HeaderMatchType::Present => (TextMatch::Present, false),
        HeaderMatchType::Absent => (TextMatch::Present, true),
        HeaderMatchType::RegularExpression => (TextMatch::regex(text).ok()?, false),
        HeaderMatchType::Prefix if text.is_empty() => (TextMatch::Present, false),
        HeaderMatchType::Prefix => (TextMatch::Prefix(text.into()), false),
    };
    Some(HeaderMatch {
        name: one.name.to_ascii_lowercase().into(),
        value,
        invert,
        ignore_case: false,
        absent: Absent::Unequal,
    })
}

/// A rule that takes requests, with what all policies that have it say.
struct Rule<'a> {
    matches: &'a [HttpMatch],
    confs: Vec<&'a Node>,
    /// The route whose word counted last.
    id: &'a RouteId,
    origin: OriginId,
}

/// The rules of all policies, in the order in which equal ones count: rules of the same matches are one, whose settings are merged.
///
/// Source: kuma 2.14 `pkg/plugins/policies/core/rules/merge/merge.go` (`mergeByKey`), `meshhttproute/api/v1alpha1/helpers.go`.
fn rules<'a>(entries: impl Iterator<Item = &'a HttpEntry>) -> Vec<Rule<'a>> {
    let mut all: Vec<Rule<'a>> = Vec::new();
    for entry in entries {
        for rule in entry.rules.iter().rev() {
            let mut confs = Vec::new();
            // the place is that of the last, the settings are those of all
            if let Some(at) = all.iter().position(|it| *it.matches == rule.matches[..]) {
                confs = all.remove(at).confs;
            }
            confs.extend(&rule.node);
            all.push(Rule {
                matches: &rule.matches,
                confs,
                id: &entry.id,
                origin: rule.origin,
            });
        }
    }
    all.reverse();
    all
}

/// The better a match fits, the lesser: exact paths, then prefixes, then patterns, the longer before the shorter; a method; more headers;
/// more parameters.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshhttproute/api/v1alpha1/compare.go`.
fn fit(one: &HttpMatch) -> impl Ord + use<> {
    let path = match &one.path {
        None => (3_u8, Reverse(0)),
        Some(path) => match path.r#type.value {
            PathType::Exact => (0, Reverse(0)),
            PathType::PathPrefix => (1, Reverse(path.value.len())),
            PathType::RegularExpression => (2, Reverse(path.value.len())),
        },
    };
    let headers = one.headers.as_ref().map_or(0, Vec::len);
    let params = one.query_params.as_ref().map_or(0, Vec::len);
    (
        path,
        one.method.is_none(),
        Reverse(headers),
        Reverse(params),
    )
}

/// Whether a match takes everything and nothing else is asked.
fn takes_all(one: &HttpMatch) -> bool {
    let HttpMatch {
        path,
        method: None,
        query_params: None,
        headers: None,
    } = one
    else {
        return false;
    };
    let path = path.as_ref();
    path.is_some_and(|it| it.r#type.value == PathType::PathPrefix && it.value.value == "/")
}

/// What becomes of a rule's requests before they are sent on.
#[derive(Default)]
struct Filtered<'a> {
    request: HeaderEdits,
    response: HeaderEdits,
    redirect: Option<&'a types::Redirect>,
    rewrite: Option<&'a UrlRewrite>,
    mirrors: Vec<&'a types::Mirror>,
}

impl<'a> Filtered<'a> {
    fn of(filters: &'a [Filter]) -> Self {
        let mut all = Self::default();
        for filter in filters {
            match filter.r#type.value {
                FilterType::RequestHeaderModifier => {
                    let modifier = filter.request_header_modifier.iter();
                    all.request.extend(modifier.flat_map(|it| it.edits()));
                }
                FilterType::ResponseHeaderModifier => {
                    let modifier = filter.response_header_modifier.iter();
                    all.response.extend(modifier.flat_map(|it| it.edits()));
                }
                FilterType::RequestRedirect => all.redirect = filter.request_redirect.as_ref(),
                FilterType::UrlRewrite => all.rewrite = filter.url_rewrite.as_ref(),
                FilterType::RequestMirror => all.mirrors.extend(&filter.request_mirror),
            }
        }
        all
    }

    fn changes_prefix(&self) -> bool {
        let paths = [
            self.redirect.and_then(|it| it.path.as_ref()),
            self.rewrite.and_then(|it| it.path.as_ref()),
        ];
        let mut paths = paths.into_iter().flatten();
        paths.any(|it| it.r#type.value == PathRewriteType::ReplacePrefixMatch)
    }
}

impl Clusters<'_, '_, '_> {
    /// The routes of a port: those of policies, and one that leads to the destination itself.
    ///
    /// Source: kuma 2.14 `pkg/plugins/policies/meshhttproute/plugin/v1alpha1/listeners.go`, `prepareRoutes`.
    pub(super) fn routes(&mut self, at: usize, port: &ItemPort) -> Vec<Route> {
        let (policies, proxy) = (self.policies, self.proxy);
        let item = &policies.registry.items[at];
        let rules = rules(policies.routes_to(proxy, item, port));
        let mut taken: Vec<(&HttpMatch, &Rule<'_>)> = rules
            .iter()
            .flat_map(|rule| rule.matches.iter().map(move |one| (one, rule)))
            .collect();
        // stable: of equal fits the one that counts more stays before the other
        taken.sort_by_key(|(one, _)| fit(one));
        let has_all = taken.iter().any(|(one, _)| takes_all(one));
        let mut routes = Vec::new();
        for (one, rule) in taken {
            routes.extend(self.rule_routes((at, port), one, rule));
        }
        if !has_all {
            routes.extend(self.own_route(at, port));
        }
        routes
    }

    /// Everything that no rule takes goes to the destination itself.
    fn own_route(&mut self, at: usize, port: &ItemPort) -> Option<Route> {
        let item = &self.policies.registry.items[at];
        let cluster = self.get(at, port.number, &Labels::new())?;
        let forward = self.forward((item, port), None, cluster, item.origin);
        let action = RouteAction::Forward(Box::new(forward));
        Some(route("default", RouteMatch::all(), action, item.origin))
    }

    /// A forward with everything that policies say of requests to a destination.
    fn forward(
        &mut self,
        (item, port): (&Item, &ItemPort),
        id: Option<&RouteId>,
        cluster: ClusterIndex,
        origin: OriginId,
    ) -> Forward {
        let (policies, proxy, defaults) = (self.policies, self.proxy, self.defaults);
        let toward = Toward {
            item,
            port,
            route: id,
        };
        let conf: Timeouts = policies.timeouts.toward(proxy, toward);
        let (_, requests) = timeouts(&conf, defaults, self.cx);
        let mut forward = forward(cluster, &requests, origin);
        let conf: Retry = policies.retries.toward(proxy, toward);
        forward.retry = retries::policy(&conf, port.protocol, defaults, self.cx);
        let conf: Strategy = policies.strategies.toward(proxy, toward);
        forward.hash = hash_of(&conf);
        forward
    }

    fn rule_routes(
        &mut self,
        (at, port): (usize, &ItemPort),
        one: &HttpMatch,
        rule: &Rule<'_>,
    ) -> Vec<Route> {
        let node = merged(rule.confs.iter().copied());
        let conf: HttpRuleConf = read_part(&node, &mut Diagnostics::default()).unwrap_or_default();
        let filtered = Filtered::of(conf.filters.as_deref().unwrap_or_default());
        let Some(conditions) = conditions(one, filtered.changes_prefix()) else {
            return Vec::new();
        };
        let name = format!("{}/{}", rule.id.namespace, rule.id.name);
        let mut routes = Vec::new();
        for (matches, matched) in conditions {
            let Some(action) = self.action((at, port), rule, &conf, &filtered, matched) else {
                continue;
            };
            let mut made = route(&name, matches, action, rule.origin);
            made.request_edits.clone_from(&filtered.request);
            made.response_edits.clone_from(&filtered.response);
            routes.push(made);
        }
        routes
    }

    /// What a rule does; none: it is as if it were not there.
    fn action(
        &mut self,
        (at, port): (usize, &ItemPort),
        rule: &Rule<'_>,
        conf: &HttpRuleConf,
        filtered: &Filtered<'_>,
        matched: Matched,
    ) -> Option<RouteAction> {
        let policies = self.policies;
        let item = &policies.registry.items[at];
        let written = conf.backend_refs.as_deref().unwrap_or_default();
        let shares = self.shares(rule.id, written);
        let leads_somewhere = shares.iter().any(|share| share.cluster.is_some());
        if let Some(redirect) = filtered.redirect {
            // Kuma 2.x forgets a rule whose backends are not there, even where none is asked
            let is_forgotten = !written.is_empty() && !leads_somewhere && !self.is_v3();
            let action = RouteAction::Redirect(Box::new(redirect_of(redirect, matched)));
            return (!is_forgotten).then_some(action);
        }
        if !written.is_empty() && !leads_somewhere {
            if self.is_v3() {
                return Some(RouteAction::Direct(DirectResponse {
                    status: 500,
                    body: "".into(),
                }));
            }
            // by labels a backend is not found, so that there is none; by name it leads nowhere
            if !written.iter().all(|it| it.labels.is_some()) {
                return None;
            }
        }
        let own = self.get(at, port.number, &Labels::new())?;
        let mut forward = self.forward((item, port), Some(rule.id), own, rule.origin);
        if leads_somewhere {
            forward.clusters = shares;
            forward.missing_status = 500;
        }
        if let Some(rewrite) = filtered.rewrite {
            forward.host = rewrite
                .hostname
                .as_ref()
                .map(|host| HostRewrite::Literal(host.as_str().into()));
            forward.rewrite = rewrite.path.as_ref().and_then(|it| rewritten(it, matched));
        }
        if forward.host.is_none() && self.leads_outside(rule.id, written) {
            forward.host = Some(HostRewrite::Endpoint);
        }
        for mirror in &filtered.mirrors {
            forward.mirrors.extend(self.mirror(rule.id, mirror));
        }
        Some(RouteAction::Forward(Box::new(forward)))
    }

    fn is_v3(&self) -> bool {
        self.policies.release.is_v3()
    }

    /// Where a rule's requests go. In 2.x a backend that is not there is left out, and the others take its share; from 3.0 on its share is
    /// answered 500.
    fn shares(&mut self, id: &RouteId, written: &[types::BackendRef]) -> Vec<WeightedCluster> {
        let policies = self.policies;
        let mut shares = Vec::new();
        for backend in written {
            let weight = backend.weight.map_or(1, |it| it.value);
            let origin = self.cx.origins.written(backend.kind.span);
            let found = policies.backend(backend, &id.namespace, &self.proxy.mesh);
            let cluster = found.and_then(|Backend { item, port, tags }| {
                let at = policies.registry.items.get(item)?.port_at(port)?;
                let is_http = at.protocol.is_http() && weight > 0;
                is_http.then(|| self.get(item, port, &tags)).flatten()
            });
            if cluster.is_none() && (!self.is_v3() || weight == 0) {
                continue;
            }
            shares.push(WeightedCluster {
                cluster,
                weight,
                request_edits: Vec::new(),
                response_edits: Vec::new(),
                origin,
            });
        }
        shares
    }

    /// Whether one of the backends is outside, so that requests get its name.
    fn leads_outside(&self, id: &RouteId, written: &[types::BackendRef]) -> bool {
        let policies = self.policies;
        written.iter().any(|backend| {
            let found = policies.backend(backend, &id.namespace, &self.proxy.mesh);
            let item = found.and_then(|it| policies.registry.items.get(it.item));
            item.is_some_and(|it| matches!(it.behind, Behind::Outside(_)))
        })
    }

    fn mirror(&mut self, id: &RouteId, mirror: &types::Mirror) -> Option<Mirror> {
        let found = self
            .policies
            .backend(&mirror.backend_ref, &id.namespace, &self.proxy.mesh)?;
        let cluster = self.get(found.item, found.port, &found.tags)?;
        let share = match mirror.percentage {
            Some(percentage) => {
                let origin = self.cx.origins.written(percentage.span);
                Sourced::new(Share::from_percent(percentage.value.0), origin)
            }
            None => self.defaults.of(Share::ALL),
        };
        Some(Mirror {
            cluster,
            share,
            shadow_host: true,
        })
    }
}

/// How a path was matched, as far as replacing it depends on that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matched {
    /// All of it.
    Whole,
    /// Its start, with the slash after it.
    Start,
}

/// The conditions of a match; a prefix that is replaced is two: the path itself, and what is below it. None: its pattern cannot be read,
/// which was reported.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshhttproute/xds/configurer.go`, `routePathMatch`.
fn conditions(one: &HttpMatch, changes_prefix: bool) -> Option<Vec<(RouteMatch, Matched)>> {
    let mut found = match &one.path {
        None => vec![(RouteMatch::all(), Matched::Whole)],
        Some(path) => {
            let text = path.value.value.as_str();
            let whole = |path| (RouteMatch::path(path), Matched::Whole);
            match path.r#type.value {
                PathType::Exact => vec![whole(PathMatch::Exact(text.into()))],
                PathType::RegularExpression => vec![whole(PathMatch::regex(text).ok()?)],
                PathType::PathPrefix if text == "/" => {
                    vec![(RouteMatch::all(), Matched::Start)]
                }
                PathType::PathPrefix if changes_prefix => {
                    let text = text.strip_suffix('/').unwrap_or(text);
                    let below = PathMatch::Prefix(format!("{text}/").into());
                    vec![
                        whole(PathMatch::Exact(text.into())),
                        (RouteMatch::path(below), Matched::Start),
                    ]
                }
                PathType::PathPrefix => vec![whole(PathMatch::segments(text))],
            }
        }
    };
    let headers: Vec<HeaderMatch> = one
        .headers
        .iter()
        .flatten()
        .map(header)
        .collect::<Option<_>>()?;
    let params = one.query_params.iter().flatten().map(|param| {
        let value = match param.r#type.value {
            ValueType::Exact => TextMatch::Exact(param.value.as_str().into()),
            ValueType::RegularExpression => TextMatch::regex(&param.value).ok()?,
        };
        Some(ParamMatch {
            name: param.name.as_str().into(),
            value,
            invert: false,
        })
    });
    let params: Vec<ParamMatch> = params.collect::<Option<_>>()?;
    for (matches, _) in &mut found {
        matches.methods = one.method.iter().map(|it| it.as_str().into()).collect();
        matches.headers.clone_from(&headers);
        matches.params.clone_from(&params);
    }
    Some(found)
}

fn text(value: Option<&Spanned<String>>) -> Option<Box<str>> {
    value.map(|it| it.as_str().into())
}

/// What takes the place of a path, and of how much of it. What takes the place of a prefix is put there as it is written: below `/api`,
/// `/v2` makes `/v2x` of `/api/x`.
///
/// Source: kuma 2.14 `pkg/plugins/policies/meshhttproute/xds/filters/urlrewrite.go`.
fn replacement(path: &types::PathRewrite, matched: Matched) -> Option<(Matched, Box<str>)> {
    match path.r#type.value {
        PathRewriteType::ReplaceFullPath => {
            Some((Matched::Whole, text(path.replace_full_path.as_ref())?))
        }
        PathRewriteType::ReplacePrefixMatch => {
            Some((matched, text(path.replace_prefix_match.as_ref())?))
        }
    }
}

fn rewritten(path: &types::PathRewrite, matched: Matched) -> Option<PathRewrite> {
    Some(match replacement(path, matched)? {
        (Matched::Whole, to) => PathRewrite::Full(to),
        (Matched::Start, to) => PathRewrite::Prefix(to),
    })
}

fn redirect_of(redirect: &types::Redirect, matched: Matched) -> Redirect {
    let path = redirect.path.as_ref().and_then(|path| {
        Some(match replacement(path, matched)? {
            (Matched::Whole, to) => PathRedirect::Full(to),
            (Matched::Start, to) => PathRedirect::Prefix(to),
        })
    });
    Redirect {
        status: redirect.status_code.map_or(302, |it| it.value),
        scheme: text(redirect.scheme.as_ref()),
        host: text(redirect.hostname.as_ref()),
        port: redirect.port.map(|it| it.value),
        path,
        strip_query: false,
        omits_own_port: false,
    }
}
