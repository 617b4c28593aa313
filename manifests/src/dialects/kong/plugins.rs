//! Plugins: none is modelled, each is said with what that means.

use std::collections::BTreeSet;

use super::annotations::PluginAsked;
use super::types::Plugin;
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::{Object, Objects};
use crate::text::{Span, read};

/// The group of Kong's kinds.
pub(super) const GROUP: &str = "configuration.konghq.com";

/// What it means for a result that a plugin is not modelled. Source: Kong `kong/plugins/*/handler.lua`.
const MEANINGS: &[(&[&str], &str)] = &[
    (
        &[
            "rate-limiting",
            "rate-limiting-advanced",
            "response-ratelimiting",
            "service-protection",
        ],
        "no request is refused with 429: the load behind Kong is higher than it would be",
    ),
    (
        &[
            "key-auth",
            "key-auth-enc",
            "basic-auth",
            "jwt",
            "jwt-signer",
            "hmac-auth",
            "oauth2",
            "ldap-auth",
            "openid-connect",
            "session",
            "acl",
            "mtls-auth",
        ],
        "every request counts as authenticated and allowed: none is refused with 401 or 403",
    ),
    (
        &["ip-restriction", "bot-detection"],
        "no client is refused with 403",
    ),
    (
        &["request-size-limiting", "request-validator"],
        "no request is refused for its size or content",
    ),
    (
        &["request-termination"],
        "requests go on to the upstream in place of being answered by Kong",
    ),
    (
        &["proxy-cache", "proxy-cache-advanced"],
        "nothing is answered from a cache: the load behind Kong is higher than it would be",
    ),
    (
        &[
            "request-transformer",
            "request-transformer-advanced",
            "route-transformer-advanced",
        ],
        "requests leave unchanged: routes behind Kong that look at the changed parts may choose otherwise",
    ),
    (
        &[
            "response-transformer",
            "response-transformer-advanced",
            "cors",
            "correlation-id",
            "grpc-web",
            "grpc-gateway",
        ],
        "heads of requests and answers are not changed by it, and it answers no request itself",
    ),
    (
        &["redirect"],
        "requests go on to the upstream in place of being redirected",
    ),
    (
        &["aws-lambda", "azure-functions", "forward-proxy", "ai-proxy"],
        "requests go to the Service in place of where the plugin sends them",
    ),
    (
        &["canary", "upstream-timeout", "route-by-header"],
        "requests go where the route sends them, with the Service's timeouts",
    ),
    (&["pre-function", "post-function"], "its code does not run"),
    (
        &[
            "prometheus",
            "zipkin",
            "opentelemetry",
            "http-log",
            "tcp-log",
            "udp-log",
            "file-log",
            "syslog",
            "statsd",
            "datadog",
            "loggly",
            "kafka-log",
        ],
        "no bearing on traffic but the time that it takes, which is not counted",
    ),
];

fn meaning(plugin: &str) -> &'static str {
    let known = MEANINGS.iter().find(|(names, _)| names.contains(&plugin));
    known.map_or(
        "whatever it does to requests and answers does not happen",
        |(_, meaning)| meaning,
    )
}

/// The plugins of a run.
pub(super) struct Plugins<'a> {
    objects: &'a Objects,
    asked_for: BTreeSet<(String, String)>,
}

impl<'a> Plugins<'a> {
    pub(super) fn new(objects: &'a Objects) -> Self {
        Self {
            objects,
            asked_for: BTreeSet::new(),
        }
    }

    /// Reports what an object of `namespace` asks for.
    pub(super) fn report(&mut self, asked: &[PluginAsked], namespace: &str, out: &mut Diagnostics) {
        for plugin in asked {
            let namespace = plugin.namespace.as_deref().unwrap_or(namespace);
            let found = [("KongPlugin", namespace), ("KongClusterPlugin", "")]
                .into_iter()
                .find_map(|(kind, namespace)| {
                    self.objects.get(GROUP, kind, namespace, &plugin.name)
                });
            let Some(object) = found else {
                let names: Vec<&str> = self.all().map(|object| object.key.name.as_str()).collect();
                let message = format!(
                    "no KongPlugin `{}` in namespace `{namespace}`, and no KongClusterPlugin of that name",
                    plugin.name
                );
                let help = did_you_mean(&plugin.name, names);
                out.push(
                    Diagnostic::error("kong::unknown-plugin", message)
                        .label(plugin.span, "asked for here")
                        .maybe_help(help),
                );
                continue;
            };
            self.asked_for
                .insert((object.key.namespace.clone(), object.key.name.clone()));
            not_modelled(object, Some(plugin.span), out);
        }
    }

    /// Reports those that count for everything, and lists those that nothing asks for.
    pub(super) fn report_rest(&self, out: &mut Diagnostics) {
        for object in self.all() {
            if self
                .asked_for
                .contains(&(object.key.namespace.clone(), object.key.name.clone()))
            {
                continue;
            }
            if object
                .label("global")
                .is_some_and(|global| global.value == "true")
            {
                not_modelled(object, None, out);
                continue;
            }
            // read all the same, for what is wrong in it
            let _: Option<Plugin> = read(&object.node, out);
            let message = format!("no Ingress or Service asks for {}", object.key);
            out.push(
                Diagnostic::listed("kong::unused-plugin", message)
                    .label(object.name_span, "does nothing"),
            );
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a Object> {
        let objects = self.objects;
        objects.iter().filter(|object| {
            object.key.group == GROUP
                && matches!(object.key.kind.as_str(), "KongPlugin" | "KongClusterPlugin")
        })
    }
}

fn not_modelled(object: &Object, asked: Option<Span>, out: &mut Diagnostics) {
    let Some(plugin) = read::<Plugin>(&object.node, out) else {
        return;
    };
    if plugin
        .disabled
        .as_ref()
        .is_some_and(|disabled| disabled.value)
    {
        return;
    }
    let kind = plugin.plugin.value.as_str();
    let mut note = Diagnostic::not_modelled(
        "kong::plugin",
        format!("the plugin `{kind}` is not modelled"),
        meaning(kind),
    );
    note = note.label(plugin.plugin.span, format!("{}", object.key));
    if let Some(asked) = asked {
        note = note.label(asked, "asked for here");
    }
    out.push(note);
}
