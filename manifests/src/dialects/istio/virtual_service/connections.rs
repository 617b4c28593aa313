//! Rules for connections whose bytes are carried as they are.
//!
//! Source: istio `pilot/pkg/networking/core/tls.go`.

use std::net::IpAddr;

use proxy_core::config::{Cidr, ServerName};

use super::matching::audience;
use super::policy::{DestinationPolicy, Edits, L4Condition, L4Rule};
use super::rules::{no_weight, target};
use super::types::{L4Destination, L4Match, TcpRoute, TlsMatch, TlsRoute};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dialects::Compile;
use crate::text::{Span, Spanned};

/// A rule of `tls`; none when something of it is refused, which was reported.
pub(super) fn tls_rule(
    written: &Spanned<TlsRoute>,
    namespace: &str,
    cx: &mut Compile<'_>,
) -> Option<L4Rule> {
    if written.r#match.is_empty() {
        let message = "a rule for TLS needs a `match` with `sniHosts`";
        cx.diagnostics
            .push(Diagnostic::error("istio::tls", message).label(written.span, "has none"));
        return None;
    }
    let conditions = written.r#match.iter();
    let conditions = conditions.map(|one| tls_condition(one, namespace, cx.diagnostics));
    let conditions = conditions.collect::<Vec<_>>();
    rule(conditions, &written.route, written.span, cx)
}

/// A rule of `tcp`; none when something of it is refused, which was reported.
pub(super) fn tcp_rule(
    written: &Spanned<TcpRoute>,
    namespace: &str,
    cx: &mut Compile<'_>,
) -> Option<L4Rule> {
    let conditions = written.r#match.iter();
    let conditions = conditions.map(|one| tcp_condition(one, namespace, cx.diagnostics));
    let conditions = conditions.collect::<Vec<_>>();
    rule(conditions, &written.route, written.span, cx)
}

fn rule(
    conditions: Vec<Option<L4Condition>>,
    route: &[L4Destination],
    span: Span,
    cx: &mut Compile<'_>,
) -> Option<L4Rule> {
    let destinations = destinations(route, span, cx);
    Some(L4Rule {
        conditions: conditions.into_iter().collect::<Option<_>>()?,
        destinations: destinations?,
        origin: cx.origins.written(span),
    })
}

fn destinations(
    route: &[L4Destination],
    span: Span,
    cx: &mut Compile<'_>,
) -> Option<Vec<DestinationPolicy>> {
    if route.is_empty() {
        let message = "a rule for connections needs a `route`";
        cx.diagnostics
            .push(Diagnostic::error("istio::action", message).label(span, "has none"));
        return None;
    }
    let single = route.len() == 1;
    let weighted = route.iter().filter_map(|one| {
        let weight = if single {
            1
        } else {
            one.weight.map_or(0, |weight| weight.value)
        };
        (weight > 0).then(|| DestinationPolicy {
            to: target(&one.destination),
            weight,
            edits: Edits::default(),
            origin: cx.origins.written(one.destination.host.span),
        })
    });
    let weighted: Vec<_> = weighted.collect();
    if weighted.is_empty() {
        no_weight(span, cx);
        return None;
    }
    Some(weighted)
}

fn tls_condition(one: &TlsMatch, namespace: &str, out: &mut Diagnostics) -> Option<L4Condition> {
    let names = one.sni_hosts.iter();
    let names = names.filter(|name| name.value != "*").map(|name| {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix('*') {
            Some(suffix) => ServerName::Suffix(suffix.into()),
            None => ServerName::Exact(name.into()),
        }
    });
    Some(L4Condition {
        audience: audience(
            &one.gateways,
            &one.source_labels,
            one.source_namespace.as_ref(),
            one.port.as_ref(),
            namespace,
        ),
        server_names: names.collect(),
        destinations: blocks(&one.destination_subnets, out)?,
    })
}

fn tcp_condition(one: &L4Match, namespace: &str, out: &mut Diagnostics) -> Option<L4Condition> {
    if let Some(source) = one.source_subnet {
        let message = "Istio does not read `sourceSubnet`";
        out.push(
            Diagnostic::warning("istio::ignored", message).label(source.span, "has no effect"),
        );
    }
    Some(L4Condition {
        audience: audience(
            &one.gateways,
            &one.source_labels,
            one.source_namespace.as_ref(),
            one.port.as_ref(),
            namespace,
        ),
        server_names: Vec::new(),
        destinations: blocks(&one.destination_subnets, out)?,
    })
}

fn blocks(written: &[Spanned<String>], out: &mut Diagnostics) -> Option<Vec<Cidr>> {
    let blocks: Vec<Option<Cidr>> = written
        .iter()
        .map(|text| {
            let block = block(text);
            if block.is_none() {
                out.push(
                    Diagnostic::error("istio::subnet", format!("`{text}` is no address block"))
                        .label(text.span, "this value")
                        .help("write an address, or a block such as `10.0.0.0/8`"),
                );
            }
            block
        })
        .collect();
    blocks.into_iter().collect()
}

fn block(text: &str) -> Option<Cidr> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some(Cidr { address, bits })
}
