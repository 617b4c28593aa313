//! Envoy 1.40: a bootstrap for each gateway and each sidecar, as the node's own configuration has it.
//!
//! Endpoints are Services by name, which Envoy resolves itself: of one with an address of its own that is the address, behind which kube-proxy picks
//! a pod for each connection; of one without, every pod.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use compare::Area;
use manifests::envoy::{
    self, Certificates, DataSource, KeyPair, LookupFamily, Resolution, Unresolved,
};
use manifests::model::{Members, NodeRef, Place, Pods, ServiceKind, WorkloadId};
use proxy_core::config::{
    Cluster, Discovery, DownstreamTransport, Endpoint, Name, NodeConfig, UpstreamTransport,
};
use proxy_core::origin::OriginId;
use proxy_core::time::Duration;

use super::edge::services::{Pods as PodsOf, of_pods};
use super::{Gateways, Target};
use crate::intent::{Intent, Part};
use crate::loss::{Loss, Reach};
use crate::object::{Written, dns_name};
use crate::yaml::{Map, Value};

/// Envoy.
pub(super) static TARGET: Target = Target {
    name: "envoy",
    title: "Envoy 1.40",
    dialect: "envoy",
    release: "1.40",
    injection: None,
    gateways: Gateways::All,
    unsaid: &[],
    write,
};

/// How often Envoy resolves names, unless it is told otherwise.
const REFRESH: Duration = Duration::from_secs(5);

fn write(intent: &Intent<'_>, written: &mut Written) {
    for gateway in intent.to_write() {
        let node = NodeRef::Gateway(gateway.id);
        let reach = Reach::Gateway(gateway.id);
        let name = format!("gateway-{}.yaml", dns_name(&gateway.facts.name));
        bootstrap(intent, node, &[gateway.part], reach, &name, written);
        written.stands_for(gateway.id, gateway.facts.name.to_string());
    }
    let Some(mesh) = &intent.mesh else {
        return;
    };
    for inbound in &mesh.workloads {
        let id = inbound.workload;
        let outbound = intent.source.model.outbound_part(id);
        let outbound = outbound.and_then(|nth| intent.source.model.parts().nth(nth));
        let outbound = outbound.map(|(draft, upstreams)| Part { draft, upstreams });
        let parts: Vec<Part<'_>> = [Some(inbound.part), outbound]
            .into_iter()
            .flatten()
            .collect();
        let workload = &intent.source.model.workloads()[id.index()];
        let name = format!("sidecar-{}.yaml", dns_name(&workload.full_name()));
        bootstrap(
            intent,
            NodeRef::Sidecar(id),
            &parts,
            Reach::Workload(id),
            &name,
            written,
        );
    }
    written.note("run each sidecar's Envoy beside its pods, with their connections redirected to 15001 (outgoing) and 15006 (arriving)");
}

fn bootstrap(
    intent: &Intent<'_>,
    node: NodeRef,
    parts: &[Part<'_>],
    reach: Reach,
    file: &str,
    written: &mut Written,
) {
    let model = intent.source.model;
    let nobody = Pods::new(model.workloads().len());
    let Some(config) = model.config(node, &Place::default(), &nobody) else {
        return;
    };
    let mut unresolved: Vec<Unresolved> = Vec::new();
    let mut by_kube_proxy = false;
    let mut known: BTreeSet<Name> = BTreeSet::new();
    for part in parts {
        for (cluster, upstream) in part.draft.clusters.iter().zip(part.upstreams) {
            if cluster.discovery != Discovery::Endpoints || !known.insert(cluster.name.clone()) {
                continue;
            }
            match by_name(intent, cluster, &upstream.members, written) {
                Resolved::Name(found, address) => {
                    by_kube_proxy |= address;
                    unresolved.push(*found);
                }
                Resolved::Fixed => {}
                Resolved::Unknown => {
                    let what = format!("requests go to the pods of `{}`", cluster.service);
                    let why = "no Service stands for them, so that they have no name to resolve";
                    let loss = Loss::new(reach, Area::Destination, cluster.origin, what, why);
                    written.lose(loss.nearest("the cluster has no endpoints"));
                }
            }
        }
    }
    let likeness = envoy::write(
        &config,
        &envoy::Written {
            unresolved,
            certificates: certificates(intent, node, &config, written),
            ..envoy::Written::default()
        },
    );
    if by_kube_proxy {
        let what = "pods are picked for each request, and watched one by one";
        let why = "a file names Services, and behind the address of one kube-proxy picks a pod for each connection; a control plane would name pods";
        let loss = Loss::new(reach, Area::Balance, config_origin(intent, node), what, why);
        let loss = loss
            .nearest("the Service's address")
            .also(Area::Ejection)
            .also(Area::Health);
        written.lose(loss);
    }
    for departure in &likeness.departures {
        let place = match &*departure.place {
            "" => String::new(),
            place => format!("{place}: "),
        };
        let what = format!("{place}otherwise there");
        let loss = Loss::new(
            reach,
            area(&departure.what),
            departure.origin,
            what,
            &departure.what,
        );
        written.lose(loss);
    }
    written
        .files
        .push((file.to_owned(), value(&likeness.bootstrap).to_yaml()));
}

fn config_origin(intent: &Intent<'_>, node: NodeRef) -> OriginId {
    let model = intent.source.model;
    match node {
        NodeRef::Gateway(id) => model.gateways()[id.index()].origin,
        NodeRef::Sidecar(id) => model.workloads()[id.index()].origin,
    }
}

/// Every certificate that a node's transports name, as files of the proxy's.
fn certificates(
    intent: &Intent<'_>,
    node: NodeRef,
    config: &NodeConfig,
    written: &mut Written,
) -> Vec<Certificates> {
    let mut all: BTreeMap<Name, Certificates> = BTreeMap::new();
    for section in &config.sections {
        let chains = section.listeners().iter().flat_map(|it| &it.chains);
        for chain in chains {
            if let DownstreamTransport::Tls {
                mutual,
                certificate,
                alpn,
            } = &chain.transport
            {
                let made = of_files(certificate, true, *mutual, alpn.clone(), chain.origin);
                all.entry(certificate.clone()).or_insert(made);
            }
        }
        for cluster in section.clusters() {
            let (name, pairs, trusts, alpn) = match &cluster.transport {
                UpstreamTransport::Plaintext => continue,
                UpstreamTransport::Tls { certificate, .. } => {
                    let Some(name) = certificate else { continue };
                    let known = intent.source.model.credential(node, name);
                    let pairs = known.is_none_or(|it| !it.pairs.is_empty());
                    let trusts = known.is_some_and(|it| it.roots.is_some());
                    let alpn = known.map(|it| it.alpn.clone()).unwrap_or_default();
                    (name, pairs, trusts, alpn)
                }
                UpstreamTransport::Mesh { identity, alpn, .. } => {
                    (identity, true, true, alpn.clone())
                }
            };
            let made = of_files(name, pairs, trusts, alpn, cluster.origin);
            all.entry(name.clone()).or_insert(made);
        }
    }
    for name in all.keys() {
        written.note(format!(
            "put the certificate `{name}` and its key, and whom to trust, at {}",
            folder(name)
        ));
    }
    all.into_values().collect()
}

/// Where the files of a certificate are.
fn folder(name: &str) -> String {
    format!("/etc/envoy/certificates/{}", dns_name(name))
}

fn of_files(
    name: &Name,
    pairs: bool,
    trusts: bool,
    alpn: Vec<Box<str>>,
    origin: OriginId,
) -> Certificates {
    let file = |kind: &str| DataSource::File(format!("{}/{kind}", folder(name)).into());
    let pair = pairs.then(|| KeyPair {
        chain: file("tls.crt"),
        key: file("tls.key"),
    });
    Certificates {
        name: name.clone(),
        pairs: pair.into_iter().collect(),
        trusted_ca: trusts.then(|| file("ca.crt")),
        system_roots: false,
        subjects: Vec::new(),
        accepts_untrusted: false,
        accepts_expired: false,
        full_scan: false,
        alpn,
        min_version: None,
        max_version: None,
        origin,
    }
}

/// Where the endpoints of a cluster come from.
enum Resolved {
    /// A name, and whether it is that of an address behind which kube-proxy picks.
    Name(Box<Unresolved>, bool),
    /// They are written, or there are none and none are meant.
    Fixed,
    /// Nothing names them.
    Unknown,
}

fn by_name(
    intent: &Intent<'_>,
    cluster: &Cluster,
    members: &Members,
    written: &mut Written,
) -> Resolved {
    let none: &[(Name, Name)] = &[];
    let (service, port, labels) = match members {
        Members::Pods {
            service,
            port,
            labels,
        } => (*service, *port, &labels[..]),
        Members::Datagrams { service, port } | Members::Address { service, port } => {
            (*service, *port, none)
        }
        Members::Workloads { .. } => return Resolved::Unknown,
        Members::None | Members::Fixed(_) => return Resolved::Fixed,
        // whoever comes first is used first
        Members::Several(all) | Members::Ranked(all) => {
            return match all.first() {
                Some(first) => by_name(intent, cluster, first, written),
                None => Resolved::Fixed,
            };
        }
    };
    let labels = if labels.is_empty() {
        &cluster.subset[..]
    } else {
        labels
    };
    let pods = PodsOf {
        service,
        port,
        labels,
    };
    let Some(name) = of_pods(intent, &pods, written) else {
        return Resolved::Unknown;
    };
    let facts = intent.source.service(service);
    let host = format!("{}.{}.svc.cluster.local", name.name, name.namespace);
    let is_address = matches!(facts.kind, ServiceKind::ClusterIp(_));
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let unresolved = Unresolved {
        cluster: cluster.name.clone(),
        host: host.into(),
        port,
        resolution: Resolution::All,
        family: LookupFamily::Auto,
        refresh: REFRESH,
        jitter: Duration::ZERO,
        failure: None,
        endpoint: Endpoint {
            identity: identity(intent, &facts.workloads),
            ..Endpoint::at(any)
        },
    };
    Resolved::Name(Box::new(unresolved), is_address)
}

/// The identity that all of these pods present; none: some have none, or another one.
fn identity(intent: &Intent<'_>, workloads: &[WorkloadId]) -> Option<Name> {
    let all = intent.source.model.workloads();
    let mut identities = workloads.iter().map(|id| all[id.index()].sidecar.as_ref());
    let first = identities.next()??.identity.clone();
    identities
        .all(|it| it.is_some_and(|it| it.identity == first))
        .then_some(first)
}

/// What a departure is about, by the words that it is told in.
fn area(words: &str) -> Area {
    const WORDS: &[(&str, Area)] = &[
        ("certificate", Area::Tls),
        ("preflight", Area::Cors),
        ("origin is allowed", Area::Cors),
        ("fault", Area::Fault),
        ("aborted", Area::Fault),
        ("redirect", Area::Redirect),
        ("path is rewritten", Area::Rewrite),
        ("header", Area::Headers),
        ("heads are", Area::Reading),
        ("x-forwarded", Area::Reading),
        ("clients stay", Area::Session),
        ("limit", Area::Limit),
        ("bucket", Area::Limit),
        ("by key", Area::Limit),
        ("breaker", Area::Limit),
        ("refusal", Area::Limit),
        ("wait", Area::Limit),
        ("bound on connections", Area::Limit),
        ("idle connections", Area::Pool),
        ("retr", Area::Retry),
        ("tried", Area::Retry),
        ("try", Area::Retry),
        ("tries", Area::Retry),
        ("pauses", Area::Retry),
        ("timeout", Area::Timeout),
        ("upgrade", Area::Upgrade),
        ("WebSocket", Area::Upgrade),
        ("health check", Area::Health),
        ("endpoint out", Area::Ejection),
        ("outlier", Area::Ejection),
        ("panic", Area::Ejection),
        ("slow start", Area::Balance),
        ("zone", Area::Balance),
        ("endpoints are looked at", Area::Balance),
        ("weights", Area::Destination),
        ("clusters", Area::Destination),
        ("destination", Area::Destination),
        ("the route is left out", Area::Destination),
        ("connections", Area::Connection),
        ("listens", Area::Connection),
        ("answer", Area::Answer),
        ("status", Area::Answer),
    ];
    let found = WORDS.iter().find(|(word, _)| words.contains(word));
    // ways to choose endpoints are told by their names
    found.map_or(Area::Balance, |(_, area)| *area)
}

/// A bootstrap as what is written.
fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => value.into(),
            (None, Some(value)) => value.into(),
            (None, None) => number.as_f64().unwrap_or_default().into(),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => Value::List(items.iter().map(value).collect()),
        serde_json::Value::Object(entries) => {
            let mut map = Map::new();
            // the kind of a typed config comes first, as people write it
            let kind = entries.iter().filter(|(key, _)| *key == "@type");
            let others = entries.iter().filter(|(key, _)| *key != "@type");
            for (key, inner) in kind.chain(others) {
                map.set(key, value(inner));
            }
            map.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_departure_is_about_what_its_words_name() {
        for (words, expected) in [
            (
                "the last try is bound by the per-try timeout as the others are",
                Area::Retry,
            ),
            (
                "no breaker opens: Envoy has none by an expression",
                Area::Limit,
            ),
            ("the redirect has the status 301, not 300", Area::Redirect),
            ("all idle connections are kept, not 512 of them", Area::Pool),
            (
                "failures in a row take no endpoint out until a request succeeds: Envoy has no failure accrual",
                Area::Ejection,
            ),
            (
                "answers of the proxy's own have Envoy's statuses, not Kong's",
                Area::Answer,
            ),
            (
                "endpoints are chosen in turn, not by Kong's ring",
                Area::Balance,
            ),
        ] {
            assert_eq!(area(words), expected, "{words}");
        }
    }

    #[test]
    fn the_kind_of_a_typed_config_stands_first() {
        let json = serde_json::json!({"a": 1, "@type": "t", "z": [true, null, 1.5]});
        let yaml = value(&json).to_yaml();
        assert!(
            yaml.starts_with("'@type': t\n") || yaml.starts_with("\"@type\": t\n"),
            "{yaml}"
        );
    }
}
