//! Route tables, virtual hosts and routes.

use std::collections::BTreeSet;

use proxy_core::config::{Forward, GateKind, Route, RouteAction, RouteTable, VirtualHost};
use serde_json::Value;

use super::actions;
use super::cx::{Cx, unique};
use super::edits::edits;
use super::filters::{self, Shared};
use super::matching;
use super::message::Message;

/// The longest body of a direct response that Envoy takes unless told otherwise.
const LONGEST_BODY: usize = 4096;

/// Writes a route table; `internal_only` are headers that only clients of one's own may send.
pub(super) fn table(table: &RouteTable, internal_only: &[Box<str>], cx: &mut Cx<'_>) -> Message {
    let origin = proxy_core::origin::OriginId::NONE;
    cx.at(format!("table `{}`", table.name), origin, |cx| {
        let mut message = Message::default();
        message.text("name", &table.name);
        let shared = Shared::of(table);
        filters::overrides(None, shared.of_table(), None, &mut message, cx);
        let mut names = BTreeSet::new();
        let mut hosts = Vec::new();
        for (number, host) in table.virtual_hosts.iter().enumerate() {
            if host.domains.is_empty() {
                // no request finds it
                continue;
            }
            let plain = if host.name.is_empty() {
                "unnamed"
            } else {
                &*host.name
            };
            let name = unique(plain, |name| names.contains(name));
            names.insert(name.clone());
            hosts.push(virtual_host(&name, number, host, &shared, cx).into());
        }
        message.list("virtual_hosts", hosts);
        message.flag("ignore_port_in_host_matching", table.ignore_port);
        let internal = internal_only.iter().map(|name| Value::from(&**name));
        message.list("internal_only_headers", internal.collect());
        if table.virtual_hosts.iter().any(has_unknown) {
            message.set("validate_clusters", false);
        }
        let longest = table.virtual_hosts.iter().map(longest_body).max();
        if let Some(longest) = longest.filter(|longest| *longest > LONGEST_BODY) {
            message.set("max_direct_response_body_size_bytes", longest);
        }
        message
    })
}

fn forwards(host: &VirtualHost) -> impl Iterator<Item = &Forward> {
    host.routes.iter().filter_map(|route| match &route.action {
        RouteAction::Forward(forward) => Some(&**forward),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
    })
}

/// Whether a route leads to a cluster that is not there.
fn has_unknown(host: &VirtualHost) -> bool {
    let mut clusters = forwards(host).flat_map(|forward| &forward.clusters);
    clusters.any(|each| each.cluster.is_none())
}

fn longest_body(host: &VirtualHost) -> usize {
    let bodies = host.routes.iter().map(|route| match &route.action {
        RouteAction::Direct(answer) => answer.body.len(),
        RouteAction::Forward(_) | RouteAction::Redirect(_) => 0,
    });
    bodies.max().unwrap_or_default()
}

fn virtual_host(
    name: &str,
    number: usize,
    host: &VirtualHost,
    shared: &Shared<'_>,
    cx: &mut Cx<'_>,
) -> Message {
    cx.at(format!("virtual host `{name}`"), host.origin, |cx| {
        let mut message = Message::default();
        message.set("name", name);
        let domains = host.domains.iter().map(|domain| Value::from(&**domain));
        message.set("domains", domains.collect::<Vec<Value>>());
        message.flag("include_request_attempt_count", host.attempt_count);
        message.flag(
            "include_attempt_count_in_response",
            host.attempt_count_in_response,
        );
        filters::overrides(None, shared.of_host(number), None, &mut message, cx);
        let mut routes = Vec::new();
        for each in &host.routes {
            let place = match &*each.name {
                "" => "a route without a name".to_owned(),
                name => format!("route `{name}`"),
            };
            let written = cx.at(place, each.origin, |cx| route(each, number, shared, cx));
            routes.extend(written.map(Value::from));
        }
        message.list("routes", routes);
        message
    })
}

fn route(route: &Route, host: usize, shared: &Shared<'_>, cx: &mut Cx<'_>) -> Option<Message> {
    let mut message = Message::default();
    message.text("name", &route.name);
    message.set("match", matching::route(&route.matches, cx)?);
    actions::action(&route.action, &route.matches, &mut message, cx);
    edits("request", &route.request_edits, &mut message, cx);
    edits("response", &route.response_edits, &mut message, cx);
    let limit = shared.of_route(host, route, cx);
    let (fault, cors) = (route.fault.as_deref(), route.cors.as_deref());
    filters::overrides(fault, limit, cors, &mut message, cx);
    for gate in &route.gates {
        cx.departs(match &gate.kind {
            GateKind::Rate { .. } => "requests by key come as often as they come: the limit is not written",
            GateKind::InFlight { .. } => "requests by key are under way at once as many as there are: the limit is not written",
            GateKind::Breaker(_) => "no breaker opens: Envoy has none by an expression",
        });
    }
    if let RouteAction::Forward(forward) = &route.action
        && forward.session.is_some()
    {
        cx.departs("clients stay with no endpoint: sessions are not written");
    }
    Some(message)
}
