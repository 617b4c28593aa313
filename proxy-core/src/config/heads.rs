//! What is done to the heads of requests and responses, whatever their route.

use std::borrow::Cow;

use super::Cidr;

/// What is done to all requests and responses of a connection: who the client is, what it may say, what upstreams are told.
///
/// Source: Envoy v3 `HttpConnectionManager`, as releases from 1.36 on have it (no address is internal unless it is named).
#[derive(Clone, Debug)]
pub struct HeadRules {
    /// How the client is known.
    pub client: ClientRules,
    /// Request ids.
    pub request_id: RequestIdRules,
    /// What upstreams are told of the client's certificate.
    pub certificate: CertificateRules,
    /// The path of requests.
    pub path: PathRules,
    /// The authority of requests.
    pub host: HostRules,
    /// What is too much.
    pub limits: HeadLimits,
    /// Headers whose name has an underscore.
    pub underscores: Underscores,
    /// HTTP/1.0 is served rather than refused with 426 (Envoy: `accept_http_10`).
    pub http10: bool,
    /// The authority of HTTP/1.0 requests that have none (Envoy: `default_host_for_http_10`).
    pub default_host: Option<Box<str>>,
    /// Takes the place of the scheme, and of what `x-forwarded-proto` says (Envoy: `scheme_to_overwrite`).
    pub scheme: Option<Scheme>,
    /// Requests to other endpoints have the scheme of their connection, not of the request (Envoy: `match_upstream`).
    pub scheme_of_upstream: bool,
    /// Put at the end of `via`, on requests and responses.
    pub via: Option<Box<str>>,
    /// The `server` of responses.
    pub server: ServerRules,
    /// Names the caller to the upstream (Envoy: `add_user_agent`).
    pub caller: Option<Caller>,
    /// Headers that only clients of one's own may send, in lower case (Envoy: `internal_only_headers`).
    pub internal_only: Vec<Box<str>>,
    /// Whether this proxy says what it does in `x-envoy-…` headers (Envoy: not `suppress_envoy_headers`).
    pub tells: bool,
}

/// How the client of a request is known.
#[derive(Clone, Debug, Default)]
pub struct ClientRules {
    /// It is whoever made the connection, and its address goes to `x-forwarded-for` (Envoy: `use_remote_address`); else it is who
    /// `x-forwarded-for` says.
    pub remote_address: bool,
    /// So many proxies before this one are believed (Envoy: `xff_num_trusted_hops`).
    pub trusted_hops: u32,
    /// `x-forwarded-for` stays as it is (Envoy: `skip_xff_append`).
    pub keeps_forwarded_for: bool,
    /// Addresses whose requests are one's own (Envoy: `internal_address_config`).
    pub internal: Vec<Cidr>,
    /// `x-forwarded-port` says which port was dialled (Envoy: `append_x_forwarded_port`).
    pub forwarded_port: bool,
    /// Whose word of earlier hops is believed; none: everybody's. Of others `x-forwarded-…` and `x-real-ip` go (Traefik: `forwardedHeaders`).
    pub believed: Option<Vec<Cidr>>,
}

/// Request ids: random UUIDs.
///
/// Source: Envoy v3 `UuidRequestIdConfig`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestIdRules {
    /// A request without one is given one (Envoy: `generate_request_id`).
    pub generates: bool,
    /// One that a client outside brings is kept (Envoy: `preserve_external_request_id`).
    pub keeps_external: bool,
    /// Responses have it too (Envoy: `always_set_request_id_in_response`).
    pub in_response: bool,
    /// Its 15th letter says whether the request is traced (Envoy: `pack_trace_reason`).
    pub says_traced: bool,
    /// It has a say in whether the request is traced; else every request is (Envoy: `use_request_id_for_trace_sampling`).
    pub samples: bool,
}

/// What upstreams are told of the client's certificate, in `x-forwarded-client-cert`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CertificateRules {
    /// What becomes of the header (Envoy: `forward_client_cert_details`).
    pub forwarding: CertificateForwarding,
    /// The subject is told.
    pub subject: bool,
    /// The whole certificate is told.
    pub certificate: bool,
    /// It and those it stands on are told.
    pub chain: bool,
    /// Its DNS names are told.
    pub names: bool,
    /// Its URIs are told.
    pub uris: bool,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum CertificateForwarding {
    /// It goes.
    #[default]
    Sanitize,
    /// It stays on connections whose client has shown a certificate.
    ForwardOnly,
    /// The client's certificate is put at its end.
    AppendForward,
    /// The client's certificate takes its place.
    SanitizeSet,
    /// It stays.
    AlwaysForwardOnly,
}

/// The path of requests. In this order: slashes are unescaped, the path is normalized, slashes are merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PathRules {
    /// Escaped slashes (Envoy: `path_with_escaped_slashes_action`).
    pub escaped_slashes: EscapedSlashes,
    /// Dot segments go, and escapes have one form; a path that has none is 400 (Envoy: `normalize_path`).
    pub normalizes: bool,
    /// Slashes in a row are one (Envoy: `merge_slashes`).
    pub merges_slashes: bool,
}

/// What becomes of a path with `%2F` or `%5C`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum EscapedSlashes {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is 400.
    Reject,
    /// The client is sent to the unescaped path with 307; gRPC clients have 400.
    Redirect,
    /// It goes on unescaped.
    Forward,
}

/// The authority of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostRules {
    /// Whether its port goes.
    pub strip_port: StripPort,
    /// A dot at the end of its name goes (Envoy: `strip_trailing_host_dot`).
    pub strip_dot: bool,
}

/// Which ports go from authorities.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum StripPort {
    /// None.
    #[default]
    Never,
    /// That of the listener (Envoy: `strip_matching_host_port`).
    Matching,
    /// Any (Envoy: `strip_any_host_port`).
    Any,
}

/// A head that has more is 431.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// Header lines; on HTTP/2 those that stand for the request line count (Envoy: `max_headers_count`).
    pub headers: u32,
    /// Bytes (Envoy: `max_request_headers_kb`).
    pub bytes: u64,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            headers: 100,
            bytes: 60 << 10,
        }
    }
}

/// What becomes of headers whose name has an underscore.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Underscores {
    /// Nothing.
    #[default]
    Allow,
    /// They go.
    Drop,
    /// The request is 400.
    Reject,
}

/// A scheme.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme of what comes over TLS or does not.
    #[must_use]
    pub const fn over(tls: bool) -> Self {
        if tls { Self::Https } else { Self::Http }
    }

    /// The scheme that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
    }
}

/// The `server` of responses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerRules {
    /// This proxy's own.
    pub name: Cow<'static, str>,
    /// When it is written (Envoy: `server_header_transformation`).
    pub transformation: ServerTransformation,
}

/// When a response has this proxy's own `server`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum ServerTransformation {
    /// Always.
    #[default]
    Overwrite,
    /// When it has none.
    AppendIfAbsent,
    /// Never.
    PassThrough,
}

/// Who this proxy calls itself to upstreams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Its cluster.
    pub cluster: Box<str>,
    /// Its id; empty: not told.
    pub node: Box<str>,
}

impl HeadRules {
    /// What is done when nothing else is said; `server` is the name that responses have.
    #[must_use]
    pub fn unwritten(server: &'static str) -> Self {
        Self {
            client: ClientRules::default(),
            request_id: RequestIdRules {
                generates: true,
                keeps_external: false,
                in_response: false,
                says_traced: true,
                samples: true,
            },
            certificate: CertificateRules::default(),
            path: PathRules::default(),
            host: HostRules::default(),
            limits: HeadLimits::default(),
            underscores: Underscores::default(),
            http10: false,
            default_host: None,
            scheme: None,
            scheme_of_upstream: false,
            via: None,
            server: ServerRules {
                name: Cow::Borrowed(server),
                transformation: ServerTransformation::default(),
            },
            caller: None,
            internal_only: Vec::new(),
            tells: true,
        }
    }
}
