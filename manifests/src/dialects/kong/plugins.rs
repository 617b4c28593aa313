//! Plugins: a few are modelled, of each other one it is said what that means.

use std::collections::BTreeSet;

use super::annotations::PluginAsked;
use super::cors::cors;
use super::settings::{self, PluginSet};
use super::types::Plugin;
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::load::{Object, Objects};
use crate::text::{Span, Spanned, read};

/// The group of Kong's kinds.
pub(super) const GROUP: &str = "configuration.konghq.com";

/// What it means for a result that a plugin is not modelled. Source: Kong `kong/plugins/*/handler.lua`.
const MEANINGS: &[(&[&str], &str)] = &[
    (
        &[
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
        "every request counts as authenticated and allowed: none is refused with 401 or 403, and rate limits, which Kong asks after it, count those too that it would refuse",
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

    /// Reads what an object of `namespace` asks for, and reports what is not modelled.
    pub(super) fn read(
        &mut self,
        asked: &[PluginAsked],
        namespace: &str,
        out: &mut Diagnostics,
    ) -> PluginSet {
        let mut set = PluginSet::default();
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
            add(object, Some(plugin.span), &mut set, out);
        }
        set
    }

    /// Reads those that count for everything, and lists those that nothing asks for.
    pub(super) fn read_rest(&self, out: &mut Diagnostics) -> PluginSet {
        let mut set = PluginSet::default();
        for object in self.all() {
            let is_global = object.key.kind == "KongClusterPlugin"
                && object
                    .label("global")
                    .is_some_and(|global| global.value == "true");
            if is_global {
                add(object, None, &mut set, out);
                continue;
            }
            if self
                .asked_for
                .contains(&(object.key.namespace.clone(), object.key.name.clone()))
            {
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
        set
    }

    fn all(&self) -> impl Iterator<Item = &'a Object> {
        let objects = self.objects;
        objects.iter().filter(|object| {
            object.key.group == GROUP
                && matches!(object.key.kind.as_str(), "KongPlugin" | "KongClusterPlugin")
        })
    }
}

/// Adds a plugin to those of the object that asks for it.
fn add(object: &Object, asked: Option<Span>, set: &mut PluginSet, out: &mut Diagnostics) {
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
    let (name, config) = (plugin.plugin.span, plugin.config.as_ref());
    match kind {
        "rate-limiting" | "request-termination" | "cors" if !is_whole(&plugin, out) => return,
        "rate-limiting" => {
            let rule = settings::rate_limiting(config, name, out);
            put(&mut set.rate, rule, name, out);
            return;
        }
        "request-termination" => {
            let answer = settings::termination(config, out);
            put(&mut set.termination, answer, name, out);
            return;
        }
        "cors" => {
            put(&mut set.cors, cors(config, out), name, out);
            return;
        }
        _ => {}
    }
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

/// Puts what a plugin sets in its place. Two of one kind are one too many.
///
/// Source: Kong `kong/db/schema/entities/plugins.lua`: a kind stands once on a route, on a service and for everything.
fn put<T>(place: &mut Option<Spanned<T>>, found: Option<T>, span: Span, out: &mut Diagnostics) {
    let Some(found) = found else {
        return;
    };
    match place {
        None => *place = Some(Spanned::new(found, span)),
        Some(first) => out.push(
            Diagnostic::error("kong::two-plugins", "Kong takes one plugin of a kind")
                .label(span, "this one is one too many")
                .label(first.span, "the first one"),
        ),
    }
}

/// Whether a plugin that can be modelled is written whole where it stands, for whoever comes.
fn is_whole(plugin: &Plugin, out: &mut Diagnostics) -> bool {
    let elsewhere = [
        (
            plugin.config_from,
            "its settings are in a Secret, which is not read: it does nothing",
        ),
        (
            plugin.config_patches,
            "settings are in a Secret, which is not read: it does nothing",
        ),
        (
            plugin.consumer_ref,
            "consumers are not recognised: it does nothing",
        ),
    ];
    let mut whole = true;
    for (written, meaning) in elsewhere {
        if let Some(written) = written {
            whole = false;
            let message = "a plugin whose settings or consumers are elsewhere is not modelled";
            out.push(
                Diagnostic::not_modelled("kong::plugin", message, meaning).label(written.span, ""),
            );
        }
    }
    let others = [
        (plugin.run_on, "`run_on` is not modelled"),
        (plugin.protocols, "`protocols` is not modelled"),
        (plugin.ordering, "`ordering` is not modelled"),
    ];
    for (written, message) in others {
        if let Some(written) = written.filter(|_| whole) {
            let meaning = "the plugin is for every request, in the usual order";
            out.push(
                Diagnostic::not_modelled("kong::plugin", message, meaning).label(written.span, ""),
            );
        }
    }
    whole
}
