//! The controller's servers, locations and upstreams: which Ingress has which path of which host.
//!
//! Source: kubernetes/ingress-nginx 1.15 `internal/ingress/controller/controller.go` (`createUpstreams`, `createServers`, `getBackendServers`,
//! `mergeAlternativeBackends`), `location.go`.

use std::collections::{BTreeMap, BTreeSet};

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::policy::{Controller, DEFAULT_HOST, IngressPolicy, PathPolicy};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::ingress::ServicePortId;
use crate::text::Span;

/// What one controller makes of its Ingresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan<'a> {
    /// By host.
    pub(super) servers: BTreeMap<String, Server<'a>>,
    /// By what they lead to.
    pub(super) upstreams: BTreeMap<ServicePortId, UpstreamPlan<'a>>,
}

/// A server of NGINX.
#[derive(Clone, Debug)]
pub(super) struct Server<'a> {
    /// Its host; [`DEFAULT_HOST`] for those that no other server has.
    pub(super) host: String,
    /// Other hosts.
    pub(super) aliases: BTreeSet<String>,
    /// In the order in which NGINX has them.
    pub(super) locations: Vec<Location<'a>>,
    /// Its certificate; none: requests to it are not redirected to TLS for its sake.
    pub(super) certificate: Option<Certificate>,
    /// TLS passes it by.
    pub(super) passthrough: bool,
    /// Whether the host with, or without, `www.` is redirected to it.
    pub(super) from_www: bool,
    /// The first Ingress that has it.
    pub(super) origin: OriginId,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Certificate {
    /// The controller's own.
    Own,
    /// A Secret.
    Secret(Name),
}

/// A location of NGINX.
#[derive(Clone, Debug)]
pub(super) struct Location<'a> {
    /// As it is written, perhaps with a slash at its end.
    pub(super) path: String,
    /// The whole path; else its start.
    pub(super) exact: bool,
    /// Whose annotations count; none: nobody's.
    pub(super) ingress: Option<&'a IngressPolicy>,
    /// Where it leads; none: 404.
    pub(super) backend: Option<ServicePortId>,
    /// Whether it stands for what no path takes.
    pub(super) is_default: bool,
    /// The path's rule, else the server's.
    pub(super) origin: OriginId,
    span: Span,
}

/// How endpoints of a port of a Service are chosen, and its canary.
#[derive(Clone, Debug)]
pub(super) struct UpstreamPlan<'a> {
    /// The first Ingress that leads to it: its annotations count.
    pub(super) ingress: &'a IngressPolicy,
    /// The first Ingress with affinity.
    pub(super) affinity: Option<&'a IngressPolicy>,
    /// Whether it is a canary's: no location leads to it.
    pub(super) is_canary: bool,
    /// Where some of its requests go in its place.
    pub(super) alternatives: Vec<ServicePortId>,
}

impl<'a> Plan<'a> {
    /// Source: `getBackendServers`.
    pub(super) fn of(controller: &'a Controller, out: &mut Diagnostics) -> Self {
        let mut plan = Self::default();
        plan.make_upstreams(controller);
        plan.make_servers(controller);
        plan.settle_servers(controller);
        for ingress in &controller.ingresses {
            plan.add_paths(ingress, out);
        }
        let has_main = controller.ingresses.iter().any(|it| !it.is_canary());
        let canaries = controller.ingresses.iter().filter(|it| it.is_canary());
        for canary in canaries {
            if has_main {
                plan.merge(canary, out);
            } else {
                lonely(canary, out);
            }
        }
        for server in plan.servers.values_mut() {
            let by_length = |location: &Location<'_>| {
                (
                    std::cmp::Reverse(location.path.len()),
                    std::cmp::Reverse(location.path.clone()),
                )
            };
            server.locations.sort_by_key(by_length);
            server.locations = settled(std::mem::take(&mut server.locations));
        }
        plan
    }

    fn make_upstreams(&mut self, controller: &'a Controller) {
        for ingress in &controller.ingresses {
            if let Some(backend) = ingress.default_backend {
                // the last one to have it for a default counts
                self.upstreams.insert(backend, UpstreamPlan::of(ingress));
            }
            for path in ingress.rules.iter().flat_map(|rule| &rule.paths) {
                self.upstreams
                    .entry(path.backend)
                    .or_insert_with(|| UpstreamPlan::of(ingress));
            }
        }
    }

    fn make_servers(&mut self, controller: &'a Controller) {
        let root = Location {
            path: "/".into(),
            exact: false,
            ingress: None,
            backend: controller.default_backend,
            is_default: true,
            origin: controller.origin,
            span: Span::NOWHERE,
        };
        self.servers.insert(
            DEFAULT_HOST.into(),
            Server {
                certificate: Some(Certificate::Own),
                ..Server::of(DEFAULT_HOST, root, controller.origin)
            },
        );
        for ingress in controller.ingresses.iter().filter(|it| !it.is_canary()) {
            if let Some(backend) = ingress.default_backend
                && ingress.rules.is_empty()
            {
                let server = self.servers.get_mut(DEFAULT_HOST);
                let server = server.expect("it is the first to be made");
                let root = &mut server.locations[0];
                if root.is_default {
                    root.is_default = false;
                    root.backend = Some(backend);
                    root.ingress = Some(ingress);
                    root.origin = ingress.origin;
                    root.span = ingress.span;
                }
            }
            for rule in &ingress.rules {
                let root = Location {
                    path: "/".into(),
                    exact: false,
                    ingress: Some(ingress),
                    backend: ingress.default_backend.or(controller.default_backend),
                    is_default: true,
                    origin: ingress.origin,
                    span: ingress.span,
                };
                self.servers
                    .entry(rule.host.clone())
                    .or_insert_with(|| Server::of(&rule.host, root, ingress.origin));
            }
        }
    }

    /// Aliases, passing by, certificates.
    fn settle_servers(&mut self, controller: &'a Controller) {
        for ingress in controller.ingresses.iter().filter(|it| !it.is_canary()) {
            for rule in &ingress.rules {
                let Some(server) = self.servers.get_mut(&rule.host) else {
                    continue;
                };
                if server.aliases.is_empty()
                    && let Some(aliases) = ingress.notes.text("server-alias")
                {
                    let aliases = aliases.split(',').map(str::trim);
                    let aliases = aliases.filter(|it| !it.is_empty());
                    server.aliases = aliases.map(str::to_ascii_lowercase).collect();
                }
                server.passthrough |= ingress.notes.is_set("ssl-passthrough");
                if server.certificate.is_none() && !ingress.tls.is_empty() {
                    server.certificate = Some(certificate(ingress, &rule.host));
                }
            }
        }
        let hosts: BTreeSet<String> = self.servers.keys().cloned().collect();
        let mut taken = BTreeSet::new();
        for server in self.servers.values_mut() {
            server
                .aliases
                .retain(|alias| !hosts.contains(alias) && taken.insert(alias.clone()));
        }
    }

    fn add_paths(&mut self, ingress: &'a IngressPolicy, out: &mut Diagnostics) {
        for rule in &ingress.rules {
            let known = self.servers.contains_key(&rule.host);
            let host = if known { &*rule.host } else { DEFAULT_HOST };
            let server = self.servers.get_mut(host).expect("one is always there");
            for path in &rule.paths {
                let upstream = self.upstreams.get_mut(&path.backend);
                let upstream = upstream.expect("there is one for each backend");
                if upstream.is_canary {
                    if !ingress.is_canary() {
                        shadowed(path, upstream.ingress, out);
                    }
                    continue;
                }
                server.add(path, ingress, out);
                server.from_www |= ingress.notes.is_set("from-to-www-redirect");
                let has_affinity = ingress.notes.text("affinity").is_some();
                if upstream.affinity.is_none() && has_affinity {
                    upstream.affinity = Some(ingress);
                }
            }
        }
    }

    /// Source: `mergeAlternativeBackends`.
    fn merge(&mut self, canary: &'a IngressPolicy, out: &mut Diagnostics) {
        if let Some(alternative) = canary.default_backend {
            let server = &self.servers[DEFAULT_HOST];
            let mains: Vec<_> = server
                .locations
                .iter()
                .filter_map(|it| it.backend)
                .collect();
            self.merge_into(&mains, alternative, canary, canary.span, out);
        }
        for rule in &canary.rules {
            for path in &rule.paths {
                let locations = self.servers.get(&rule.host);
                let locations = locations.map_or(&[][..], |server| &server.locations);
                let same = |it: &&Location<'_>| it.path == path.path && it.exact == path.exact;
                let mains: Vec<_> = locations
                    .iter()
                    .filter(same)
                    .filter_map(|it| it.backend)
                    .collect();
                self.merge_into(&mains, path.backend, canary, path.span, out);
            }
        }
    }

    fn merge_into(
        &mut self,
        mains: &[ServicePortId],
        alternative: ServicePortId,
        canary: &'a IngressPolicy,
        span: Span,
        out: &mut Diagnostics,
    ) {
        let mut merged = false;
        for main in mains {
            let can =
                *main != alternative && self.upstreams.get(main).is_some_and(|it| !it.is_canary);
            if !can {
                continue;
            }
            let affinity = self.upstreams[main].affinity;
            let sticky = canary
                .notes
                .text("affinity-canary-behavior")
                .is_none_or(|it| **it != "legacy");
            if let Some(upstream) = self.upstreams.get_mut(&alternative)
                && sticky
            {
                upstream.affinity = affinity;
            }
            let main = self.upstreams.get_mut(main).expect("it was just there");
            if !main.alternatives.contains(&alternative) {
                main.alternatives.push(alternative);
                if main.alternatives.len() > 1 {
                    out.push(
                        Diagnostic::warning("nginx::second-canary", "a rule has one canary").label(
                            span,
                            "its main backend has one already: no request comes here",
                        ),
                    );
                }
            }
            merged = true;
        }
        let is_main = self
            .upstreams
            .get(&alternative)
            .is_some_and(|it| !it.is_canary);
        if is_main {
            out.push(
                Diagnostic::warning(
                    "nginx::canary",
                    "the backend of this canary is that of an older Ingress, too",
                )
                .label(span, "no request comes here by the canary"),
            );
        } else if !merged {
            lonely_at(span, out);
        }
    }

    /// The canary of an upstream, with the Ingress that says how many of its requests it has.
    pub(super) fn canary_of(
        &self,
        main: ServicePortId,
    ) -> Option<(ServicePortId, &'a IngressPolicy)> {
        let alternative = *self.upstreams.get(&main)?.alternatives.first()?;
        let upstream = self.upstreams.get(&alternative)?;
        upstream
            .is_canary
            .then_some((alternative, upstream.ingress))
    }

    /// Whether TLS is set up for a host: for itself, or for the wildcard over it.
    ///
    /// Source: `rootfs/etc/nginx/lua/certificate.lua` (`get_pem_cert_uid`).
    pub(super) fn has_certificate(&self, host: &str) -> bool {
        let own = |host: &str| {
            let server = self.servers.get(host);
            server.is_some_and(|it| it.host != DEFAULT_HOST && it.certificate.is_some())
        };
        let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        own(host) || wildcard.is_some_and(|wildcard| own(&wildcard))
    }
}

impl<'a> UpstreamPlan<'a> {
    fn of(ingress: &'a IngressPolicy) -> Self {
        Self {
            ingress,
            affinity: None,
            is_canary: ingress.is_canary(),
            alternatives: Vec::new(),
        }
    }
}

impl<'a> Server<'a> {
    fn of(host: &str, root: Location<'a>, origin: OriginId) -> Self {
        Self {
            host: host.to_owned(),
            aliases: BTreeSet::new(),
            locations: vec![root],
            certificate: None,
            passthrough: false,
            from_www: false,
            origin,
        }
    }

    /// Of two paths that are the same the older stays; one of another type stands beside it.
    fn add(&mut self, path: &PathPolicy, ingress: &'a IngressPolicy, out: &mut Diagnostics) {
        let same = self.locations.iter_mut().find(|it| it.path == path.path);
        let new = Location {
            path: path.path.clone(),
            exact: path.exact,
            ingress: Some(ingress),
            backend: Some(path.backend),
            is_default: false,
            origin: path.origin,
            span: path.span,
        };
        match same.filter(|it| it.exact == path.exact) {
            Some(root) if root.is_default => *root = new,
            Some(older) => out.push(
                Diagnostic::warning(
                    "nginx::same-path",
                    format!("`{}` of {} is there already", path.path, self.host),
                )
                .label(path.span, "no request comes here")
                .label(older.span, "the older one has them")
                .help("of two Ingresses the one that was made first has a path; of those without a `creationTimestamp`, the one written first"),
            ),
            None => self.locations.push(new),
        }
    }

    /// Whether all paths of the server are regular expressions. Source: `enforceRegexModifier`.
    pub(super) fn is_regex(&self) -> bool {
        let mut locations = self.locations.iter();
        locations.any(|it| it.rewrites() || it.uses_regex())
    }
}

impl Location<'_> {
    /// The new path, where there is one.
    pub(super) fn target(&self) -> Option<&str> {
        let target = self.ingress?.notes.text("rewrite-target")?;
        (**target != self.path).then_some(target.value.as_str())
    }

    /// Where its path is written.
    pub(super) const fn span(&self) -> Span {
        self.span
    }

    fn rewrites(&self) -> bool {
        self.target().is_some()
    }

    fn uses_regex(&self) -> bool {
        self.ingress.is_some_and(|it| it.notes.is_set("use-regex"))
    }
}

/// The locations of a path by segments: itself, and everything below it; those that are rewritten, and regular expressions, stay as they are.
///
/// Source: `updateServerLocations`.
fn settled(locations: Vec<Location<'_>>) -> Vec<Location<'_>> {
    let exact: BTreeSet<String> = locations
        .iter()
        .filter(|it| it.exact)
        .map(|it| it.path.clone())
        .collect();
    let mut out = Vec::new();
    for mut location in locations {
        let stays =
            location.path == "/" || location.exact || location.rewrites() || location.uses_regex();
        if stays {
            out.push(location);
            continue;
        }
        let whole = Location {
            exact: true,
            ..location.clone()
        };
        if !location.path.ends_with('/') {
            location.path.push('/');
        }
        out.push(location);
        if !exact.contains(&whole.path) {
            out.push(whole);
        }
    }
    out
}

/// The certificate of a host: that of its entry; a host without an entry has the controller's own, as long as there is any entry.
///
/// Source: `createServers`, `extractTLSSecretName`. Departs: whether a Secret's certificate has the host is not looked at.
fn certificate(ingress: &IngressPolicy, host: &str) -> Certificate {
    let named = ingress
        .tls
        .iter()
        .find(|tls| tls.hosts.iter().any(|it| it == host));
    let secret = named.and_then(|tls| tls.secret.clone());
    secret.map_or(Certificate::Own, Certificate::Secret)
}

fn lonely(canary: &IngressPolicy, out: &mut Diagnostics) {
    lonely_at(canary.span, out);
}

fn lonely_at(span: Span, out: &mut Diagnostics) {
    out.push(
        Diagnostic::warning("nginx::lonely-canary", "this canary has no main Ingress")
            .label(span, "no request comes here")
            .help("one with the same host, path and path type has to be there"),
    );
}

fn shadowed(path: &PathPolicy, canary: &IngressPolicy, out: &mut Diagnostics) {
    out.push(
        Diagnostic::warning(
            "nginx::canary",
            format!(
                "the backend of this path is that of the older canary {}",
                canary.full_name()
            ),
        )
        .label(path.span, "ingress-nginx does not serve this path")
        .label(canary.span, "the canary"),
    );
}
