//! Route tables, virtual hosts and routes.

use std::collections::BTreeMap;

use proxy_core::config::{
    Absent, HeaderMatch, Mirror, Redirect, Route, RouteAction, RouteMatch, RouteTable, TextMatch,
    VirtualHost,
};
use proxy_core::origin::OriginId;

use super::actions::{self, Inherited};
use super::compile::Cx;
use super::edits::{Levels, level};
use super::filters::{self, Overrides};
use super::types::{self, RequireTls};
use super::{matching, retries, tracing};
use crate::diagnostics::Diagnostic;
use crate::text::{Node, Span};

/// A route configuration.
pub(super) struct Routes {
    pub(super) table: RouteTable,
    /// Headers that only clients of one's own may send.
    pub(super) internal_only: Vec<Box<str>>,
}

/// Compiles a route configuration; `fallback` names it where it has no name.
pub(super) fn table(node: &Node, fallback: &str, cx: &mut Cx<'_>) -> Option<Routes> {
    let written: types::RouteConfiguration = cx.read(node)?;
    let name = written.name.as_deref().filter(|name| !name.is_empty());
    let name = name.unwrap_or(fallback);
    let levels = Levels {
        table: level(
            (
                &written.request_headers_to_add,
                &written.request_headers_to_remove,
            ),
            (
                &written.response_headers_to_add,
                &written.response_headers_to_remove,
            ),
            cx,
        ),
        specific_wins: written.most_specific_header_mutations_wins,
        ..Levels::default()
    };
    let around = Table {
        name,
        levels,
        filters: filters::overrides(&written.typed_per_filter_config, name, cx),
        mirrors: actions::mirrors(&written.request_mirror_policies, cx),
        validates: written.validate_clusters != Some(false),
        longest_body: written
            .max_direct_response_body_size_bytes
            .map_or(actions::LONGEST_BODY, |longest| longest.0),
    };
    let mut domains = BTreeMap::new();
    let mut virtual_hosts = Vec::new();
    for host in &written.virtual_hosts {
        virtual_hosts.extend(virtual_host(host, &around, &mut domains, cx));
    }
    let internal_only = written.internal_only_headers.iter();
    let internal_only = internal_only.map(|name| name.to_ascii_lowercase().into());
    Some(Routes {
        table: RouteTable {
            name: name.into(),
            virtual_hosts,
            ignore_port: written.ignore_port_in_host_matching,
        },
        internal_only: internal_only.collect(),
    })
}

/// What a table says for all its virtual hosts.
struct Table<'a> {
    name: &'a str,
    levels: Levels,
    filters: Overrides,
    mirrors: Vec<Mirror>,
    validates: bool,
    longest_body: u32,
}

fn virtual_host(
    node: &Node,
    table: &Table<'_>,
    taken: &mut BTreeMap<String, Span>,
    cx: &mut Cx<'_>,
) -> Option<VirtualHost> {
    let written: types::VirtualHost = cx.read(node)?;
    let name = written.name.as_deref().unwrap_or_default();
    let mut levels = table.levels.clone();
    levels.host = level(
        (
            &written.request_headers_to_add,
            &written.request_headers_to_remove,
        ),
        (
            &written.response_headers_to_add,
            &written.response_headers_to_remove,
        ),
        cx,
    );
    let place = format!("{}/{name}", table.name);
    let own = filters::overrides(&written.typed_per_filter_config, &place, cx);
    let mirrors = actions::mirrors(&written.request_mirror_policies, cx);
    let around = Inherited {
        levels,
        filters: own.or(&table.filters),
        retry: written
            .retry_policy
            .as_ref()
            .and_then(|node| retries::policy(node, cx)),
        hedge: written
            .hedge_policy
            .as_ref()
            .and_then(|node| retries::hedge(node, cx)),
        mirrors: if mirrors.is_empty() {
            table.mirrors.clone()
        } else {
            mirrors
        },
        validates: table.validates,
        longest_body: table.longest_body,
    };
    let domains = domains(&written, node.span, taken, cx);
    // the deprecated field counts where the filter is told nothing
    let older = written.cors.as_ref();
    let older = older.and_then(|node| filters::cors(node, cx));
    let mut routes = Vec::new();
    if let Some(tls) = written.require_tls {
        match tls.value {
            RequireTls::None => {}
            RequireTls::All => routes.push(to_https(&place, cx.written(tls.span))),
            RequireTls::ExternalOnly => {
                let meaning = "plain requests are served as those over TLS";
                cx.left_out(tls.span, "`require_tls`", meaning);
            }
        }
    }
    for (number, route) in written.routes.iter().enumerate() {
        let place = format!("{place}/{number}");
        let found = self::route(route, &place, &around, cx);
        routes.extend(found.map(|found| Route {
            cors: found.cors.or_else(|| older.clone().map(Box::new)),
            ..found
        }));
    }
    Some(VirtualHost {
        name: name.into(),
        domains,
        routes,
        attempt_count: written.include_request_attempt_count,
        attempt_count_in_response: written.include_attempt_count_in_response,
        origin: cx.written(node.span),
    })
}

/// Sends requests in plaintext to HTTPS, before any route is looked at.
///
/// Source: Envoy v3 `VirtualHost.require_tls`. Departs: a port that the authority has is left out where it is that of HTTP.
fn to_https(place: &str, origin: OriginId) -> Route {
    let plain = HeaderMatch {
        name: ":scheme".into(),
        value: TextMatch::Exact("http".into()),
        invert: false,
        ignore_case: false,
        absent: Absent::Refused,
    };
    Route {
        name: format!("{place}/require_tls").into(),
        matches: RouteMatch {
            headers: vec![plain],
            ..RouteMatch::all()
        },
        action: RouteAction::Redirect(Box::new(Redirect {
            status: 301,
            scheme: Some("https".into()),
            host: None,
            port: None,
            path: None,
            strip_query: false,
            omits_own_port: false,
        })),
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        fault: None,
        rate_limit: None,
        gates: Vec::new(),
        cors: None,
        tracing: None,
        origin,
    }
}

/// A domain may stand once in a table.
fn domains(
    written: &types::VirtualHost,
    span: Span,
    taken: &mut BTreeMap<String, Span>,
    cx: &mut Cx<'_>,
) -> Vec<Box<str>> {
    if written.domains.is_empty() {
        cx.refuse(span, "a virtual host needs `domains`");
    }
    let mut domains: Vec<Box<str>> = Vec::new();
    for domain in &written.domains {
        let lower = domain.to_ascii_lowercase();
        if let Some(first) = taken.insert(lower.clone(), domain.span) {
            cx.out.push(
                Diagnostic::error(
                    "envoy::duplicate-domain",
                    format!("the domain `{domain}` stands twice"),
                )
                .label(domain.span, "again")
                .label(first, "first"),
            );
            continue;
        }
        domains.push(lower.into());
    }
    domains
}

/// `place` is unique, and names a route that has no name.
fn route(node: &Node, place: &str, around: &Inherited, cx: &mut Cx<'_>) -> Option<Route> {
    let written: types::Route = cx.read(node)?;
    let name = written.name.as_deref().filter(|name| !name.is_empty());
    let name = name.unwrap_or(place);
    let matches = match &written.matches {
        Some(matches) => matching::route(matches, cx),
        None => {
            cx.refuse(node.span, "a route needs a `match`");
            None
        }
    };
    let own = level(
        (
            &written.request_headers_to_add,
            &written.request_headers_to_remove,
        ),
        (
            &written.response_headers_to_add,
            &written.response_headers_to_remove,
        ),
        cx,
    );
    let said = filters::overrides(&written.typed_per_filter_config, place, cx).or(&around.filters);
    let (action, own) = actions::action(&written, node, own, around, cx)?;
    let older = written.route.as_ref().and_then(|route| route.get("cors"));
    let cors = said
        .cors
        .or_else(|| older.and_then(|node| filters::cors(node, cx)));
    Some(Route {
        name: name.into(),
        matches: matches?,
        action,
        request_edits: own.request,
        response_edits: own.response,
        fault: said.fault.map(Box::new),
        rate_limit: said.rate_limit.map(Box::new),
        cors: cors.map(Box::new),
        gates: Vec::new(),
        tracing: tracing::of_route(written.tracing.as_ref(), written.decorator.as_ref(), cx),
        origin: cx.written(node.span),
    })
}
