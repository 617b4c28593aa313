//! What becomes of connections.

use std::collections::BTreeSet;

use proxy_core::config::{
    ChainAction, Cluster, ClusterIndex, DownstreamTransport, FilterChain, HttpConnections,
    Listener, ListenerAddress, Section, TcpRoute, UdpRoute,
};
use proxy_core::node::{Arrival, select_chain};
use proxy_core::origin::OriginId;

use super::doors::{Door, Hello, Way, doors, hellos};
use super::hosts::abroad;
use super::requests::{self, Tables};
use super::tell::{Context, Sheet, Tell};
use super::{Area, Destination, Options, Side, fields};

/// Asks about every connection that either side has a rule for.
pub(crate) fn all(sides: [&Side<'_>; 2], options: &Options, tell: &mut Tell<'_>) {
    let mut asked = Asked::default();
    for door in doors(sides) {
        if options.passed_ports.contains(&door.port()) {
            tell.pass(format!("port {}: not asked about", door.port()));
            continue;
        }
        if let Door::ToService(service, _) = &door
            && options.passes(service)
        {
            tell.pass(requests::passed_service(service));
            continue;
        }
        let ways = [door.way(sides[0], sides[1]), door.way(sides[1], sides[0])];
        let found = [find(sides[0], ways[0]), find(sides[1], ways[1])];
        if let Door::ToPort(port) = &door
            && found
                .iter()
                .flatten()
                .any(|it| it.is_abroad(*port, options))
        {
            let what = format!("port {port}: only Services that are not asked about");
            tell.pass(what);
            continue;
        }
        let words = door.words();
        let context = Context {
            place: &words,
            example: &|| format!("a connection {words}"),
        };
        if let [Some(left), Some(right)] = &found {
            let sheets = [left, right].map(|it| fields::listener(it.listener));
            tell.sheets(&context, &sheets[0], &sheets[1]);
        }
        for hello in hellos(found.map(|it| it.map(|it| it.listener))) {
            tell.asked.connections += 1;
            tell.turn();
            let meets = [
                meet(found[0], ways[0], &hello),
                meet(found[1], ways[1], &hello),
            ];
            connection(sides, options, &door, &hello, meets, &mut asked, tell);
        }
    }
}

/// What was asked before: tables are asked about once, however many connections lead to them.
#[derive(Default)]
pub(crate) struct Asked {
    tables: BTreeSet<String>,
    clusters: BTreeSet<([usize; 2], Carries)>,
}

/// What a cluster carries, as far as its fields have a say in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Carries {
    /// Bytes or datagrams.
    Bytes,
    /// Requests.
    Requests,
    /// Requests of high priority, which have limits of their own.
    Urgent,
}

/// A listener with its section.
#[derive(Clone, Copy)]
struct Found<'a> {
    section: &'a Section,
    listener: &'a Listener,
}

impl Found<'_> {
    /// Whether this is a listener for one port whose every named host is of a Service that is not asked about.
    fn is_abroad(&self, port: u16, options: &Options) -> bool {
        if self.listener.address != ListenerAddress::OutboundPort(port) {
            return false;
        }
        let tables = self
            .listener
            .chains
            .iter()
            .filter_map(|chain| match &chain.action {
                ChainAction::Http(http) => self.section.tables().get(http.table.0 as usize),
                ChainAction::Tcp(_) | ChainAction::Udp(_) | ChainAction::Close(_) => None,
            });
        let hosts = tables.flat_map(|table| &table.virtual_hosts);
        let mut named = hosts.filter(|host| host.domains.iter().any(|it| **it != *"*"));
        let Some(first) = named.next() else {
            return false;
        };
        abroad(first, options).is_some() && named.all(|host| abroad(host, options).is_some())
    }
}

/// The listener that takes a connection: by address or port in any section, else the rest.
fn find<'a>(side: &Side<'a>, way: Way) -> Option<Found<'a>> {
    let by_address = side.sections.iter().find_map(|section| {
        let at = section.listener(way.arrival, way.at)?;
        Some((section, at))
    });
    let found = by_address.or_else(|| {
        side.sections.iter().find_map(|section| {
            let at = section.rest_listener(way.arrival)?;
            Some((section, at))
        })
    });
    let (section, at) = found?;
    Some(Found {
        section,
        listener: section.listeners().get(at as usize)?,
    })
}

/// What a connection meets.
#[derive(Clone, Copy)]
enum Meets<'a> {
    /// Nobody takes it, by the rule of this listener if there is one.
    Closed(OriginId),
    /// A chain.
    Chain(&'a Section, &'a FilterChain),
}

fn meet<'a>(found: Option<Found<'a>>, way: Way, hello: &Hello) -> Meets<'a> {
    let Some(Found { section, listener }) = found else {
        return Meets::Closed(OriginId::NONE);
    };
    let at = match way.arrival {
        // a socket for datagrams has one chain
        Arrival::Datagrams => Some(0),
        Arrival::Dialled | Arrival::Outbound | Arrival::Inbound => {
            hello.peek(|peek| select_chain(listener, way.at, Some(peek)))
        }
    };
    let chain = at.and_then(|at| listener.chains.get(at as usize));
    match chain {
        // what does not begin with a handshake ends in its stead
        Some(chain) if !hello.is_tls() && chain.transport != DownstreamTransport::Plaintext => {
            Meets::Closed(chain.origin)
        }
        // a handshake is no request
        Some(chain) if hello.is_tls() && reads_in_the_clear(chain) => Meets::Closed(chain.origin),
        Some(chain) => Meets::Chain(section, chain),
        None => Meets::Closed(listener.origin),
    }
}

/// Whether requests are read of connections as they come, without TLS.
fn reads_in_the_clear(chain: &FilterChain) -> bool {
    chain.transport == DownstreamTransport::Plaintext
        && matches!(chain.action, ChainAction::Http(_))
}

impl Meets<'_> {
    fn words(&self) -> (String, OriginId) {
        let chain = match self {
            Self::Closed(origin) => return ("closed".to_owned(), *origin),
            Self::Chain(_, chain) => chain,
        };
        let what = match &chain.action {
            ChainAction::Http(_) => "requests are read",
            ChainAction::Tcp(_) => "bytes are carried",
            ChainAction::Udp(_) => "datagrams are carried",
            ChainAction::Close(_) => return ("closed".to_owned(), chain.origin),
        };
        let transport = match &chain.transport {
            DownstreamTransport::Plaintext => "",
            DownstreamTransport::Tls { mutual: false, .. } => "TLS ends here, ",
            DownstreamTransport::Tls { mutual: true, .. } => "mutual TLS ends here, ",
        };
        (format!("{transport}{what}"), chain.origin)
    }
}

fn connection(
    sides: [&Side<'_>; 2],
    options: &Options,
    door: &Door,
    hello: &Hello,
    meets: [Meets<'_>; 2],
    asked: &mut Asked,
    tell: &mut Tell<'_>,
) {
    let place = door.words();
    let example = || format!("a connection {}{}", door.words(), hello.words());
    let context = Context {
        place: &place,
        example: &example,
    };
    let said = [meets[0].words(), meets[1].words()];
    tell.field(&context, Area::Connection, "connection", said);
    let [Meets::Chain(left, one), Meets::Chain(right, other)] = meets else {
        return;
    };
    match (&one.action, &other.action) {
        (ChainAction::Http(first), ChainAction::Http(second)) => {
            http(
                sides,
                options,
                (door, hello),
                [(left, &**first), (right, &**second)],
                asked,
                tell,
            );
        }
        (ChainAction::Tcp(first), ChainAction::Tcp(second)) => {
            let carried = [
                Carried::tcp(left, first, sides[0]),
                Carried::tcp(right, second, sides[1]),
            ];
            carry(&context, carried, asked, tell);
        }
        (ChainAction::Udp(first), ChainAction::Udp(second)) => {
            let carried = [
                Carried::udp(left, first, sides[0]),
                Carried::udp(right, second, sides[1]),
            ];
            carry(&context, carried, asked, tell);
        }
        // told before: they become different things, or nothing
        (
            ChainAction::Http(_)
            | ChainAction::Tcp(_)
            | ChainAction::Udp(_)
            | ChainAction::Close(_),
            _,
        ) => {}
    }
}

fn http(
    sides: [&Side<'_>; 2],
    options: &Options,
    (door, hello): (&Door, &Hello),
    of: [(&Section, &HttpConnections); 2],
    asked: &mut Asked,
    tell: &mut Tell<'_>,
) {
    let sheets = of.map(|(_, http)| fields::http(http));
    let tables = of.map(|(section, http)| Tables {
        section,
        http,
        at: http.table,
    });
    let place = door.words();
    let context = Context {
        place: &place,
        example: &|| format!("a connection {}{}", door.words(), hello.words()),
    };
    tell.sheets(&context, &sheets[0], &sheets[1]);
    if of[0].1.heads.is_some() != of[1].1.heads.is_some() {
        tell.pass("how heads are read whatever their route: one side does not say");
    }
    let key = [0, 1].map(|side| {
        let section: *const Section = of[side].0;
        let filters = fields::filters_key(of[side].1);
        format!(
            "{section:?} {:?} {} {filters}",
            of[side].1.table,
            sheets[side].key()
        )
    });
    let is_new = asked
        .tables
        .insert(format!("{}\n{}\n{}", key[0], key[1], hello.is_tls()));
    if is_new {
        requests::all(sides, options, (door, hello.is_tls()), tables, asked, tell);
    }
}

/// Bytes or datagrams that go to clusters.
struct Carried<'a> {
    shares: Vec<(Destination, f64, &'a Cluster)>,
    sheet: Sheet,
    origin: OriginId,
}

impl<'a> Carried<'a> {
    fn tcp(section: &'a Section, route: &TcpRoute, side: &Side<'_>) -> Self {
        Self {
            shares: shares(section, &route.clusters, side),
            sheet: fields::tcp(route),
            origin: route.origin,
        }
    }

    fn udp(section: &'a Section, route: &UdpRoute, side: &Side<'_>) -> Self {
        Self {
            shares: shares(section, &route.clusters, side),
            sheet: fields::udp(route),
            origin: route.origin,
        }
    }
}

fn shares<'a>(
    section: &'a Section,
    clusters: &[(ClusterIndex, u32)],
    side: &Side<'_>,
) -> Vec<(Destination, f64, &'a Cluster)> {
    let total: f64 = clusters.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let known = clusters.iter().filter(|(_, weight)| *weight > 0);
    let known = known.filter_map(|(at, weight)| {
        let cluster = section.clusters().get(at.0 as usize)?;
        Some((
            (side.destination)(cluster),
            f64::from(*weight) / total,
            &**cluster,
        ))
    });
    known.collect()
}

fn carry(context: &Context<'_>, carried: [Carried<'_>; 2], asked: &mut Asked, tell: &mut Tell<'_>) {
    let said = [0, 1].map(|side| {
        let of = &carried[side];
        let shares = of
            .shares
            .iter()
            .map(|(to, share, _)| (to.to_string(), *share));
        (fields::shares(shares), of.origin)
    });
    tell.field(context, Area::Destination, "destination", said);
    tell.sheets(context, &carried[0].sheet, &carried[1].sheet);
    for (to, _, left) in &carried[0].shares {
        for (_, _, right) in carried[1].shares.iter().filter(|(other, ..)| other == to) {
            asked.clusters(to, [left, right], Carries::Bytes, tell);
        }
    }
}

impl Asked {
    /// Compares two clusters of one destination, once for what they carry.
    pub(crate) fn clusters(
        &mut self,
        destination: &Destination,
        clusters: [&Cluster; 2],
        carries: Carries,
        tell: &mut Tell<'_>,
    ) {
        let key = clusters.map(|cluster| std::ptr::from_ref(cluster).addr());
        if !self.clusters.insert((key, carries)) {
            return;
        }
        tell.asked.clusters += 1;
        let place = format!("cluster {destination}");
        let context = Context {
            place: &place,
            example: &String::new,
        };
        if fields::tls_by_endpoint(clusters) {
            tell.pass("how connections to endpoints are secured: one side has it by endpoint");
        }
        let sheets = fields::clusters(clusters, carries);
        tell.sheets(&context, &sheets[0], &sheets[1]);
    }
}
