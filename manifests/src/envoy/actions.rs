//! What a route does with a request.

use proxy_core::config::{
    DirectResponse, Forward, HashPolicy, HashSource, Hedge, HostRewrite, Mirror, Name,
    PathRedirect, PathRewrite, Priority, Redirect, RetryPolicy, RouteAction, Share,
    WeightedCluster,
};
use proxy_core::origin::Sourced;
use proxy_core::time::Duration;

use super::compile::Cx;
use super::edits::{Level, Levels, level};
use super::filters::Overrides;
use super::types::{self, ClusterNotFound, RedirectCode, RoutingPriority};
use super::{matching, retries, tls, upgrades};
use crate::text::{Node, Span, Spanned};

/// Envoy's route timeout.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest body of a direct response that Envoy takes.
pub(super) const LONGEST_BODY: u32 = 4096;

/// What a route has of its virtual host and table, where it says nothing itself.
pub(super) struct Inherited {
    pub(super) levels: Levels,
    pub(super) filters: Overrides,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) hedge: Option<Hedge>,
    pub(super) mirrors: Vec<Mirror>,
    /// Whether a cluster that is not there is an error.
    pub(super) validates: bool,
    /// The most bytes that a direct response may have.
    pub(super) longest_body: u32,
}

/// Compiles the one action of a route, with the edits of all levels around it.
pub(super) fn action(
    written: &types::Route,
    node: &Node,
    own: Level,
    around: &Inherited,
    cx: &mut Cx<'_>,
) -> Option<(RouteAction, Level)> {
    let unmodelled = written.filter_action.or(written.non_forwarding_action);
    match (
        &written.route,
        &written.redirect,
        &written.direct_response,
        unmodelled,
    ) {
        (Some(route), None, None, None) => forward(route, own, around, cx),
        (None, Some(to), None, None) => {
            let redirect = RouteAction::Redirect(Box::new(redirect(to, cx)?));
            Some((redirect, around.levels.around(&own)))
        }
        (None, None, Some(answer), None) => {
            let direct = RouteAction::Direct(direct(answer, around.longest_body, cx)?);
            Some((direct, around.levels.around(&own)))
        }
        (None, None, None, Some(field)) => {
            let meaning = "the route is left out: requests go on to later routes";
            cx.left_out(field.span, "this action", meaning);
            None
        }
        (_, _, _, _) => {
            let message = "a route has one of `route`, `redirect` and `direct_response`";
            cx.refuse(node.span, message);
            None
        }
    }
}

fn forward(
    node: &Node,
    own: Level,
    around: &Inherited,
    cx: &mut Cx<'_>,
) -> Option<(RouteAction, Level)> {
    let written: types::RouteAction = cx.read(node)?;
    let split = clusters(&written, node.span, around.validates, cx);
    let retry = match &written.retry_policy {
        Some(node) => retries::policy(node, cx),
        None => around.retry.clone(),
    };
    let hedge = match &written.hedge_policy {
        Some(node) => retries::hedge(node, cx),
        None => around.hedge,
    };
    let mirrors = mirrors(&written.request_mirror_policies, cx);
    let rewrite = rewrite(&written, node.span, cx);
    let (upgrades, ends_connect) = upgrades::of_route(&written.upgrade_configs, cx);
    let hash = hash_policies(&written.hash_policy, cx);
    let (max_stream_duration, grpc_timeout_max) = stream_duration(&written, cx);
    let timeout = match cx.length(written.timeout) {
        // Envoy: whoever has a longest stream has no timeout of the route
        timeout if written.max_stream_duration.is_some() => {
            Sourced::new(None, timeout.map_or(cx.default, |timeout| timeout.origin))
        }
        Some(timeout) => Sourced::new(
            Some(timeout.value).filter(|length| !length.is_zero()),
            timeout.origin,
        ),
        None => cx.default(Some(TIMEOUT)),
    };
    let (mut clusters, levels) = split?;
    let own = around.levels.around(&own);
    for (cluster, edits) in clusters.iter_mut().zip(levels) {
        cluster.request_edits = edits.request;
        cluster.response_edits = edits.response;
    }
    let forward = Forward {
        subset: subset(&written),
        clusters,
        missing_status: missing_status(written.cluster_not_found_response_code),
        timeout,
        idle_timeout: cx.length(written.idle_timeout),
        max_stream_duration,
        grpc_timeout_max,
        retry: retry.map(Box::new),
        hedge,
        largest_body: None,
        rewrite,
        host: host_rewrite(&written, node.span, cx),
        forwarded_host: written.append_x_forwarded_host,
        mirrors: if mirrors.is_empty() {
            around.mirrors.clone()
        } else {
            mirrors
        },
        hash,
        upgrades,
        ends_connect,
        session: None,
        priority: match written.priority {
            RoutingPriority::Default => Priority::Default,
            RoutingPriority::High => Priority::High,
        },
    };
    Some((RouteAction::Forward(Box::new(forward)), own))
}

const fn missing_status(code: Option<ClusterNotFound>) -> u16 {
    match code {
        None | Some(ClusterNotFound::ServiceUnavailable) => 503,
        Some(ClusterNotFound::NotFound) => 404,
        Some(ClusterNotFound::InternalServerError) => 500,
    }
}

/// The clusters of a route, each with its own edits.
fn clusters(
    written: &types::RouteAction,
    span: Span,
    validates: bool,
    cx: &mut Cx<'_>,
) -> Option<(Vec<WeightedCluster>, Vec<Level>)> {
    let meaning = "the route is left out: requests go on to later routes";
    cx.note(
        written.cluster_specifier_plugin,
        "cluster_specifier_plugin",
        meaning,
    );
    cx.note(
        written.inline_cluster_specifier_plugin,
        "inline_cluster_specifier_plugin",
        meaning,
    );
    if let Some(header) = &written.cluster_header {
        cx.left_out(header.span, "`cluster_header`", meaning);
    }
    match (&written.cluster, &written.weighted_clusters) {
        (Some(name), None) => {
            let cluster = destination(name, 1, name.span, validates, cx)?;
            Some((vec![cluster], vec![Level::default()]))
        }
        (None, Some(split)) => weighted(split, span, validates, cx),
        (None, None)
            if written.cluster_header.is_some()
                || written.cluster_specifier_plugin.is_some()
                || written.inline_cluster_specifier_plugin.is_some() =>
        {
            None
        }
        (Some(_), Some(_)) | (None, None) => {
            cx.refuse(span, "write one of `cluster` and `weighted_clusters`");
            None
        }
    }
}

fn weighted(
    split: &types::WeightedClusters,
    span: Span,
    validates: bool,
    cx: &mut Cx<'_>,
) -> Option<(Vec<WeightedCluster>, Vec<Level>)> {
    let meaning = "the cluster is drawn by weight";
    cx.note(split.header_name, "header_name", meaning);
    cx.note(split.use_hash_policy, "use_hash_policy", meaning);
    let (mut clusters, mut levels) = (Vec::new(), Vec::new());
    for node in &split.clusters {
        let Some(each) = cx.read::<types::ClusterWeight>(node) else {
            continue;
        };
        if let Some(header) = &each.cluster_header {
            let meaning = "this part of the split is left out";
            cx.left_out(header.span, "`cluster_header`", meaning);
            continue;
        }
        let Some(name) = &each.name else {
            cx.refuse(node.span, "`name` is missing");
            continue;
        };
        let weight = each.weight.map_or(0, |weight| weight.0);
        clusters.extend(destination(name, weight, node.span, validates, cx));
        levels.push(level(
            (
                &each.request_headers_to_add,
                &each.request_headers_to_remove,
            ),
            (
                &each.response_headers_to_add,
                &each.response_headers_to_remove,
            ),
            cx,
        ));
    }
    if clusters.iter().all(|cluster| cluster.weight == 0) {
        if !cx.out.has_errors() {
            cx.refuse(span, "the weights of a split must not all be 0");
        }
        return None;
    }
    Some((clusters, levels))
}

fn destination(
    name: &Spanned<String>,
    weight: u32,
    span: Span,
    validates: bool,
    cx: &mut Cx<'_>,
) -> Option<WeightedCluster> {
    let cluster = if validates {
        Some(cx.cluster(name)?)
    } else {
        cx.clusters.get(&name.value).map(|known| known.index)
    };
    Some(WeightedCluster {
        cluster,
        weight,
        request_edits: Vec::new(),
        response_edits: Vec::new(),
        origin: cx.written(span),
    })
}

/// Labels that an endpoint must have, where its cluster has subsets.
fn subset(written: &types::RouteAction) -> Vec<(Name, Name)> {
    let labels = written.metadata_match.as_ref();
    let mut labels = labels.map(super::endpoints::labels).unwrap_or_default();
    labels.sort_unstable();
    labels
}

fn stream_duration(
    written: &types::RouteAction,
    cx: &mut Cx<'_>,
) -> (Option<Sourced<Duration>>, Option<Duration>) {
    let old = written.max_grpc_timeout.map(|most| most.value.0);
    let Some(longest) = &written.max_stream_duration else {
        return (None, old);
    };
    let meaning = "`grpc-timeout` counts in full";
    cx.note(
        longest.grpc_timeout_header_offset,
        "grpc_timeout_header_offset",
        meaning,
    );
    let grpc = longest.grpc_timeout_header_max.map(|most| most.value.0);
    (cx.length(longest.max_stream_duration), grpc.or(old))
}

fn rewrite(written: &types::RouteAction, span: Span, cx: &mut Cx<'_>) -> Option<PathRewrite> {
    let prefix = written
        .prefix_rewrite
        .as_ref()
        .filter(|prefix| !prefix.is_empty());
    match (prefix, &written.regex_rewrite) {
        (Some(_), Some(_)) => {
            cx.refuse(span, "write one of `prefix_rewrite` and `regex_rewrite`");
            None
        }
        (Some(prefix), None) => Some(PathRewrite::Prefix(prefix.as_str().into())),
        (None, Some(regex)) => {
            let pattern = matching::replacing(&regex.pattern, cx)?;
            Some(PathRewrite::Regex(
                pattern,
                regex.substitution.as_str().into(),
            ))
        }
        (None, None) => None,
    }
}

fn host_rewrite(written: &types::RouteAction, span: Span, cx: &mut Cx<'_>) -> Option<HostRewrite> {
    let literal = written.host_rewrite_literal.as_deref();
    let header = written.host_rewrite_header.as_deref();
    let forms = [
        literal.map(|host| HostRewrite::Literal(host.into())),
        written
            .auto_host_rewrite
            .filter(|auto| *auto)
            .map(|_| HostRewrite::Endpoint),
        header.map(|name| HostRewrite::Header(name.to_ascii_lowercase().into())),
    ];
    let mut forms = forms.into_iter().flatten();
    let first = forms.next();
    if forms.next().is_some() {
        cx.refuse(span, "the authority is rewritten in one way");
    }
    first
}

/// Compiles policies of mirroring.
pub(super) fn mirrors(policies: &[Node], cx: &mut Cx<'_>) -> Vec<Mirror> {
    let mut mirrors = Vec::new();
    for node in policies {
        let Some(written) = cx.read::<types::MirrorPolicy>(node) else {
            continue;
        };
        cx.note(
            written.cluster_header,
            "cluster_header",
            "no copies are sent",
        );
        let Some(name) = &written.cluster else {
            if written.cluster_header.is_none() {
                cx.refuse(node.span, "`cluster` is missing");
            }
            continue;
        };
        let share = match &written.runtime_fraction {
            Some(fraction) => {
                let origin = cx.written(fraction.span);
                Sourced::new(matching::default_share(fraction), origin)
            }
            None => cx.default(Share::ALL),
        };
        if let Some(cluster) = cx.cluster(name) {
            mirrors.push(Mirror {
                cluster,
                share,
                shadow_host: !written.disable_shadow_host_suffix_append,
            });
        }
    }
    mirrors
}

fn hash_policies(written: &[Spanned<types::HashPolicy>], cx: &mut Cx<'_>) -> Vec<HashPolicy> {
    let mut policies = Vec::new();
    for policy in written {
        let source = hash_source(policy, cx);
        policies.extend(source.map(|source| HashPolicy {
            source,
            terminal: policy.terminal,
        }));
    }
    policies
}

fn hash_source(policy: &Spanned<types::HashPolicy>, cx: &mut Cx<'_>) -> Option<HashSource> {
    let meaning = "the hash goes by the other policies";
    cx.note(policy.filter_state, "filter_state", meaning);
    if let Some(header) = &policy.header {
        let meaning = "the hash goes by the whole value";
        cx.note(header.regex_rewrite, "regex_rewrite", meaning);
        let name = header.header_name.to_ascii_lowercase();
        return Some(HashSource::Header(name.into()));
    }
    if let Some(cookie) = &policy.cookie {
        return Some(HashSource::Cookie {
            name: cookie.name.as_str().into(),
            ttl: cookie.ttl.map(|ttl| ttl.0),
        });
    }
    if let Some(connection) = policy.connection_properties {
        return connection.source_ip.then_some(HashSource::SourceAddress);
    }
    if let Some(param) = &policy.query_parameter {
        return Some(HashSource::Param(param.name.as_str().into()));
    }
    if policy.filter_state.is_none() {
        let message = "a hash policy has one of `header`, `cookie`, `connection_properties` and `query_parameter`";
        cx.refuse(policy.span, message);
    }
    None
}

fn redirect(written: &Spanned<types::RedirectAction>, cx: &mut Cx<'_>) -> Option<Redirect> {
    let regex = match &written.regex_rewrite {
        Some(regex) => {
            let pattern = matching::replacing(&regex.pattern, cx)?;
            Some(PathRedirect::Regex(
                pattern,
                regex.substitution.as_str().into(),
            ))
        }
        None => None,
    };
    // an empty path is none
    let full = written.path_redirect.as_deref();
    let full = full.filter(|path| !path.is_empty());
    let prefix = written.prefix_rewrite.as_deref();
    let forms = [
        full.map(|path| PathRedirect::Full(path.into())),
        prefix.map(|prefix| PathRedirect::Prefix(prefix.into())),
        regex,
    ];
    let mut forms = forms.into_iter().flatten();
    let path = forms.next();
    if forms.next().is_some() {
        let message = "write one of `path_redirect`, `prefix_rewrite` and `regex_rewrite`";
        cx.refuse(written.span, message);
    }
    let scheme = match written.https_redirect {
        true => Some("https"),
        false => written.scheme_redirect.as_deref(),
    };
    let host = written
        .host_redirect
        .as_deref()
        .filter(|host| !host.is_empty());
    Some(Redirect {
        status: match written.response_code {
            RedirectCode::MovedPermanently => 301,
            RedirectCode::Found => 302,
            RedirectCode::SeeOther => 303,
            RedirectCode::TemporaryRedirect => 307,
            RedirectCode::PermanentRedirect => 308,
        },
        scheme: scheme.filter(|scheme| !scheme.is_empty()).map(Into::into),
        host: host.map(Into::into),
        port: written
            .port_redirect
            .map(|port| port.0)
            .filter(|port| *port > 0),
        path,
        strip_query: written.strip_query,
        omits_own_port: false,
    })
}

fn direct(
    written: &Spanned<types::DirectResponse>,
    longest: u32,
    cx: &mut Cx<'_>,
) -> Option<DirectResponse> {
    cx.note(
        written.body_format,
        "body_format",
        "the body is sent as it is written",
    );
    let status = written.status.value.0;
    if !(200..600).contains(&status) {
        cx.refuse(written.status.span, "must be from 200 to 599");
    }
    let body: Box<str> = match &written.body {
        None => Box::default(),
        Some(source) => match tls::text(source) {
            Some((text, span)) => {
                if u32::try_from(text.len()).is_ok_and(|len| len <= longest) {
                    text
                } else {
                    let message = format!("must be at most {longest} bytes long");
                    cx.refuse(span, message);
                    Box::default()
                }
            }
            None => {
                cx.left_out(written.span, "a body from elsewhere", "the body is empty");
                Box::default()
            }
        },
    };
    Some(DirectResponse { status, body })
}
