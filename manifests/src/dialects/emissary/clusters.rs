//! Clusters, by the names that Emissary gives them.
//!
//! Source: emissary `python/ambassador/src/ambassador/ir/ircluster.py`, `envoy/v3/v3cluster.py`.

use std::collections::BTreeMap;

use proxy_core::config::{
    Balancer, Cluster, ClusterIndex, ConnectionPool, EndpointSet, Limits, LocalityBalance, Name,
    Share, UpstreamProtocol, UpstreamTransport,
};
use proxy_core::health::Check;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::breakers::{Balance, Breakers};
use super::mapping::{Mapping, Origination};
use super::read::Reading;
use super::resolvers::Resolver;
use super::service::{Place, Target};
use super::tcp::TcpMapping;
use super::types::HealthCheck;
use super::{duration, tls};
use crate::diagnostics::Diagnostic;
use crate::dialects::{Compile, Compiled};
use crate::model::{Members, Upstream};
use crate::text::{Span, Spanned};

/// Until a connection stands, where nobody says.
const CONNECT: Duration = Duration::from_secs(3);
/// Until a silent connection is closed, where nobody says. Source: Envoy v3 `HttpProtocolOptions.idle_timeout`.
const IDLE: Duration = Duration::from_secs(3600);

/// What is asked of a cluster. Of what follows `balance` nothing is in its name: who asks first decides.
struct Ask<'a> {
    marker: Option<&'a str>,
    namespace: &'a str,
    target: &'a Target,
    resolver: Resolver,
    origination: Option<&'a Origination>,
    host_rewrite: Option<&'a str>,
    breakers: Option<&'a Breakers>,
    balance: Option<&'a Balance>,
    connect: Option<Spanned<u64>>,
    idle: Option<Spanned<u64>>,
    lifetime: Option<Spanned<u64>>,
    grpc: Option<Spanned<bool>>,
    checks: &'a [Spanned<HealthCheck>],
    origin: OriginId,
}

/// What has a say in a cluster and not in its name.
#[derive(Clone, PartialEq, Debug)]
struct Unnamed {
    resolver: Resolver,
    connect: Option<u64>,
    idle: Option<u64>,
    lifetime: Option<u64>,
    grpc: bool,
    has_checks: bool,
}

impl Unnamed {
    fn of(ask: &Ask<'_>) -> Self {
        let value = |field: Option<Spanned<u64>>| field.map(|it| it.value);
        Self {
            resolver: ask.resolver,
            connect: value(ask.connect),
            idle: value(ask.idle),
            lifetime: value(ask.lifetime),
            grpc: ask.grpc.is_some_and(|it| it.value),
            has_checks: !ask.checks.is_empty(),
        }
    }
}

/// The clusters of one Emissary while it is compiled.
pub(super) struct Clusters<'a> {
    pub(super) out: Compiled,
    pub(super) reading: &'a Reading,
    /// `load_balancer` of the Module.
    pub(super) balance: Option<Balance>,
    pub(super) defaults: OriginId,
    known: BTreeMap<String, (ClusterIndex, Unnamed, OriginId)>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(reading: &'a Reading, defaults: OriginId, cx: &mut Compile<'_>) -> Self {
        let balance = reading.module.load_balancer.as_ref();
        Self {
            out: Compiled::default(),
            reading,
            balance: balance.and_then(|written| Balance::read(written, cx.diagnostics)),
            defaults,
            known: BTreeMap::new(),
        }
    }

    /// The cluster of a Mapping; with `is_shadow` the one that copies go to.
    pub(super) fn of_mapping(
        &mut self,
        mapping: &'a Mapping,
        is_shadow: bool,
        cx: &mut Compile<'_>,
    ) -> ClusterIndex {
        let spec = &mapping.spec;
        let tag = spec.cluster_tag.as_ref().map(|tag| tag.value.as_str());
        let checks = spec.health_checks.as_ref();
        let ask = Ask {
            marker: if is_shadow { Some("shadow") } else { tag },
            namespace: &mapping.namespace,
            target: &mapping.target,
            resolver: mapping.resolver,
            origination: mapping.origination.as_ref(),
            host_rewrite: spec.host_rewrite.as_ref().map(|it| it.value.as_str()),
            breakers: mapping.breakers.as_ref(),
            balance: mapping.balance.as_ref(),
            connect: spec.connect_timeout_ms,
            idle: spec.cluster_idle_timeout_ms,
            lifetime: spec.cluster_max_connection_lifetime_ms,
            grpc: spec.grpc,
            checks: checks
                .or(spec.v3health_checks.as_ref())
                .map_or(&[][..], |checks| checks),
            origin: mapping.origin,
        };
        self.find(&ask, cx)
    }

    /// The cluster of a TCPMapping.
    pub(super) fn of_tcp(&mut self, mapping: &'a TcpMapping, cx: &mut Compile<'_>) -> ClusterIndex {
        let ask = Ask {
            marker: mapping.tag.as_deref(),
            namespace: &mapping.namespace,
            target: &mapping.target,
            resolver: mapping.resolver,
            origination: mapping.origination.as_ref(),
            host_rewrite: None,
            breakers: mapping.breakers.as_ref(),
            balance: None,
            connect: None,
            idle: None,
            lifetime: None,
            grpc: None,
            checks: &[],
            origin: mapping.origin,
        };
        self.find(&ask, cx)
    }

    fn find(&mut self, ask: &Ask<'_>, cx: &mut Compile<'_>) -> ClusterIndex {
        let name = self.name(ask);
        let unnamed = Unnamed::of(ask);
        if let Some((index, first, origin)) = self.known.get(&name) {
            if *first != unnamed {
                let (here, there) = (super::span_of(ask.origin, cx), super::span_of(*origin, cx));
                report_shared(&name, first, &unnamed, here, there, cx);
            }
            return *index;
        }
        let index = self.make(&name, ask, cx);
        self.known.insert(name, (index, unnamed, ask.origin));
        index
    }

    /// Emissary's name of a cluster. Longer ones than Envoy takes are shortened by it; here they are not.
    fn name(&self, ask: &Ask<'_>) -> String {
        let mut fields: Vec<String> = vec!["cluster".to_owned()];
        fields.extend(ask.marker.map(str::to_owned));
        fields.push(ask.target.text.clone());
        if originates(ask) {
            fields.push("otls".to_owned());
            if !ask.target.text.contains("://") {
                fields.extend(ask.origination.map(|origination| match origination {
                    Origination::Plain => "no-cert-upstream".to_owned(),
                    Origination::Named(name) => name.clone(),
                }));
            }
            fields.extend(ask.host_rewrite.map(|host| format!("hr-{host}")));
        }
        fields.push(ask.namespace.to_owned());
        let breakers = ask.breakers.into_iter().flat_map(|it| it.names());
        fields.extend(breakers.map(str::to_owned));
        fields.extend(self.chosen(ask).map(|balance| balance.name.clone()));
        let name = fields.join("_");
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        name.chars().map(plain).collect()
    }

    /// How an endpoint is chosen, where somebody says it.
    fn chosen<'b>(&'b self, ask: &Ask<'b>) -> Option<&'b Balance> {
        let chosen = ask.balance.or(self.balance.as_ref());
        chosen.filter(|_| self.reading.install.endpoints)
    }

    fn make(&mut self, name: &str, ask: &Ask<'_>, cx: &mut Compile<'_>) -> ClusterIndex {
        let defaults = self.defaults;
        let written = |field: Option<Spanned<u64>>, cx: &mut Compile<'_>| {
            let field = field.filter(|it| it.value > 0)?;
            Some(cx.origins.sourced(field.map(Duration::from_millis)))
        };
        let module = &self.reading.module;
        let connect = written(ask.connect, cx);
        if let Some(zero) = ask.connect.filter(|it| it.value == 0) {
            cx.diagnostics.push(
                Diagnostic::error("emissary::value", "`connect_timeout_ms` must be above 0")
                    .label(zero.span, "this value"),
            );
        }
        let idle = written(ask.idle, cx).or_else(|| written(module.cluster_idle_timeout_ms, cx));
        let lifetime = written(ask.lifetime, cx)
            .or_else(|| written(module.cluster_max_connection_lifetime_ms, cx));
        let limits = match ask.breakers {
            Some(breakers) => breakers.limits(defaults, cx.origins),
            None => Breakers::default().limits(defaults, cx.origins),
        };
        let over_http2 = ask.grpc.is_some_and(|it| it.value);
        let balancer = match self.chosen(ask) {
            Some(balance) => {
                let origin = cx.origins.written(balance.span);
                Sourced::new(balance.balancer.clone(), origin)
            }
            None => Sourced::new(Balancer::RoundRobin, defaults),
        };
        let transport = self.transport(name, ask, over_http2);
        let health_checks = checks(ask, cx);
        let service = match &ask.target.place {
            Place::Address { service, .. } | Place::Pods { service, .. } => {
                cx.services[service.index()].full_name()
            }
            Place::Outside(_) | Place::Nowhere => ask.target.host.clone(),
        };
        let cluster = Cluster {
            service: service.into(),
            balancer,
            locality: Sourced::new(LocalityBalance::Ignored, defaults),
            panic_threshold: Sourced::new(Share::from_ppm(500_000), defaults),
            connect_timeout: connect.unwrap_or_else(|| Sourced::new(CONNECT, defaults)),
            protocol: match over_http2 {
                true => UpstreamProtocol::Http2,
                false => UpstreamProtocol::Http1,
            },
            transport,
            health_checks,
            pool: ConnectionPool {
                idle_timeout: Some(idle.unwrap_or_else(|| Sourced::new(IDLE, defaults))),
                max_duration: lifetime,
                max_streams: Sourced::new((1 << 31) - 1, defaults),
                ..ConnectionPool::default()
            },
            limits: limits as [Limits; 2],
            origin: ask.origin,
            ..Cluster::envoy(name, EndpointSet::default())
        };
        let members = match &ask.target.place {
            Place::Address { service, port } => Members::Address {
                service: *service,
                port: *port,
            },
            Place::Pods { service, port } => Members::Pods {
                service: *service,
                port: *port,
                labels: Vec::new(),
            },
            Place::Outside(endpoints) => Members::Fixed(endpoints.clone()),
            Place::Nowhere => Members::None,
        };
        let upstream = Upstream {
            members,
            ..Upstream::default()
        };
        self.out.add(cluster, upstream)
    }

    /// TLS to a service names no server unless its TLSContext does, and looks at no certificate.
    fn transport(&mut self, name: &str, ask: &Ask<'_>, over_http2: bool) -> UpstreamTransport {
        if !originates(ask) {
            return UpstreamTransport::Plaintext;
        }
        let context = match ask.origination {
            Some(Origination::Named(name)) => {
                let mut contexts = self.reading.contexts.iter();
                contexts.find(|it| it.name == *name)
            }
            Some(Origination::Plain) | None => None,
        };
        let credential: Name = format!("service {name}").into();
        let made = tls::credential(context, over_http2);
        self.out.credentials.insert(credential.clone(), made);
        let sni = context.and_then(|context| context.sni.clone());
        UpstreamTransport::Tls {
            sni: sni.unwrap_or_default().into(),
            certificate: Some(credential),
        }
    }
}

fn originates(ask: &Ask<'_>) -> bool {
    ask.target.https || ask.origination.is_some()
}

/// Probes, which endpoints of pods alone have.
///
/// Source: emissary `irhealthchecks.py`; `v3cluster.py`.
fn checks(ask: &Ask<'_>, cx: &mut Compile<'_>) -> Vec<Sourced<Check>> {
    let Some(first) = ask.checks.first() else {
        return Vec::new();
    };
    if ask.resolver == Resolver::Service {
        cx.diagnostics.push(
            Diagnostic::warning(
                "emissary::health-checks",
                "Emissary probes pods that its own resolver finds, and nobody else",
            )
            .label(first.span, "has no effect")
            .help("add `resolver: endpoint`"),
        );
        return Vec::new();
    }
    let mut found = Vec::new();
    for written in ask.checks {
        found.extend(check(written, cx));
    }
    found
}

fn check(written: &Spanned<HealthCheck>, cx: &mut Compile<'_>) -> Option<Sourced<Check>> {
    let out = &mut *cx.diagnostics;
    let mut say = |span: Span, what: &str, meaning: &str| {
        out.push(Diagnostic::not_modelled("emissary::not-modelled", what, meaning).label(span, ""));
    };
    if let Some(grpc) = written.health_check.grpc {
        let meaning = "the endpoints are not probed by it";
        say(grpc.span, "a probe over gRPC", meaning);
    }
    let http = written.health_check.http.as_ref();
    let headers = [
        http.and_then(|http| http.add_request_headers),
        http.and_then(|http| http.remove_request_headers),
    ];
    for field in headers.into_iter().flatten() {
        say(
            field.span,
            "headers of probes",
            "probes have none of their own",
        );
    }
    let Some(http) = http else {
        if written.health_check.grpc.is_none() {
            out.push(
                Diagnostic::error(
                    "emissary::health-checks",
                    "a probe asks by `http` or `grpc`",
                )
                .label(written.span, "asks nothing"),
            );
        }
        return None;
    };
    let Some(path) = http.path.as_ref().filter(|path| !path.is_empty()) else {
        out.push(
            Diagnostic::error("emissary::health-checks", "a probe over HTTP needs `path`")
                .label(written.span, "without it"),
        );
        return None;
    };
    let mut length = |text: &Option<Spanned<String>>, usual: u64| {
        let text = text.as_ref().filter(|text| !text.is_empty());
        let read = text.and_then(|text| duration::go(text, out));
        read.unwrap_or_else(|| Duration::from_secs(usual))
    };
    let (timeout, interval) = (length(&written.timeout, 3), length(&written.interval, 5));
    let mut expected = Vec::new();
    for range in &http.expected_statuses {
        let (min, max) = (range.min.value, range.max.value);
        if min > max {
            out.push(
                Diagnostic::warning(
                    "emissary::health-checks",
                    "the first status of a range is not above its last",
                )
                .label(range.span, "has no effect"),
            );
            continue;
        }
        expected.push((min, max));
    }
    let host = http
        .hostname
        .as_ref()
        .map_or("", |host| host.value.as_str());
    let check = Check {
        path: Some(path.as_str().into()),
        host: host.into(),
        timeout,
        interval,
        interval_jitter: Duration::ZERO,
        unhealthy_interval: None,
        no_traffic_interval: Some(Duration::from_secs(60)),
        unhealthy_threshold: written.unhealthy_threshold.map_or(2, |it| it.value),
        healthy_threshold: written.healthy_threshold.map_or(1, |it| it.value),
        expected,
        retriable: Vec::new(),
    };
    Some(cx.origins.sourced(Spanned::new(check, written.span)))
}

/// Two Mappings have one cluster although they want different things of it.
fn report_shared(
    name: &str,
    first: &Unnamed,
    other: &Unnamed,
    here: Span,
    there: Span,
    cx: &mut Compile<'_>,
) {
    let fields = [
        ("resolver", first.resolver != other.resolver),
        ("connect_timeout_ms", first.connect != other.connect),
        ("cluster_idle_timeout_ms", first.idle != other.idle),
        (
            "cluster_max_connection_lifetime_ms",
            first.lifetime != other.lifetime,
        ),
        ("grpc", first.grpc != other.grpc),
        ("health_checks", first.has_checks != other.has_checks),
    ];
    let names: Vec<String> = fields
        .iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let message = format!(
        "Emissary makes one cluster, `{name}`, of two Mappings that differ in {}: the first decides",
        names.join(", ")
    );
    cx.diagnostics.push(
        Diagnostic::warning("emissary::shared-cluster", message)
            .label(here, "what this one says has no effect")
            .label(there, "decides")
            .help("`cluster_tag` makes a cluster of its own"),
    );
}
