//! What is wrong with a rule whether or not its route is attached anywhere, and fields that are understood and not modelled, each with what
//! that means.

use super::filters::Filters;
use super::{matching, rules};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::gateway_api::Api;
use crate::gateway_api::types::{BackendRef, Filter, Listener, SessionPersistence, text};
use crate::text::{Present, Span, Spanned};

/// Reads every rule for what is wrong with it.
pub(super) fn check(api: &Api, out: &mut Diagnostics) {
    let filters = |filters: &[Filter], backends: &[BackendRef], out: &mut Diagnostics| {
        Filters::of(filters, out);
        for backend in backends {
            Filters::of(&backend.filters, out);
        }
    };
    for rule in api.http.iter().flat_map(|route| &route.spec.rules) {
        matching::of_http(&rule.matches, out);
        filters(&rule.filters, &rule.backend_refs, out);
        let timeouts = rule.timeouts.as_ref();
        let lengths = timeouts.map(|it| [&it.request, &it.backend_request]);
        let backoff = rule.retry.as_ref().map(|retry| &retry.backoff);
        for text in lengths.into_iter().flatten().chain(backoff).flatten() {
            rules::checked(text, out);
        }
    }
    for rule in api.grpc.iter().flat_map(|route| &route.spec.rules) {
        matching::of_grpc(&rule.matches, out);
        filters(&rule.filters, &rule.backend_refs, out);
    }
}

/// Tells of every such field.
pub(super) fn tell(api: &Api, out: &mut Diagnostics) {
    let mut notes = Notes(out);
    for class in &api.classes {
        notes.present(
            class.spec.parameters_ref,
            "parametersRef",
            "what it would change in the class's Gateways is not known",
        );
    }
    for gateway in &api.gateways {
        let spec = &gateway.spec;
        let meaning = "routes without parents are attached to no Gateway";
        notes.present(spec.default_scope, "defaultScope", meaning);
        spec.listeners.iter().for_each(|it| notes.listener(it));
    }
    for set in &api.sets {
        set.spec.listeners.iter().for_each(|it| notes.listener(it));
    }
    for route in &api.http {
        notes.default_gateways(route.spec.use_default_gateways);
        for rule in &route.spec.rules {
            notes.session(rule.session_persistence.as_ref(), route.span);
        }
    }
    for route in &api.grpc {
        notes.default_gateways(route.spec.use_default_gateways);
        for rule in &route.spec.rules {
            notes.session(rule.session_persistence.as_ref(), route.span);
        }
    }
    for route in api.tls.iter().chain(&api.tcp).chain(&api.udp) {
        notes.default_gateways(route.spec.use_default_gateways);
        if let [_, second, ..] = &route.spec.rules[..] {
            let backend = second.backend_refs.first();
            let span = backend.map_or(route.span, |it| it.name.span);
            let meaning =
                "the first rule has all connections: there is no condition that tells them apart";
            notes.say("more rules than one", span, meaning);
        }
    }
    for policy in &api.policies {
        let meaning = "connections to backends are as their validation alone has them";
        notes.present(policy.spec.options, "options", meaning);
    }
}

struct Notes<'a>(&'a mut Diagnostics);

impl Notes<'_> {
    fn say(&mut self, what: &str, span: Span, meaning: &str) {
        self.0.push(
            Diagnostic::not_modelled("gateway-api::not-modelled", what, meaning).label(span, ""),
        );
    }

    fn present(&mut self, field: Option<Present>, name: &str, meaning: &str) {
        if let Some(field) = field {
            self.say(&format!("`{name}`"), field.span, meaning);
        }
    }

    fn listener(&mut self, listener: &Listener) {
        let options = listener.tls.as_ref().and_then(|tls| tls.options);
        let meaning = "versions and ciphers are those of this proxy: TLS 1.2 and 1.3";
        self.present(options, "options", meaning);
    }

    fn default_gateways(&mut self, field: Option<Present>) {
        let meaning = "the route is attached to the parents that it names, and to no other";
        self.present(field, "useDefaultGateways", meaning);
    }

    fn session(&mut self, field: Option<&SessionPersistence>, span: Span) {
        let Some(session) = field else {
            return;
        };
        let at = |field: &Option<Spanned<String>>| field.as_ref().map_or(span, |it| it.span);
        if session.idle_timeout.is_some() {
            let meaning = "a session lasts however long its client is silent";
            self.say("`idleTimeout`", at(&session.idle_timeout), meaning);
        }
        let lifetime = session.cookie_config.as_ref();
        let lifetime = lifetime.and_then(|it| text(&it.lifetime_type));
        let is_header = text(&session.r#type) == Some("Header");
        if session.absolute_timeout.is_some() && (is_header || lifetime != Some("Permanent")) {
            let meaning = "a session lasts as long as its client keeps what carries it";
            self.say("`absoluteTimeout`", at(&session.absolute_timeout), meaning);
        }
    }
}
