//! Backends to clusters.

use std::collections::BTreeMap;

use proxy_core::config::{
    Balancer, Cluster, ClusterIndex, ConnectionPool, EndpointSet, HashPolicy, HashSource, Limits,
    LocalityBalance, Share, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::policy::{Controller, IngressPolicy};
use super::servers::UpstreamPlan;
use super::values;
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};
use crate::ingress::ServicePortId;
use crate::model::{Members, ServiceKind, Upstream};

/// What is spoken to endpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Spoken {
    /// HTTP/1.1 in plaintext.
    Http,
    /// The same in TLS.
    Https,
    /// gRPC in plaintext.
    Grpc,
    /// The same in TLS.
    Grpcs,
    /// HTTP/1.1, in TLS where the client's request came so.
    AsClient,
}

impl Spoken {
    /// What `backend-protocol` says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match &*text.to_ascii_lowercase() {
            // FastCGI is told elsewhere
            "http" | "fcgi" => Some(Self::Http),
            "https" => Some(Self::Https),
            "grpc" => Some(Self::Grpc),
            "grpcs" => Some(Self::Grpcs),
            "auto_http" => Some(Self::AsClient),
            _ => None,
        }
    }

    /// What is spoken for a client that does, or does not, use TLS.
    pub(super) const fn to(self, tls: bool) -> Self {
        match (self, tls) {
            (Self::AsClient, true) => Self::Https,
            (Self::AsClient, false) => Self::Http,
            (other, _) => other,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Http | Self::AsClient => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }
}

/// What tells clusters apart: where to, what is spoken, how long a connection may take.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Wanted {
    /// Where to.
    pub(super) backend: ServicePortId,
    /// What is spoken.
    pub(super) spoken: Spoken,
    /// Until a connection stands, in seconds.
    pub(super) connect: u64,
}

/// The clusters of one controller while it is compiled.
pub(super) struct Clusters {
    /// What was made.
    pub(super) out: Compiled,
    known: BTreeMap<Wanted, ClusterIndex>,
    /// `default of nginx@…`.
    pub(super) default: OriginId,
}

impl Clusters {
    pub(super) fn new(default: OriginId) -> Self {
        Self {
            out: Compiled::default(),
            known: BTreeMap::new(),
            default,
        }
    }

    /// The cluster of a backend; `connect` brings the origin of its time.
    pub(super) fn of(
        &mut self,
        wanted: Wanted,
        connect: OriginId,
        controller: &Controller,
        plan: &UpstreamPlan<'_>,
        cx: &mut Compile<'_>,
    ) -> ClusterIndex {
        if let Some(known) = self.known.get(&wanted) {
            return *known;
        }
        let service = &cx.services[wanted.backend.service.index()];
        let (full_name, host, origin) = (service.full_name(), service.host(), service.origin);
        let mut name = format!(
            "{}-{}-{}",
            service.namespace, service.name, wanted.backend.port
        );
        if self.out.draft.clusters.iter().any(|it| *it.name == *name) {
            name = format!("{name}/{}", wanted.spoken.word());
            if self.out.draft.clusters.iter().any(|it| *it.name == *name) {
                name = format!("{name}/connect-{}s", wanted.connect);
            }
        }
        let tls = matches!(wanted.spoken, Spoken::Https | Spoken::Grpcs);
        let grpc = matches!(wanted.spoken, Spoken::Grpc | Spoken::Grpcs);
        let default = self.default;
        let cluster = Cluster {
            service: full_name.into(),
            balancer: balancer(controller, plan, cx),
            locality: Sourced::new(LocalityBalance::Ignored, default),
            // NGINX uses what the controller tells it of, and nothing else
            panic_threshold: Sourced::new(Share::ZERO, default),
            fail_traffic_on_panic: true,
            connect_timeout: Sourced::new(Duration::from_secs(wanted.connect), connect),
            protocol: if grpc {
                UpstreamProtocol::Http2
            } else {
                UpstreamProtocol::Http1
            },
            transport: if tls {
                UpstreamTransport::Tls {
                    sni: host.into(),
                    certificate: None,
                }
            } else {
                UpstreamTransport::Plaintext
            },
            pool: pool(controller, cx),
            limits: [Limits::unlimited(default); 2],
            origin,
            ..Cluster::envoy(&name, EndpointSet::default())
        };
        let upstream = Upstream {
            members: members(wanted.backend, service_upstream(controller, plan, cx).value),
            ..Upstream::default()
        };
        let index = self.out.add(cluster, upstream);
        self.known.insert(wanted, index);
        index
    }
}

/// Whether the Service's address is dialled in the place of its pods.
///
/// Source: `getServiceClusterEndpoint`. A Service without an address of its own has its pods dialled, whatever is asked for.
pub(super) fn service_upstream(
    controller: &Controller,
    plan: &UpstreamPlan<'_>,
    cx: &mut Compile<'_>,
) -> Sourced<bool> {
    let settings = &controller.settings;
    let notes = &plan.ingress.notes;
    notes.or(
        "service-upstream",
        values::flag,
        false,
        settings,
        cx.origins,
    )
}

/// Whom a backend leads to.
pub(super) fn members(backend: ServicePortId, by_address: bool) -> Members {
    let ServicePortId { service, port } = backend;
    if by_address {
        Members::Address { service, port }
    } else {
        Members::Pods {
            service,
            port,
            labels: Vec::new(),
        }
    }
}

/// Whether a backend's pods are dialled.
pub(super) fn dials_pods(
    backend: ServicePortId,
    asked: bool,
    services: &[crate::model::Service],
) -> bool {
    match services[backend.service.index()].kind {
        ServiceKind::ClusterIp(_) => !asked,
        ServiceKind::Headless | ServiceKind::ExternalName(_) => true,
    }
}

/// How an endpoint is chosen.
///
/// Source: `rootfs/etc/nginx/lua/balancer.lua` (`get_implementation`): affinity, then a hash, then `load-balance`; and of these what can stand
/// alone: the others fall back to turns.
fn balancer(
    controller: &Controller,
    plan: &UpstreamPlan<'_>,
    cx: &mut Compile<'_>,
) -> Sourced<Balancer> {
    if let Some(affinity) = plan.affinity.and_then(|it| it.notes.text("affinity")) {
        // a client without a cookie goes to any
        return Sourced::new(Balancer::Random, cx.origins.written(affinity.span));
    }
    if let Some(hash) = plan.ingress.notes.text("upstream-hash-by") {
        let ring = Balancer::RingHash {
            min_size: RING,
            max_size: RING * 64,
            bound: None,
        };
        return Sourced::new(ring, cx.origins.written(hash.span));
    }
    let read = |text: &str| match text {
        "ewma" => Some(Balancer::NginxEwma),
        _ => Some(Balancer::RoundRobin),
    };
    let notes = &plan.ingress.notes;
    notes.or(
        "load-balance",
        read,
        Balancer::RoundRobin,
        &controller.settings,
        cx.origins,
    )
}

/// Least entries of a ring: 160 points to an endpoint, as `resty.chash` has it, are as many with a few of them.
const RING: u64 = 1024;

/// What `upstream-hash-by` goes by.
///
/// Source: `rootfs/etc/nginx/lua/util.lua` (`parse_complex_value`). Departs: text between variables does not count, which leads the same values
/// to the same endpoints; a value that is not there leads to any endpoint, where NGINX sends all such requests to one.
pub(super) fn hash_policies(ingress: &IngressPolicy, cx: &mut Compile<'_>) -> Vec<HashPolicy> {
    let Some(written) = ingress.notes.text("upstream-hash-by") else {
        return Vec::new();
    };
    let mut policies = Vec::new();
    for name in variables(written) {
        match source(&name) {
            Some(source) => policies.push(HashPolicy {
                source,
                terminal: false,
            }),
            None => cx.diagnostics.push(
                Diagnostic::not_modelled(
                    "nginx::variable",
                    format!("the variable `${name}` is not modelled in `upstream-hash-by`"),
                    "requests are told apart by the other variables alone; without any they go to any endpoint",
                )
                .label(written.span, ""),
            ),
        }
    }
    if policies.is_empty() && variables(written).is_empty() {
        cx.diagnostics.push(
            Diagnostic::warning(
                "nginx::constant-hash",
                "`upstream-hash-by` has no variable: NGINX sends all requests to one endpoint",
            )
            .label(written.span, "here they go to any")
            .help("write for example `$request_uri`"),
        );
    }
    policies
}

/// The names of the variables in a text.
fn variables(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        let (name, after) = match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap_or((braced, "")),
            None => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()))
            }
        };
        found.push(name.to_owned());
        rest = after;
    }
    found
}

fn source(name: &str) -> Option<HashSource> {
    let header = |name: &str| HashSource::Header(name.into());
    Some(match name {
        "request_uri" => header(":path"),
        "uri" | "document_uri" => HashSource::Path,
        "host" | "http_host" | "best_http_host" => header(":authority"),
        "request_method" => header(":method"),
        "remote_addr" | "binary_remote_addr" | "the_real_ip" => HashSource::SourceAddress,
        _ => {
            if let Some(header) = name.strip_prefix("http_") {
                HashSource::Header(header.replace('_', "-").into())
            } else if let Some(cookie) = name.strip_prefix("cookie_") {
                HashSource::Cookie {
                    name: cookie.into(),
                    ttl: None,
                }
            } else if let Some(param) = name.strip_prefix("arg_") {
                HashSource::Param(param.into())
            } else {
                return None;
            }
        }
    })
}

/// Source: `nginx.tmpl`, `upstream upstream_balancer`.
fn pool(controller: &Controller, cx: &mut Compile<'_>) -> ConnectionPool {
    let settings = &controller.settings;
    let number = |text: &str| text.parse::<u32>().ok();
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let origins = &mut *cx.origins;
    let kept = settings.or("upstream-keepalive-connections", number, 320, origins);
    let requests = settings.or("upstream-keepalive-requests", number, 10_000, origins);
    let requests = match kept.value {
        0 => Sourced::new(1, kept.origin),
        _ => requests,
    };
    let hour = Duration::from_secs(3600);
    ConnectionPool {
        max_requests_per_connection: Some(requests),
        idle_timeout: Some(settings.or(
            "upstream-keepalive-timeout",
            seconds,
            Duration::from_secs(60),
            origins,
        )),
        max_duration: Some(settings.or("upstream-keepalive-time", age, hour, origins)),
        max_streams: Sourced::new(128, cx.default_of(&settings.release)),
        max_connections_per_endpoint: None,
        max_idle: Some(kept.value),
    }
}

/// A length of time as NGINX writes it: `1h`, `90s`, `5`.
fn age(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(unit.unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let digits: u64 = digits.parse().ok()?;
    Some(Duration::from_secs(digits.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_a_text() {
        let rows: &[(&str, &[&str])] = &[
            ("$request_uri", &["request_uri"]),
            ("${request_uri}-text", &["request_uri"]),
            ("$host$arg_user", &["host", "arg_user"]),
            ("text", &[]),
            ("$", &[""]),
            ("${open", &["open"]),
        ];
        for (text, expected) in rows {
            assert_eq!(variables(text), *expected, "{text}");
        }
    }

    #[test]
    fn variables_lead_to_what_they_stand_for() {
        let header = |name: &str| Some(HashSource::Header(name.into()));
        let rows = [
            ("request_uri", header(":path")),
            ("http_x_user_id", header("x-user-id")),
            ("host", header(":authority")),
            ("uri", Some(HashSource::Path)),
            ("arg_id", Some(HashSource::Param("id".into()))),
            ("binary_remote_addr", Some(HashSource::SourceAddress)),
            ("upstream_addr", None),
        ];
        for (name, expected) in rows {
            assert_eq!(source(name), expected, "{name}");
        }
    }

    #[test]
    fn lengths_of_time_have_nginxs_units() {
        let rows = [
            ("5", Some(5)),
            ("90s", Some(90)),
            ("1h", Some(3600)),
            ("1w", None),
            ("", None),
        ];
        for (text, seconds) in rows {
            assert_eq!(age(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
