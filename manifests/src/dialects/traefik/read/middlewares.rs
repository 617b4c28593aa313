//! Middlewares to what they do.
//!
//! Source: traefik `pkg/server/middleware/middlewares.go`, `pkg/middlewares/…`. One that cannot be made unmakes every router that has it.

use super::replacement::template;
use super::{MOST_PARTS, Reader, scalar};
use crate::diagnostics::Diagnostic;
use crate::dialects::traefik::names;
use crate::dialects::traefik::policy::{Step, StepKind};
use crate::dialects::traefik::rules::Pattern;
use crate::dialects::traefik::types::middlewares::{
    IpAllowList, Middleware, RedirectRegex, RedirectScheme,
};
use crate::dialects::traefik::types::{Reference, Whole};
use crate::load::Object;
use crate::text::{Span, Spanned, read};

/// Chains that lead to each other may not be nested deeper.
const MAX_DEPTH: usize = 16;

/// What a middleware of a kind comes to.
type Made = Option<Vec<StepKind>>;

impl Reader<'_, '_> {
    /// The middlewares of a router; none: one of them unmakes it.
    pub(super) fn steps(&mut self, references: &[Reference], from: &str) -> Option<Vec<Step>> {
        self.parts_left = MOST_PARTS;
        let each: Vec<Option<Vec<Step>>> = references
            .iter()
            .map(|reference| {
                let provider = self.provider();
                let object = names::resolve(reference, "Middleware", from, &provider, self.cx)?;
                self.middleware(object, reference.name.span, 0)
            })
            .collect();
        each.into_iter()
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat())
    }

    /// The middlewares that are named with their provider, as annotations and entry points name them.
    pub(super) fn qualified_steps(
        &mut self,
        written: &[Spanned<String>],
        from: &str,
    ) -> Option<Vec<Step>> {
        self.parts_left = MOST_PARTS;
        let each: Vec<Option<Vec<Step>>> = written
            .iter()
            .map(|name| {
                if !name.contains('@') {
                    self.cx.diagnostics.push(
                        Diagnostic::error(
                            "traefik::unknown-middleware",
                            format!("`{name}` names no middleware"),
                        )
                        .label(name.span, "without it the router is left out, and its requests are 404")
                        .help(format!("write `{from}-{name}@kubernetescrd`: its namespace, its name and its provider")),
                    );
                    return None;
                }
                let provider = self.provider();
                let object =
                    names::resolve_qualified(name, "Middleware", from, &provider, self.cx)?;
                self.middleware(object, name.span, 0)
            })
            .collect();
        each.into_iter()
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat())
    }

    fn middleware(&mut self, object: &Object, asked: Span, depth: usize) -> Option<Vec<Step>> {
        self.part(asked)?;
        let name = super::transports::full(&object.key.namespace, &object.key.name);
        if depth >= MAX_DEPTH {
            let message = format!("chains lead to each other in a circle: {}", object.key);
            self.error("traefik::circle", &message, asked, "round again from here");
            return None;
        }
        self.used.insert(object.key.clone());
        let spec = read::<Whole<Middleware>>(&object.node, self.cx.diagnostics)?.spec;
        let kinds = kinds(&spec);
        let (kind, span) = match kinds[..] {
            [only] => only,
            [] => {
                let message = format!("{} is of no kind", object.key);
                self.error(
                    "traefik::middleware-kinds",
                    &message,
                    object.name_span,
                    "it does nothing, and unmakes its routers",
                );
                return None;
            }
            [(_, first), (_, second), ..] => {
                self.cx.diagnostics.push(
                    Diagnostic::error("traefik::middleware-kinds", "a Middleware is of one kind")
                        .label(
                            second,
                            "one too many: Traefik leaves out the routers that have it",
                        )
                        .label(first, "the first"),
                );
                return None;
            }
        };
        if let Some(chain) = &spec.chain {
            let mut all = Vec::new();
            for reference in &chain.middlewares {
                let provider = self.provider();
                let from = &object.key.namespace;
                let inner = names::resolve(reference, "Middleware", from, &provider, self.cx)?;
                all.extend(self.middleware(inner, reference.name.span, depth + 1)?);
            }
            return Some(all);
        }
        let made = self.make(&spec, kind, span)?;
        let origin = self.cx.origins.written(span);
        let steps = made.into_iter().map(|kind| Step {
            name: name.clone(),
            kind,
            origin,
        });
        Some(steps.collect())
    }

    fn make(&mut self, spec: &Middleware, kind: &str, span: Span) -> Made {
        if let Some(it) = &spec.add_prefix {
            let prefix = it.prefix.as_ref().filter(|prefix| !prefix.is_empty());
            let Some(prefix) = prefix else {
                return self.refuse("addPrefix needs a `prefix`", span);
            };
            return one(StepKind::AddPrefix(prefix.value.clone()));
        }
        if let Some(it) = &spec.strip_prefix {
            if let Some(force) = it.force_slash {
                self.not_modelled(
                    "forceSlash",
                    "a stripped path begins with one slash, as without it",
                    force.span,
                );
            }
            let prefixes = it.prefixes.iter().map(|prefix| prefix.trim().to_owned());
            return one(StepKind::StripPrefix(prefixes.collect()));
        }
        if let Some(it) = &spec.strip_prefix_regex {
            let meaning = "servers are not told what was taken off the path (`X-Forwarded-Prefix`)";
            self.not_modelled("the header of a stripPrefixRegex", meaning, it.span);
            let each = it.regex.iter().map(|regex| self.pattern(regex));
            return one(StepKind::StripPattern(each.collect::<Option<_>>()?));
        }
        let replaced = spec.replace_path.as_ref().map(|it| it.span);
        let by_pattern = spec.replace_path_regex.as_ref().map(|it| it.span);
        if let Some(span) = replaced.or(by_pattern) {
            let meaning = "servers are not told the path that was asked for (`X-Replaced-Path`)";
            self.not_modelled("the header of a replaced path", meaning, span);
        }
        if let Some(it) = &spec.replace_path {
            let path = it.path.as_ref().map_or("", |path| path.value.as_str());
            return one(StepKind::ReplacePath(path.to_owned()));
        }
        if let Some(it) = &spec.replace_path_regex {
            let empty = Spanned::new(String::new(), it.span);
            let pattern = self.pattern(it.regex.as_ref().unwrap_or(&empty))?;
            let to = it.replacement.as_ref().map_or("", |to| to.trim());
            let to = template(to, &pattern);
            return one(StepKind::ReplacePattern(pattern, to));
        }
        if let Some(it) = &spec.redirect_scheme {
            return self.redirect_scheme(it, span);
        }
        if let Some(it) = &spec.redirect_regex {
            return self.redirect_regex(it, span);
        }
        if let Some(it) = &spec.headers {
            return self.headers(it);
        }
        if let Some(it) = spec.ip_allow_list.as_ref().or(spec.ip_white_list.as_ref()) {
            return self.allow_list(it);
        }
        if let Some(it) = &spec.rate_limit {
            return self.rate_limit(it);
        }
        if let Some(it) = &spec.in_flight_req {
            return self.in_flight(it);
        }
        if let Some(it) = &spec.circuit_breaker {
            return self.breaker(it);
        }
        if let Some(it) = &spec.retry {
            return self.retry(it);
        }
        if let Some(it) = &spec.buffering {
            return self.buffering(it);
        }
        self.pass(spec, kind, span)
    }

    /// What has no say in where requests go here, and what is let through that Traefik might refuse.
    fn pass(&mut self, spec: &Middleware, kind: &str, span: Span) -> Made {
        let open = "EVERY REQUEST PASSES, whoever sends it: the routes that have it are open here";
        let meaning = match kind {
            "basicAuth" | "digestAuth" => {
                let node = spec.basic_auth.as_ref().or(spec.digest_auth.as_ref());
                let secret = node.and_then(|it| it.value.get("secret")?.as_str());
                if secret.is_none_or(str::is_empty) {
                    return self.refuse("it needs a `secret` with its users", span);
                }
                open
            }
            "forwardAuth" => {
                let address = spec.forward_auth.as_ref();
                let address = address.and_then(|it| it.value.get("address")?.as_str());
                if address.is_none_or(str::is_empty) {
                    return self.refuse("it needs the `address` of who decides", span);
                }
                "EVERY REQUEST PASSES, whoever sends it: the routes that have it are open here, where Traefik would refuse all with 500 \
                 while the service does not answer"
            }
            "plugin" => "requests and answers pass as they are, whatever it would do to them",
            "encodedCharacters" => "paths pass whatever they escape",
            "errors" => {
                if let Some(it) = &spec.errors {
                    for status in &it.status {
                        if crate::dialects::traefik::blocks::statuses(status).is_none() {
                            let message = format!("`{status}` is no status and no range of them");
                            return self.refuse(&message, status.span);
                        }
                    }
                }
                "failing answers keep their status and body, and the service for them is not asked"
            }
            "compress" => "answers have the size that their servers give them",
            "passTLSClientCert" => "servers are told nothing of clients' certificates",
            "contentType" => "answers keep the content type that they have, or none",
            _ => "calls of browsers pass as they are",
        };
        self.not_modelled(kind, meaning, span);
        Some(Vec::new())
    }

    fn redirect_scheme(&mut self, it: &Spanned<RedirectScheme>, span: Span) -> Made {
        let scheme = it.scheme.as_ref().filter(|scheme| !scheme.is_empty());
        let Some(scheme) = scheme else {
            return self.refuse("redirectScheme needs a `scheme`", span);
        };
        let port = match &it.port {
            None => None,
            Some(port) => {
                let text = scalar(port, "a port", self.cx.diagnostics)?;
                match text.parse::<u16>() {
                    Ok(port) => Some(port),
                    Err(_) if text.is_empty() => None,
                    Err(_) => return self.refuse(&format!("`{text}` is no port"), text.span),
                }
            }
        };
        let own = match scheme.value.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            other => {
                let message = format!("no client follows a redirect to `{other}://`");
                return self.refuse(&message, scheme.span);
            }
        };
        one(StepKind::RedirectScheme {
            scheme: scheme.value.clone(),
            port: port.filter(|port| Some(*port) != own),
            permanent: it.permanent.is_some_and(|it| it.value),
        })
    }

    fn redirect_regex(&mut self, it: &Spanned<RedirectRegex>, span: Span) -> Made {
        let Some(regex) = &it.regex else {
            return self.refuse("redirectRegex needs a `regex`", span);
        };
        let pattern = self.pattern(regex)?;
        let to = it.replacement.as_ref().map_or("", |to| to.value.as_str());
        let to = template(to, &pattern);
        one(StepKind::RedirectPattern {
            pattern,
            to,
            permanent: it.permanent.is_some_and(|it| it.value),
        })
    }

    fn allow_list(&mut self, it: &Spanned<IpAllowList>) -> Made {
        if it.source_range.is_empty() {
            return self.refuse("an ipAllowList needs a `sourceRange`", it.span);
        }
        let mut blocks = Vec::new();
        for range in &it.source_range {
            let Some(block) = crate::dialects::traefik::blocks::parse(range) else {
                let message = format!("`{range}` is neither an address nor a block of them");
                return self.refuse(&message, range.span);
            };
            blocks.push(block);
        }
        if let Some(strategy) = &it.ip_strategy
            && (strategy.depth.is_some_and(|depth| depth.value > 0)
                || !strategy.excluded_ips.is_empty())
        {
            let meaning = "clients are known by their connection, not by `X-Forwarded-For`";
            self.not_modelled("ipStrategy of an ipAllowList", meaning, strategy.span);
        }
        let status = it
            .reject_status_code
            .map_or(403, |status| match status.value {
                0 => 403,
                status => status,
            });
        if !(100..600).contains(&status) {
            return self.refuse(&format!("there is no status {status}"), it.span);
        }
        one(StepKind::Allow(blocks, status))
    }

    pub(super) fn pattern(&mut self, regex: &Spanned<String>) -> Option<Pattern> {
        match Pattern::new(regex.trim()) {
            Ok(pattern) => {
                if pattern.regex().captures_len() > 10 {
                    let meaning = "groups after the ninth stand for nothing in a replacement";
                    self.not_modelled("a pattern of ten groups", meaning, regex.span);
                }
                Some(pattern)
            }
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                let message = format!("no regular expression of Go's: {last}");
                self.refuse(&message, regex.span);
                None
            }
        }
    }

    /// Why a middleware cannot be made.
    pub(super) fn refuse(&mut self, message: &str, span: Span) -> Made {
        let label = "Traefik leaves out the routers that have it, and their requests are 404";
        self.error("traefik::middleware", message, span, label);
        None
    }

    /// Middlewares that no router has.
    pub(super) fn unused(&mut self) {
        for object in names::all(self.cx.objects, "Middleware") {
            if self.used.contains(&object.key) {
                continue;
            }
            // what is wrong with it is told all the same
            let steps = self.middleware(object, object.name_span, 0);
            let done = if steps.is_some() {
                "does nothing"
            } else {
                "does nothing, and cannot"
            };
            self.cx.diagnostics.push(
                Diagnostic::listed(
                    "traefik::unused",
                    format!("{} {done}: no router has it", object.key),
                )
                .label(object.name_span, ""),
            );
        }
    }
}

pub(super) fn one(kind: StepKind) -> Made {
    Some(vec![kind])
}

/// The kinds that are written, with their places.
fn kinds(spec: &Middleware) -> Vec<(&'static str, Span)> {
    let spans = [
        ("addPrefix", spec.add_prefix.as_ref().map(|it| it.span)),
        ("stripPrefix", spec.strip_prefix.as_ref().map(|it| it.span)),
        (
            "stripPrefixRegex",
            spec.strip_prefix_regex.as_ref().map(|it| it.span),
        ),
        ("replacePath", spec.replace_path.as_ref().map(|it| it.span)),
        (
            "replacePathRegex",
            spec.replace_path_regex.as_ref().map(|it| it.span),
        ),
        ("chain", spec.chain.as_ref().map(|it| it.span)),
        ("ipWhiteList", spec.ip_white_list.as_ref().map(|it| it.span)),
        ("ipAllowList", spec.ip_allow_list.as_ref().map(|it| it.span)),
        ("headers", spec.headers.as_ref().map(|it| it.span)),
        (
            "encodedCharacters",
            spec.encoded_characters.map(|it| it.span),
        ),
        ("errors", spec.errors.as_ref().map(|it| it.span)),
        ("rateLimit", spec.rate_limit.as_ref().map(|it| it.span)),
        (
            "redirectRegex",
            spec.redirect_regex.as_ref().map(|it| it.span),
        ),
        (
            "redirectScheme",
            spec.redirect_scheme.as_ref().map(|it| it.span),
        ),
        ("basicAuth", spec.basic_auth.as_ref().map(|it| it.span)),
        ("digestAuth", spec.digest_auth.as_ref().map(|it| it.span)),
        ("forwardAuth", spec.forward_auth.as_ref().map(|it| it.span)),
        ("inFlightReq", spec.in_flight_req.as_ref().map(|it| it.span)),
        ("buffering", spec.buffering.as_ref().map(|it| it.span)),
        (
            "circuitBreaker",
            spec.circuit_breaker.as_ref().map(|it| it.span),
        ),
        ("compress", spec.compress.map(|it| it.span)),
        (
            "passTLSClientCert",
            spec.pass_tls_client_cert.map(|it| it.span),
        ),
        ("retry", spec.retry.as_ref().map(|it| it.span)),
        ("contentType", spec.content_type.map(|it| it.span)),
        ("grpcWeb", spec.grpc_web.map(|it| it.span)),
        ("plugin", spec.plugin.map(|it| it.span)),
    ];
    let written = spans
        .into_iter()
        .filter_map(|(kind, span)| Some((kind, span?)));
    written.collect()
}
