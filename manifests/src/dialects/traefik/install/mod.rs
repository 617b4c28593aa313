//! How a Traefik is started: its entry points, what its providers allow, how it connects.
//!
//! Source: traefik `pkg/config/static`, `docs/content/reference/install-configuration`; what is assumed where its manifests are not there is
//! what its chart sets (traefik/traefik-helm-chart `traefik/values.yaml`, version 37).

mod args;
mod keys;

pub(super) use args::{container_of, runs_traefik};

use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::rules::Syntax;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::Workload;
use crate::text::{Span, Spanned};

/// One Traefik.
#[derive(Clone, Debug)]
pub(super) struct Install {
    /// `namespace/name` of its workload; none: it is not among the manifests.
    pub(super) workload: Option<String>,
    /// In the order written.
    pub(super) entry_points: Vec<EntryPoint>,
    /// Whether Traefik's own kinds are read.
    pub(super) crd: Provider,
    /// Whether Ingresses are read.
    pub(super) ingress: Provider,
    /// Whether prefixes of Ingresses match by segments.
    pub(super) strict_prefixes: bool,
    /// The version of rules that say none.
    pub(super) syntax: Syntax,
    /// To servers.
    pub(super) transport: Transport,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// What one provider reads and allows.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    /// Whether it runs.
    pub(super) enabled: bool,
    /// Whether it is the one of Traefik's own kinds.
    pub(super) is_crd: bool,
    /// The class that it serves; none: `traefik`, and what has no class.
    pub(super) class: Option<String>,
    /// Namespaces that it reads; none: all.
    pub(super) namespaces: Vec<String>,
    /// Whether objects may refer to those of other namespaces.
    pub(super) cross_namespace: bool,
    /// Whether Services of another name are served.
    pub(super) external_names: bool,
    /// Whether routers of Services without endpoints are kept.
    pub(super) empty_services: bool,
    /// Whether the Service's own address is dialled unless it is said otherwise.
    pub(super) native_lb: Sourced<bool>,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub(super) struct EntryPoint {
    /// Its name, in lower case.
    pub(super) name: String,
    /// Its port.
    pub(super) port: u16,
    /// Whether it is for datagrams.
    pub(super) udp: bool,
    /// Whether routers that name none are served here.
    pub(super) is_default: bool,
    /// Whether all its routers serve TLS.
    pub(super) tls: Option<OriginId>,
    /// Middlewares of all its routers, before their own.
    pub(super) middlewares: Vec<Spanned<String>>,
    /// Where its requests are sent instead.
    pub(super) redirect: Option<EntryRedirect>,
    /// Until a whole request has come; none: for ever.
    pub(super) read_timeout: Option<Sourced<Duration>>,
    /// Until an idle connection is closed; none: never.
    pub(super) idle_timeout: Option<Sourced<Duration>>,
    /// Until a silent client of datagrams begins anew.
    pub(super) udp_timeout: Sourced<Duration>,
    /// Requests of a connection.
    pub(super) max_requests: Option<Sourced<u32>>,
    /// The life of a connection.
    pub(super) max_age: Option<Sourced<Duration>>,
    /// Whether paths are cleaned of dots and doubled slashes.
    pub(super) sanitizes: bool,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A redirect of everything that comes to an entry point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct EntryRedirect {
    /// The entry point, or `:port`.
    pub(super) to: String,
    /// `https` unless set.
    pub(super) scheme: String,
    /// Whether for good; it is unless set.
    pub(super) permanent: bool,
    /// Of its router; above all others unless set.
    pub(super) priority: i64,
    /// Where it is written.
    pub(super) span: Span,
}

/// How servers are connected to where no ServersTransport says otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transport {
    /// Until a connection stands.
    pub(super) dial_timeout: Sourced<Duration>,
    /// Until the head of an answer has come; none: for ever.
    pub(super) response_header_timeout: Option<Sourced<Duration>>,
    /// Until an idle connection is closed.
    pub(super) idle_timeout: Sourced<Duration>,
}

/// The name of the entry point that is no router's unless asked for.
const INTERNAL: &str = "traefik";
/// The priority of the router that redirects an entry point: the highest but one.
pub(super) const ABOVE_ALL: i64 = i64::MAX - 1;

impl EntryPoint {
    fn new(name: &str, port: u16, release: &str, cx: &mut Compile<'_>) -> Self {
        let default = cx.default_of(release);
        let of = |value| Sourced::new(value, default);
        Self {
            name: name.to_owned(),
            port,
            udp: false,
            is_default: name != INTERNAL,
            tls: None,
            middlewares: Vec::new(),
            redirect: None,
            read_timeout: Some(of(Duration::from_secs(60))),
            idle_timeout: Some(of(Duration::from_secs(180))),
            udp_timeout: Sourced::new(Duration::from_secs(3), default),
            max_requests: None,
            max_age: None,
            sanitizes: true,
            origin: default,
        }
    }
}

impl Install {
    /// What Traefik is without any setting.
    fn unset(release: &str, cx: &mut Compile<'_>) -> Self {
        let origin = cx.default_of(release);
        let provider = Provider {
            enabled: false,
            is_crd: false,
            class: None,
            namespaces: Vec::new(),
            cross_namespace: false,
            external_names: false,
            empty_services: false,
            native_lb: Sourced::new(false, origin),
        };
        Self {
            workload: None,
            entry_points: Vec::new(),
            crd: Provider {
                is_crd: true,
                ..provider.clone()
            },
            ingress: provider,
            strict_prefixes: false,
            syntax: Syntax::V3,
            transport: Transport {
                dial_timeout: Sourced::new(Duration::from_secs(30), origin),
                response_header_timeout: None,
                idle_timeout: Sourced::new(Duration::from_secs(90), origin),
            },
            origin,
        }
    }

    /// The Traefik of the chart, for where no other is among the manifests.
    pub(super) fn of_chart(release: &str, cx: &mut Compile<'_>) -> Self {
        let mut install = Self::unset(release, cx);
        let reason = "Traefik runs as its chart installs it: entry points web (80 to 8000) and websecure (443 to 8443, TLS)";
        let origin = cx.origins.assumed(reason);
        install.origin = origin;
        for provider in [&mut install.crd, &mut install.ingress] {
            provider.enabled = true;
            provider.empty_services = true;
        }
        for (name, port) in [("web", 8000), ("websecure", 8443)] {
            let mut entry_point = EntryPoint::new(name, port, release, cx);
            entry_point.origin = origin;
            entry_point.tls = (name == "websecure").then_some(origin);
            install.entry_points.push(entry_point);
        }
        install
    }

    /// The Traefik of a workload, by its container's arguments or environment.
    pub(super) fn of_workload(
        workload: &Workload,
        object: &Object,
        release: &str,
        cx: &mut Compile<'_>,
    ) -> Self {
        let mut install = Self::unset(release, cx);
        install.workload = Some(workload.full_name());
        install.origin = workload.origin;
        let settings = args::settings(object);
        keys::apply(&settings, &mut install, release, cx);
        if install.entry_points.is_empty() {
            // Source: `pkg/config/static/static_config.go` (`SetEffectiveConfiguration`)
            let mut only = EntryPoint::new("http", 80, release, cx);
            only.origin = install.origin;
            install.entry_points.push(only);
        }
        if !install.crd.enabled && !install.ingress.enabled {
            let meaning = "it serves no router of Kubernetes: neither IngressRoutes nor Ingresses";
            cx.diagnostics.push(
                Diagnostic::warning(
                    "traefik::no-provider",
                    "this Traefik reads nothing of Kubernetes",
                )
                .label(object.name_span, meaning)
                .help(
                    "start it with `--providers.kubernetescrd` or `--providers.kubernetesingress`",
                ),
            );
        }
        install
    }

    /// The entry point of a name.
    pub(super) fn entry_point(&self, name: &str) -> Option<&EntryPoint> {
        let mut all = self.entry_points.iter();
        all.find(|it| it.name.eq_ignore_ascii_case(name))
    }
}

impl Provider {
    /// Whether it reads objects of a namespace.
    pub(super) fn reads(&self, namespace: &str) -> bool {
        self.enabled
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|it| it == namespace))
    }
}
