//! Whether and how requests are traced.

use std::sync::Arc;

use super::Name;
use crate::log::Template;
use crate::origin::OriginId;
use crate::time::Duration;

/// How the requests of a connection are traced.
///
/// Source: Envoy v3 `HttpConnectionManager.Tracing`, as 1.40 has it.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// How many are, unless their route says otherwise.
    pub shares: TraceShares,
    /// Which way they go: what spans are called and what kind they are of (Envoy: `traffic_direction` of the listener).
    pub side: TraceSide,
    /// Whether each try has a span of its own (Envoy: `spawn_upstream_span`).
    pub spawns: bool,
    /// Whether spans say when what happened.
    pub verbose: bool,
    /// Bytes of a path that a span says (Envoy: `max_path_tag_length`, 256 by default).
    pub longest_path: u32,
    /// What spans say besides.
    pub tags: Vec<TraceTag>,
    /// What this node calls itself in spans.
    pub node: Name,
    /// Where it says it is.
    pub zone: Name,
    /// Who gets the spans; none: the decision is taken and told in the request's id, and there is no span.
    pub provider: Option<Arc<TraceProvider>>,
    /// The rule that made it.
    pub origin: OriginId,
}

/// How many requests are traced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceShares {
    /// Of those with `x-client-trace-id`.
    pub client: TraceShare,
    /// Of those that nobody asks to be traced.
    pub random: TraceShare,
    /// Of all that would be traced by then.
    pub overall: TraceShare,
}

/// So many of so many. A request's number, which its id gives, is traced where its rest by `of` is below `parts`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceShare {
    /// So many.
    pub parts: u32,
    /// Of so many; never zero.
    pub of: u32,
}

impl TraceShare {
    /// All.
    pub const ALL: Self = Self {
        parts: 100,
        of: 100,
    };

    /// Whether the request of this number is among them.
    #[must_use]
    pub const fn has(self, number: u64) -> bool {
        let of = if self.of == 0 { 1 } else { self.of };
        number % (of as u64) < self.parts as u64
    }
}

impl TraceShares {
    /// All of everything.
    pub const ALL: Self = Self {
        client: TraceShare::ALL,
        random: TraceShare::ALL,
        overall: TraceShare::ALL,
    };
}

/// Which way requests go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum TraceSide {
    /// To what stands behind this node.
    #[default]
    Ingress,
    /// From what stands behind this node.
    Egress,
}

/// Something that spans say besides.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceTag {
    /// What it is called.
    pub name: Name,
    /// What is said.
    pub value: TagValue,
}

/// What a tag says. An empty text is not said at all.
#[derive(Clone, PartialEq, Debug)]
pub enum TagValue {
    /// Always the same.
    Literal(Name),
    /// A variable of the environment, or else this.
    Environment(Name, Name),
    /// A header of the request as it left, by its lower-case name, or else this.
    Header(Name, Name),
    /// What operators say, as in access logs.
    Text(Template),
}

/// What a route has to say of tracing.
///
/// Source: Envoy v3 `Route.tracing`, `Route.decorator`.
#[derive(Clone, Debug, Default)]
pub struct RouteTracing {
    /// How many requests are traced, in the place of what their connection says.
    pub shares: Option<TraceShares>,
    /// Said in the place of tags of the same name, or besides.
    pub tags: Vec<TraceTag>,
    /// What spans are called.
    pub decorator: Option<Decorator>,
}

/// What spans of a route are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decorator {
    /// The name.
    pub operation: Name,
    /// Whether the other end is told, in `x-envoy-decorator-operation`.
    pub propagates: bool,
}

/// Who gets spans, and in which headers they are told to upstreams.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceProvider {
    /// The headers.
    pub propagation: Propagation,
    /// What decides where no parent has.
    pub sampler: Sampler,
    /// Where spans are sent.
    pub export: TraceExport,
}

/// In which headers a trace is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Propagation {
    /// W3C Trace Context, as Envoy's OpenTelemetry tracer has it: `traceparent`, `tracestate`.
    W3c,
    /// Zipkin's, as Envoy's tracer for it has it: `b3` where that came, else `x-b3-…`.
    B3 {
        /// Whether traces that begin here have ids of 128 bits rather than 64.
        wide: bool,
        /// Whether the server's span is that of its client rather than a child of it.
        shares: bool,
        /// Whether `traceparent` is heard where there is nothing of Zipkin's, and told besides.
        w3c: bool,
    },
}

/// What decides whether a trace is sampled. Under W3C's headers none is that this node would not trace, whatever its parent says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Sampler {
    /// The parent, else the reason that the request is traced for.
    Reason,
    /// Every trace is.
    Always,
    /// The parent, else every trace is.
    ParentElseAlways,
}

/// Where spans are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceExport {
    /// The cluster by its name.
    pub cluster: Name,
    /// How.
    pub protocol: ExportProtocol,
    /// The authority of requests.
    pub authority: Name,
    /// Their path.
    pub path: Name,
    /// Headers besides.
    pub headers: Vec<(Name, Name)>,
    /// How long one may take; zero: as long as it likes.
    pub timeout: Duration,
    /// What the service is called.
    pub service: Name,
    /// What else is said of the process, name and value.
    pub resource: Vec<(Name, Name)>,
    /// Whether the environment says more of it (`OTEL_RESOURCE_ATTRIBUTES`).
    pub from_environment: bool,
    /// Spans that may wait; those beyond are dropped.
    pub capacity: u32,
    /// So many are sent at once.
    pub batch: u32,
    /// Those that are fewer are sent after this long.
    pub interval: Duration,
}

/// How spans are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ExportProtocol {
    /// OTLP, a protobuf message by POST.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// Zipkin's version 2, JSON by POST.
    ZipkinJson,
}
