//! Who serves a Gateway, by the controller of its class: what each brings where a route says nothing, and what of the API it does not read.
//!
//! Sources: envoyproxy/gateway 1.8 `internal/xds/translator/{cluster,route,listener}.go`, `internal/gatewayapi/route.go`; istio 1.30
//! `pilot/pkg/config/kube/gateway/conversion.go`; Kong/kubernetes-ingress-controller 3.5
//! `internal/dataplane/translator/subtranslator/{httproute,subtranslator_vars}.go`, `internal/admission/validation/gateway/httproute.go`; traefik 3.7
//! `pkg/provider/kubernetes/gateway/httproute.go`; nginx/nginx-gateway-fabric 2.6 `internal/controller/nginx/config/{upstreams,servers_template}.go`,
//! `internal/controller/state/graph/httproute.go`; hashicorp/consul 1.21 `agent/xds/{routes,clusters}.go`; kumahq/kuma 2.14 `pkg/defaults/mesh`;
//! and what each reports of itself to the API's project (`conformance/reports/v1.5`).

use proxy_core::config::{Balancer, ReplyProfile};
use proxy_core::retry::conditions::{Condition, RetryOn};
use proxy_core::time::Duration;

use crate::gateway_api::ControllerSeen;

/// What serves Gateways.
#[derive(Debug)]
pub(super) struct System {
    /// Its name.
    pub(super) name: &'static str,
    /// Whose defaults they are: `envoy-gateway@1.8`.
    pub(super) release: &'static str,
    /// What the names of its controllers begin with.
    controllers: &'static [&'static str],
    /// What changes its Gateways besides the API's objects, and is not read for them.
    pub(super) besides: &'static str,
    /// The proxy whose answers its own are.
    pub(super) replies: ReplyProfile,
    /// How an endpoint is chosen.
    pub(super) balancer: Balancer,
    /// Until a connection to a backend stands.
    pub(super) connect: Duration,
    /// Of a whole request, where no route says.
    pub(super) request: Option<Duration>,
    /// How long a try may be silent.
    pub(super) silence: Option<Duration>,
    /// How long a stream may be silent.
    pub(super) stream_silence: Option<Duration>,
    /// An idle connection to a backend is closed after this long.
    pub(super) idle: Duration,
    /// Requests that a connection to a backend carries; none: any number.
    pub(super) requests_of_connection: Option<u32>,
    /// Retries at a time to one Service beside 1024 of everything else; none: nothing is bounded.
    pub(super) retries_at_once: Option<u32>,
    /// Whether unhealthy endpoints have a share where too few are healthy.
    pub(super) panics: bool,
    /// Retries of a route that says nothing of them.
    pub(super) unasked: Option<Retries>,
    /// What `retry` comes to.
    pub(super) asked: Retries,
    /// The longest request body.
    pub(super) largest_body: Option<u64>,
    /// Whether request bodies are kept whole before they go on.
    pub(super) keeps_bodies: bool,
    /// Whether the share of backends that cannot be used goes to the others.
    pub(super) spares_missing: bool,
    /// Fields of routes that have no effect.
    pub(super) unread: &'static [Field],
    /// Filters that it does not carry out, by their type.
    pub(super) lacks: &'static [&'static str],
    /// What becomes of requests to those.
    pub(super) lacking: Lacking,
    /// Whether a backend's own filters are carried out.
    pub(super) backend_filters: bool,
}

/// Retries as a system has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    /// How many, where nobody says.
    pub(super) count: Count,
    /// When.
    pub(super) on: RetryOn,
    /// After which statuses, where nobody names any.
    pub(super) statuses: &'static [u16],
    /// Picks before an endpoint that was tried is taken again.
    pub(super) picks: Option<u32>,
    /// Whether there is a pause before each: Envoy's.
    pub(super) pauses: bool,
    /// Whether requests that are not idempotent are not sent again.
    pub(super) spares: bool,
}

/// How many retries there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Count {
    /// So many.
    Times(u32),
    /// One for each endpoint but the first.
    Endpoints,
}

/// A field of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    /// `timeouts.request`.
    RequestTimeout,
    /// `timeouts.backendRequest`.
    BackendTimeout,
    /// `retry`.
    Retry,
    /// `sessionPersistence`.
    Session,
}

/// What becomes of requests to a rule with a filter that is not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lacking {
    /// They are answered with 500, as the API has it.
    Error,
    /// Nothing of the route is served.
    NoRoute,
}

const LEAST_REQUEST: Balancer = Balancer::LeastRequest {
    choices: 2,
    bias: 1.0,
    full_scan: false,
};

/// Source: `retryDefaultRetryOn` of Envoy Gateway, and the same of Istio.
const BEFORE_ANY_ANSWER: RetryOn = RetryOn::NONE
    .with(Condition::ConnectFailure)
    .with(Condition::RefusedStream)
    .with(Condition::Unavailable)
    .with(Condition::Cancelled)
    .with(Condition::RetriableStatusCodes);

/// Source: NGINX `proxy_next_upstream error timeout`.
const NO_ANSWER: RetryOn = RetryOn::NONE
    .with(Condition::ConnectFailure)
    .with(Condition::Reset);

/// Source: GEP-1731: besides the statuses named, broken connections and tries that took too long are tried again.
const OF_THE_API: Retries = Retries {
    count: Count::Times(1),
    on: RetryOn::NONE
        .with(Condition::ConnectFailure)
        .with(Condition::Reset)
        .with(Condition::RefusedStream)
        .with(Condition::RetriableStatusCodes),
    statuses: &[],
    picks: None,
    pauses: true,
    spares: false,
};

const OF_NGINX: Retries = Retries {
    count: Count::Endpoints,
    on: NO_ANSWER,
    statuses: &[],
    picks: None,
    pauses: false,
    spares: true,
};

/// The API by itself, as this proxy serves it.
pub(super) static THE_API: System = BASE;

const BASE: System = System {
    name: "the Gateway API",
    release: "gateway-api@1.5",
    controllers: &[],
    besides: "",
    replies: ReplyProfile::Envoy,
    balancer: Balancer::RoundRobin,
    connect: Duration::from_secs(5),
    request: None,
    silence: None,
    stream_silence: None,
    idle: Duration::from_secs(3600),
    requests_of_connection: None,
    retries_at_once: Some(1024),
    panics: true,
    unasked: None,
    asked: OF_THE_API,
    largest_body: None,
    keeps_bodies: false,
    spares_missing: false,
    unread: &[],
    lacks: &[],
    lacking: Lacking::Error,
    backend_filters: true,
};

/// Fifteen seconds are Envoy's own, which it has for a route that says nothing.
static ENVOY_GATEWAY: System = System {
    name: "Envoy Gateway",
    release: "envoy-gateway@1.8",
    controllers: &["gateway.envoyproxy.io/"],
    besides: "its policies (`gateway.envoyproxy.io`)",
    balancer: LEAST_REQUEST,
    connect: Duration::from_secs(10),
    request: Some(Duration::from_secs(15)),
    stream_silence: Some(Duration::from_secs(300)),
    asked: Retries {
        count: Count::Times(2),
        on: BEFORE_ANY_ANSWER,
        statuses: &[503],
        picks: Some(5),
        pauses: true,
        spares: false,
    },
    ..BASE
};

static ISTIO: System = System {
    name: "Istio",
    release: "istio@1.30",
    controllers: &["istio.io/"],
    besides: "what Istio's own kinds (`networking.istio.io`, `security.istio.io`) say of it",
    balancer: LEAST_REQUEST,
    connect: Duration::from_secs(10),
    retries_at_once: None,
    panics: false,
    unasked: Some(OF_ISTIO),
    asked: OF_ISTIO,
    unread: &[Field::Session],
    ..BASE
};

const OF_ISTIO: Retries = Retries {
    count: Count::Times(2),
    on: BEFORE_ANY_ANSWER,
    statuses: &[],
    picks: Some(5),
    pauses: true,
    spares: false,
};

/// The ingress controller, and the operator that has it inside.
static KONG: System = System {
    name: "Kong",
    release: "kong@3.9",
    controllers: &["konghq.com/"],
    besides: "its annotations and kinds (`konghq.com`)",
    replies: ReplyProfile::Nginx,
    balancer: Balancer::KongRing,
    connect: Duration::from_secs(60),
    silence: Some(Duration::from_secs(60)),
    idle: Duration::from_secs(60),
    requests_of_connection: Some(10_000),
    retries_at_once: None,
    panics: false,
    unasked: Some(Retries {
        count: Count::Times(5),
        ..OF_NGINX
    }),
    asked: OF_NGINX,
    keeps_bodies: true,
    spares_missing: true,
    unread: &[Field::RequestTimeout, Field::Retry, Field::Session],
    lacks: &["RequestMirror", "CORS"],
    lacking: Lacking::NoRoute,
    backend_filters: false,
    ..BASE
};

static TRAEFIK: System = System {
    name: "Traefik",
    release: "traefik@3.7",
    controllers: &["traefik.io/"],
    besides: "its static configuration, and Middlewares as filters",
    replies: ReplyProfile::Traefik,
    balancer: Balancer::TraefikTurns,
    connect: Duration::from_secs(30),
    idle: Duration::from_secs(90),
    retries_at_once: None,
    panics: false,
    unread: &[
        Field::RequestTimeout,
        Field::BackendTimeout,
        Field::Retry,
        Field::Session,
    ],
    lacks: &["RequestMirror", "CORS"],
    ..BASE
};

/// NGINX closes a connection to a backend after each answer where no policy keeps it, and takes bodies of at most 1 MiB.
static NGINX: System = System {
    name: "NGINX Gateway Fabric",
    release: "nginx-gateway-fabric@2.6",
    controllers: &["gateway.nginx.org/"],
    besides: "its policies (`gateway.nginx.org`)",
    replies: ReplyProfile::Nginx,
    balancer: LEAST_REQUEST,
    connect: Duration::from_secs(60),
    silence: Some(Duration::from_secs(60)),
    idle: Duration::from_secs(60),
    requests_of_connection: Some(1),
    retries_at_once: None,
    panics: false,
    unasked: Some(OF_NGINX),
    asked: OF_NGINX,
    largest_body: Some(1 << 20),
    keeps_bodies: true,
    unread: &[
        Field::RequestTimeout,
        Field::BackendTimeout,
        Field::Retry,
        Field::Session,
    ],
    ..BASE
};

/// Fifteen seconds are Envoy's own.
static CONSUL: System = System {
    name: "Consul",
    release: "consul@1.21",
    controllers: &["consul.hashicorp.com/", "hashicorp.com/"],
    besides: "its mesh, intentions and config entries (`consul.hashicorp.com`)",
    retries_at_once: Some(3),
    request: Some(Duration::from_secs(15)),
    panics: false,
    ..BASE
};

/// Its stock policies.
static KUMA: System = System {
    name: "Kuma",
    release: "kuma@2.14",
    controllers: &["gateways.kuma.io/"],
    besides: "its policies (`kuma.io`)",
    request: Some(Duration::from_secs(15)),
    stream_silence: Some(Duration::from_secs(1800)),
    retries_at_once: Some(3),
    unasked: Some(Retries {
        count: Count::Times(5),
        on: RetryOn::NONE
            .with(Condition::GatewayError)
            .with(Condition::ConnectFailure)
            .with(Condition::RefusedStream),
        ..OF_THE_API
    }),
    ..BASE
};

/// Every system that is known here.
static SYSTEMS: [&System; 7] = [
    &ISTIO,
    &KONG,
    &TRAEFIK,
    &ENVOY_GATEWAY,
    &NGINX,
    &CONSUL,
    &KUMA,
];

/// Controllers of systems of which nothing is known here but the name.
const OTHERS: &[(&str, &str)] = &[
    ("kgateway.dev/", "kgateway"),
    ("io.cilium/", "Cilium"),
    ("projectcontour.io/", "Contour"),
    ("networking.gke.io/", "GKE"),
    ("gateway.k8s.aws/", "the AWS Load Balancer Controller"),
];

/// Who serves a Gateway.
pub(super) fn of(controller: &ControllerSeen) -> &'static System {
    let ControllerSeen::Named(name) = controller else {
        return &THE_API;
    };
    let is_its = |it: &&&System| it.controllers.iter().any(|start| name.starts_with(start));
    SYSTEMS.iter().find(is_its).copied().unwrap_or(&THE_API)
}

/// The system of a controller that is known by its name alone.
pub(super) fn other(controller: &str) -> Option<&'static str> {
    let mut others = OTHERS.iter();
    let found = others.find(|(start, _)| controller.starts_with(start));
    found.map(|(_, name)| *name)
}

impl System {
    /// Whether it goes by the API alone.
    pub(super) fn is_the_api(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether a field of its routes has an effect.
    pub(super) fn reads(&self, field: Field) -> bool {
        !self.unread.contains(&field)
    }
}

impl Field {
    /// What people write.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::RequestTimeout => "timeouts.request",
            Self::BackendTimeout => "timeouts.backendRequest",
            Self::Retry => "retry",
            Self::Session => "sessionPersistence",
        }
    }
}
