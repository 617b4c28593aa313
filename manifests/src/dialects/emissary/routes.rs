//! Groups to routes.
//!
//! Source: emissary `python/ambassador/src/ambassador/envoy/v3/v3route.py`.

use proxy_core::config::{
    Absent, Cors, Forward, HeaderEdits, HeaderMatch, HostRewrite, Mirror, PathRedirect,
    PathRewrite, Redirect, RetryPolicy, Route, RouteAction, RouteMatch, Share, TextMatch, Upgrade,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::clusters::Clusters;
use super::edits::{self, Added};
use super::groups::{Group, Member};
use super::mapping::Mapping;
use super::matching;
use super::types::{Action, RegexMap};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::text::{Span, Spanned};

/// The whole request, where nobody says.
const TIMEOUT: u64 = 3000;
/// Requests for it are routed whatever is done with those in the clear.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// A route before it is known who may take it.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    /// The index of its group.
    pub(super) group: usize,
    name: String,
    matches: RouteMatch,
    action: RouteAction,
    request_edits: HeaderEdits,
    response_edits: HeaderEdits,
    cors: Option<Cors>,
    is_challenge: bool,
    origin: OriginId,
}

/// Which requests a chain has, as far as it is known before they come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(super) enum Safety {
    /// All are secure.
    Secure,
    /// None is.
    Insecure,
    /// `x-forwarded-proto` says it; without one, whether they come over TLS.
    Forwarded {
        /// Whether they do.
        over_tls: bool,
    },
}

/// What holds for every Mapping that says nothing else.
pub(super) struct Usual {
    pub(super) retry: Option<RetryPolicy>,
    pub(super) cors: Option<Cors>,
}

/// The routes of all groups, in their order.
pub(super) fn seeds(clusters: &mut Clusters<'_>, usual: &Usual, cx: &mut Compile<'_>) -> Vec<Seed> {
    let reading = clusters.reading;
    // clusters are made in the order of the Mappings, whatever that of the routes
    let mut in_order: Vec<&Group> = reading.groups.iter().collect();
    in_order.sort_by_key(|group| group.first);
    for group in in_order {
        if let Some(shadow) = group.shadow {
            clusters.of_mapping(&reading.mappings[shadow], true, cx);
        }
        for member in group.as_read() {
            clusters.of_mapping(&reading.mappings[member], false, cx);
        }
    }
    let mut seeds = Vec::new();
    for (at, group) in reading.groups.iter().enumerate() {
        if let Some(redirect) = group.redirect {
            seeds.extend(redirecting(at, &reading.mappings[redirect], cx));
        }
        for member in &group.members {
            seeds.push(forwarding(at, group, *member, clusters, usual, cx));
        }
    }
    seeds
}

impl Seed {
    /// The routes of a virtual host whose requests in the clear have `insecure` done to them.
    ///
    /// Source: emissary `v3listener.py` (`compute_http_routes`): those that come over TLS are routed; of the others it depends.
    pub(super) fn routes(&self, safety: Safety, insecure: Action) -> Vec<Route> {
        let insecure = if self.is_challenge {
            Action::Route
        } else {
            insecure
        };
        let bare = || match insecure {
            Action::Route => Some(self.route(None, self.action.clone())),
            Action::Redirect => Some(self.route(None, to_https())),
            Action::Reject => None,
        };
        match safety {
            Safety::Secure => vec![self.route(None, self.action.clone())],
            Safety::Insecure => bare().into_iter().collect(),
            Safety::Forwarded { over_tls } => {
                let secure = self.route(Some(is_https(over_tls)), self.action.clone());
                [Some(secure), bare()].into_iter().flatten().collect()
            }
        }
    }

    fn route(&self, scheme: Option<HeaderMatch>, action: RouteAction) -> Route {
        let mut matches = self.matches.clone();
        // what a Mapping itself says of the scheme gives way
        matches
            .headers
            .retain(|it| &*it.name != "x-forwarded-proto" || scheme.is_none());
        matches.headers.extend(scheme);
        // Envoy has it on routes that send requests on
        let cors = self.cors.clone().map(Box::new);
        let cors = cors.filter(|_| matches!(action, RouteAction::Forward(_)));
        Route {
            name: self.name.as_str().into(),
            matches,
            action,
            request_edits: self.request_edits.clone(),
            response_edits: self.response_edits.clone(),
            fault: None,
            rate_limit: None,
            gates: Vec::new(),
            cors,
            tracing: None,
            origin: self.origin,
        }
    }
}

/// `x-forwarded-proto: https`, or none on a connection over TLS, where the proxy itself would write it.
fn is_https(over_tls: bool) -> HeaderMatch {
    let pattern = if over_tls { "(?:https)?" } else { "https" };
    let value = TextMatch::regex(pattern).unwrap_or_else(|_| TextMatch::Exact("https".into()));
    HeaderMatch {
        name: "x-forwarded-proto".into(),
        value,
        invert: false,
        ignore_case: false,
        absent: if over_tls {
            Absent::Empty
        } else {
            Absent::Unequal
        },
    }
}

fn to_https() -> RouteAction {
    RouteAction::Redirect(Box::new(Redirect {
        status: 301,
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: None,
        strip_query: false,
        omits_own_port: false,
    }))
}

fn matches(mapping: &Mapping, case_sensitive: bool, up_to: u32) -> RouteMatch {
    let params = mapping.params.iter().map(|it| it.on_param());
    let (method, headers): (Vec<_>, Vec<_>) = mapping
        .headers
        .iter()
        .partition(|it| it.name == ":method" && !it.is_regex);
    RouteMatch {
        ignore_case: !case_sensitive,
        methods: method.iter().map(|it| it.value.as_str().into()).collect(),
        headers: headers.iter().filter_map(|it| it.on_header()).collect(),
        params: params.collect(),
        fraction: (up_to < 100).then(|| Share::from_percent(f64::from(up_to))),
        ..RouteMatch::path(matching::path(mapping.path, &mapping.prefix))
    }
}

fn redirecting(group: usize, mapping: &Mapping, cx: &mut Compile<'_>) -> Option<Seed> {
    let spec = &mapping.spec;
    let text = |field: &Option<Spanned<String>>| -> Option<Box<str>> {
        let field = field.as_ref().filter(|text| !text.is_empty())?;
        Some(field.as_str().into())
    };
    let (full, prefix) = (text(&spec.path_redirect), text(&spec.prefix_redirect));
    let fields = [
        (
            "path_redirect",
            full.is_some(),
            spec.path_redirect.as_ref().map(|it| it.span),
        ),
        (
            "prefix_redirect",
            prefix.is_some(),
            spec.prefix_redirect.as_ref().map(|it| it.span),
        ),
        (
            "regex_redirect",
            spec.regex_redirect.is_some(),
            spec.regex_redirect.as_ref().map(|it| it.span),
        ),
    ];
    let mut there = fields.iter().filter(|(_, is_there, _)| *is_there);
    if let (Some((first, ..)), Some((_, _, span))) = (there.next(), there.next()) {
        cx.diagnostics.push(
            Diagnostic::warning(
                "emissary::redirect",
                format!("of several changes of the path `{first}` counts"),
            )
            .label(span.unwrap_or(mapping.span), "has no effect"),
        );
    }
    let path = match (full, prefix, &spec.regex_redirect) {
        (Some(path), _, _) => Some(PathRedirect::Full(path)),
        (None, Some(prefix), _) => Some(PathRedirect::Prefix(prefix)),
        (None, None, Some(map)) => {
            let (pattern, to) = regex_map(map, map.span, cx)?;
            Some(PathRedirect::Regex(pattern, to))
        }
        (None, None, None) => None,
    };
    let status = match spec.redirect_response_code {
        None => 301,
        Some(code) if matches!(code.value, 301 | 302 | 303 | 307 | 308) => code.value,
        Some(code) => {
            cx.diagnostics.push(
                Diagnostic::error(
                    "emissary::redirect",
                    format!("{} is no status of a redirect", code.value),
                )
                .label(code.span, "this status")
                .help("one of 301, 302, 303, 307 and 308"),
            );
            301
        }
    };
    let redirect = Redirect {
        status,
        scheme: None,
        host: Some(mapping.target.text.as_str().into()),
        port: None,
        path,
        strip_query: false,
        omits_own_port: false,
    };
    let case_sensitive = spec.case_sensitive.is_none_or(|it| it.value);
    Some(Seed {
        group,
        name: mapping.name.clone(),
        matches: matches(mapping, case_sensitive, 100),
        action: RouteAction::Redirect(Box::new(redirect)),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        cors: None,
        is_challenge: mapping.prefix == CHALLENGE,
        origin: mapping.origin,
    })
}

fn forwarding(
    at: usize,
    group: &Group,
    member: Member,
    clusters: &mut Clusters<'_>,
    usual: &Usual,
    cx: &mut Compile<'_>,
) -> Seed {
    let reading = clusters.reading;
    let mappings = &reading.mappings;
    let mapping = &mappings[member.mapping];
    let (spec, module) = (&mapping.spec, &reading.module);
    let cluster = clusters.of_mapping(mapping, false, cx);
    let mut forward = Forward::to(cluster);
    for weighted in &mut forward.clusters {
        weighted.origin = mapping.origin;
    }
    let timeout = spec.timeout_ms.or(module.cluster_request_timeout_ms);
    let timeout = match timeout {
        Some(written) => cx.origins.sourced(written),
        None => Sourced::new(TIMEOUT, clusters.defaults),
    };
    let bound = (timeout.value > 0).then(|| Duration::from_millis(timeout.value));
    forward.timeout = Sourced::new(bound, timeout.origin);
    let idle = spec.idle_timeout_ms;
    forward.idle_timeout = idle.map(|it| cx.origins.sourced(it.map(Duration::from_millis)));
    forward.rewrite = rewrite(group, mapping, mappings, cx);
    let host = spec.host_rewrite.as_ref().filter(|host| !host.is_empty());
    let endpoint = spec.auto_host_rewrite.is_some_and(|it| it.value);
    forward.host = match host {
        Some(host) => Some(HostRewrite::Literal(host.as_str().into())),
        None => endpoint.then_some(HostRewrite::Endpoint),
    };
    let balance = mappings[group.first].balance.as_ref();
    let balance = balance.or(clusters.balance.as_ref());
    forward.hash = balance.map(|it| it.policies()).unwrap_or_default();
    let priority = group.last(mappings, |mapping| mapping.priority);
    forward.priority = priority.unwrap_or_default();
    let retry = group.last(mappings, |mapping| mapping.retry.as_ref());
    forward.retry = retry.or(usual.retry.as_ref()).cloned().map(Box::new);
    forward.mirrors = group
        .shadow
        .map(|shadow| mirror(&mappings[shadow], clusters, cx))
        .into_iter()
        .collect();
    forward.upgrades = group
        .last(mappings, |mapping| {
            let upgrades = upgrades(mapping, cx);
            (!upgrades.is_empty()).then_some(upgrades)
        })
        .unwrap_or_default();
    let cors = group.last(mappings, |mapping| mapping.cors.as_ref());
    let own_case = spec.case_sensitive;
    let case = own_case.or_else(|| group.last(mappings, |it| it.spec.case_sensitive));
    let case_sensitive = case.is_none_or(|it| it.value);
    let (mut request, mut response) = (Added::new(), Added::new());
    for other in group.as_read() {
        request.extend(mappings[other].request_headers.clone());
        response.extend(mappings[other].response_headers.clone());
    }
    let removed = group.last(mappings, |it| it.removed_request_headers.as_ref());
    let removed_response = group.last(mappings, |it| it.removed_response_headers.as_ref());
    Seed {
        group: at,
        name: mapping.name.clone(),
        matches: matches(mapping, case_sensitive, member.up_to),
        action: RouteAction::Forward(Box::new(forward)),
        request_edits: edits::edits(&request, removed.map_or(&[], |it| it)),
        response_edits: edits::edits(&response, removed_response.map_or(&[], |it| it)),
        cors: cors.or(usual.cors.as_ref()).cloned(),
        is_challenge: mapping.prefix == CHALLENGE,
        origin: mapping.origin,
    }
}

/// The path that goes to the service. A `regex_rewrite` of the group's last Mapping counts for all of them; else each has its own `rewrite`, `/`
/// where it has none, and nothing at all where it has a `regex_rewrite` that does not count.
fn rewrite(
    group: &Group,
    mapping: &Mapping,
    mappings: &[Mapping],
    cx: &mut Compile<'_>,
) -> Option<PathRewrite> {
    let last = group.as_read().last().copied();
    let of_group = last.and_then(|at| mappings[at].spec.regex_rewrite.as_ref());
    if let Some(map) = of_group {
        if let Some(plain) = mapping
            .spec
            .rewrite
            .as_ref()
            .filter(|it| !matches!(it.as_str(), "" | "/"))
        {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "emissary::rewrite",
                    "of `rewrite` and `regex_rewrite` the latter counts",
                )
                .label(plain.span, "has no effect")
                .label(map.span, "counts"),
            );
        }
        let (pattern, to) = regex_map(map, map.span, cx)?;
        return Some(PathRewrite::Regex(pattern, to));
    }
    if mapping.spec.regex_rewrite.is_some() {
        return None;
    }
    let to = mapping
        .spec
        .rewrite
        .as_ref()
        .map_or("/", |it| it.value.as_str());
    (!to.is_empty()).then(|| PathRewrite::Prefix(to.into()))
}

fn regex_map(
    map: &RegexMap,
    span: Span,
    cx: &mut Compile<'_>,
) -> Option<(Box<regex::Regex>, Box<str>)> {
    let pattern = map.pattern.as_ref().map_or("", |it| it.value.as_str());
    let span = map.pattern.as_ref().map_or(span, |it| it.span);
    let compiled = regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build();
    match compiled {
        Ok(regex) => {
            let to = map.substitution.as_ref().map_or("", |it| it.value.as_str());
            Some((Box::new(regex), to.into()))
        }
        Err(error) => {
            cx.diagnostics.push(
                Diagnostic::error("emissary::bad-regex", error.to_string())
                    .label(span, "this pattern"),
            );
            None
        }
    }
}

fn mirror<'a>(shadow: &'a Mapping, clusters: &mut Clusters<'a>, cx: &mut Compile<'_>) -> Mirror {
    let share = match shadow.spec.weight {
        Some(weight) => {
            let share = Share::from_percent(f64::from(weight.value.min(100)));
            cx.origins.sourced(Spanned::new(share, weight.span))
        }
        None => Sourced::new(Share::ALL, shadow.origin),
    };
    Mirror {
        cluster: clusters.of_mapping(shadow, true, cx),
        share,
        shadow_host: true,
    }
}

/// What connections may become, where a Mapping says it.
fn upgrades(mapping: &Mapping, cx: &mut Compile<'_>) -> Vec<Upgrade> {
    let spec = &mapping.spec;
    let mut all: Vec<Upgrade> = Vec::new();
    for kind in &spec.allow_upgrade {
        all.push(Upgrade {
            kind: kind.as_str().into(),
            allowed: true,
            origin: cx.origins.written(kind.span),
        });
    }
    // Emissary takes the older field for there, whatever it says
    if let Some(older) = spec.use_websocket
        && all.iter().all(|it| &*it.kind != "websocket")
    {
        all.push(Upgrade {
            kind: "websocket".into(),
            allowed: true,
            origin: cx.origins.written(older.span),
        });
    }
    all
}
