//! Services as Mappings name them: `[scheme://]name[.namespace][:port]`.
//!
//! Source: emissary `python/ambassador/src/ambassador/ir/irbasemapping.py` (`normalize_service_name`), `ircluster.py`,
//! `irserviceresolver.py` (`parse_service`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proxy_core::config::{Endpoint, Name};

use super::install::Install;
use super::resolvers::Resolver;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::model::{Destination, Service, ServiceId, ServiceKind};
use crate::text::{Span, Spanned};

/// Where a service is.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Target {
    /// As Emissary calls it: with its namespace, where it is not Emissary's own.
    pub(super) text: String,
    /// Its name without scheme and port.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether `https` is written.
    pub(super) https: bool,
    pub(super) place: Place,
}

/// Whom connections go to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Place {
    /// A Service's own address.
    Address { service: ServiceId, port: u16 },
    /// The pods behind it.
    Pods { service: ServiceId, port: u16 },
    /// Addresses outside.
    Outside(Vec<Endpoint>),
    /// Nobody that is known.
    Nowhere,
}

/// What a service's name is read by.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) install: &'a Install,
    /// Of the Mapping.
    pub(super) namespace: &'a str,
    pub(super) resolver: Resolver,
    /// `use_ambassador_namespace_for_service_resolution`.
    pub(super) at_home: bool,
    /// Whether a TLSContext is named, so that the usual port is 443.
    pub(super) has_context: bool,
}

struct Parts {
    scheme: Option<String>,
    host: String,
    port: Option<u16>,
}

/// The service that is written; none: it is none, which is an error.
pub(super) fn target(
    written: &Spanned<String>,
    terms: Terms<'_>,
    cx: &mut Compile<'_>,
) -> Option<Target> {
    let mut parts = parts(written, cx)?;
    let wants_namespace = match terms.resolver {
        Resolver::Service | Resolver::Endpoints => !terms.at_home,
        Resolver::Consul => false,
    };
    let is_qualified =
        parts.host.contains('.') || parts.host.contains(':') || parts.host == "localhost";
    if wants_namespace && !is_qualified && *terms.install.namespace != *terms.namespace {
        parts.host = format!("{}.{}", parts.host, terms.namespace);
    }
    let https = parts
        .scheme
        .as_deref()
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let usual = if https || (terms.has_context && parts.scheme.is_none()) {
        443
    } else {
        80
    };
    let port = parts.port.unwrap_or(usual);
    let scheme = parts.scheme.map(|scheme| format!("{scheme}://"));
    let mut text = format!("{}{}", scheme.unwrap_or_default(), parts.host);
    if let Some(port) = parts.port {
        text.push_str(&format!(":{port}"));
    }
    let place = place(&parts.host, port, written.span, terms, cx);
    Some(Target {
        text,
        host: parts.host,
        port,
        https,
        place,
    })
}

fn parts(written: &Spanned<String>, cx: &mut Compile<'_>) -> Option<Parts> {
    let mut rest = written.trim();
    let mut scheme = None;
    if let Some((before, after)) = rest.split_once("://") {
        if !before.eq_ignore_ascii_case("http") && !before.eq_ignore_ascii_case("https") {
            let message = format!("`{before}` is no scheme of a service");
            cx.diagnostics.push(
                Diagnostic::error("emissary::service", message)
                    .label(written.span, "this service")
                    .help("write `https://` for TLS, and nothing or `http://` for plaintext"),
            );
            return None;
        }
        scheme = Some(before.to_ascii_lowercase());
        rest = after;
    }
    if let Some(at) = rest.find(['/', '?', '#']) {
        if rest[at..] != *"/" {
            cx.diagnostics.push(
                Diagnostic::warning("emissary::service", "of a service only name and port count")
                    .label(written.span, "has more")
                    .help("a path is put before that of requests by `rewrite`"),
            );
        }
        rest = &rest[..at];
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':')),
        None => match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            Some(_) | None => (rest, None),
        },
    };
    let number = port.map(str::parse::<u16>);
    let is_bad = host.is_empty() || matches!(number, Some(Err(_) | Ok(0)));
    if is_bad {
        cx.diagnostics.push(
            Diagnostic::error("emissary::service", format!("`{written}` is no service"))
                .label(written.span, "this service")
                .help(
                    "write `name`, `name.namespace` or `name.namespace:port`; a port is a number",
                ),
        );
        return None;
    }
    Some(Parts {
        scheme,
        host: host.to_ascii_lowercase(),
        port: number.and_then(Result::ok),
    })
}

fn place(host: &str, port: u16, span: Span, terms: Terms<'_>, cx: &mut Compile<'_>) -> Place {
    let ip = match host {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => host.parse().ok(),
    };
    if let Some(ip) = ip {
        return at_address(SocketAddr::new(ip, port), host, cx);
    }
    match terms.resolver {
        Resolver::Consul => Place::Nowhere,
        Resolver::Endpoints => {
            let (name, namespace) = match host.split_once('.') {
                Some((name, rest)) => (name, rest.split('.').next().unwrap_or(rest)),
                None if terms.at_home => (host, &*terms.install.namespace),
                None => (host, terms.namespace),
            };
            let mut services = cx.services.iter();
            let found = services.find(|it| *it.name == *name && *it.namespace == *namespace);
            match found {
                Some(service) => of_service(service, port, true, span, cx),
                None => unknown(host, namespace, span, cx),
            }
        }
        Resolver::Service => {
            let home = &terms.install.namespace;
            match cx.directory.resolve(cx.services, home, host, port) {
                Some(Destination::Service(address)) => {
                    let service = &cx.services[address.service.index()];
                    of_service(service, port, false, span, cx)
                }
                // a name that stands for the pods themselves
                Some(Destination::Headless { service, .. }) => {
                    let service = &cx.services[service.index()];
                    of_service(service, port, true, span, cx)
                }
                Some(Destination::Outside(all)) => {
                    let all = all.into_iter().map(|address| named(address, host));
                    Place::Outside(all.collect())
                }
                None => {
                    let namespace = host.split('.').nth(1).unwrap_or(home).to_owned();
                    unknown(host, &namespace, span, cx)
                }
            }
        }
    }
}

fn at_address(address: SocketAddr, host: &str, cx: &Compile<'_>) -> Place {
    let of = cx.directory.service_at(address.ip());
    let of = of.filter(|id| cx.services[id.index()].port(address.port()).is_some());
    match of {
        Some(service) => Place::Address {
            service,
            port: address.port(),
        },
        None => Place::Outside(vec![named(address, host)]),
    }
}

fn named(address: SocketAddr, host: &str) -> Endpoint {
    Endpoint {
        hostname: Name::from(host),
        ..Endpoint::at(address)
    }
}

fn of_service(service: &Service, port: u16, pods: bool, span: Span, cx: &mut Compile<'_>) -> Place {
    if let ServiceKind::ExternalName(other) = &service.kind {
        outside(other, span, cx);
        return Place::Nowhere;
    }
    if service.port(port).is_none() {
        let ports: Vec<String> = service
            .ports
            .iter()
            .filter(|it| !it.udp)
            .map(|it| it.number.to_string())
            .collect();
        let message = format!("the Service {} has no port {port}", service.full_name());
        cx.diagnostics.push(
            Diagnostic::error("emissary::unknown-port", message)
                .label(span, "this service")
                .label(service.span, "the Service")
                .help(format!("it has: {}", ports.join(", "))),
        );
        return Place::Nowhere;
    }
    let service = service.id;
    match pods {
        true => Place::Pods { service, port },
        false => Place::Address { service, port },
    }
}

/// A name that no Service has: an error where it can be nothing else.
fn unknown(host: &str, namespace: &str, span: Span, cx: &mut Compile<'_>) -> Place {
    let has_namespace = cx.services.iter().any(|it| *it.namespace == *namespace);
    let is_inside = !host.contains('.')
        || host.contains(".svc.")
        || host.ends_with(".svc")
        || (has_namespace && host.matches('.').count() == 1);
    if !is_inside {
        outside(host, span, cx);
        return Place::Nowhere;
    }
    let name = host.split('.').next().unwrap_or(host);
    let near: Vec<&str> = cx
        .services
        .iter()
        .filter(|it| *it.namespace == *namespace)
        .map(|it| &*it.name)
        .collect();
    let elsewhere = cx.services.iter().find(|it| *it.name == *name);
    let help = match elsewhere {
        Some(service) => Some(format!(
            "the namespace `{}` has one: write `{name}.{}`",
            service.namespace, service.namespace
        )),
        None => did_you_mean(name, near),
    };
    cx.diagnostics.push(
        Diagnostic::error(
            "emissary::unknown-service",
            format!("there is no Service `{name}` in the namespace `{namespace}`"),
        )
        .label(span, "asked for here")
        .maybe_help(help),
    );
    Place::Nowhere
}

fn outside(host: &str, span: Span, cx: &mut Compile<'_>) {
    let meaning = "it has no endpoints: requests for it are answered 503";
    cx.diagnostics.push(
        Diagnostic::not_modelled(
            "emissary::outside",
            format!("`{host}` is outside, and its address is not known"),
            meaning,
        )
        .label(span, "this service"),
    );
}
