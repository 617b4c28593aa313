//! Reading again what was written, and asking both the same.

mod again;
mod besides;
mod book;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compare::{Area, Asked, Comparison, Destination, Difference, Options, Side, compare};
use manifests::model::{Model, NodeRef, WorkloadId};
use proxy_core::config::{Cluster, Priority, RouteAction, Section};
use proxy_core::origin::OriginId;

use self::again::Again;
use self::book::{Book, Destinations, Part};
use crate::Remaining;
use crate::intent::{Accepts, Inbound, Intent, Source, mesh_of};
use crate::loss::{Loss, Reach};
use crate::object::Written;
use crate::targets::{Gateways, Target};

/// What came of it.
pub(crate) struct Verdict {
    pub(crate) differences: Vec<Remaining>,
    pub(crate) faults: Vec<String>,
    pub(crate) asked: Asked,
}

/// Reads what was written, and lays it beside what it was made of.
pub(crate) fn verify(intent: &Intent<'_>, target: &Target, written: &Written) -> Verdict {
    let mut verdict = Verdict {
        differences: Vec::new(),
        faults: Vec::new(),
        asked: Asked::default(),
    };
    let mut used: BTreeSet<usize> = BTreeSet::new();
    // files of single proxies are not read again: their writer tells where they depart
    if written.files.is_empty() {
        let again = Again::read(intent, target, written, &mut verdict.faults);
        if let Some(again) = &again {
            let mut laid = Laid {
                intent,
                target,
                written,
                again,
                verdict: &mut verdict,
                used: &mut used,
                has_high: has_high(intent.source.model),
                strange: false,
            };
            laid.gateways();
            laid.sidecars();
        }
    }
    for (nth, loss) in written.losses.iter().enumerate() {
        if !used.contains(&nth) {
            verdict.differences.push(told(intent, loss));
        }
    }
    // what becomes of requests comes before what connections are like
    verdict.differences.sort_by_key(|it| it.area.map(rank));
    verdict.differences = merged(verdict.differences);
    verdict
}

/// Both, side by side.
struct Laid<'l, 'a> {
    intent: &'l Intent<'a>,
    target: &'l Target,
    written: &'l Written,
    again: &'l Again,
    verdict: &'l mut Verdict,
    used: &'l mut BTreeSet<usize>,
    /// Whether some route asks for the limits of high priority.
    has_high: bool,
    /// Whether hosts that are none of a Service's own lead elsewhere.
    strange: bool,
}

impl Laid<'_, '_> {
    fn before(&self) -> Book<'_> {
        let source = self.intent.source;
        Book {
            model: source.model,
            origins: source.origins,
            sources: source.sources,
            subsets: &[],
        }
    }

    fn after(&self) -> Book<'_> {
        Book {
            model: &self.again.model,
            origins: &self.again.origins,
            sources: &self.again.sources,
            subsets: &self.written.subsets,
        }
    }

    fn gateways(&mut self) {
        for gateway in &self.intent.gateways {
            let id = gateway.id;
            let place = format!("gateway {}", gateway.facts.name);
            let dialect = match (gateway.stays, self.target.gateways) {
                (true, _) => gateway.facts.dialect,
                (false, Gateways::None) => "gateway-api",
                (false, Gateways::All | Gateways::Own) => self.target.dialect,
            };
            let name = self.written.gateways.iter().find(|(own, _)| *own == id);
            let name = name.map_or(&*gateway.facts.name, |(_, name)| name.as_str());
            match self.after().gateway(dialect, name) {
                Some(other) => {
                    let nodes = [NodeRef::Gateway(id), NodeRef::Gateway(other)];
                    self.lay(nodes, Part::Whole, &place, Reach::Gateway(id), None);
                }
                None => self.verdict.differences.push(Remaining {
                    area: Some(Area::Connection),
                    place,
                    what: "connection".to_owned(),
                    before: "clients are served".to_owned(),
                    rule: self.intent.source.words(gateway.facts.origin),
                    after: "nobody serves them".to_owned(),
                    why: match gateway.doors.is_empty() {
                        true => "it serves nothing".to_owned(),
                        false => String::new(),
                    },
                    example: String::new(),
                    found: true,
                }),
            }
        }
    }

    fn sidecars(&mut self) {
        let Some(mesh) = &self.intent.mesh else {
            return;
        };
        let source = self.intent.source.model;
        let accepts = self.accepts();
        let mut seen: BTreeSet<(usize, usize)> = BTreeSet::new();
        for inbound in &mesh.workloads {
            let id = inbound.workload;
            let name = source.workloads()[id.index()].full_name();
            let Some(other) = self.after().meshed(&name) else {
                self.no_sidecar(id, &name);
                continue;
            };
            let nodes = [NodeRef::Sidecar(id), NodeRef::Sidecar(other)];
            let place = format!("pods of {name}");
            self.lay(nodes, Part::Inbound, &place, Reach::Workload(id), None);
            self.peers(inbound, accepts.get(&other).copied(), &place);
            let parts = (
                source.outbound_part(id),
                self.again.model.outbound_part(other),
            );
            // callers that share a section are asked once, about one Service at a time: of others' hosts they are asked there
            if let (Some(one), Some(two)) = parts
                && seen.insert((one, two))
            {
                let place = format!("callers such as {name}");
                let services = source.services().iter();
                let services = services.filter(|it| it.cluster_ip().is_some());
                for service in services {
                    let about = Some(service.full_name());
                    self.lay(nodes, Part::Outbound, &place, Reach::Everywhere, about);
                }
            }
        }
        if self.strange {
            self.by_host();
        }
    }

    /// What each server takes after the translation.
    fn accepts(&self) -> BTreeMap<WorkloadId, Accepts> {
        let after = Source {
            model: &self.again.model,
            origins: &self.again.origins,
            sources: &self.again.sources,
        };
        let mesh = mesh_of(after);
        let workloads = mesh.iter().flat_map(|mesh| &mesh.workloads);
        workloads.map(|it| (it.workload, it.accepts.0)).collect()
    }

    /// Whether the mesh's own connections are taken: how its proxies shake hands is each mesh's own affair.
    fn peers(&mut self, inbound: &Inbound<'_>, after: Option<Accepts>, place: &str) {
        let takes = |accepts: Accepts| matches!(accepts, Accepts::Both | Accepts::Meshed);
        let Some(after) = after else {
            return;
        };
        let before = inbound.accepts.0;
        if takes(before) == takes(after) {
            return;
        }
        let words = |accepts: Accepts| match takes(accepts) {
            true => "is taken".to_owned(),
            false => "is not taken".to_owned(),
        };
        let reach = Reach::Workload(inbound.workload);
        let losses = self.written.losses.iter();
        let mut losses = losses.enumerate();
        let about = |loss: &Loss| loss.reach == reach && loss.areas.contains(&Area::Connection);
        let loss = losses.find(|(_, loss)| about(loss));
        let why = loss.map(|(nth, loss)| {
            self.used.insert(nth);
            loss.why.clone()
        });
        let why = why.or_else(|| self.target.why(Area::Tls).map(str::to_owned));
        self.verdict.differences.push(Remaining {
            area: Some(Area::Tls),
            place: place.to_owned(),
            what: "mutual TLS of the mesh".to_owned(),
            before: words(before),
            rule: self.intent.source.words(inbound.accepts.1),
            after: words(after),
            why: why.unwrap_or_default(),
            example: String::new(),
            found: true,
        });
    }

    /// Whether another mesh comes in the place of the source's.
    fn is_other_mesh(&self) -> bool {
        let mesh = self.intent.mesh.as_ref();
        mesh.is_some_and(|mesh| mesh.system != self.target.dialect)
    }

    /// Says once what hosts that are none of a Service's own lead to.
    fn by_host(&mut self) {
        let tells = |system: &str| match system {
            "istio" => "by the host that is asked for",
            _ => "by the address that is dialled",
        };
        let mesh = self.intent.mesh.as_ref();
        self.verdict.differences.push(Remaining {
            area: Some(Area::Destination),
            place: "callers in the mesh".to_owned(),
            what: "what a request with a host that is not the Service's is for".to_owned(),
            before: mesh.map_or("", |mesh| tells(mesh.system)).to_owned(),
            rule: String::new(),
            after: tells(self.target.dialect).to_owned(),
            why: "systems differ in what they tell Services apart by".to_owned(),
            example: String::new(),
            found: true,
        });
    }

    fn no_sidecar(&mut self, id: WorkloadId, name: &str) {
        let workload = &self.intent.source.model.workloads()[id.index()];
        let facts = workload.sidecar.as_ref();
        let is_gateway = self
            .intent
            .gateways
            .iter()
            .any(|gateway| gateway.facts.workload == Some(id) && !gateway.stays);
        let why = match (self.target.injection, is_gateway) {
            (None, _) => format!("{} has no sidecars", self.target.title),
            (Some(_), true) => "the gateway is another one, and has no sidecar".to_owned(),
            (Some(_), false) => String::new(),
        };
        self.verdict.differences.push(Remaining {
            area: None,
            place: format!("pods of {name}"),
            what: "sidecar".to_owned(),
            before: facts.map_or_else(String::new, |it| it.why.clone()),
            rule: facts.map_or_else(String::new, |it| self.intent.source.words(it.origin)),
            after: "none".to_owned(),
            why,
            example: String::new(),
            found: true,
        });
    }

    fn lay(
        &mut self,
        nodes: [NodeRef; 2],
        part: Part,
        place: &str,
        reach: Reach,
        about: Option<String>,
    ) {
        let comparison = {
            let (before, after) = (self.before(), self.after());
            let (Some(left), Some(right)) = (
                before.sections(nodes[0], part),
                after.sections(nodes[1], part),
            ) else {
                return;
            };
            let to = [
                before.destinations(nodes[0], part),
                after.destinations(nodes[1], part),
            ];
            let left_origin = |id: OriginId| before.origins.text(id, before.sources);
            let right_origin = |_: OriginId| String::new();
            let options = Options {
                known: about.map(|about| BTreeSet::from([about])),
                ..Options::default()
            };
            laid(
                [
                    (&before, &left, &to[0], nodes[0]),
                    (&after, &right, &to[1], nodes[1]),
                ],
                [&left_origin, &right_origin],
                &options,
            )
        };
        let asked = &mut self.verdict.asked;
        asked.connections += comparison.asked.connections;
        asked.requests += comparison.asked.requests;
        asked.clusters += comparison.asked.clusters;
        let other_mesh = self.is_other_mesh() && part != Part::Whole;
        for difference in comparison.differences {
            let is_handshake = part == Part::Inbound
                && difference.area == Area::Connection
                && difference.example.contains(", TLS");
            if other_mesh && is_handshake {
                continue;
            }
            if other_mesh && part == Part::Outbound && is_strange(&difference) {
                // what else is otherwise is so for the Service's own hosts, too
                let elsewhere = [Area::Destination, Area::Answer, Area::Redirect];
                self.strange |= elsewhere.contains(&difference.area);
                continue;
            }
            if is_same_answer(&difference) {
                continue;
            }
            // by what members call each other is each mesh's own affair
            if other_mesh && difference.what == "tls.server name" {
                continue;
            }
            // nobody asks for the other set of limits
            if !self.has_high && difference.what.ends_with(" of high priority") {
                continue;
            }
            let found = self.found(difference, place, reach);
            self.verdict.differences.push(found);
        }
    }

    fn found(&mut self, difference: Difference, place: &str, reach: Reach) -> Remaining {
        let losses = &self.written.losses;
        let reaches =
            |loss: &Loss| self.reaches(loss.reach, reach, &difference) && is_at(loss, &difference);
        let direct = |loss: &Loss| loss.areas.contains(&difference.area) && reaches(loss);
        // what a whole rule has in its own text is decided by another rule's
        let is_request = difference.example.contains("://");
        let within = |loss: &Loss| {
            let origins = self.intent.source.origins;
            let spans = (origins.span(loss.rule), origins.span(difference.left.id));
            matches!(spans, (Some(whole), Some(own))
                if whole.source == own.source && whole.start <= own.start && own.end <= whole.end)
        };
        let by_rule = |loss: &Loss| loss.whole_rule && is_request && reaches(loss);
        let position = |is: &dyn Fn(&Loss) -> bool| losses.iter().position(is);
        let same = |loss: &Loss| {
            direct(loss) && loss.rule == difference.left.id && loss.rule != OriginId::NONE
        };
        let plain = |loss: &Loss| direct(loss) && !loss.whole_rule;
        let nth = position(&same)
            .or_else(|| position(&plain))
            .or_else(|| position(&|loss| by_rule(loss) && (direct(loss) || within(loss))));
        let explained: Vec<usize> = losses
            .iter()
            .enumerate()
            .filter(|(_, loss)| plain(loss))
            .map(|(nth, _)| nth)
            .chain(nth)
            .collect();
        let why = match nth {
            Some(nth) => losses[nth].why.clone(),
            None => match self.target.why(difference.area) {
                Some(why) => why.to_owned(),
                None => self.besides(&difference, &reaches),
            },
        };
        self.used.extend(explained);
        Remaining {
            area: Some(difference.area),
            place: format!("{place}: {}", difference.place),
            what: difference.what,
            before: difference.left.text,
            rule: difference.left.origin,
            after: difference.right.text,
            why,
            example: difference.example,
            found: true,
        }
    }

    /// Why requests are for others, where that is in how they came.
    fn besides(&self, difference: &Difference, reaches: &dyn Fn(&Loss) -> bool) -> String {
        if let Some(why) = besides::why(self.target.dialect, difference) {
            return why.to_owned();
        }
        if !difference.example.contains(" https://") {
            return String::new();
        }
        let mut losses = self.written.losses.iter();
        let of_tls = losses.find(|loss| loss.areas == [Area::Connection] && reaches(loss));
        of_tls.map_or_else(String::new, |loss| loss.why.clone())
    }

    /// Whether a loss is of those whom a difference is about.
    fn reaches(&self, loss: Reach, of: Reach, difference: &Difference) -> bool {
        match loss {
            Reach::Everywhere => true,
            Reach::Workload(_) | Reach::Gateway(_) => loss == of,
            Reach::Service(service) => {
                let name = self.intent.source.service(service).full_name();
                let host = self.intent.source.service(service).host();
                [
                    &difference.place,
                    &difference.left.text,
                    &difference.example,
                ]
                .into_iter()
                .any(|text| text.contains(&name) || text.contains(&host))
            }
        }
    }
}

/// Whether a loss of one port of a gateway is about that of a difference.
fn is_at(loss: &Loss, difference: &Difference) -> bool {
    if !matches!(loss.reach, Reach::Gateway(_)) || !loss.areas.contains(&Area::Connection) {
        return true;
    }
    match (port_in(&loss.what), port_in(&difference.place)) {
        (Some(own), Some(port)) => own == port,
        (None, _) | (_, None) => true,
    }
}

/// The number after the first `port` of a text.
fn port_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("port ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let number = &rest[..end.unwrap_or(rest.len())];
    (!number.is_empty()).then_some(number)
}

type Laying<'b> = (
    &'b Book<'b>,
    &'b Vec<Arc<Section>>,
    &'b Destinations,
    NodeRef,
);

/// Whether a difference is about a host that is none of a Service's own, or an address of nobody.
fn is_strange(difference: &Difference) -> bool {
    let host = difference
        .place
        .rsplit_once(", host ")
        .map(|(_, host)| host);
    let strange = |host: &str| host.starts_with("unknown.example") || host.starts_with("sub.");
    host.is_some_and(strange)
        || (host.is_some() && difference.place.starts_with("outbound to port "))
}

/// Whether one has a rule for what the other answers without any.
fn is_same_answer(difference: &Difference) -> bool {
    let (left, right) = (&difference.left.text, &difference.right.text);
    let without = |text: &str| text.strip_prefix("no route, ").map(str::to_owned);
    without(left).as_ref() == Some(right) || without(right).as_ref() == Some(left)
}

fn laid(
    sides: [Laying<'_>; 2],
    origins: [&dyn Fn(OriginId) -> String; 2],
    options: &Options,
) -> Comparison {
    let [one, other] = sides;
    let [left, right] = origins;
    let to_left = |cluster: &Cluster| destination(one.2, cluster);
    let to_right = |cluster: &Cluster| destination(other.2, cluster);
    let left = Side {
        addresses: one.0.addresses(),
        ports: one.0.ports(one.3),
        ..Side::new(one.1, left, &to_left)
    };
    let right = Side {
        addresses: other.0.addresses(),
        ports: other.0.ports(other.3),
        ..Side::new(other.1, right, &to_right)
    };
    compare(&left, &right, options)
}

fn destination(known: &Destinations, cluster: &Cluster) -> Destination {
    let found = known.get(&*cluster.name);
    found
        .cloned()
        .unwrap_or_else(|| Destination::of_cluster(cluster))
}

/// Whether some route asks for the limits of high priority.
fn has_high(model: &Model) -> bool {
    let tables = model.parts().flat_map(|(draft, _)| &draft.tables);
    let hosts = tables.flat_map(|table| &table.virtual_hosts);
    let mut routes = hosts.flat_map(|host| &host.routes);
    routes.any(|route| match &route.action {
        RouteAction::Forward(forward) => forward.priority == Priority::High,
        RouteAction::Redirect(_) | RouteAction::Direct(_) => false,
    })
}

/// A loss that no difference shows.
fn told(intent: &Intent<'_>, loss: &Loss) -> Remaining {
    let source = intent.source;
    let place = match loss.reach {
        Reach::Everywhere => "everywhere".to_owned(),
        Reach::Gateway(id) => format!("gateway {}", source.model.gateways()[id.index()].name),
        Reach::Service(id) => format!("callers of {}", source.service(id).full_name()),
        Reach::Workload(id) => {
            format!(
                "pods of {}",
                source.model.workloads()[id.index()].full_name()
            )
        }
    };
    Remaining {
        area: loss.areas.first().copied(),
        place,
        what: loss.what.clone(),
        before: String::new(),
        rule: source.words(loss.rule),
        after: loss.nearest.clone(),
        why: loss.why.clone(),
        example: String::new(),
        found: false,
    }
}

/// How near an area is to what people have written.
const fn rank(area: Area) -> u8 {
    match area {
        Area::Destination
        | Area::Redirect
        | Area::Answer
        | Area::Fault
        | Area::Rewrite
        | Area::Mirror
        | Area::Cors
        | Area::Session => 0,
        Area::Timeout | Area::Retry | Area::Limit | Area::Ejection | Area::Health | Area::Tls => 1,
        Area::Headers | Area::Balance => 2,
        Area::Connection | Area::Upgrade | Area::Reading | Area::Pool => 3,
    }
}

/// Differences that are the same in several places are one.
fn merged(all: Vec<Remaining>) -> Vec<Remaining> {
    const SHOWN: usize = 3;
    let mut rows: Vec<(Remaining, Vec<String>)> = Vec::new();
    for one in all {
        let same = rows.iter_mut().find(|(own, _)| {
            (&own.what, &own.before, &own.after, &own.why, &own.rule)
                == (&one.what, &one.before, &one.after, &one.why, &one.rule)
        });
        match same {
            Some((_, places)) => {
                if !places.contains(&one.place) {
                    places.push(one.place);
                }
            }
            None => {
                let places = vec![one.place.clone()];
                rows.push((one, places));
            }
        }
    }
    rows.into_iter()
        .map(|(one, places)| {
            let more = places.len().saturating_sub(SHOWN);
            let mut place = places[..places.len().min(SHOWN)].join("; ");
            if more > 0 {
                place.push_str(&format!("; and {more} more"));
            }
            Remaining { place, ..one }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_several_places_is_told_once() {
        let one = |place: &str, after: &str| Remaining {
            area: None,
            place: place.to_owned(),
            what: "timeout".to_owned(),
            before: "15s".to_owned(),
            rule: String::new(),
            after: after.to_owned(),
            why: String::new(),
            example: String::new(),
            found: true,
        };
        let all = ["a", "b", "a", "c", "d", "e"].map(|place| one(place, "none"));
        let merged = merged(all.into_iter().chain([one("a", "1s")]).collect());
        let places: Vec<&str> = merged.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["a; b; c; and 2 more", "a"]);
    }
}
