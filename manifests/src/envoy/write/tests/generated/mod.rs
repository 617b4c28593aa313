//! Configurations of all kinds that a bootstrap can be read as, and back.

mod clusters;
mod routes;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proxy_core::config::{
    Caller, CertificateForwarding, CertificateRules, ChainAction, ChainMatch, Cidr, ClientRules,
    CloseReason, ClusterIndex, DatagramHash, DownstreamTransport, EscapedSlashes, FilterChain,
    HeadLimits, HeadRules, HostRules, HttpConnections, HttpFilter, Listener, ListenerAddress,
    NodeConfig, NodeKind, PathRules, Preface, ReplyProfile, RequestIdRules, Scheme, SectionDraft,
    ServerName, ServerRules, ServerTransformation, StripPort, TcpRoute, TransportProtocol,
    UdpRoute, Underscores, Unlisted, Upgrades,
};
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::time::Duration;

use super::dice::Dice;
use super::portrait::portrait;
use super::there_and_back::{again, assert_same};
use crate::envoy::{Certificates, DataSource, KeyPair, Written, write};

pub(super) fn sourced<T>(value: T) -> Sourced<T> {
    Sourced::unsourced(value)
}

pub(super) fn length(dice: &mut Dice<'_>) -> Duration {
    let millis = dice.one(&[250, 1, 25, 1_500, 20_000, 3_600_000]);
    Duration::from_millis(millis)
}

pub(super) fn timer(dice: &mut Dice<'_>) -> Option<Sourced<Duration>> {
    dice.maybe(|dice| sourced(length(dice)))
}

pub(super) fn count(dice: &mut Dice<'_>) -> u32 {
    dice.one(&[1, 2, 7, 1024, u32::MAX])
}

/// A node, and what its bootstrap says beside it.
fn node(dice: &mut Dice<'_>) -> (NodeConfig, Written) {
    let mut draft = SectionDraft::default();
    let mut written = Written::default();
    clusters::all(dice, &mut draft, &mut written);
    let id = dice.one(&["", "n", "default/n"]);
    let caller = Caller {
        cluster: dice.one(&["", "c"]).into(),
        node: id.into(),
    };
    let listeners = dice.below(3);
    for number in 0..listeners {
        listener(dice, number, &caller, &mut draft, &mut written);
    }
    let name = if id.is_empty() { "envoy" } else { id };
    let config = NodeConfig {
        name: name.into(),
        kind: NodeKind::Gateway,
        sections: vec![Arc::new(draft.build().expect("a section"))],
    };
    (config, written)
}

fn listener(
    dice: &mut Dice<'_>,
    number: u8,
    caller: &Caller,
    draft: &mut SectionDraft,
    written: &mut Written,
) {
    let name = format!("l{number}");
    let at = SocketAddr::from(([0, 0, 0, 0], 8080 + u16::from(number)));
    if !draft.clusters.is_empty() && dice.rarely() {
        draft.listeners.push(datagrams(dice, &name, at, draft));
        return;
    }
    let retained = dice.one(&[1 << 20, 32_768]);
    let count = 1 + dice.below(3);
    let mut chains = Vec::new();
    for chain in 0..count {
        let transport = match dice.rarely() {
            false => DownstreamTransport::Plaintext,
            true => {
                let certificate = format!("listener/{name}/{chain}");
                let alpn: Vec<Box<str>> = dice.some(2, |dice| dice.one(&["h2", "http/1.1"]).into());
                let mut own = certificates(&certificate, alpn.clone());
                own.trusted_ca = dice.maybe(|_| DataSource::File("ca.pem".into()));
                written.certificates.push(own);
                DownstreamTransport::Tls {
                    mutual: dice.yes(),
                    alpn,
                    certificate: certificate.into(),
                }
            }
        };
        let action = match dice.below(5) {
            0..3 => ChainAction::Http(Box::new(http(dice, &name, retained, caller, draft))),
            3 if draft.clusters.is_empty() => ChainAction::Close(CloseReason::NoFilterChain),
            3 => ChainAction::Tcp(tcp(dice, draft)),
            _ => ChainAction::Close(CloseReason::NoFilterChain),
        };
        chains.push(FilterChain {
            matches: chain_match(dice, chain),
            transport,
            action,
            origin: OriginId::NONE,
        });
    }
    // what no chain with requests keeps is not said
    draft.listeners.push(Listener {
        name: name.into(),
        address: ListenerAddress::Socket(at),
        chains,
        process_limit: None,
        logs: proxy_core::log::Logs::default(),
        max_connections: dice.maybe(|dice| sourced(self::count(dice))),
        preface: dice.maybe(|dice| Preface {
            optional: dice.yes(),
            v1: true,
            v2: dice.yes(),
        }),
        origin: OriginId::NONE,
    });
}

fn datagrams(dice: &mut Dice<'_>, name: &str, at: SocketAddr, draft: &SectionDraft) -> Listener {
    let route = UdpRoute {
        name: dice.one(&["dns", "front"]).into(),
        clusters: vec![(
            ClusterIndex(dice.below(draft.clusters.len() as u8).into()),
            1,
        )],
        idle_timeout: Some(sourced(length(dice))),
        per_datagram: dice.yes(),
        hash: dice.maybe(|dice| match dice.yes() {
            true => DatagramHash::SourceAddress,
            false => DatagramHash::Key("k".into()),
        }),
        largest_request: dice.one(&[1500, 9000, u16::MAX]),
        largest_answer: dice.one(&[u16::MAX, 1500, 9000]),
        origin: OriginId::NONE,
    };
    Listener {
        logs: proxy_core::log::Logs::default(),
        process_limit: None,
        name: name.into(),
        address: ListenerAddress::Datagrams(at),
        chains: vec![FilterChain {
            matches: ChainMatch::default(),
            transport: DownstreamTransport::Plaintext,
            action: ChainAction::Udp(route),
            origin: OriginId::NONE,
        }],
        max_connections: None,
        preface: None,
        origin: OriginId::NONE,
    }
}

pub(super) fn certificates(name: &str, alpn: Vec<Box<str>>) -> Certificates {
    Certificates {
        name: name.into(),
        pairs: vec![KeyPair {
            chain: DataSource::File("chain.pem".into()),
            key: DataSource::File("key.pem".into()),
        }],
        trusted_ca: None,
        system_roots: false,
        subjects: Vec::new(),
        accepts_untrusted: false,
        accepts_expired: false,
        full_scan: false,
        alpn,
        min_version: None,
        max_version: None,
        origin: OriginId::NONE,
    }
}

fn chain_match(dice: &mut Dice<'_>, chain: u8) -> ChainMatch {
    if chain == 0 {
        return ChainMatch::default();
    }
    let own = ServerName::Exact(format!("{chain}.test").into());
    let mut server_names = vec![own];
    if dice.yes() {
        server_names.push(ServerName::Suffix(format!(".{chain}.test").into()));
    }
    ChainMatch {
        port: dice.maybe(|dice| dice.one(&[80, 443])),
        destinations: dice.some(2, |dice| Cidr {
            address: dice.one(&[[10, 0, 0, 0], [192, 168, 0, 1]]).into(),
            bits: dice.one(&[8, 32, 0]),
        }),
        server_names,
        transport: dice.maybe(|dice| dice.one(&[TransportProtocol::Tls, TransportProtocol::Raw])),
        protocols: dice.some(2, |dice| dice.one(&["h2", "http/1.1", "istio"]).into()),
    }
}

fn tcp(dice: &mut Dice<'_>, draft: &SectionDraft) -> TcpRoute {
    let clusters = draft.clusters.len() as u8;
    let to = |dice: &mut Dice<'_>| {
        let cluster = ClusterIndex(u32::from(dice.below(clusters)));
        (cluster, 1 + u32::from(dice.below(3)))
    };
    let mut split = vec![to(dice)];
    split.extend(dice.some(2, to));
    TcpRoute {
        clusters: split,
        idle_timeout: timer(dice),
        connect_retries: u32::from(dice.below(3)),
        max_duration: timer(dice),
        logs: proxy_core::config::CarriedLogs::default(),
        origin: OriginId::NONE,
    }
}

fn http(
    dice: &mut Dice<'_>,
    listener: &str,
    retained: u64,
    caller: &Caller,
    draft: &mut SectionDraft,
) -> HttpConnections {
    let heads = heads(dice, caller);
    let mut table = routes::table(dice, draft.tables.len(), draft.clusters.len());
    table.ignore_port |= heads.host.strip_port == StripPort::Any;
    let upgrades = Upgrades {
        listed: dice.maybe(routes::upgrade).into_iter().collect(),
        others: Unlisted::Refused,
        http2: dice.yes(),
    };
    let filters = (0..dice.below(3)).map(|number| match dice.below(3) {
        0 => HttpFilter::Cors,
        1 => HttpFilter::Fault(
            dice.maybe(routes::fault)
                .filter(|fault| fault.delay.is_some() || fault.abort.is_some()),
        ),
        _ => {
            let name = format!("{listener}/{number}");
            HttpFilter::LocalRateLimit(dice.maybe(|dice| routes::limit(dice, &name)))
        }
    });
    HttpConnections {
        logs: proxy_core::log::Logs::default(),
        tracing: None,
        upgrades,
        filters: filters.collect(),
        table: draft.add_table(table),
        stream_idle_timeout: timer(dice),
        request_timeout: timer(dice),
        max_stream_duration: timer(dice),
        idle_timeout: timer(dice),
        max_connection_duration: timer(dice),
        head_timeout: timer(dice),
        max_requests_per_connection: dice.maybe(|dice| sourced(count(dice))),
        retained_bytes: retained,
        replies: ReplyProfile::Envoy,
        edge: heads.client.remote_address,
        heads: Some(Arc::new(heads)),
        origin: OriginId::NONE,
    }
}

fn heads(dice: &mut Dice<'_>, caller: &Caller) -> HeadRules {
    HeadRules {
        client: ClientRules {
            remote_address: dice.yes(),
            trusted_hops: u32::from(dice.below(3)),
            keeps_forwarded_for: dice.yes(),
            internal: dice.some(2, |dice| Cidr {
                address: dice.one(&[[10, 0, 0, 0], [127, 0, 0, 1]]).into(),
                bits: dice.one(&[8, 32]),
            }),
            forwarded_port: dice.yes(),
            believed: None,
        },
        request_id: RequestIdRules {
            generates: !dice.yes(),
            keeps_external: dice.yes(),
            in_response: dice.yes(),
            says_traced: !dice.yes(),
            samples: !dice.yes(),
        },
        certificate: CertificateRules {
            forwarding: dice.one(&[
                CertificateForwarding::Sanitize,
                CertificateForwarding::ForwardOnly,
                CertificateForwarding::AppendForward,
                CertificateForwarding::SanitizeSet,
                CertificateForwarding::AlwaysForwardOnly,
            ]),
            subject: dice.yes(),
            certificate: dice.yes(),
            chain: dice.yes(),
            names: dice.yes(),
            uris: dice.yes(),
        },
        path: PathRules {
            escaped_slashes: dice.one(&[
                EscapedSlashes::Keep,
                EscapedSlashes::Reject,
                EscapedSlashes::Redirect,
                EscapedSlashes::Forward,
            ]),
            normalizes: dice.yes(),
            merges_slashes: dice.yes(),
        },
        host: HostRules {
            strip_port: dice.one(&[StripPort::Never, StripPort::Matching, StripPort::Any]),
            strip_dot: dice.yes(),
        },
        limits: HeadLimits {
            headers: dice.one(&[100, 1, 5000]),
            bytes: dice.one(&[60, 1, 8192]) << 10,
        },
        underscores: dice.one(&[Underscores::Allow, Underscores::Drop, Underscores::Reject]),
        http10: dice.yes(),
        default_host: dice.maybe(|_| "old.test".into()),
        scheme: dice.maybe(|dice| dice.one(&[Scheme::Http, Scheme::Https])),
        scheme_of_upstream: dice.yes(),
        via: dice.maybe(|_| "via".into()),
        server: ServerRules {
            name: Cow::Borrowed(dice.one(&["windtunnel", "envoy"])),
            transformation: dice.one(&[
                ServerTransformation::Overwrite,
                ServerTransformation::AppendIfAbsent,
                ServerTransformation::PassThrough,
            ]),
        },
        caller: dice.maybe(|_| caller.clone()),
        internal_only: dice.some(2, |dice| dice.one(&["x-a", "x-b"]).into()),
        tells: !dice.yes(),
    }
}

proptest! {
    #[test]
    fn whatever_can_be_read_is_written_as_it_is_read(bytes in vec(any::<u8>(), 0..600)) {
        let (config, mut written) = node(&mut Dice::new(&bytes));
        written.shows_keys = true;
        let likeness = write(&config, &written);
        let text = serde_json::to_string_pretty(&likeness.bootstrap).expect("JSON");
        let second = again(&likeness.bootstrap);
        assert_same(&portrait(&config), &portrait(&second.config), &text);
        let around = Written { certificates: second.tls.clone(), ..written };
        let third = write(&second.config, &around);
        let fourth = write(&again(&third.bootstrap).config, &around);
        prop_assert_eq!(third.bootstrap, fourth.bootstrap);
    }
}

/// Bytes that look like any others.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(900).collect()
}

#[test]
fn envoy_takes_whatever_is_written() {
    let Some(envoy) = std::env::var_os("ENVOY") else {
        eprintln!("SKIPPED: no Envoy to ask; name its binary in $ENVOY");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str| DataSource::File(path(name).to_str().expect("a path").into());
    let params = rcgen::CertificateParams::new(vec!["test".to_owned()]).expect("a name");
    let key = rcgen::KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate");
    std::fs::write(path("chain.pem"), own.pem()).expect("a file");
    std::fs::write(path("key.pem"), key.serialize_pem()).expect("a file");
    let mut refused = Vec::new();
    for seed in 0..40 {
        let (config, mut written) = node(&mut Dice::new(&noise(seed)));
        for each in &mut written.certificates {
            for pair in &mut each.pairs {
                (pair.chain, pair.key) = (file("chain.pem"), file("key.pem"));
            }
            each.trusted_ca = each.trusted_ca.as_ref().map(|_| file("chain.pem"));
        }
        let likeness = write(&config, &written);
        let text = serde_json::to_string_pretty(&likeness.bootstrap).expect("JSON");
        std::fs::write(path("bootstrap.json"), &text).expect("a file");
        let output = std::process::Command::new(&envoy)
            .args(["--mode", "validate", "-l", "error", "-c"])
            .arg(path("bootstrap.json"))
            .output()
            .expect("Envoy runs");
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            refused.push(format!("{seed}: {said}\n{text}"));
        }
    }
    assert!(
        refused.is_empty(),
        "{}",
        refused.join(
            "
"
        )
    );
}
