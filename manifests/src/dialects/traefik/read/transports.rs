//! ServersTransports: how servers are connected to.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes.go` (`loadConfigurationFromCRD`), `pkg/server/service/transport.go`.

use proxy_core::config::Name;
use proxy_core::time::Duration;

use super::{Reader, time};
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::names;
use crate::dialects::traefik::policy::Connect;
use crate::dialects::traefik::types::transports::{
    ForwardingTimeouts, RootCa, ServersTransport, ServersTransportTcp,
};
use crate::dialects::traefik::types::{Reference, Whole};
use crate::text::{Spanned, read};

impl Reader<'_, '_> {
    /// How the servers of a Service are connected to; `from` is the Service's namespace.
    pub(super) fn transport(
        &mut self,
        reference: Option<&Spanned<String>>,
        from: &str,
    ) -> Option<Connect> {
        let general = self.install.transport;
        let mut connect = Connect {
            dial_timeout: general.dial_timeout,
            response_header_timeout: general.response_header_timeout,
            idle_timeout: general.idle_timeout,
            server_name: None,
            certificates: Vec::new(),
            authorities: Vec::new(),
            skips_verification: false,
        };
        let Some(reference) = reference.filter(|it| !it.is_empty()) else {
            return Some(connect);
        };
        let named = Reference {
            name: reference.clone(),
            namespace: None,
        };
        let provider = self.provider();
        let object = names::resolve(&named, "ServersTransport", from, &provider, self.cx)?;
        let spec = read::<Whole<ServersTransport>>(&object.node, self.cx.diagnostics)?.spec;
        let namespace = object.key.namespace.clone();
        // one that is written starts from its own defaults, not from the general ones
        let release = self.release;
        let default = self.cx.default_of(release);
        let of = |secs| proxy_core::origin::Sourced::new(Duration::from_secs(secs), default);
        connect.dial_timeout = of(30);
        connect.response_header_timeout = None;
        connect.idle_timeout = of(90);
        if let Some(timeouts) = &spec.forwarding_timeouts {
            self.timeouts(timeouts, &mut connect)?;
        }
        connect.server_name = spec.server_name.as_ref().map(|name| name.value.clone());
        connect.skips_verification = spec.insecure_skip_verify.is_some_and(|it| it.value);
        let secrets = spec.certificates_secrets.iter();
        connect.certificates = secrets.map(|name| full(&namespace, name)).collect();
        connect.authorities = self.authorities(&spec.root_cas, &spec.root_cas_secrets, &namespace);
        if let Some(idle) = spec.max_idle_conns_per_host {
            let meaning = match idle.value {
                ..0 => "connections are used again",
                0.. => "idle connections are kept until their time is over, however many",
            };
            self.not_modelled("maxIdleConnsPerHost", meaning, idle.span);
        } else {
            let message = format!(
                "{} keeps two idle connections to a server in Traefik, since it says nothing of them",
                object.key
            );
            let meaning = "idle connections are kept until their time is over, however many";
            self.cx.diagnostics.push(
                Diagnostic::not_modelled("traefik::idle-connections", message, meaning)
                    .label(object.name_span, "")
                    .help("write `maxIdleConnsPerHost`: 0 is Go's default of 2, where a Traefik without a ServersTransport keeps 200"),
            );
        }
        let others = [
            (spec.cipher_suites, "its ciphers are the usual ones"),
            (spec.min_version, "its versions of TLS are the usual ones"),
            (spec.max_version, "its versions of TLS are the usual ones"),
            (spec.spiffe, "servers have no identities of SPIFFE"),
        ];
        for (field, meaning) in others {
            if let Some(field) = field {
                self.not_modelled("this setting of TLS", meaning, field.span);
            }
        }
        if let Some(uri) = &spec.peer_cert_uri {
            self.not_modelled(
                "peerCertURI",
                "a server's certificate needs no URI",
                uri.span,
            );
        }
        Some(connect)
    }

    fn timeouts(&mut self, timeouts: &ForwardingTimeouts, connect: &mut Connect) -> Option<()> {
        let out = &mut *self.cx.diagnostics;
        if let Some(dial) = &timeouts.dial_timeout {
            let found = time(dial, out)?;
            connect.dial_timeout = self.cx.origins.sourced(found);
            if connect.dial_timeout.value == Duration::ZERO {
                connect.dial_timeout.value = Duration::MAX;
            }
        }
        if let Some(header) = &timeouts.response_header_timeout {
            let found = time(header, self.cx.diagnostics)?;
            let found = Some(found).filter(|it| it.value > Duration::ZERO);
            connect.response_header_timeout = found.map(|it| self.cx.origins.sourced(it));
        }
        if let Some(idle) = &timeouts.idle_conn_timeout {
            let found = time(idle, self.cx.diagnostics)?;
            connect.idle_timeout = self.cx.origins.sourced(found);
        }
        for field in [timeouts.read_idle_timeout, timeouts.ping_timeout]
            .into_iter()
            .flatten()
        {
            let meaning = "silent connections of HTTP/2 are not asked whether they are alive";
            self.not_modelled("this timeout", meaning, field.span);
        }
        Some(())
    }

    fn authorities(
        &mut self,
        all: &[RootCa],
        secrets: &[Spanned<String>],
        namespace: &str,
    ) -> Vec<(Name, bool)> {
        let mut found = Vec::new();
        for root in all {
            match (&root.secret, &root.config_map) {
                (Some(secret), None) => found.push((full(namespace, secret), false)),
                (None, Some(map)) => found.push((full(namespace, map), true)),
                (Some(_), Some(map)) => {
                    let message = "an authority is in a Secret or in a ConfigMap, not in both";
                    self.error("traefik::root-ca", message, map.span, "one too many");
                }
                (None, None) => {}
            }
        }
        found.extend(
            secrets
                .iter()
                .map(|secret| (full(namespace, secret), false)),
        );
        found
    }

    /// What a ServersTransportTCP says of connecting: the preface, and the time that it may take.
    pub(super) fn tcp_transport(
        &mut self,
        reference: Option<&Spanned<String>>,
        from: &str,
    ) -> Option<(Option<u8>, proxy_core::origin::Sourced<Duration>)> {
        let release = self.release;
        let default = self.cx.default_of(release);
        let mut dial = proxy_core::origin::Sourced::new(Duration::from_secs(30), default);
        let Some(reference) = reference.filter(|it| !it.is_empty()) else {
            return Some((None, dial));
        };
        let named = Reference {
            name: reference.clone(),
            namespace: None,
        };
        let provider = self.provider();
        let object = names::resolve(&named, "ServersTransportTCP", from, &provider, self.cx)?;
        let spec = read::<Whole<ServersTransportTcp>>(&object.node, self.cx.diagnostics)?.spec;
        if let Some(written) = &spec.dial_timeout {
            let found = time(written, self.cx.diagnostics)?;
            dial = self.cx.origins.sourced(found);
        }
        for field in [spec.dial_keep_alive, spec.termination_delay]
            .into_iter()
            .flatten()
        {
            let meaning = "connections are carried until both sides have ended";
            self.not_modelled("this setting of connections", meaning, field.span);
        }
        if let Some(tls) = &spec.tls {
            let span = tls
                .server_name
                .as_ref()
                .map_or(object.name_span, |it| it.span);
            self.not_modelled(
                "tls of a ServersTransportTCP",
                "TLS to servers is as without it",
                span,
            );
        }
        let preface = spec.proxy_protocol.as_ref();
        let preface = preface.and_then(|it| self.preface(it));
        Some((preface, dial))
    }

    /// The version of the PROXY protocol.
    pub(super) fn preface(
        &mut self,
        written: &Spanned<crate::dialects::traefik::types::routes::ProxyProtocol>,
    ) -> Option<u8> {
        match written.version.map_or(2, |version| version.value) {
            1 => Some(1),
            0 | 2 => Some(2),
            other => {
                let message = format!("the PROXY protocol has no version {other}");
                self.error("traefik::proxy-protocol", &message, written.span, "");
                None
            }
        }
    }
}

/// `namespace/name`.
pub(super) fn full(namespace: &str, name: &str) -> Name {
    format!("{namespace}/{name}").into()
}
