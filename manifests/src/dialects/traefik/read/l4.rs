//! IngressRouteTCPs and IngressRouteUDPs to routers.
//!
//! Source: traefik `pkg/provider/kubernetes/crd/kubernetes_{tcp,udp}.go`, `pkg/server/router/tcp/manager.go`.

use super::routes::CLASS;
use super::{Reader, is_served, scalar};
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::names;
use crate::dialects::traefik::policy::{Place, TcpRouter, TcpServers, TcpTls, UdpRouter};
use crate::dialects::traefik::rules::{self, HostPattern, TcpMatcher};
use crate::dialects::traefik::types::middlewares::MiddlewareTcp;
use crate::dialects::traefik::types::routes::{
    IngressRouteTcp, IngressRouteUdp, RouteTcp, ServiceTcp, ServiceUdp,
};
use crate::dialects::traefik::types::{Reference, Scalar, Whole};
use crate::load::Object;
use crate::text::{Spanned, read};

impl Reader<'_, '_> {
    pub(super) fn l4(&mut self) {
        if !self.install.crd.enabled {
            return;
        }
        for object in names::all(self.cx.objects, "IngressRouteTCP") {
            let spec = read::<Whole<IngressRouteTcp>>(&object.node, self.cx.diagnostics);
            let Some(Whole { spec, .. }) = spec else {
                continue;
            };
            if self.serves(object, spec.ingress_class_name.as_ref()) {
                self.ingress_route_tcp(object, &spec);
            }
        }
        for object in names::all(self.cx.objects, "IngressRouteUDP") {
            let spec = read::<Whole<IngressRouteUdp>>(&object.node, self.cx.diagnostics);
            let Some(Whole { spec, .. }) = spec else {
                continue;
            };
            if self.serves(object, spec.ingress_class_name.as_ref()) {
                self.ingress_route_udp(object, &spec);
            }
        }
    }

    fn serves(&self, object: &Object, class: Option<&Spanned<String>>) -> bool {
        let class = class.map(|it| it.value.as_str());
        let class = class.or_else(|| object.annotation(CLASS).map(|it| it.value));
        is_served(class, &self.reads) && self.reads.reads(&object.key.namespace)
    }

    fn ingress_route_tcp(&mut self, object: &Object, spec: &IngressRouteTcp) {
        let from = object.key.namespace.as_str();
        let Some(entry_points) = self.entry_points(&spec.entry_points, false) else {
            return;
        };
        let tls = match &spec.tls {
            None => TcpTls::None,
            Some(tls) => {
                let parts = (tls.options.as_ref(), tls.store.as_ref());
                let passes = tls.passthrough.is_some_and(|it| it.value);
                let secret = tls.secret_name.as_ref().filter(|_| !passes);
                if self.tls_of(secret, parts, from).is_none() {
                    return;
                }
                if passes { TcpTls::Passes } else { TcpTls::Ends }
            }
        };
        for route in &spec.routes {
            let router = self.tcp_route(route, tls, &entry_points, from);
            self.policies.tcp.extend(router);
        }
    }

    fn tcp_route(
        &mut self,
        route: &RouteTcp,
        tls: TcpTls,
        entry_points: &[String],
        from: &str,
    ) -> Option<TcpRouter> {
        let rule = &route.r#match;
        let syntax = self.syntax(route.syntax.as_ref());
        let alternatives = match rules::tcp(rule, syntax) {
            Ok(alternatives) => alternatives,
            Err(error) => {
                self.report_rule(rule, error);
                return None;
            }
        };
        let named = alternatives.iter().flatten().any(|it| match &it.matcher {
            TcpMatcher::HostSni(host) => *host != HostPattern::Any,
            TcpMatcher::HostSniRegexp(_) | TcpMatcher::ClientIp(_) | TcpMatcher::Alpn(_) => false,
        });
        if named && tls == TcpTls::None {
            self.cx.diagnostics.push(
                Diagnostic::error("traefik::sni", "without TLS a connection names no server")
                    .label(rule.span, "the router is left out")
                    .help("write HostSNI(`*`), or give the IngressRouteTCP its `tls`"),
            );
            return None;
        }
        self.tcp_middlewares(&route.middlewares, from)?;
        let mut servers = Vec::new();
        for service in &route.services {
            // Source: a service that cannot be made is left out of the others
            if let Some(made) = self.tcp_servers(service, from) {
                servers.push((made, service.weight.map_or(1, |weight| weight.value)));
            }
        }
        if servers.is_empty() {
            let message = "a TCP router leads to services";
            self.error("traefik::router", message, rule.span, "it is left out");
            return None;
        }
        // everybody's router comes last
        let catch_all = matches!(&alternatives[..], [only] if matches!(&only[..], [one]
            if !one.negated && one.matcher == TcpMatcher::HostSni(HostPattern::Any)));
        let length = if catch_all { -1 } else { rule.len() as i64 };
        Some(TcpRouter {
            alternatives,
            priority: self.priority(route.priority.as_ref(), length)?,
            entry_points: entry_points.to_vec(),
            tls,
            servers,
            origin: self.cx.origins.written(rule.span),
        })
    }

    fn tcp_middlewares(&mut self, references: &[Reference], from: &str) -> Option<()> {
        for reference in references {
            let provider = self.provider();
            let object = names::resolve(reference, "MiddlewareTCP", from, &provider, self.cx)?;
            let spec = read::<Whole<MiddlewareTcp>>(&object.node, self.cx.diagnostics)?.spec;
            if let Some(most) = &spec.in_flight_conn {
                let meaning = "a client may have any number of connections";
                self.not_modelled("inFlightConn", meaning, most.span);
            }
            let list = spec.ip_allow_list.as_ref().or(spec.ip_white_list.as_ref());
            if let Some(list) = list {
                let blocks = list.source_range.iter();
                for range in blocks {
                    if crate::dialects::traefik::blocks::parse(range).is_none() {
                        let message =
                            format!("`{range}` is neither an address nor a block of them");
                        self.error(
                            "traefik::middleware",
                            &message,
                            range.span,
                            "the router is left out",
                        );
                        return None;
                    }
                }
                let meaning = "EVERY CLIENT'S CONNECTIONS PASS, whatever its address";
                self.not_modelled("ipAllowList of TCP", meaning, list.span);
            }
        }
        Some(())
    }

    fn tcp_servers(&mut self, service: &Spanned<ServiceTcp>, from: &str) -> Option<TcpServers> {
        let namespace = service.namespace.as_ref();
        let found = self.find_port(&service.name, namespace, Some(&service.port), from)?;
        let span = service.name.span;
        let at = self.place(
            found,
            service.native_lb.as_ref(),
            service.node_port_lb.as_ref(),
            span,
        )?;
        let (mut preface, dial_timeout) =
            self.tcp_transport(service.servers_transport.as_ref(), from)?;
        if let Some(written) = &service.proxy_protocol {
            preface = self.preface(written);
        }
        if let Some(delay) = service.termination_delay {
            let meaning = "connections are carried until both sides have ended";
            self.not_modelled("terminationDelay", meaning, delay.span);
        }
        Some(TcpServers {
            at,
            tls: service.tls.is_some_and(|it| it.value),
            preface,
            dial_timeout,
            origin: self.cx.origins.written(service.name.span),
        })
    }

    fn ingress_route_udp(&mut self, object: &Object, spec: &IngressRouteUdp) {
        let from = object.key.namespace.as_str();
        let Some(entry_points) = self.entry_points(&spec.entry_points, true) else {
            return;
        };
        let mut routes = spec.routes.iter();
        if let Some(route) = routes.next() {
            let mut servers = Vec::new();
            for service in &route.services {
                if let Some(made) = self.udp_servers(service, from) {
                    servers.push((made, service.weight.map_or(1, |weight| weight.value)));
                }
            }
            if !servers.is_empty() {
                self.policies.udp.push(UdpRouter {
                    entry_points,
                    servers,
                    origin: self.cx.origins.written(object.name_span),
                });
            }
        }
        for route in routes {
            let span = route
                .services
                .first()
                .map_or(object.name_span, |it| it.span);
            self.cx.diagnostics.push(
                Diagnostic::warning(
                    "traefik::udp-routes",
                    "nothing tells the routes of datagrams apart: one of them has all",
                )
                .label(span, "it gets nothing here"),
            );
        }
    }

    fn udp_servers(&mut self, service: &Spanned<ServiceUdp>, from: &str) -> Option<TcpServers> {
        let port: &Scalar = &service.port;
        let text = scalar(port, "a port", self.cx.diagnostics)?;
        let namespace = service
            .namespace
            .as_ref()
            .map_or(from, |it| it.value.as_str());
        if namespace != from && !self.reads.cross_namespace {
            names::report_foreign(service.name.span, "Service", from, self.cx);
            return None;
        }
        let services = self.cx.services;
        let found = services
            .iter()
            .find(|it| *it.namespace == *namespace && *it.name == *service.name.value);
        let Some(found) = found else {
            let message = format!("no Service `{}` in namespace `{namespace}`", service.name);
            self.error(
                "traefik::unknown-service",
                &message,
                service.name.span,
                "asked for here",
            );
            return None;
        };
        if let Some(native) = service.native_lb.filter(|it| it.value) {
            self.not_modelled(
                "nativeLB of datagrams",
                "pods are sent to themselves",
                native.span,
            );
        }
        if let Some(nodes) = service.node_port_lb.filter(|it| it.value) {
            self.not_modelled("nodePortLB", "pods are sent to themselves", nodes.span);
        }
        let found = self.port_of(found, &text, true)?;
        let release = self.release;
        let default = self.cx.default_of(release);
        Some(TcpServers {
            at: Place::Pods(found.service.id, found.port.number),
            tls: false,
            preface: None,
            dial_timeout: proxy_core::origin::Sourced::new(
                proxy_core::time::Duration::ZERO,
                default,
            ),
            origin: self.cx.origins.written(service.name.span),
        })
    }
}
