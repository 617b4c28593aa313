//! What becomes of requests.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proxy_core::config::{
    Cluster, Forward, HttpConnections, Priority, Redirect, Route, RouteAction, Section, TableIndex,
    VirtualHost,
};
use proxy_core::heads::OwnedHead;
use proxy_core::origin::OriginId;

use super::ask::{Asker, receive};
use super::connections::{Asked, Carries};
use super::doors::Door;
use super::hosts::{Authority, authorities};
use super::tell::{Context, Tell};
use super::{Area, Destination, Options, Side, fields, probes};

/// The routes of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) section: &'a Section,
    pub(crate) http: &'a HttpConnections,
    pub(crate) at: TableIndex,
}

/// Asks two tables about requests to every host that either has.
pub(crate) fn all(
    sides: [&Side<'_>; 2],
    options: &Options,
    (door, tls): (&Door, bool),
    tables: [Tables<'_>; 2],
    asked: &mut Asked,
    tell: &mut Tell<'_>,
) {
    let found = tables.map(|it| it.section.tables().get(it.at.0 as usize));
    let [Some(left), Some(right)] = found else {
        return;
    };
    let mut pairs = Pairs::default();
    let (authorities, passed) = authorities([left, right], sides, door.port(), options);
    for service in passed {
        tell.pass(passed_service(&service));
    }
    // what nobody has is asked for last: the same difference is told of a host that somebody has
    let (known, strange): (Vec<_>, Vec<_>) =
        authorities.into_iter().partition(|it| !it.is_strange());
    for authority in known.into_iter().chain(strange) {
        let asks = [
            authority.for_side(sides[0], sides[1]),
            authority.for_side(sides[1], sides[0]),
        ];
        let hosts = [0, 1].map(|side| {
            tables[side]
                .section
                .virtual_host(tables[side].at, &asks[side])
        });
        let is_conditional = |side: usize, table: &proxy_core::config::RouteTable| {
            let host = hosts[side].and_then(|at| table.virtual_hosts.get(at as usize));
            host.is_some_and(|host| probes::authorities(host).next().is_some())
        };
        // hosts without conditions on authorities answer alike whatever brought the request to them
        let distinct = is_conditional(0, left) || is_conditional(1, right);
        if !pairs.seen.insert((hosts, distinct.then(|| asks.clone()))) {
            continue;
        }
        let askers = [
            pairs.asker(0, hosts[0], left),
            pairs.asker(1, hosts[1], right),
        ];
        let pair = Pair {
            sides,
            tables,
            askers: [askers[0].as_deref(), askers[1].as_deref()],
            authority: &authority,
            asks: [&asks[0], &asks[1]],
            place: format!("{}, host {}", door.words(), authority.words()),
            tls,
        };
        pair.ask(options, asked, tell);
    }
}

/// What is said of a Service that is not among those asked about.
pub(crate) fn passed_service(service: &str) -> String {
    format!("the Service {service}: not asked about")
}

/// Two virtual hosts, and the authorities that led to them where those have a say in what comes of a request.
type Asks = ([Option<u32>; 2], Option<[String; 2]>);

/// Pairs of virtual hosts that were asked.
#[derive(Default)]
struct Pairs<'a> {
    seen: BTreeSet<Asks>,
    askers: BTreeMap<(usize, u32), Rc<Asker<'a>>>,
}

impl<'a> Pairs<'a> {
    fn asker(
        &mut self,
        side: usize,
        at: Option<u32>,
        table: &'a proxy_core::config::RouteTable,
    ) -> Option<Rc<Asker<'a>>> {
        let at = at?;
        let host = table.virtual_hosts.get(at as usize)?;
        let asker = self.askers.entry((side, at));
        Some(asker.or_insert_with(|| Rc::new(Asker::new(host))).clone())
    }
}

/// Two virtual hosts that one authority leads to.
struct Pair<'a> {
    sides: [&'a Side<'a>; 2],
    tables: [Tables<'a>; 2],
    askers: [Option<&'a Asker<'a>>; 2],
    authority: &'a Authority,
    asks: [&'a str; 2],
    place: String,
    tls: bool,
}

/// What becomes of a share of the requests that are like one.
struct Outcome<'a> {
    share: f64,
    /// Where they go, or how they are answered.
    says: String,
    origin: OriginId,
    kind: Kind<'a>,
}

#[derive(Clone, Copy)]
enum Kind<'a> {
    /// No route takes them.
    Nothing,
    Forward(Sent<'a>),
    Redirect(&'a Route, &'a Redirect),
    Direct(&'a Route),
}

/// A request on its way to a cluster.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) http: &'a HttpConnections,
    pub(crate) host: &'a VirtualHost,
    pub(crate) route: &'a Route,
    pub(crate) forward: &'a Forward,
    /// Which of the route's weighted clusters.
    pub(crate) weighted: usize,
    pub(crate) section: &'a Section,
    pub(crate) cluster: Option<&'a Cluster>,
}

impl<'a> Kind<'a> {
    const fn route(self) -> Option<&'a Route> {
        match self {
            Self::Nothing => None,
            Self::Forward(Sent { route, .. }) | Self::Redirect(route, _) | Self::Direct(route) => {
                Some(route)
            }
        }
    }
}

/// What two routes were found to differ in, so that it is found once for many requests.
#[derive(Default)]
struct Known(BTreeMap<[usize; 4], Found>);

#[derive(Default)]
struct Found {
    rules: Vec<usize>,
    /// By field.
    effects: BTreeMap<String, usize>,
}

impl Pair<'_> {
    fn ask(&self, options: &Options, asked: &mut Asked, tell: &mut Tell<'_>) {
        let hosts = self.askers.map(|asker| asker.map(|it| it.host));
        let neutral = self.authority.words();
        let spoken = match self.authority {
            Authority::Text(text) => text,
            Authority::Address { .. } => &neutral,
        };
        let (requests, beyond) = probes::requests(hosts, spoken, self.tls, options.most_requests);
        if beyond > 0 {
            tell.pass(format!(
                "requests beyond the first {} of two virtual hosts",
                options.most_requests
            ));
        }
        let mut known = Known::default();
        for request in &requests {
            tell.asked.requests += 1;
            tell.turn();
            self.request(request, spoken, options, &mut known, asked, tell);
        }
    }

    fn request(
        &self,
        request: &OwnedHead,
        spoken: &str,
        options: &Options,
        known: &mut Known,
        asked: &mut Asked,
        tell: &mut Tell<'_>,
    ) {
        let mut passed = options.passed_paths.iter();
        if let Some(path) = passed.find(|it| request.path.starts_with(&***it)) {
            tell.pass(format!("requests for {path}, which is the proxy's own"));
            return;
        }
        // each side is asked by the address that it knows
        let own = [0, 1].map(|side: usize| {
            let mut own = request.clone();
            if own.authority == spoken {
                self.asks[side].clone_into(&mut own.authority);
            }
            receive(&mut own, self.tables[side].http);
            own
        });
        let outcomes = [self.outcomes(0, &own[0]), self.outcomes(1, &own[1])];
        let example = || request.to_string();
        let context = Context {
            place: &self.place,
            example: &example,
        };
        let said = [0, 1].map(|side: usize| {
            let all = &outcomes[side];
            let shares = all.iter().map(|it| (it.says.clone(), it.share));
            let origin = all.first().map_or(OriginId::NONE, |it| it.origin);
            (fields::shares(shares), origin)
        });
        tell.field(&context, Area::Destination, "destination", said);
        let mut shared = false;
        for left in &outcomes[0] {
            let same = outcomes[1].iter().find(|it| it.says == left.says);
            if let Some(right) = same {
                shared = true;
                self.both(
                    &context,
                    [&own[0], &own[1]],
                    [left, right],
                    known,
                    asked,
                    tell,
                );
            }
        }
        if let ([left, ..], [right, ..], false) = (&outcomes[0][..], &outcomes[1][..], shared) {
            self.both(
                &context,
                [&own[0], &own[1]],
                [left, right],
                known,
                asked,
                tell,
            );
        }
    }

    /// What becomes of a request, each way once.
    fn outcomes(&self, side: usize, request: &OwnedHead) -> Vec<Outcome<'_>> {
        let Some(asker) = self.askers[side] else {
            return vec![nothing(1.0, OriginId::NONE)];
        };
        let mut found: Vec<Outcome<'_>> = Vec::new();
        let mut rest = 1.0;
        for (share, route) in asker.takers(request) {
            rest -= share;
            for outcome in self.of_route(side, asker.host, route, share) {
                match found.iter_mut().find(|it| it.says == outcome.says) {
                    Some(known) => known.share += outcome.share,
                    None => found.push(outcome),
                }
            }
        }
        if rest > 1e-9 {
            found.push(nothing(rest, asker.host.origin));
        }
        found
    }

    fn of_route<'b>(
        &'b self,
        side: usize,
        host: &'b VirtualHost,
        route: &'b Route,
        share: f64,
    ) -> Vec<Outcome<'b>> {
        let one = |says: String, kind| {
            vec![Outcome {
                share,
                says,
                origin: route.origin,
                kind,
            }]
        };
        let forward = match &route.action {
            RouteAction::Forward(forward) => forward,
            RouteAction::Redirect(redirect) => {
                return one("a redirect".to_owned(), Kind::Redirect(route, redirect));
            }
            RouteAction::Direct(direct) => {
                return one(format!("answered {}", direct.status), Kind::Direct(route));
            }
        };
        let Tables { section, http, .. } = self.tables[side];
        let total: f64 = forward.clusters.iter().map(|it| f64::from(it.weight)).sum();
        let weighted = forward.clusters.iter().enumerate();
        let weighted = weighted.filter(|(_, it)| it.weight > 0);
        let all = weighted.map(|(at, it)| {
            let cluster = it
                .cluster
                .and_then(|it| section.clusters().get(it.0 as usize));
            let says = match cluster {
                Some(cluster) => (self.sides[side].destination)(cluster).to_string(),
                None => format!("no cluster, answered {}", forward.missing_status),
            };
            Outcome {
                share: share * f64::from(it.weight) / total,
                says,
                origin: match it.origin {
                    OriginId::NONE => route.origin,
                    origin => origin,
                },
                kind: Kind::Forward(Sent {
                    http,
                    host,
                    route,
                    forward,
                    weighted: at,
                    section,
                    cluster: cluster.map(|it| &**it),
                }),
            }
        });
        all.collect()
    }

    /// Compares what both sides do to requests that end alike.
    fn both(
        &self,
        context: &Context<'_>,
        requests: [&OwnedHead; 2],
        outcomes: [&Outcome<'_>; 2],
        known: &mut Known,
        asked: &mut Asked,
        tell: &mut Tell<'_>,
    ) {
        let kinds = outcomes.map(|it| it.kind);
        let [Some(left), Some(right)] = kinds.map(Kind::route) else {
            return;
        };
        let weighted = kinds.map(|kind| match kind {
            Kind::Forward(sent) => sent.weighted,
            Kind::Nothing | Kind::Redirect(..) | Kind::Direct(_) => 0,
        });
        let address = |route: &Route| std::ptr::from_ref(route).addr();
        let key = [address(left), address(right), weighted[0], weighted[1]];
        let found = match known.0.entry(key) {
            Entry::Occupied(found) => {
                let found = found.into_mut();
                tell.again(&found.rules);
                found
            }
            Entry::Vacant(found) => found.insert(Found {
                rules: self.rules(context, kinds, [left, right], asked, tell),
                ..Found::default()
            }),
        };
        self.effects(context, requests, kinds, &mut found.effects, tell);
    }

    /// What does not depend on the single request.
    fn rules(
        &self,
        context: &Context<'_>,
        kinds: [Kind<'_>; 2],
        routes: [&Route; 2],
        asked: &mut Asked,
        tell: &mut Tell<'_>,
    ) -> Vec<usize> {
        let sheets = [0, 1].map(|side| fields::filters(self.tables[side].http, routes[side]));
        let mut found = tell.sheets(context, &sheets[0], &sheets[1]);
        match kinds {
            [Kind::Forward(left), Kind::Forward(right)] => {
                let sent = [left, right];
                let sheets = [0, 1].map(|side| fields::forward(sent[side], sent, self.sides[side]));
                found.extend(tell.sheets(context, &sheets[0], &sheets[1]));
                if let [Some(one), Some(other)] = sent.map(|it| it.cluster) {
                    let to = [
                        (self.sides[0].destination)(one),
                        (self.sides[1].destination)(other),
                    ];
                    if to[0] == to[1] {
                        let is_high = |it: &Sent<'_>| it.forward.priority == Priority::High;
                        let carries = match sent.iter().any(is_high) {
                            true => Carries::Urgent,
                            false => Carries::Requests,
                        };
                        asked.clusters(&to[0], [one, other], carries, tell);
                    }
                }
            }
            [Kind::Direct(left), Kind::Direct(right)] => {
                let sheets = [left, right].map(fields::direct);
                found.extend(tell.sheets(context, &sheets[0], &sheets[1]));
            }
            _ => {}
        }
        found
    }

    /// How a request leaves, and how its answer does.
    fn effects(
        &self,
        context: &Context<'_>,
        requests: [&OwnedHead; 2],
        kinds: [Kind<'_>; 2],
        known: &mut BTreeMap<String, usize>,
        tell: &mut Tell<'_>,
    ) {
        let sheets = match kinds {
            [Kind::Forward(left), Kind::Forward(right)] => {
                fields::departures(requests, [left, right], self.asks)
            }
            [Kind::Redirect(left, to), Kind::Redirect(right, other)] => {
                fields::redirects(requests, [(left, to), (right, other)], self.asks)
            }
            _ => return,
        };
        tell.firsts(context, &sheets[0], &sheets[1], known);
    }
}

fn nothing<'a>(share: f64, origin: OriginId) -> Outcome<'a> {
    Outcome {
        share,
        says: "no route, answered 404".to_owned(),
        origin,
        kind: Kind::Nothing,
    }
}

/// The destination of a cluster of a section, in words.
pub(crate) fn named(
    section: &Section,
    cluster: proxy_core::config::ClusterIndex,
    side: &Side<'_>,
) -> String {
    let found = section.clusters().get(cluster.0 as usize);
    let found: Option<Destination> = found.map(|it| (side.destination)(it));
    found.map_or_else(|| "no cluster".to_owned(), |it| it.to_string())
}
