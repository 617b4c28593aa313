//! Who the client of a request is, and what upstreams are told of it.

use core::net::{IpAddr, SocketAddr};

use super::certificate::{self, Certificates};
use super::lines::Lines;
use crate::config::{Caller, Cidr, HeadRules, Scheme};
use crate::heads::{ArrivingHead, Field};

/// A client's connection, as the rules for its requests need to know it. It is worked out once, not for each request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(super) source: SocketAddr,
    /// The port that was dialled.
    pub(super) port: u16,
    pub(super) tls: bool,
    /// Whether who made the connection is one of one's own.
    internal: bool,
    /// Whether it may say for whom it asks.
    pub(super) believed: bool,
    address: Box<str>,
    /// What is put at the end of `x-forwarded-for`.
    forwarded: Box<str>,
    pub(super) certificate: Option<certificate::Shown>,
}

impl Client {
    /// `own` is this machine's address, under which a client on the same machine is told.
    pub(crate) fn new(
        rules: &HeadRules,
        (source, destination): (SocketAddr, SocketAddr),
        tls: bool,
        own: IpAddr,
        certificates: Option<&Certificates>,
    ) -> Self {
        let ip = source.ip().to_canonical();
        let forwarded = if is_loopback(ip) { own } else { ip };
        Self {
            source: SocketAddr::new(ip, source.port()),
            port: destination.port(),
            tls,
            internal: is_internal(&rules.client.internal, ip),
            believed: match &rules.client.believed {
                Some(ranges) => is_internal(ranges, ip),
                None => true,
            },
            address: ip.to_string().into(),
            forwarded: forwarded.to_string().into(),
            certificate: certificates
                .and_then(|them| certificate::Shown::of(rules.certificate, them)),
        }
    }

    /// Says who the client is, as the first proxy of one's own that has the request.
    ///
    /// Source: envoy `mutateRequestHeaders` (`x-envoy-external-address`).
    pub(super) fn write_external_address(&self, client: SocketAddr, head: &mut impl ArrivingHead) {
        if client == self.source {
            head.set_field(Field::ExternalAddress, &self.address);
        } else {
            head.set_field(Field::ExternalAddress, &client.ip().to_string());
        }
    }
}

/// Source: envoy `source/common/network/utility.cc` (`isLoopbackAddress`): of IPv4 only 127.0.0.1.
fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == core::net::Ipv4Addr::LOCALHOST,
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

fn is_internal(ranges: &[Cidr], ip: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(ip))
}

/// Who the client is.
pub(super) struct Seen {
    pub(super) address: SocketAddr,
    /// Whether it is one of one's own: known by a single address, which is named as such.
    pub(super) internal: bool,
}

/// Finds out who the client is, and writes `x-forwarded-for`, `-proto` and `-port`.
///
/// Source: envoy `mutateRequestHeaders`; `source/extensions/http/original_ip_detection/xff`.
pub(super) fn tell(
    rules: &HeadRules,
    client: &Client,
    lines: &Lines,
    head: &mut impl ArrivingHead,
) -> Seen {
    let wants = &rules.client;
    let proto = Scheme::over(client.tls).as_str();
    let (has_proto, has_port) = (
        lines.has(Field::ForwardedProto),
        lines.has(Field::ForwardedPort),
    );
    let mut writes_proto = !has_proto;
    let mut writes_port = wants.forwarded_port && !has_port;
    let seen = if wants.remote_address {
        // what a hop says that is not trusted is overwritten
        let trusts_none = wants.trusted_hops == 0 && wants.believed.is_none();
        writes_proto |= trusts_none;
        writes_port |= wants.forwarded_port && trusts_none;
        let behind = match wants.trusted_hops {
            0 => None,
            hops => forwarded_for(lines, head, hops - 1).0,
        };
        let address = behind.map_or(client.source, |ip| SocketAddr::new(ip, 0));
        let internal = client.internal && !lines.has(Field::ForwardedFor);
        if !wants.keeps_forwarded_for {
            head.extend_field(Field::ForwardedFor, ",", &client.forwarded);
        }
        Seen { address, internal }
    } else {
        let (said, alone) = forwarded_for(lines, head, wants.trusted_hops);
        Seen {
            address: said.map_or(client.source, |ip| SocketAddr::new(ip, 0)),
            internal: alone && said.is_some_and(|ip| is_internal(&wants.internal, ip)),
        }
    };
    if writes_proto {
        head.set_const(Field::ForwardedProto, proto);
    }
    if writes_port {
        head.set_number(Field::ForwardedPort, u64::from(client.port));
    }
    seen
}

/// The address in `x-forwarded-for` before the last `skipped` ones, and whether it is the only one.
///
/// Source: envoy `source/common/http/utility.cc` (`getLastAddressFromXFF`).
/// Departs: of several lines the last alone is looked at where it has the address.
fn forwarded_for(lines: &Lines, head: &impl ArrivingHead, skipped: u32) -> (Option<IpAddr>, bool) {
    const NOBODY: (Option<IpAddr>, bool) = (None, false);
    if !lines.has(Field::ForwardedFor) {
        return NOBODY;
    }
    let Some(mut list) = head.last(Field::ForwardedFor) else {
        return NOBODY;
    };
    for _ in 0..skipped {
        match list.rfind(',') {
            Some(comma) => list = &list[..comma],
            None => return NOBODY,
        }
    }
    let comma = list.rfind(',');
    // nothing after the last comma: all of it is taken for the address, and is none
    let last = match comma.map(|comma| &list[comma + 1..]) {
        Some(last) if !last.is_empty() => last,
        Some(_) | None => list,
    };
    let alone = comma.is_none() && skipped == 0 && !lines.repeats(Field::ForwardedFor);
    (last.trim().parse().ok(), alone)
}

/// Tells upstreams the cluster and the id of this proxy.
///
/// Source: Envoy v3 `HttpConnectionManager.add_user_agent`; envoy `mutateRequestHeaders`.
pub(super) fn name_caller(caller: &Caller, head: &mut impl ArrivingHead) {
    head.set_field(Field::ServiceCluster, &caller.cluster);
    if head.last(Field::UserAgent).is_none_or(str::is_empty) {
        head.set_field(Field::UserAgent, &caller.cluster);
    }
    if !caller.node.is_empty() {
        head.set_field(Field::ServiceNode, &caller.node);
    }
}
