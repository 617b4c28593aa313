//! Policies to sections.

use std::collections::BTreeMap;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::config::{
    Absent, ChainAction, ChainMatch, Cluster, ClusterIndex, ConnectionPool, Cors, DirectResponse,
    DownstreamTransport, EndpointSet, FilterChain, Forward, Gate, GateKey, GateKind, HeaderMatch,
    HostRewrite, HttpConnections, HttpFilter, Limits, Listener, ListenerAddress, LocalityBalance,
    PathMatch, PathRewrite, RateLimit, Redirect, ReplyProfile, RetryPolicy, RouteAction, TextMatch,
    TransportProtocol, Unlisted, Upgrades, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::retry::backoff::Backoff;
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use super::annotations::{HeaderAsked, PathHandling, Protocol};
use super::paths::{Asks, KongPath, Rank, kong_paths};
use super::policy::{Backend, Class, IngressPolicy, ServicePolicies, ServicePolicy};
use super::settings::{CountedBy, PluginSet, RateRule};
use super::table::{KongRoute, Side, route_table};
use crate::dialects::{Compile, Compiled};
use crate::model::{Members, Upstream};

/// Where Kong listens for plaintext. Source: Kong `kong.conf.default` (`proxy_listen`).
pub(super) const PLAIN_PORT: u16 = 8000;
/// Where Kong listens for TLS.
pub(super) const TLS_PORT: u16 = 8443;

/// What every value falls back to, with the release as its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `default of kong@…`.
    pub(super) origin: OriginId,
}

impl Defaults {
    const fn of<T>(self, value: T) -> Sourced<T> {
        Sourced::new(value, self.origin)
    }
}

/// Kong's listeners, routes and upstreams for one class.
pub(super) fn section(
    class: &Class,
    (policies, everywhere): (&ServicePolicies, &PluginSet),
    defaults: Defaults,
    cx: &mut Compile<'_>,
) -> Compiled {
    let mut section = Section {
        policies,
        everywhere,
        defaults,
        out: Compiled::default(),
        clusters: BTreeMap::new(),
    };
    let mut routes = Vec::new();
    for ingress in &class.ingresses {
        section.routes_of(ingress, cx, &mut routes);
    }
    // Of several default backends the oldest counts; here the one written first.
    if let Some((ingress, backend)) = class
        .ingresses
        .iter()
        .find_map(|i| Some((i, i.default_backend?)))
    {
        section.default_backend(ingress, backend, cx, &mut routes);
    }
    let certificate = class
        .ingresses
        .iter()
        .find_map(|ingress| ingress.certificate.clone());
    let filters = match routes.iter().any(|route| route.cors.is_some()) {
        true => vec![HttpFilter::Cors],
        false => Vec::new(),
    };
    for (side, name, port) in [
        (Side::Plain, "http", PLAIN_PORT),
        (Side::Tls, "https", TLS_PORT),
    ] {
        let table = route_table(name, routes.clone(), side, class.origin);
        let table = section.out.draft.add_table(table);
        let transport = match side {
            Side::Plain => DownstreamTransport::Plaintext,
            Side::Tls => DownstreamTransport::Tls {
                mutual: false,
                alpn: vec!["h2".into(), "http/1.1".into()],
                certificate: certificate
                    .clone()
                    .unwrap_or_else(|| "kong-default-certificate".into()),
            },
        };
        let first_bytes = match side {
            Side::Plain => TransportProtocol::Raw,
            Side::Tls => TransportProtocol::Tls,
        };
        let http = HttpConnections {
            table,
            filters: filters.clone(),
            stream_idle_timeout: None,
            request_timeout: None,
            max_stream_duration: None,
            idle_timeout: Some(defaults.of(Duration::from_secs(75))),
            max_connection_duration: None,
            head_timeout: None,
            max_requests_per_connection: Some(defaults.of(10_000)),
            // request bodies are kept whole, on disk where they are long
            retained_bytes: u64::MAX,
            replies: ReplyProfile::Nginx,
            edge: true,
            heads: None,
            upgrades: upgrades(class.origin),
            logs: proxy_core::log::Logs::default(),
            tracing: None,
            origin: class.origin,
        };
        section.out.draft.listeners.push(Listener {
            name: format!("kong-{name}").into(),
            address: ListenerAddress::Socket(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port,
            )),
            chains: vec![FilterChain {
                matches: ChainMatch {
                    transport: Some(first_bytes),
                    ..ChainMatch::default()
                },
                transport,
                action: ChainAction::Http(Box::new(http)),
                origin: class.origin,
            }],
            max_connections: None,
            preface: None,
            process_limit: None,
            logs: proxy_core::log::Logs::default(),
            origin: class.origin,
        });
    }
    section.out
}

struct Section<'a> {
    policies: &'a ServicePolicies,
    everywhere: &'a PluginSet,
    defaults: Defaults,
    out: Compiled,
    clusters: BTreeMap<Backend, ClusterIndex>,
}

impl Section<'_> {
    fn routes_of(
        &mut self,
        ingress: &IngressPolicy,
        cx: &mut Compile<'_>,
        routes: &mut Vec<KongRoute>,
    ) {
        let prefix = ingress
            .notes
            .regex_prefix
            .as_ref()
            .map_or("/~", |prefix| prefix.value.as_str());
        for rule in &ingress.paths {
            for path in kong_paths(&rule.path, rule.kind, prefix) {
                // a regular expression that does not compile was reported when it was read
                let Ok(matcher) = path.matcher() else {
                    continue;
                };
                let hosts = hosts(&rule.host, ingress);
                let name = route_name(ingress, rule.backend, &rule.host, cx);
                let plugins = self.plugins(ingress, rule.backend, &name, cx);
                let name = format!("{name} {}", path.text());
                let forward = self.forward(ingress, rule.backend, &path, cx);
                let does = (forward, plugins);
                routes.push(self.route(ingress, name, hosts, &path, matcher, does, rule.origin));
            }
        }
    }

    fn default_backend(
        &mut self,
        ingress: &IngressPolicy,
        backend: Backend,
        cx: &mut Compile<'_>,
        routes: &mut Vec<KongRoute>,
    ) {
        let path = KongPath::Plain("/".to_owned());
        let forward = self.forward(ingress, backend, &path, cx);
        let name = format!("{}.{}", ingress.namespace, ingress.name);
        let plugins = self.plugins(ingress, backend, &name, cx);
        let matcher = PathMatch::Prefix("/".into());
        routes.push(self.route(
            ingress,
            name,
            Vec::new(),
            &path,
            matcher,
            (forward, plugins),
            ingress.origin,
        ));
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one route, each from another place"
    )]
    fn route(
        &self,
        ingress: &IngressPolicy,
        name: String,
        hosts: Vec<String>,
        path: &KongPath,
        matcher: PathMatch,
        (forward, plugins): (Forward, Applied),
        origin: OriginId,
    ) -> KongRoute {
        let notes = &ingress.notes;
        let methods = notes
            .methods
            .as_ref()
            .map(|methods| methods.value.clone())
            .unwrap_or_default();
        let rank = Rank::of(Asks {
            methods: !methods.is_empty(),
            hosts: &hosts,
            headers: notes.headers.len(),
            snis: notes.snis.is_some(),
            path,
            regex_priority: notes
                .regex_priority
                .as_ref()
                .map_or(0, |priority| priority.value),
        });
        let action = match plugins.answer {
            Some(answer) => RouteAction::Direct(answer),
            None => RouteAction::Forward(Box::new(forward)),
        };
        KongRoute {
            name,
            hosts,
            path: matcher,
            methods,
            headers: notes.headers.iter().map(header_condition).collect(),
            rank,
            plain: if takes_plaintext(ingress) {
                action.clone()
            } else {
                upgrade(ingress)
            },
            tls: action,
            gates: plugins.gates,
            cors: plugins.cors,
            takes_plaintext: takes_plaintext(ingress),
            origin,
        }
    }

    /// What plugins make of the requests of a route: the most specific of each kind, by route, by Service and for everything.
    ///
    /// Source: Kong `kong/plugins/rate-limiting/policies/init.lua` (`get_local_key`): what is counted is named by the route or the service
    /// that the plugin is for, and by what it counts by.
    fn plugins(
        &self,
        ingress: &IngressPolicy,
        backend: Backend,
        route: &str,
        cx: &mut Compile<'_>,
    ) -> Applied {
        let service = &cx.services[backend.service.index()];
        let service = format!("{}.{}.{}", service.namespace, service.name, backend.port);
        let of_service = &self.policies[&backend.service].plugins;
        let outer = of_service.or(self.everywhere);
        let rate = ingress.plugins.rate.as_ref().or(outer.rate);
        let answer = ingress.plugins.termination.as_ref().or(outer.termination);
        let cors = ingress.plugins.cors.as_ref().or(outer.cors);
        let scope = match (&ingress.plugins.rate, &of_service.rate) {
            (Some(_), _) => format!("route {route}"),
            (None, Some(_)) => format!("service {service}"),
            (None, None) => "everything".to_owned(),
        };
        let gate = rate.map(|rule| {
            let RateRule {
                windows,
                by,
                status,
            } = rule.value.clone();
            let (name, key) = match by {
                CountedBy::Service => (format!("{scope} to {service}"), GateKey::All),
                CountedBy::Key(key) => (scope, key),
            };
            Gate {
                name: format!("kong rate-limiting {name}").into(),
                kind: GateKind::Rate {
                    limit: RateLimit::Windows(windows),
                    key,
                },
                status,
                exempt: Vec::new(),
                origin: cx.origins.written(rule.span),
            }
        });
        Applied {
            gates: gate.into_iter().collect(),
            answer: answer.map(|answer| answer.value.clone()),
            cors: cors.map(|rule| rule.value.policy(cx.origins.written(rule.span))),
        }
    }

    fn forward(
        &mut self,
        ingress: &IngressPolicy,
        backend: Backend,
        path: &KongPath,
        cx: &mut Compile<'_>,
    ) -> Forward {
        let policies = self.policies;
        let policy = policies
            .get(&backend.service)
            .expect("reading made a policy for each backend");
        let mut forward = Forward::to(self.cluster(backend, policy, cx));
        for weighted in &mut forward.clusters {
            weighted.origin = ingress.origin;
        }
        forward.timeout = self.defaults.of(None);
        forward.retry = Some(Box::new(self.retries(ingress, policy)));
        forward.rewrite = rewrite(ingress, policy, path);
        let keeps_host = ingress
            .notes
            .preserve_host
            .as_ref()
            .is_none_or(|keep| keep.value);
        forward.host = (!keeps_host).then(|| host_rewrite(backend, policy, cx));
        forward.hash.clone_from(&policy.hash);
        forward
    }

    /// Source: Kong `kong/runloop/balancer/init.lua`, `kong/templates/nginx_kong.lua`: NGINX's `proxy_next_upstream error timeout` asks
    /// the balancer for another target at once, as often as `retries` allows, and answers are never tried again.
    fn retries(&self, ingress: &IngressPolicy, policy: &ServicePolicy) -> RetryPolicy {
        let buffered = ingress
            .notes
            .request_buffering
            .as_ref()
            .is_none_or(|buffer| buffer.value);
        RetryPolicy {
            on: self.defaults.of(RetryOn::NONE
                .with(Condition::ConnectFailure)
                .with(Condition::Reset)),
            statuses: Vec::new(),
            headers: Vec::new(),
            request_headers: Vec::new(),
            retries: policy.retries,
            per_try_timeout: None,
            per_try_idle_timeout: Some(policy.read_timeout),
            backoff: self.defaults.of(Backoff::None),
            rate_limited_backoff: None,
            avoid_previous: None,
            previous_priorities: None,
            spare_sent_non_idempotent: true,
            last_try_unbounded: false,
            no_try_after: None,
            failures_have_statuses: false,
            // a body that was passed on as it came is gone
            body_limit: (!buffered).then_some(0),
            origin: policy.retries.origin,
        }
    }

    fn cluster(
        &mut self,
        backend: Backend,
        policy: &ServicePolicy,
        cx: &mut Compile<'_>,
    ) -> ClusterIndex {
        if let Some(index) = self.clusters.get(&backend) {
            return *index;
        }
        let service = &cx.services[backend.service.index()];
        let tls = matches!(policy.protocol.value, Protocol::Https | Protocol::Grpcs);
        let name = format!(
            "{}.{}.{}.svc",
            service.name, service.namespace, backend.port
        );
        let cluster = Cluster {
            service: service.full_name().into(),
            balancer: policy.balancer.clone(),
            locality: self.defaults.of(LocalityBalance::Ignored),
            outlier: policy.passive,
            health_checks: policy.active.iter().cloned().collect(),
            // Kong has no panic mode: below the threshold nothing is used at all
            panic_threshold: policy.threshold,
            fail_traffic_on_panic: true,
            connect_timeout: policy.connect_timeout,
            protocol: match policy.protocol.value {
                Protocol::Http | Protocol::Https => UpstreamProtocol::Http1,
                Protocol::Grpc | Protocol::Grpcs => UpstreamProtocol::Http2,
            },
            transport: if tls {
                UpstreamTransport::Tls {
                    sni: service.host().into(),
                    certificate: None,
                }
            } else {
                UpstreamTransport::Plaintext
            },
            pool: ConnectionPool {
                max_requests_per_connection: Some(self.defaults.of(10_000)),
                idle_timeout: Some(self.defaults.of(Duration::from_secs(60))),
                max_duration: None,
                max_streams: self.defaults.of((1 << 31) - 1),
                max_connections_per_endpoint: None,
                max_idle: Some(512),
            },
            limits: [Limits::unlimited(self.defaults.origin); 2],
            origin: service.origin,
            ..Cluster::envoy(&name, EndpointSet::default())
        };
        let index = self.out.add(cluster, upstream(backend, policy));
        self.clusters.insert(backend, index);
        index
    }
}

/// What plugins make of the requests of a route.
#[derive(Clone, Debug)]
struct Applied {
    gates: Vec<Gate>,
    answer: Option<DirectResponse>,
    cors: Option<Cors>,
}

/// Whom the upstream leads to. Source: Kong/kubernetes-ingress-controller `internal/dataplane/translator/translator.go` (`getEndpoints`).
fn upstream(backend: Backend, policy: &ServicePolicy) -> Upstream {
    let Backend { service, port } = backend;
    let members = if policy.service_upstream.value {
        Members::Address { service, port }
    } else {
        Members::Pods {
            service,
            port,
            labels: Vec::new(),
        }
    };
    Upstream {
        members,
        ..Upstream::default()
    }
}

/// The Host of a request whose own is not kept: the configured one, else the target's, with its port unless that is the usual one.
///
/// Source: Kong `kong/runloop/balancer/init.lua` (`set_host_header`). Departs: a pod is called by its name where Kong writes its address.
fn host_rewrite(backend: Backend, policy: &ServicePolicy, cx: &Compile<'_>) -> HostRewrite {
    if let Some(host) = &policy.host_header {
        return HostRewrite::Literal(host.value.as_str().into());
    }
    if !policy.service_upstream.value {
        return HostRewrite::Endpoint;
    }
    let service = &cx.services[backend.service.index()];
    let usual = match policy.protocol.value {
        Protocol::Http | Protocol::Grpc => 80,
        Protocol::Https | Protocol::Grpcs => 443,
    };
    let port = if backend.port == usual {
        String::new()
    } else {
        format!(":{}", backend.port)
    };
    HostRewrite::Literal(format!("{}.{}.svc{port}", service.name, service.namespace).into())
}

fn hosts(host: &str, ingress: &IngressPolicy) -> Vec<String> {
    let mut hosts: Vec<String> = Some(host)
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .into_iter()
        .collect();
    for alias in &ingress.notes.host_aliases {
        let alias = alias.value.to_ascii_lowercase();
        if !hosts.contains(&alias) {
            hosts.push(alias);
        }
    }
    hosts
}

/// The controller's name of a route: `namespace.ingress.service.host.port`.
fn route_name(ingress: &IngressPolicy, backend: Backend, host: &str, cx: &Compile<'_>) -> String {
    let service = &cx.services[backend.service.index()].name;
    format!(
        "{}.{}.{service}.{}.{}",
        ingress.namespace,
        ingress.name,
        host.replace('*', "_"),
        backend.port
    )
}

fn takes_plaintext(ingress: &IngressPolicy) -> bool {
    let notes = &ingress.notes;
    let https_only = |protocols: &Vec<Protocol>| {
        !protocols
            .iter()
            .any(|p| matches!(p, Protocol::Http | Protocol::Grpc))
    };
    match &notes.protocols {
        // the list is read after the redirect annotation and replaces what that made of it
        Some(protocols) => !https_only(&protocols.value),
        None => !notes.force_ssl.as_ref().is_some_and(|force| force.value),
    }
}

/// WebSockets pass; of any other `Upgrade` the service hears nothing.
///
/// Source: Kong `kong/runloop/handler.lua` (`access.after`): only `websocket` sets `upstream_upgrade`, else the connection is kept alive.
fn upgrades(origin: OriginId) -> Upgrades {
    Upgrades {
        others: Unlisted::Unheard,
        ..Upgrades::of(&["websocket"], origin)
    }
}

/// What a request in plaintext gets where only TLS is allowed. Source: Kong `kong/runloop/handler.lua`.
fn upgrade(ingress: &IngressPolicy) -> RouteAction {
    let forced = ingress
        .notes
        .force_ssl
        .as_ref()
        .is_some_and(|force| force.value);
    let status = ingress
        .notes
        .https_status
        .as_ref()
        .map_or(if forced { 302 } else { 426 }, |status| status.value);
    if status == 426 {
        return RouteAction::Direct(DirectResponse {
            status,
            body: "Please use HTTPS protocol".into(),
        });
    }
    RouteAction::Redirect(Box::new(Redirect {
        status,
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: None,
        strip_query: false,
        omits_own_port: false,
    }))
}

/// Any of the values, without regard to case; `~*` marks a regular expression that may match anywhere.
fn header_condition(asked: &HeaderAsked) -> HeaderMatch {
    let alternatives: Vec<String> = asked
        .values
        .iter()
        .map(|value| match value.strip_prefix("~*") {
            Some(pattern) => format!(".*(?:{pattern}).*"),
            None => regex::escape(value),
        })
        .collect();
    let value = TextMatch::regex(&format!("(?i:{})", alternatives.join("|")));
    // a pattern that does not compile was reported when it was read; it takes no request
    let value = value.unwrap_or_else(|_| TextMatch::Exact("\0".into()));
    HeaderMatch {
        name: asked.name.as_str().into(),
        value,
        invert: false,
        ignore_case: false,
        absent: Absent::Unequal,
    }
}

/// The path that goes upstream.
///
/// Source: Kong `kong/router/utils.lua` (`get_upstream_uri_v0`). Departs: a service path joins a stripped byte prefix that ends in the
/// middle of a segment without the slash that Kong puts between.
fn rewrite(
    ingress: &IngressPolicy,
    policy: &ServicePolicy,
    path: &KongPath,
) -> Option<PathRewrite> {
    let notes = &ingress.notes;
    if let Some(to) = &notes.rewrite {
        return Some(rewrite_to(&to.value, path));
    }
    let base = policy.path.value.as_str();
    let strips = notes.strip_path.as_ref().is_some_and(|strip| strip.value);
    let joined_plainly = notes
        .path_handling
        .as_ref()
        .is_some_and(|handling| handling.value == PathHandling::V1);
    if strips {
        let cut_at_slash = matches!(path, KongPath::Plain(prefix) if prefix.ends_with('/'));
        let to = if cut_at_slash && !joined_plainly && !base.ends_with('/') {
            format!("{base}/")
        } else {
            base.to_owned()
        };
        return Some(PathRewrite::JoinedPrefix(to.into()));
    }
    let base = if joined_plainly {
        base
    } else {
        base.trim_end_matches('/')
    };
    (base != "/" && !base.is_empty()).then(|| {
        let start = regex::Regex::new("^").expect("a fixed pattern");
        PathRewrite::Regex(Box::new(start), base.replace('\\', "\\\\").into())
    })
}

/// `konghq.com/rewrite`: the whole path anew, with `$1` for a group of the route's regular expression.
fn rewrite_to(to: &str, path: &KongPath) -> PathRewrite {
    let whole = match path {
        KongPath::Plain(_) => None,
        KongPath::Regex(pattern) => regex::Regex::new(&format!("^(?:{pattern})(?s:.*)$")).ok(),
    };
    let to = if to.is_empty() { "/" } else { to };
    let Some(whole) = whole else {
        return PathRewrite::Full(to.replace("\\$", "$").into());
    };
    let mut out = String::new();
    let mut chars = to.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('$', Some(digit)) if digit.is_ascii_digit() => out.push('\\'),
            ('\\', Some('$')) => {
                out.push('$');
                chars.next();
            }
            ('\\', _) => out.push_str("\\\\"),
            _ => out.push(c),
        }
    }
    PathRewrite::Regex(Box::new(whole), out.into())
}
