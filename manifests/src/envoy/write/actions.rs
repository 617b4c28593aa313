//! What a route does with a request.

use proxy_core::config::{
    DirectResponse, Forward, HashPolicy, HashSource, HostRewrite, Mirror, PathRedirect,
    PathRewrite, Priority, Redirect, RouteAction, RouteMatch, WeightedCluster,
};
use proxy_core::time::Duration;
use serde_json::{Value, json};

use super::cx::Cx;
use super::edits::edits;
use super::message::{Message, labels, length, runtime_fraction, timer};
use super::{retries, rewrites, upgrades};

/// Envoy's route timeout.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Writes the action of a route into it.
pub(super) fn action(
    action: &RouteAction,
    matches: &RouteMatch,
    message: &mut Message,
    cx: &mut Cx<'_>,
) {
    match action {
        RouteAction::Forward(to) => message.set("route", forward(to, matches, cx)),
        RouteAction::Redirect(to) => message.set("redirect", redirect(to, matches, cx)),
        RouteAction::Direct(answer) => message.set("direct_response", direct(answer, cx)),
    }
}

fn forward(forward: &Forward, matches: &RouteMatch, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::default();
    destination(&forward.clusters, &mut message, cx);
    match forward.missing_status {
        503 => {}
        404 => message.set("cluster_not_found_response_code", "NOT_FOUND"),
        500 => message.set("cluster_not_found_response_code", "INTERNAL_SERVER_ERROR"),
        status => cx.departs(format!(
            "a destination that does not exist is answered with 503, not {status}"
        )),
    }
    let timeout = forward.timeout.value;
    if timeout != Some(TIMEOUT) {
        message.set("timeout", timer(timeout));
    }
    let idle = forward.idle_timeout.map(|it| length(it.value));
    message.maybe("idle_timeout", idle);
    let grpc = forward.grpc_timeout_max.map(length);
    match forward.max_stream_duration {
        // whoever has a longest stream has no timeout of the route: the older field leaves it, as in Istio
        None => message.maybe("max_grpc_timeout", grpc),
        Some(stream) => {
            let mut longest = Message::default();
            longest.set("max_stream_duration", length(stream.value));
            longest.maybe("grpc_timeout_header_max", grpc);
            message.set("max_stream_duration", longest);
            if timeout.is_some() {
                cx.departs("there is no timeout of the route beside the longest stream");
            }
        }
    }
    if let Some(policy) = &forward.retry {
        message.set("retry_policy", retries::policy(policy, cx));
    }
    if let Some(hedge) = &forward.hedge {
        message.set("hedge_policy", retries::hedge(hedge));
    }
    if let Some(rewrite) = &forward.rewrite {
        if let PathRewrite::Sequence(all) = rewrite
            && all.len() > 1
        {
            cx.departs("the path is rewritten once: the changes after the first are not written");
        }
        rewrites::rewrite(rewrite, matches, &mut message);
    }
    match &forward.host {
        None => {}
        Some(HostRewrite::Literal(host)) => message.set("host_rewrite_literal", &**host),
        Some(HostRewrite::Endpoint) => message.set("auto_host_rewrite", true),
        Some(HostRewrite::Header(name)) => message.set("host_rewrite_header", &**name),
    }
    message.flag("append_x_forwarded_host", forward.forwarded_host);
    let mirrors = forward.mirrors.iter().map(|each| mirror(each, cx));
    let mirrors = mirrors.collect();
    message.list("request_mirror_policies", mirrors);
    let policies = forward.hash.iter().map(hash_policy);
    message.list("hash_policy", policies.collect());
    upgrades::of_route(forward, &mut message);
    if forward.priority == Priority::High {
        message.set("priority", "HIGH");
    }
    if !forward.subset.is_empty() {
        let wanted = labels(&forward.subset);
        message.set(
            "metadata_match",
            json!({"filter_metadata": {"envoy.lb": wanted}}),
        );
    }
    message
}

fn destination(clusters: &[WeightedCluster], message: &mut Message, cx: &mut Cx<'_>) {
    let name = |each: &WeightedCluster, cx: &mut Cx<'_>| match each.cluster {
        Some(index) => cx.cluster(index).to_string(),
        None => cx.nowhere.to_string(),
    };
    if let [only] = clusters
        && only.weight == 1
        && only.request_edits.is_empty()
        && only.response_edits.is_empty()
    {
        message.set("cluster", name(only, cx));
        return;
    }
    let total: u64 = clusters.iter().map(|each| u64::from(each.weight)).sum();
    let mut shift = 0;
    while total >> shift > u64::from(u32::MAX) {
        shift += 1;
    }
    if shift > 0 {
        cx.departs("weights are rounded: Envoy adds them up in 32 bits");
    }
    let mut split = Vec::new();
    for each in clusters {
        let mut weighted = Message::default();
        weighted.set("name", name(each, cx));
        weighted.set("weight", each.weight >> shift);
        edits("request", &each.request_edits, &mut weighted, cx);
        edits("response", &each.response_edits, &mut weighted, cx);
        split.push(weighted.into());
    }
    let split: Vec<Value> = split;
    message.set("weighted_clusters", json!({"clusters": split}));
}

fn mirror(mirror: &Mirror, cx: &mut Cx<'_>) -> Value {
    let mut message = Message::default();
    message.set("cluster", &*cx.cluster(mirror.cluster));
    let share = mirror.share.value;
    if share != proxy_core::config::Share::ALL {
        message.set("runtime_fraction", runtime_fraction(share));
    }
    message.flag("disable_shadow_host_suffix_append", !mirror.shadow_host);
    message.into()
}

fn hash_policy(policy: &HashPolicy) -> Value {
    let mut message = Message::default();
    match &policy.source {
        HashSource::Header(name) => message.set("header", json!({"header_name": &**name})),
        HashSource::Cookie { name, ttl } => {
            let mut cookie = Message::default();
            cookie.set("name", &**name);
            cookie.maybe("ttl", ttl.map(length));
            message.set("cookie", cookie);
        }
        HashSource::SourceAddress => {
            message.set("connection_properties", json!({"source_ip": true}));
        }
        HashSource::Param(name) => message.set("query_parameter", json!({"name": &**name})),
        HashSource::Path => {
            let path = json!({"pattern": {"regex": "^([^?]*)(?s:.*)$"}, "substitution": "\\1"});
            let header = json!({"header_name": ":path", "regex_rewrite": path});
            message.set("header", header);
        }
    }
    message.flag("terminal", policy.terminal);
    message.into()
}

fn redirect(redirect: &Redirect, matches: &RouteMatch, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::default();
    match redirect.status {
        301 => {}
        302 => message.set("response_code", "FOUND"),
        303 => message.set("response_code", "SEE_OTHER"),
        307 => message.set("response_code", "TEMPORARY_REDIRECT"),
        308 => message.set("response_code", "PERMANENT_REDIRECT"),
        status => cx.departs(format!("the redirect has the status 301, not {status}")),
    }
    message.maybe("scheme_redirect", redirect.scheme.as_deref());
    message.maybe("host_redirect", redirect.host.as_deref());
    if redirect.omits_own_port && matches!(redirect.port, Some(80 | 443)) {
        cx.departs("redirects name the port, even if it is the scheme's own");
    }
    message.maybe("port_redirect", redirect.port);
    if let Some(path) = &redirect.path {
        if let PathRedirect::Url(..) = path {
            cx.departs("the redirect leads to its own URL: Envoy matches no whole URL");
        }
        rewrites::redirect(path, matches, &mut message);
    }
    message.flag("strip_query", redirect.strip_query);
    message
}

fn direct(answer: &DirectResponse, cx: &mut Cx<'_>) -> Message {
    let mut message = Message::default();
    let status = match answer.status {
        status @ 200..600 => status,
        status => {
            cx.departs(format!("the answer has the status 500, not {status}"));
            500
        }
    };
    message.set("status", status);
    if !answer.body.is_empty() {
        message.set("body", json!({"inline_string": &*answer.body}));
    }
    message
}
