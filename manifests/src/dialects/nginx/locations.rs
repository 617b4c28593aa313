//! The routes of servers: what each location does with its requests.

use std::collections::BTreeSet;

use proxy_core::config::{HeaderMatch, PathMatch, Route, RouteAction, RouteMatch};
use proxy_core::heads::HeaderOp;
use proxy_core::origin::OriginId;

use super::actions::{Sending, cookie_name};
use super::addresses::refused;
use super::canary::{Turn, Turned, turns};
use super::clusters::Clusters;
use super::cors::{Sharing, sharing};
use super::limits;
use super::paths::path_match;
use super::policy::{Controller, DEFAULT_HOST, IngressPolicy};
use super::redirects::{app_root, direct, goes_to_tls, to_host, to_slash, to_tls, written};
use super::servers::{Location, Plan, Server};
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::ingress::{ANY_HOST, HostRoutes};

/// The locations of one controller, for clients that do, or do not, use TLS.
pub(super) struct Locations<'a, 'p> {
    pub(super) controller: &'p Controller,
    pub(super) plan: &'a Plan<'p>,
    pub(super) tls: bool,
    pub(super) clusters: &'a mut Clusters,
}

/// What the routes of one location have alike.
struct Common {
    name: String,
    path: PathMatch,
    origin: OriginId,
}

impl Common {
    fn route(&self, action: RouteAction) -> Route {
        route(
            self.name.clone(),
            RouteMatch::path(self.path.clone()),
            action,
            self.origin,
        )
    }
}

fn route(name: String, matches: RouteMatch, action: RouteAction, origin: OriginId) -> Route {
    Route {
        name: name.into(),
        matches,
        action,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        gates: Vec::new(),
        fault: None,
        rate_limit: None,
        cors: None,
        tracing: None,
        origin,
    }
}

impl<'p> Locations<'_, 'p> {
    /// The servers, and the hosts that are redirected to one of them.
    pub(super) fn hosts(&mut self, cx: &mut Compile<'_>) -> Vec<HostRoutes> {
        let plan = self.plan;
        let mut hosts = Vec::new();
        for server in plan.servers.values() {
            hosts.push(HostRoutes {
                host: match server.host.as_str() {
                    DEFAULT_HOST => ANY_HOST.to_owned(),
                    host => host.to_owned(),
                },
                aliases: self.aliases(server, cx),
                routes: self.routes(server, cx),
                origin: server.origin,
            });
        }
        let known: BTreeSet<&str> = plan.servers.keys().map(String::as_str).collect();
        for server in plan.servers.values().filter(|it| it.from_www) {
            let from = match server.host.strip_prefix("www.") {
                Some(rest) => rest.to_owned(),
                None => format!("www.{}", server.host),
            };
            let is_alias = plan.servers.values().any(|it| it.aliases.contains(&from));
            if server.host == DEFAULT_HOST
                || server.host.starts_with('*')
                || known.contains(from.as_str())
                || is_alias
            {
                continue;
            }
            let name = format!("{from} to {}", server.host);
            let action = to_host(&server.host, self.controller);
            hosts.push(HostRoutes {
                host: from,
                aliases: Vec::new(),
                routes: vec![route(name, RouteMatch::all(), action, server.origin)],
                origin: server.origin,
            });
        }
        hosts
    }

    fn aliases(&self, server: &Server<'_>, cx: &mut Compile<'_>) -> Vec<String> {
        let mut found = Vec::new();
        for alias in &server.aliases {
            let rest = alias.strip_prefix("*.").unwrap_or(alias);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if !rest.is_empty() && rest.chars().all(is_name) {
                found.push(alias.clone());
                continue;
            }
            let mut written = server.locations.iter().filter_map(|it| it.ingress);
            let written = written.find_map(|it| it.notes.text("server-alias"));
            if let Some(written) = written {
                cx.diagnostics.push(
                    Diagnostic::not_modelled(
                        "nginx::not-modelled",
                        format!("the pattern `{alias}` in `server-alias` is not modelled"),
                        "hosts that it takes go to the default server",
                    )
                    .label(written.span, ""),
                );
            }
        }
        found
    }

    /// In the order in which NGINX looks for a location: whole paths, then the longest start; or the first regular expression.
    fn routes(&mut self, server: &Server<'p>, cx: &mut Compile<'_>) -> Vec<Route> {
        let regex = server.is_regex();
        let mut roots = server.locations.iter().filter_map(|it| it.ingress);
        let root = roots.find_map(|it| Some((it, app_root(&it.notes, cx.diagnostics)?)));
        let mut routes = Vec::new();
        if let Some((ingress, action)) = root {
            let matches = RouteMatch::path(PathMatch::Exact("/".into()));
            let name = format!("{} app-root", ingress.full_name());
            routes.push(route(name, matches, action, ingress.origin));
        }
        let (mut whole, mut starts) = (Vec::new(), Vec::new());
        for location in &server.locations {
            let made = self.location(server, location, regex, cx);
            if location.exact && !regex {
                whole.extend(made);
            } else {
                if !regex {
                    whole.extend(slash(server, location));
                }
                starts.extend(made);
            }
        }
        routes.extend(whole);
        routes.extend(starts);
        if server.host == DEFAULT_HOST {
            // NGINX's own, which regular expressions come before
            let at = if regex { routes.len() } else { 0 };
            let own = [("/healthz", 200), ("/nginx_status", 403)];
            let own = own.into_iter().map(|(path, status)| {
                let matches = RouteMatch::path(PathMatch::Prefix(path.into()));
                route(path.into(), matches, direct(status), self.clusters.default)
            });
            routes.splice(at..at, own);
        }
        routes
    }

    fn location(
        &mut self,
        server: &Server<'p>,
        location: &Location<'p>,
        regex: bool,
        cx: &mut Compile<'_>,
    ) -> Vec<Route> {
        let owner = location.ingress.map(IngressPolicy::full_name);
        let common = Common {
            name: format!(
                "{} {}{}",
                owner.unwrap_or_else(|| "default backend".into()),
                server.host,
                location.path
            ),
            path: match path_match(&location.path, location.exact, regex) {
                Ok(path) => path,
                Err(error) => {
                    bad_pattern(location, &error, cx);
                    return Vec::new();
                }
            },
            origin: location.origin,
        };
        let Some(ingress) = location.ingress else {
            return vec![common.route(self.without_annotations(location, cx))];
        };
        if ingress.notes.denied.is_some() {
            return vec![common.route(direct(503))];
        }
        let shared = sharing(ingress, cx);
        let mut routes = Vec::new();
        if let Some(Sharing::Any(edits)) = &shared {
            let mut preflight = common.route(direct(204));
            preflight.matches.methods = vec!["OPTIONS".into()];
            preflight.response_edits.clone_from(edits);
            routes.push(preflight);
        }
        if let Some(action) = written(&ingress.notes, cx.diagnostics) {
            routes.push(common.route(action));
            return routes;
        }
        if !self.tls && goes_to_tls(location, &server.host, self.controller, self.plan) {
            routes.push(common.route(to_tls(location, self.controller)));
            return routes;
        }
        let gates = limits::gates(ingress, self.controller, cx.origins);
        for (condition, origin) in refused(ingress, self.controller, cx) {
            let mut refusal = common.route(direct(403));
            refusal.matches.headers.push(condition);
            // limits count whoever comes
            refusal.gates.clone_from(&gates);
            refusal.origin = origin;
            routes.push(refusal);
        }
        let Some(backend) = location.backend else {
            routes.push(common.route(direct(404)));
            return routes;
        };
        if !self.plan.upstreams.contains_key(&backend) {
            // the controller's default backend
            routes.push(common.route(self.without_annotations(location, cx)));
            return routes;
        }
        let sending = Sending {
            controller: self.controller,
            plan: self.plan,
            location,
            ingress,
            tls: self.tls,
        };
        let canary = self.plan.canary_of(backend);
        let sticky = self.plan.upstreams[&backend].affinity;
        let turns = match canary {
            Some((_, policy)) => {
                let legacy = policy.notes.text("affinity-canary-behavior");
                let sticky = sticky.filter(|_| legacy.is_none_or(|it| **it != "legacy"));
                turns(&policy.notes, sticky.map(cookie_name), cx.diagnostics)
            }
            None => vec![Turn {
                headers: Vec::new(),
                to: Turned::Main,
            }],
        };
        let request_edits = sending.request_edits(cx);
        let mut response_edits: Vec<HeaderOp> = sending.response_edits();
        let mut cors = None;
        match shared {
            Some(Sharing::Any(edits)) => response_edits.extend(edits),
            Some(Sharing::Some(some)) => cors = Some(some),
            None => {}
        }
        for turn in turns {
            let alternative = canary.map(|(backend, _)| backend);
            let forward = sending.forward(backend, alternative, turn.to, self.clusters, cx);
            let headers: Vec<HeaderMatch> = turn.headers;
            let mut made = common.route(RouteAction::Forward(Box::new(forward)));
            made.matches.headers = headers;
            made.request_edits.clone_from(&request_edits);
            made.response_edits.clone_from(&response_edits);
            made.cors.clone_from(&cors);
            made.gates.clone_from(&gates);
            routes.push(made);
        }
        routes
    }

    /// The default server's root, when no Ingress has it: the controller's default backend, else 404.
    fn without_annotations(
        &mut self,
        location: &Location<'p>,
        cx: &mut Compile<'_>,
    ) -> RouteAction {
        let plain =
            super::backends::without_annotations(location, self.controller, self.clusters, cx);
        plain.map_or_else(|| direct(404), |it| RouteAction::Forward(Box::new(it)))
    }
}

/// What NGINX answers by itself for the path without the slash at the end of a location.
fn slash(server: &Server<'_>, location: &Location<'_>) -> Option<Route> {
    let path = location
        .path
        .strip_suffix('/')
        .filter(|it| !it.is_empty())?;
    let is_there = server
        .locations
        .iter()
        .any(|it| it.exact && it.path == path);
    let proxied = location
        .ingress
        .is_none_or(|ingress| ingress.notes.denied.is_none());
    (!is_there && proxied).then(|| {
        let matches = RouteMatch::path(PathMatch::Exact(path.into()));
        let name = format!("{}{path} to {}", server.host, location.path);
        route(name, matches, to_slash(&location.path), location.origin)
    })
}

fn bad_pattern(location: &Location<'_>, error: &regex::Error, cx: &mut Compile<'_>) {
    cx.diagnostics.push(
        Diagnostic::error("nginx::bad-regex", error.to_string())
            .label(location.span(), "this path is a regular expression, since one of the host's Ingresses has `use-regex` or `rewrite-target`")
            .help("look-around and back-references, which NGINX takes, are not modelled"),
    );
}
