//! A whole set of manifests as its proxy has it.

use std::fmt::Write as _;

use proxy_core::config::{
    ChainAction, Forward, HeaderMatch, PathMatch, Route, RouteAction, Section, TextMatch,
};

use super::rig::*;

#[test]
fn a_shop_is_served_as_its_manifests_say() {
    let built = build(&[include_str!("data/shop.yaml").to_owned()]);
    let mut out = format!("{}\n", built.lines());
    let section = built.section();
    for listener in section.listeners() {
        writeln!(out, "{} {:?}", listener.name, listener.address).expect("text");
        for chain in &listener.chains {
            let ChainAction::Http(http) = &chain.action else {
                continue;
            };
            let side = if is_plain(chain) { "plaintext" } else { "TLS" };
            writeln!(out, "  {side}").expect("text");
            for host in &section.tables()[http.table.0 as usize].virtual_hosts {
                writeln!(out, "    {}", host.domains.join(" ")).expect("text");
                for route in &host.routes {
                    writeln!(out, "      {}", described(route, &section, &built)).expect("text");
                }
            }
        }
    }
    for cluster in section.clusters() {
        let passive = cluster
            .passive
            .map(|it| (it.value.failures, it.value.window.as_millis()));
        writeln!(
            out,
            "{}: {:?}, connect {} ms ({}), passive {passive:?}",
            cluster.name,
            cluster.balancer.value,
            cluster.connect_timeout.value.as_millis(),
            built.origin(cluster.connect_timeout.origin),
        )
        .expect("text");
    }
    insta::assert_snapshot!(out);
}

fn described(route: &Route, section: &Section, built: &Built) -> String {
    let matches = &route.matches;
    let path = match &matches.path {
        PathMatch::Exact(path) => format!("= {path}"),
        PathMatch::Prefix(path) => format!("{path}*"),
        PathMatch::Segments(_)
        | PathMatch::Regex(_)
        | PathMatch::RegexStart(_)
        | PathMatch::Connect => format!("{:?}", matches.path),
    };
    let mut out = format!(
        "{} [{}]\n        {path}",
        route.name,
        built.origin(route.origin)
    );
    if !matches.methods.is_empty() {
        out.push_str(&format!(" {}", matches.methods.join(",")));
    }
    for header in &matches.headers {
        out.push_str(&format!(" {}", condition(header)));
    }
    for gate in &route.gates {
        out.push_str(&format!(
            "\n        passes {} or {} [{}]",
            gate.name,
            gate.status,
            built.origin(gate.origin)
        ));
    }
    out.push_str("\n        ");
    match &route.action {
        RouteAction::Direct(direct) => out.push_str(&format!("answers {}", direct.status)),
        RouteAction::Redirect(redirect) => {
            out.push_str(&format!("redirects with {}", redirect.status))
        }
        RouteAction::Forward(forward) => out.push_str(&sent(forward, section, built)),
    }
    for edit in route.request_edits.iter().chain(&route.response_edits) {
        out.push_str(&format!("\n        {edit:?}"));
    }
    if let Some(cors) = &route.cors {
        out.push_str(&format!(
            "\n        cross-origin {:?} {:?}",
            cors.origins, cors.methods
        ));
    }
    out
}

fn condition(header: &HeaderMatch) -> String {
    let not = if header.invert { "not " } else { "" };
    match &header.value {
        TextMatch::Address(blocks) => {
            let blocks: Vec<String> = blocks
                .iter()
                .map(|it| format!("{}/{}", it.address, it.bits))
                .collect();
            format!("{not}{} in {}", header.name, blocks.join(" "))
        }
        TextMatch::Regex(regex) => format!("{not}{} ~ {}", header.name, regex.as_str()),
        TextMatch::Exact(_)
        | TextMatch::Prefix(_)
        | TextMatch::Suffix(_)
        | TextMatch::Contains(_)
        | TextMatch::Range(..)
        | TextMatch::Present => format!("{not}{} {:?}", header.name, header.value),
    }
}

fn sent(forward: &Forward, section: &Section, built: &Built) -> String {
    let clusters = forward.clusters.iter().map(|it| {
        let at = it.cluster.expect("a cluster");
        format!("{}*{}", section.clusters()[at.0 as usize].name, it.weight)
    });
    let mut out = format!("to {}", clusters.collect::<Vec<_>>().join(" "));
    if let Some(rewrite) = &forward.rewrite {
        out.push_str(&format!(" by {rewrite:?}"));
    }
    if let Some(session) = &forward.session {
        out.push_str(&format!("\n        stays by {:?}", session.carrier));
    }
    if let Some(retry) = &forward.retry {
        out.push_str(&format!(
            "\n        {} more on {} after {:?} [{}]",
            retry.retries.value,
            retry.on.value,
            retry.backoff.value,
            built.origin(retry.retries.origin)
        ));
    }
    out
}
