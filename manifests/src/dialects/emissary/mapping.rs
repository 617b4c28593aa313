//! Mappings, checked, and with what the Module `ambassador` gives them.

use proxy_core::config::{Cors, Name, Priority, RetryPolicy};
use proxy_core::origin::OriginId;

use super::breakers::{Balance, Breakers};
use super::edits::{self, Added};
use super::install::Install;
use super::matching::{self, Condition, PathKind};
use super::read::{key, labels, sorted};
use super::resolvers::{self, Resolver, Resolvers};
use super::service::{self, Target, Terms};
use super::tls::Context;
use super::types::{AddedHeaders, Document, MappingDefaults, MappingSpec, ModuleConfig};
use super::version::Version;
use super::{cors, notes, retries};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::model::Labels;
use crate::text::{Node, Span, Spanned, Value, read};

/// One Mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// `name.namespace`.
    pub(super) key: String,
    /// `namespace/name`.
    pub(super) name: String,
    pub(super) namespace: Name,
    pub(super) labels: Labels,
    pub(super) spec: MappingSpec,
    pub(super) prefix: String,
    pub(super) path: PathKind,
    /// A glob, where it is no regular expression.
    pub(super) host: Option<String>,
    pub(super) host_is_regex: bool,
    pub(super) headers: Vec<Condition>,
    pub(super) params: Vec<Condition>,
    pub(super) resolver: Resolver,
    pub(super) target: Target,
    /// How TLS is spoken to the service; none: as `target` says.
    pub(super) origination: Option<Origination>,
    pub(super) breakers: Option<Breakers>,
    /// Its own.
    pub(super) balance: Option<Balance>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) cors: Option<Cors>,
    /// Which limits count.
    pub(super) priority: Option<Priority>,
    pub(super) request_headers: Added,
    pub(super) response_headers: Added,
    pub(super) removed_request_headers: Option<Vec<String>>,
    pub(super) removed_response_headers: Option<Vec<String>>,
    /// Where its prefix is written.
    pub(super) span: Span,
    pub(super) origin: OriginId,
}

/// How TLS is spoken to a service, whatever its scheme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Origination {
    /// Without a certificate.
    Plain,
    /// As a TLSContext says.
    Named(String),
}

/// What Mappings are read by.
pub(super) struct Reader<'a, 'c> {
    pub(super) install: &'a Install,
    pub(super) module: &'a ModuleConfig,
    pub(super) resolvers: &'a Resolvers,
    pub(super) contexts: &'a [Context],
    /// `default of emissary@…`.
    pub(super) defaults: OriginId,
    pub(super) cx: &'a mut Compile<'c>,
}

/// Who a Mapping is.
pub(super) struct Identity {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: Labels,
    pub(super) version: Version,
    pub(super) span: Span,
}

impl Reader<'_, '_> {
    /// Those of the manifests that Emissary takes.
    pub(super) fn all(&mut self) -> Vec<Mapping> {
        let objects = sorted(self.cx.objects, self.install, "Mapping");
        let mut found = Vec::new();
        for object in objects {
            let Some(version) = Version::of(object, self.cx.diagnostics) else {
                continue;
            };
            let document = read::<Document<MappingSpec>>(&object.node, self.cx.diagnostics);
            let Some(document) = document else {
                continue;
            };
            let identity = Identity {
                key: key(object),
                name: format!("{}/{}", object.key.namespace, object.key.name),
                namespace: object.key.namespace.clone(),
                labels: labels(object),
                version,
                span: object.name_span,
            };
            notes::of_mapping(&document.spec, self.cx.diagnostics);
            found.extend(self.mapping(identity, document.spec));
        }
        found
    }

    /// A Mapping; none: Emissary leaves it out, which was reported.
    pub(super) fn mapping(&mut self, identity: Identity, spec: MappingSpec) -> Option<Mapping> {
        let version = identity.version;
        let prefix = self.needed("prefix", spec.prefix.as_ref(), identity.span)?;
        let service = self.needed("service", spec.service.as_ref(), identity.span)?;
        let is = |flag: Option<Spanned<bool>>| flag.is_some_and(|it| it.value);
        let path = match (is(spec.prefix_regex), is(spec.prefix_exact)) {
            (true, _) => PathKind::Regex,
            (false, true) => PathKind::Exact,
            (false, false) => PathKind::Prefix,
        };
        if path == PathKind::Regex {
            matching::check(&prefix, prefix.span, self.cx.diagnostics);
        }
        let (host, host_is_regex, headers) = self.host_and_headers(&spec, version)?;
        let params = matching::conditions(
            &spec.query_parameters,
            &spec.regex_query_parameters,
            version,
            self.cx.diagnostics,
        );
        let module = self.module;
        let own = spec.resolver.as_ref();
        let resolver = resolvers::find(self.resolvers, own, module.resolver.as_ref(), self.cx)?;
        let balance = spec.load_balancer.as_ref();
        if let (Some(written), Resolver::Service) = (balance, resolver) {
            self.cx.diagnostics.push(
                Diagnostic::error(
                    "emissary::load-balancer",
                    "a Mapping whose resolver dials the Service has no `load_balancer`",
                )
                .label(written.span, "Emissary leaves the Mapping out for it")
                .help("add `resolver: endpoint`"),
            );
            return None;
        }
        let balance = match balance {
            Some(written) => Some(Balance::read(written, self.cx.diagnostics)?),
            None => None,
        };
        let origination = self.origination(spec.tls.as_ref(), version)?;
        let is_redirect = is(spec.host_redirect) && !is(spec.shadow);
        let target = if is_redirect {
            redirect_target(&service)
        } else {
            self.target(
                &service,
                &identity.namespace,
                resolver,
                origination.as_ref(),
            )?
        };
        let breakers = spec.circuit_breakers.as_ref();
        let breakers = breakers.or(module.circuit_breakers.as_ref());
        let breakers = breakers.map(|it| Breakers::read(it, self.cx.diagnostics));
        let retry = match &spec.retry_policy {
            Some(written) => Some(retries::policy(written, self.defaults, self.cx)?),
            None => None,
        };
        let cors = spec.cors.as_ref();
        let cors = cors.map(|written| cors::policy(written, version, self.cx));
        let priority = self.priority(spec.priority.as_ref());
        let (mut request_headers, response_headers) = self.added(&spec, version);
        if spec
            .add_linkerd_headers
            .or(module.add_linkerd_headers)
            .is_some_and(|it| it.value)
        {
            let authority = format!("{}:{}", target.host, target.port);
            request_headers.insert("l5d-dst-override".to_owned(), (authority.into(), true));
        }
        let removed_request_headers = self.removed(
            spec.remove_request_headers.as_ref(),
            |defaults| defaults.remove_request_headers.as_ref(),
            version,
        );
        let removed_response_headers = self.removed(
            spec.remove_response_headers.as_ref(),
            |defaults| defaults.remove_response_headers.as_ref(),
            version,
        );
        Some(Mapping {
            key: identity.key,
            name: identity.name,
            namespace: identity.namespace.into(),
            labels: identity.labels,
            prefix: prefix.value,
            path,
            host,
            host_is_regex,
            headers,
            params,
            resolver,
            target,
            origination,
            breakers,
            balance,
            retry,
            cors,
            priority,
            request_headers,
            response_headers,
            removed_request_headers,
            removed_response_headers,
            span: prefix.span,
            origin: self.cx.origins.written(prefix.span),
            spec,
        })
    }

    fn needed(
        &mut self,
        field: &str,
        written: Option<&Spanned<String>>,
        span: Span,
    ) -> Option<Spanned<String>> {
        let found = written.filter(|text| !text.is_empty());
        if found.is_none() {
            self.cx.diagnostics.push(
                Diagnostic::error("emissary::missing", format!("it needs `{field}`"))
                    .label(span, "without it"),
            );
        }
        found.cloned()
    }

    /// The Host that is asked for, and all conditions on headers, this one among them.
    ///
    /// Source: emissary `python/ambassador/src/ambassador/ir/irhttpmapping.py` (`__init__`): of several ways to ask for a Host the last of header,
    /// `host` and `hostname` counts. Old versions have a `hostname`, whether or not it is written: any.
    fn host_and_headers(
        &mut self,
        spec: &MappingSpec,
        version: Version,
    ) -> Option<(Option<String>, bool, Vec<Condition>)> {
        let out = &mut *self.cx.diagnostics;
        let all = matching::conditions(&spec.headers, &spec.regex_headers, version, out);
        let (authority, mut headers): (Vec<Condition>, Vec<Condition>) = all
            .into_iter()
            .partition(|it| !it.is_regex && it.name.eq_ignore_ascii_case(":authority"));
        let written =
            |field: &Option<Spanned<String>>| field.clone().filter(|text| !text.is_empty());
        let is_regex = spec.host_regex.is_some_and(|it| it.value);
        let by_header = authority.last();
        let by_header = by_header.map(|it| Spanned::new(it.value.clone(), it.span));
        let (host, host_is_regex, is_exact) = match version {
            Version::Old => match (written(&spec.host), is_regex) {
                (Some(host), regex) => (Some(host), regex, false),
                (None, _) => (
                    Some(Spanned::new("*".to_owned(), Span::NOWHERE)),
                    false,
                    false,
                ),
            },
            Version::New => match (written(&spec.hostname), written(&spec.host)) {
                (Some(host), _) => (Some(host), false, false),
                (None, Some(host)) => (Some(host), is_regex, !is_regex),
                (None, None) => (by_header.clone(), false, true),
            },
        };
        if let Some(wrong) = host.as_ref().filter(|it| is_exact && it.contains('*')) {
            out.push(
                Diagnostic::error("emissary::host", "a `*` stands in no Host")
                    .label(wrong.span, "compared as it is")
                    .help("`hostname` takes a glob"),
            );
            return None;
        }
        if host_is_regex && let Some(pattern) = &host {
            matching::check(pattern, pattern.span, out);
        }
        if let Some(host) = &host {
            headers.push(Condition {
                name: ":authority".to_owned(),
                value: host.value.clone(),
                is_regex: host_is_regex,
                span: host.span,
            });
        }
        if let Some(method) = written(&spec.method) {
            let is_regex = spec.method_regex.is_some_and(|it| it.value);
            if is_regex {
                matching::check(&method, method.span, out);
            }
            headers.push(Condition {
                name: ":method".to_owned(),
                value: method.value,
                is_regex,
                span: method.span,
            });
        }
        let host = host.filter(|_| !host_is_regex).map(|host| host.value);
        Some((host, host_is_regex, headers))
    }

    pub(super) fn target(
        &mut self,
        service: &Spanned<String>,
        namespace: &str,
        resolver: Resolver,
        origination: Option<&Origination>,
    ) -> Option<Target> {
        let at_home = self.module.use_ambassador_namespace_for_service_resolution;
        let terms = Terms {
            install: self.install,
            namespace,
            resolver,
            at_home: at_home.is_some_and(|it| it.value),
            has_context: origination.is_some(),
        };
        service::target(service, terms, self.cx)
    }

    /// What `tls` says; the outer none: it names a TLSContext that is not there, which is an error.
    pub(super) fn origination(
        &mut self,
        written: Option<&Node>,
        version: Version,
    ) -> Option<Option<Origination>> {
        let Some(node) = written else {
            return Some(None);
        };
        match &node.value {
            Value::String(name) if name.is_empty() => Some(None),
            Value::String(name) => {
                if let Some(context) = self.contexts.iter().find(|it| it.name == *name) {
                    if context.has_certificate {
                        return Some(Some(Origination::Named(name.clone())));
                    }
                    let there = super::span_of(context.origin, self.cx);
                    self.cx.diagnostics.push(
                        Diagnostic::warning(
                            "emissary::bare-context",
                            "Emissary takes a TLSContext without a certificate for none",
                        )
                        .label(node.span, "has no effect: TLS IS SPOKEN ONLY WHERE `https://` STANDS BEFORE THE SERVICE, and asks for no name")
                        .label(there, "has no `secret`")
                        .help("give it a `secret`; its `sni` and `alpn_protocols` count then"),
                    );
                    return Some(None);
                }
                let names = self.contexts.iter().map(|it| it.name.as_str());
                self.cx.diagnostics.push(
                    Diagnostic::error(
                        "emissary::unknown-context",
                        format!("there is no TLSContext `{name}`"),
                    )
                    .label(node.span, "asked for here")
                    .maybe_help(did_you_mean(name, names)),
                );
                None
            }
            Value::Bool(on) => {
                version.only_old(
                    node.span,
                    "`https://` before the service",
                    self.cx.diagnostics,
                );
                Some(on.then_some(Origination::Plain))
            }
            Value::Null | Value::Int(_) | Value::Float(_) | Value::Seq(_) | Value::Map(_) => {
                let found = node.describe();
                let message = format!("expected the name of a TLSContext, found {found}");
                self.cx
                    .diagnostics
                    .push(Diagnostic::error("field::type", message).label(node.span, "this value"));
                None
            }
        }
    }

    fn priority(&mut self, written: Option<&Spanned<String>>) -> Option<Priority> {
        let written = written.filter(|text| !text.is_empty())?;
        match written.value.to_ascii_uppercase().as_str() {
            "DEFAULT" => Some(Priority::Default),
            "HIGH" => Some(Priority::High),
            _ => {
                let message = format!("there is no priority `{written}`");
                self.cx.diagnostics.push(
                    Diagnostic::error("emissary::priority", message)
                        .label(written.span, "this priority")
                        .help("write `DEFAULT` or `HIGH`"),
                );
                None
            }
        }
    }

    /// Headers that are added: its own, or those of the Module's defaults.
    ///
    /// Source: emissary `irresource.py` (`lookup_default`).
    fn added(&mut self, spec: &MappingSpec, version: Version) -> (Added, Added) {
        let out = &mut *self.cx.diagnostics;
        let defaults = self.module.defaults.as_ref();
        let of_class = defaults.and_then(|it| it.httpmapping.as_ref());
        let mut read = |own: &Option<AddedHeaders>,
                        of_class: Option<&AddedHeaders>,
                        of_all: Option<&AddedHeaders>| {
            match (own, of_class.or(of_all)) {
                (Some(own), _) => edits::added(own, version, out),
                // the Module's settings are of no version
                (None, Some(defaults)) => edits::added(defaults, Version::Old, out),
                (None, None) => Added::new(),
            }
        };
        let request = read(
            &spec.add_request_headers,
            of_class.and_then(|it| it.add_request_headers.as_ref()),
            defaults.and_then(|it| it.add_request_headers.as_ref()),
        );
        let response = read(
            &spec.add_response_headers,
            of_class.and_then(|it| it.add_response_headers.as_ref()),
            defaults.and_then(|it| it.add_response_headers.as_ref()),
        );
        (request, response)
    }

    fn removed(
        &mut self,
        own: Option<&Node>,
        of: fn(&MappingDefaults) -> Option<&Node>,
        version: Version,
    ) -> Option<Vec<String>> {
        let defaults = self.module.defaults.as_ref();
        let of_all = defaults.map(|defaults| MappingDefaults {
            remove_request_headers: defaults.remove_request_headers.clone(),
            remove_response_headers: defaults.remove_response_headers.clone(),
            ..MappingDefaults::default()
        });
        let of_class = defaults.and_then(|it| of(it.httpmapping.as_ref()?));
        let default = of_class.or_else(|| of(of_all.as_ref()?));
        match (own, default) {
            (Some(own), _) => Some(edits::removed(own, version, self.cx.diagnostics)),
            (None, Some(node)) => Some(edits::removed(node, Version::Old, self.cx.diagnostics)),
            (None, None) => None,
        }
    }
}

/// A service that clients are redirected to is a host, not a Service.
fn redirect_target(service: &Spanned<String>) -> Target {
    Target {
        text: service.value.clone(),
        host: service.value.clone(),
        port: 80,
        https: false,
        place: service::Place::Nowhere,
    }
}
