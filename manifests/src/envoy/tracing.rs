//! Tracing: which requests have spans, what these say, and who gets them.

use std::sync::Arc;

use proxy_core::config::{
    self, ExportProtocol, Name, Propagation, Sampler, TagValue, TraceExport, TraceProvider,
    TraceShare, TraceShares, TraceSide, TraceTag, Tracing,
};
use proxy_core::time::Duration;

use super::compile::Cx;
use super::types::{self, Extension, TraceContextOption, ZipkinVersion};
use super::values::{Fraction, Percent};
use crate::text::{Node, Span, Spanned};

const OPEN_TELEMETRY: &str = "envoy.config.trace.v3.OpenTelemetryConfig";
const ZIPKIN: &str = "envoy.config.trace.v3.ZipkinConfig";
const DETECTORS: &str = "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.";
const SAMPLERS: &str = "envoy.extensions.tracers.opentelemetry.samplers.v3.";
/// The method of OTLP over gRPC.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Spans that may wait.
///
/// Source: Envoy 1.40, `OpenTelemetryConfig.max_cache_size`.
const CAPACITY: u32 = 1024;
/// Source: Envoy, runtime keys `tracing.….min_flush_spans` and `flush_interval_ms`.
const BATCH: u32 = 5;
const INTERVAL_MS: u32 = 5000;
/// Source: Envoy, runtime key `tracing.zipkin.request_timeout`.
const ZIPKIN_TIMEOUT_MS: u32 = 5000;

/// Runtime keys that have a say.
pub(super) const KEYS: [&str; 5] = [
    "tracing.opentelemetry.flush_interval_ms",
    "tracing.opentelemetry.min_flush_spans",
    "tracing.zipkin.flush_interval_ms",
    "tracing.zipkin.min_flush_spans",
    "tracing.zipkin.request_timeout",
];

/// Compiles what a connection manager says of tracing.
pub(super) fn of_manager(
    node: Option<&Node>,
    side: TraceSide,
    cx: &mut Cx<'_>,
) -> Option<Arc<Tracing>> {
    let node = node?;
    let written: types::ManagerTracing = cx.read(node)?;
    let shares = TraceShares {
        client: whole(written.client_sampling, cx),
        random: hundredths(written.random_sampling, cx),
        overall: whole(written.overall_sampling, cx),
    };
    let tags = tags(&written.custom_tags, cx);
    let provider = match &written.provider {
        Some(provider) => self::provider(provider, cx),
        None => {
            let general = cx.tracer.clone();
            general.and_then(|general| self::provider(&general, cx))
        }
    };
    Some(Arc::new(Tracing {
        shares,
        side,
        spawns: written.spawn_upstream_span,
        verbose: written.verbose,
        longest_path: written.max_path_tag_length.map_or(256, |length| length.0),
        tags,
        node: cx.caller.node.as_ref().into(),
        zone: cx.zone.as_str().into(),
        provider: provider.map(Arc::new),
        origin: cx.written(node.span),
    }))
}

/// Compiles what a route says of it; none: nothing.
pub(super) fn of_route(
    tracing: Option<&Node>,
    decorator: Option<&types::Decorator>,
    cx: &mut Cx<'_>,
) -> Option<Box<config::RouteTracing>> {
    let written: Option<types::RouteTracing> = cx.read_maybe(tracing);
    if written.is_none() && decorator.is_none() {
        return None;
    }
    let decorator = decorator.map(|it| {
        if it.operation.is_empty() {
            cx.refuse(it.operation.span, "an operation has a name");
        }
        config::Decorator {
            operation: it.operation.as_str().into(),
            propagates: it.propagate.unwrap_or(true),
        }
    });
    let part = |fraction: Option<Fraction>| {
        fraction.map_or(TraceShare::ALL, |fraction| {
            let (parts, of) = fraction.parts();
            TraceShare { parts, of }
        })
    };
    Some(Box::new(config::RouteTracing {
        shares: written.as_ref().map(|it| TraceShares {
            client: part(it.client_sampling),
            random: part(it.random_sampling),
            overall: part(it.overall_sampling),
        }),
        tags: written.map_or_else(Vec::new, |it| tags(&it.custom_tags, cx)),
        decorator,
    }))
}

fn percent(written: Option<Spanned<Percent>>, cx: &mut Cx<'_>) -> f64 {
    let Some(written) = written else {
        return 100.0;
    };
    let percent = written.value.value;
    if !(0.0..=100.0).contains(&percent) {
        cx.refuse(written.span, "must be from 0 to 100 per cent");
        return 0.0;
    }
    percent
}

/// Per cent without what is behind the point, as Envoy has some.
fn whole(written: Option<Spanned<Percent>>, cx: &mut Cx<'_>) -> TraceShare {
    TraceShare {
        parts: percent(written, cx) as u32,
        of: 100,
    }
}

/// Per cent with two digits behind the point.
fn hundredths(written: Option<Spanned<Percent>>, cx: &mut Cx<'_>) -> TraceShare {
    TraceShare {
        parts: (percent(written, cx) * 100.0 + 0.5) as u32,
        of: 10_000,
    }
}

fn tags(written: &[Node], cx: &mut Cx<'_>) -> Vec<TraceTag> {
    written.iter().filter_map(|node| tag(node, cx)).collect()
}

fn tag(node: &Node, cx: &mut Cx<'_>) -> Option<TraceTag> {
    let written: types::CustomTag = crate::text::read(node, cx.out)?;
    if written.tag.is_empty() {
        cx.refuse(written.tag.span, "a tag has a name");
    }
    let named = |it: &types::NamedTag, name: &str| -> (Name, Name) {
        (name.into(), it.default_value.as_str().into())
    };
    let value = if let Some(literal) = &written.literal {
        TagValue::Literal(literal.value.as_str().into())
    } else if let Some(it) = &written.environment {
        let (name, otherwise) = named(it, &it.name);
        TagValue::Environment(name, otherwise)
    } else if let Some(it) = &written.request_header {
        let (name, otherwise) = named(it, &it.name.to_ascii_lowercase());
        TagValue::Header(name, otherwise)
    } else if let Some(it) = &written.metadata {
        let what = "a tag of metadata";
        cx.left_out(it.span, what, "spans say its default, if it has one");
        TagValue::Literal(it.value.default_value.as_str().into())
    } else if let Some(text) = &written.value {
        TagValue::Text(super::logs::template(text, cx)?)
    } else {
        cx.refuse(node.span, "a tag has a value");
        return None;
    };
    Some(TraceTag {
        name: written.tag.as_str().into(),
        value,
    })
}

fn provider(written: &Spanned<Extension>, cx: &mut Cx<'_>) -> Option<TraceProvider> {
    let typed = written
        .typed_config
        .as_ref()
        .and_then(|config| cx.typed(config));
    match typed.as_ref().map(|typed| (typed.kind.as_str(), typed)) {
        Some((OPEN_TELEMETRY, typed)) => open_telemetry(&typed.config, typed.span, cx),
        Some((ZIPKIN, typed)) => zipkin(&typed.config, typed.span, cx),
        Some(_) | None => {
            let name = written.name.as_ref().map_or("", |name| name.value.as_str());
            let what = format!("the tracer `{name}`");
            let meaning =
                "requests have no spans; whether they would be traced is told in their ids";
            cx.left_out(written.span, &what, meaning);
            None
        }
    }
}

/// A service that gets spans.
struct Service {
    cluster: Name,
    authority: Name,
    path: Name,
    headers: Vec<(Name, Name)>,
    timeout: Duration,
}

fn open_telemetry(node: &Node, span: Span, cx: &mut Cx<'_>) -> Option<TraceProvider> {
    let written: types::OpenTelemetry = cx.read(node)?;
    let (protocol, service) = match (&written.grpc_service, &written.http_service) {
        (Some(grpc), None) => (ExportProtocol::OtlpGrpc, grpc_service(grpc, cx)?),
        (None, Some(http)) => (ExportProtocol::OtlpHttp, http_service(http, cx)?),
        (Some(_), Some(_)) => {
            cx.refuse(span, "write one of `grpc_service` and `http_service`");
            return None;
        }
        (None, None) => {
            let meaning = "spans are made and told to upstreams, and not sent";
            cx.left_out(span, "a tracer without a service", meaning);
            return None;
        }
    };
    let mut resource: Vec<(Name, Name)> = Vec::new();
    let mut from_environment = false;
    for detector in &written.resource_detectors {
        let typed = detector
            .typed_config
            .as_ref()
            .and_then(|config| cx.typed(config));
        let kind = typed
            .as_ref()
            .and_then(|it| it.kind.strip_prefix(DETECTORS));
        match (kind, &typed) {
            (Some("EnvironmentResourceDetectorConfig"), _) => from_environment = true,
            (Some("StaticConfigResourceDetectorConfig"), Some(typed)) => {
                let fixed: types::StaticAttributes = cx.read(&typed.config)?;
                let fixed = fixed.attributes.iter();
                resource.extend(fixed.map(|(k, v)| (k.as_str().into(), v.as_str().into())));
            }
            _ => {
                let name = detector.name.as_ref().map_or("", |it| it.value.as_str());
                let what = format!("the resource detector `{name}`");
                cx.left_out(detector.span, &what, "spans do not say what it would find");
            }
        }
    }
    let sampler = match &written.sampler {
        None => Sampler::Reason,
        Some(sampler) => self::sampler(sampler, sampler.span, cx),
    };
    let millis = cx.runtime("tracing.opentelemetry.flush_interval_ms", INTERVAL_MS);
    let batch = cx.runtime("tracing.opentelemetry.min_flush_spans", BATCH);
    let named = Some(written.service_name.as_str()).filter(|name| !name.is_empty());
    Some(TraceProvider {
        propagation: Propagation::W3c,
        sampler,
        export: TraceExport {
            cluster: service.cluster,
            protocol,
            authority: service.authority,
            path: service.path,
            headers: service.headers,
            timeout: service.timeout,
            service: named.unwrap_or("unknown_service:envoy").into(),
            resource,
            from_environment,
            capacity: written.max_cache_size.map_or(CAPACITY, |most| most.0),
            batch,
            interval: Duration::from_millis(u64::from(millis)),
        },
    })
}

fn sampler(written: &Extension, span: Span, cx: &mut Cx<'_>) -> Sampler {
    let typed = written
        .typed_config
        .as_ref()
        .and_then(|config| cx.typed(config));
    let kind = typed.as_ref().and_then(|it| it.kind.strip_prefix(SAMPLERS));
    match (kind, &typed) {
        (Some("AlwaysOnSamplerConfig"), _) => return Sampler::Always,
        (Some("ParentBasedSamplerConfig"), Some(typed)) => {
            let parent: Option<types::ParentBased> = cx.read(&typed.config);
            let wrapped = parent.and_then(|parent| parent.wrapped_sampler);
            if let Some(wrapped) = wrapped
                && sampler(&wrapped, span, cx) == Sampler::Always
            {
                return Sampler::ParentElseAlways;
            }
            return Sampler::Reason;
        }
        _ => {}
    }
    let name = written.name.as_ref().map_or("", |name| name.value.as_str());
    let what = format!("the sampler `{name}`");
    let meaning = "a parent decides, or else the shares of the connection manager and its routes";
    cx.left_out(span, &what, meaning);
    Sampler::Reason
}

fn grpc_service(node: &Node, cx: &mut Cx<'_>) -> Option<Service> {
    let written: types::GrpcService = cx.read(node)?;
    let meaning = "spans are made and told to upstreams, and not sent: write `envoy_grpc`";
    cx.note(written.google_grpc, "google_grpc", meaning);
    let Some(grpc) = &written.envoy_grpc else {
        if written.google_grpc.is_none() {
            cx.refuse(node.span, "a service needs `envoy_grpc`");
        }
        return None;
    };
    let grpc: types::EnvoyGrpc = cx.read(grpc)?;
    cx.cluster(&grpc.cluster_name)?;
    let authority = Some(grpc.authority.as_str()).filter(|it| !it.is_empty());
    let metadata = written.initial_metadata.iter();
    Some(Service {
        cluster: grpc.cluster_name.as_str().into(),
        authority: authority.unwrap_or(&grpc.cluster_name).into(),
        path: EXPORT.into(),
        headers: metadata.filter_map(header).collect(),
        timeout: cx
            .length(written.timeout)
            .map_or(Duration::ZERO, |it| it.value),
    })
}

fn header(written: &types::HeaderValue) -> Option<(Name, Name)> {
    let value = written.value.as_ref()?;
    Some((
        written.key.to_ascii_lowercase().into(),
        value.as_str().into(),
    ))
}

fn http_service(node: &Node, cx: &mut Cx<'_>) -> Option<Service> {
    let written: types::HttpService = cx.read(node)?;
    let Some(uri) = &written.http_uri else {
        cx.refuse(node.span, "a service needs `http_uri`");
        return None;
    };
    cx.cluster(&uri.cluster)?;
    let rest = uri.uri.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if authority.is_empty() {
        cx.refuse(uri.uri.span, "a URI has a scheme and a host");
        return None;
    }
    let headers = written.request_headers_to_add.iter();
    Some(Service {
        cluster: uri.cluster.as_str().into(),
        authority: authority.into(),
        path: path.into(),
        headers: headers.filter_map(|it| header(&it.header)).collect(),
        timeout: cx.length(uri.timeout).map_or(Duration::ZERO, |it| it.value),
    })
}

fn zipkin(node: &Node, span: Span, cx: &mut Cx<'_>) -> Option<TraceProvider> {
    let written: types::Zipkin = cx.read(node)?;
    if let Some(version) = written.collector_endpoint_version
        && version.value != ZipkinVersion::Json
    {
        let what = "a form of spans other than `HTTP_JSON`";
        cx.left_out(version.span, what, "spans are sent as JSON");
    }
    let timeout = cx.runtime("tracing.zipkin.request_timeout", ZIPKIN_TIMEOUT_MS);
    let service = match (&written.collector_service, &written.collector_cluster) {
        (Some(service), _) => http_service(service, cx)?,
        (None, Some(cluster)) => {
            cx.cluster(cluster)?;
            let host = Some(written.collector_hostname.as_str()).filter(|it| !it.is_empty());
            Service {
                cluster: cluster.as_str().into(),
                authority: host.unwrap_or(cluster).into(),
                path: written.collector_endpoint.as_str().into(),
                headers: Vec::new(),
                timeout: Duration::from_millis(u64::from(timeout)),
            }
        }
        (None, None) => {
            cx.refuse(span, "a collector has a cluster");
            return None;
        }
    };
    if !service.path.starts_with('/') {
        cx.refuse(span, "the collector's endpoint is a path");
        return None;
    }
    let millis = cx.runtime("tracing.zipkin.flush_interval_ms", INTERVAL_MS);
    let batch = cx.runtime("tracing.zipkin.min_flush_spans", BATCH);
    let caller = &*cx.caller.cluster;
    Some(TraceProvider {
        propagation: Propagation::B3 {
            wide: written.trace_id_128bit,
            shares: written.shared_span_context.unwrap_or(true),
            w3c: written.trace_context_option == TraceContextOption::UseB3WithW3cPropagation,
        },
        sampler: Sampler::Reason,
        export: TraceExport {
            cluster: service.cluster,
            protocol: ExportProtocol::ZipkinJson,
            authority: service.authority,
            path: service.path,
            headers: service.headers,
            timeout: service.timeout,
            service: caller.into(),
            resource: Vec::new(),
            from_environment: false,
            capacity: CAPACITY,
            batch,
            interval: Duration::from_millis(u64::from(millis)),
        },
    })
}
