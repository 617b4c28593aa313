//! Fields that are understood and not modelled, each with what that means.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::gateway_api::Api;
use crate::gateway_api::types::{Listener, SessionPersistence, text};
use crate::text::{Present, Span, Spanned};

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
        let message = format!("{what} is not modelled");
        self.0.push(
            Diagnostic::not_modelled("gateway-api::not-modelled", message, meaning).label(span, ""),
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
