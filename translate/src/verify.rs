//! Reading again what was written, and asking both the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compare::{Area, Asked, Comparison, Destination, Difference, Options, Side, compare};
use manifests::diagnostics::{Diagnostics, Severity};
use manifests::load::{Layer, ObjectKey, load};
use manifests::model::{
    GatewayId, Input, MeshWish, Model, NodeRef, Place, Pods, SidecarRules, WorkloadId,
};
use manifests::origins::Origins;
use manifests::text::{Sources, Span};
use proxy_core::config::{Cluster, NodeKind, Section};
use proxy_core::origin::OriginId;

use crate::Remaining;
use crate::intent::{Intent, Leads, Source, leads_of};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Subset, Written};
use crate::targets::{Gateways, Injection, Target};
use crate::write;
use crate::yaml::{Map, Value};

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
    verdict.differences = merged(verdict.differences);
    verdict
}

/// What was written, read again.
struct Again {
    model: Model,
    origins: Origins,
    sources: Sources,
}

impl Again {
    fn read(
        intent: &Intent<'_>,
        target: &Target,
        written: &Written,
        faults: &mut Vec<String>,
    ) -> Option<Self> {
        let rows: Vec<(Object, Vec<String>)> = written
            .objects
            .iter()
            .map(|object| (object.clone(), Vec::new()))
            .collect();
        let mut text = write::documents(rows.iter());
        for key in intent.left.iter().filter(|key| key.kind == "Secret") {
            text.push_str("---\n");
            text.push_str(&stand_in(intent.source, key).to_value().to_yaml());
        }
        let (mut sources, mut problems) = (Sources::default(), Diagnostics::default());
        let mut origins = Origins::default();
        let layer = Layer::text("translated.yaml", text);
        let objects = load(&[layer], &mut sources, &mut problems);
        let input = Input {
            objects,
            mesh: wish(intent, target),
            sidecars: SidecarRules {
                inject: named(intent, target),
                skip: Vec::new(),
            },
            before: Some(intent.source.model),
            ..Input::default()
        };
        let model = Model::build(input, &mut origins, &mut problems);
        let all = problems.sorted();
        let errors = all.iter().filter(|it| it.severity() == Severity::Error);
        faults.extend(errors.map(|it| it.to_line(&sources)));
        model.map(|model| Self {
            model,
            origins,
            sources,
        })
    }
}

/// A Secret of this name and these keys, and nothing in it.
fn stand_in(source: Source<'_>, key: &ObjectKey) -> Object {
    let mut object = Object::new("v1", "Secret", &key.namespace, &key.name);
    let objects = source.model.world().objects();
    let read = objects.get("", "Secret", &key.namespace, &key.name);
    let mut data = Map::new();
    for field in ["data", "stringData"] {
        let map = read
            .and_then(|read| read.node.get(field))
            .and_then(|it| it.as_map());
        for entry in map.into_iter().flat_map(|map| map.entries()) {
            data.set(&entry.key.text, "");
        }
    }
    if let Some(kind) = read.and_then(|read| read.node.get("type")) {
        object.body.set("type", Value::of(kind));
    }
    object.body.set("data", data);
    object
}

/// The mesh that the written manifests are for.
fn wish(intent: &Intent<'_>, target: &Target) -> MeshWish {
    match (target.injection, &intent.mesh) {
        (Some(_), Some(_)) => MeshWish::Named {
            system: target.dialect.to_owned(),
            release: Some(target.release.to_owned()),
            span: Span::NOWHERE,
        },
        (_, _) => MeshWish::None,
    }
}

/// Workloads in the mesh, where no label can say so.
fn named(intent: &Intent<'_>, target: &Target) -> Vec<proxy_core::config::Name> {
    let is_named = target.injection == Some(Injection::Named);
    let workloads = intent.source.model.workloads().iter();
    let meshed = workloads.filter(|it| is_named && it.sidecar.is_some());
    meshed.map(|it| it.full_name().into()).collect()
}

/// Both, side by side.
struct Laid<'l, 'a> {
    intent: &'l Intent<'a>,
    target: &'l Target,
    written: &'l Written,
    again: &'l Again,
    verdict: &'l mut Verdict,
    used: &'l mut BTreeSet<usize>,
}

/// A model with what its values come from.
#[derive(Clone, Copy)]
struct Book<'b> {
    model: &'b Model,
    origins: &'b Origins,
    sources: &'b Sources,
    /// Services that stand for subsets of others.
    subsets: &'b [Subset],
}

/// Sections that are compared: those of a node, one way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Whole,
    Inbound,
    Outbound,
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
                    self.lay(nodes, Part::Whole, &place, Reach::Gateway(id));
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
            self.lay(nodes, Part::Inbound, &place, Reach::Workload(id));
            let parts = (
                source.outbound_part(id),
                self.again.model.outbound_part(other),
            );
            // callers that share a section are asked once
            if let (Some(one), Some(two)) = parts
                && seen.insert((one, two))
            {
                let place = format!("callers such as {name}");
                self.lay(nodes, Part::Outbound, &place, Reach::Everywhere);
            }
        }
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

    fn lay(&mut self, nodes: [NodeRef; 2], part: Part, place: &str, reach: Reach) {
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
            laid(
                [
                    (&before, &left, &to[0], nodes[0]),
                    (&after, &right, &to[1], nodes[1]),
                ],
                &left_origin,
                &right_origin,
            )
        };
        let asked = &mut self.verdict.asked;
        asked.connections += comparison.asked.connections;
        asked.requests += comparison.asked.requests;
        asked.clusters += comparison.asked.clusters;
        for difference in comparison.differences {
            if self.is_about_subset(&difference) {
                continue;
            }
            let found = self.found(difference, place, reach);
            self.verdict.differences.push(found);
        }
    }

    /// A Service that was made for a subset has an address of its own, which nobody of the source dials.
    fn is_about_subset(&self, difference: &Difference) -> bool {
        let services = self.again.model.services();
        self.written.subsets.iter().any(|subset| {
            let whole = &services[subset.service.index()];
            let own = format!("{}/{}", whole.namespace, subset.name);
            difference.place.contains(&own) || difference.example.contains(&own)
        })
    }

    fn found(&mut self, difference: Difference, place: &str, reach: Reach) -> Remaining {
        let losses = &self.written.losses;
        let explains = |loss: &Loss| {
            loss.areas.contains(&difference.area) && self.reaches(loss.reach, reach, &difference)
        };
        // a loss whose own rule set what differs explains it before others
        let same = losses.iter().position(|loss| {
            explains(loss) && loss.rule == difference.left.id && loss.rule != OriginId::NONE
        });
        let nth = same.or_else(|| losses.iter().position(explains));
        let why = match nth {
            Some(nth) => {
                self.used.insert(nth);
                losses[nth].why.clone()
            }
            None => self
                .target
                .why(difference.area)
                .unwrap_or_default()
                .to_owned(),
        };
        let inner = difference.place.clone();
        Remaining {
            area: Some(difference.area),
            place: format!("{place}: {inner}"),
            what: difference.what,
            before: difference.left.text,
            rule: difference.left.origin,
            after: difference.right.text,
            why,
            example: difference.example,
            found: true,
        }
    }

    /// Whether a loss is of those whom a difference is about.
    fn reaches(&self, loss: Reach, of: Reach, difference: &Difference) -> bool {
        match loss {
            Reach::Everywhere => true,
            Reach::Gateway(_) | Reach::Workload(_) => loss == of,
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

type Destinations = BTreeMap<String, Destination>;
type Laying<'b> = (
    &'b Book<'b>,
    &'b Vec<Arc<Section>>,
    &'b Destinations,
    NodeRef,
);

fn laid(
    sides: [Laying<'_>; 2],
    left: &dyn Fn(OriginId) -> String,
    right: &dyn Fn(OriginId) -> String,
) -> Comparison {
    let [one, other] = sides;
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
    compare(&left, &right, &Options::default())
}

fn destination(known: &Destinations, cluster: &Cluster) -> Destination {
    let found = known.get(&*cluster.name);
    found
        .cloned()
        .unwrap_or_else(|| Destination::of_cluster(cluster))
}

impl Book<'_> {
    fn gateway(&self, dialect: &str, name: &str) -> Option<GatewayId> {
        let all = (0..).map(GatewayId).zip(self.model.gateways());
        let of: Vec<_> = all.filter(|(_, facts)| facts.dialect == dialect).collect();
        let named = of.iter().find(|(_, facts)| *facts.name == *name);
        // whoever stands alone is meant
        named
            .or_else(|| of.first().filter(|_| of.len() == 1))
            .map(|(id, _)| *id)
    }

    /// The workload of this name, if it has a sidecar.
    fn meshed(&self, name: &str) -> Option<WorkloadId> {
        let mut workloads = self.model.workloads().iter();
        let found = workloads.find(|it| it.full_name() == name && it.sidecar.is_some())?;
        self.model.inbound_part(found.id)?;
        Some(found.id)
    }

    fn sections(&self, node: NodeRef, part: Part) -> Option<Vec<Arc<Section>>> {
        let pods = Pods::new(self.model.workloads().len());
        let config = self.model.config(node, &Place::default(), &pods)?;
        let mut all = config.sections.clone();
        match (part, config.kind) {
            (Part::Whole, _) | (_, NodeKind::Gateway) => {}
            (Part::Inbound, NodeKind::Sidecar) => all.truncate(1),
            (Part::Outbound, NodeKind::Sidecar) => {
                all = all.split_off(all.len().min(1));
            }
        }
        Some(all)
    }

    fn parts(&self, node: NodeRef, part: Part) -> Option<usize> {
        match (node, part) {
            (NodeRef::Gateway(id), _) => self.model.served_part(id),
            (NodeRef::Sidecar(id), Part::Inbound) => self.model.inbound_part(id),
            (NodeRef::Sidecar(id), Part::Outbound | Part::Whole) => self.model.outbound_part(id),
        }
    }

    /// Whom clusters lead to, by their names: in words of Services, ports and labels that both sides share.
    fn destinations(&self, node: NodeRef, part: Part) -> Destinations {
        let mut known = Destinations::new();
        let drafts = self
            .parts(node, part)
            .and_then(|nth| self.model.parts().nth(nth));
        let Some((draft, upstreams)) = drafts else {
            return known;
        };
        let source = Source {
            model: self.model,
            origins: self.origins,
            sources: self.sources,
        };
        for (cluster, upstream) in draft.clusters.iter().zip(upstreams) {
            let found = match (part, leads_of(source, cluster, &upstream.members)) {
                // whatever a system calls it, it is the one thing behind a sidecar
                (Part::Inbound, _) => Some(Destination::service("the application", None)),
                (
                    _,
                    Leads::Service {
                        service,
                        port,
                        labels,
                        ..
                    },
                ) => Some(self.of_service(service.index(), port, &labels)),
                (_, Leads::Other | Leads::Missing) => Destination::of_upstream(
                    upstream,
                    self.model.services(),
                    self.model.workloads(),
                ),
            };
            if let Some(found) = found {
                known.insert(cluster.name.to_string(), found);
            }
        }
        known
    }

    fn of_service(
        &self,
        at: usize,
        port: u16,
        labels: &[(proxy_core::config::Name, proxy_core::config::Name)],
    ) -> Destination {
        let service = &self.model.services()[at];
        let words = |labels: Vec<(String, String)>| -> String {
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            labels.join(",")
        };
        let own: Vec<(String, String)> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let stands = self.subsets.iter().find(|subset| {
            let whole = &self.model.services()[subset.service.index()];
            *subset.name == *service.name && whole.namespace == service.namespace
        });
        match stands {
            Some(subset) => Destination {
                subset: words(subset.labels.clone()),
                ..Destination::service(
                    self.model.services()[subset.service.index()].full_name(),
                    Some(port),
                )
            },
            None => Destination {
                subset: words(own),
                ..Destination::service(service.full_name(), Some(port))
            },
        }
    }

    fn addresses(&self) -> BTreeMap<std::net::IpAddr, String> {
        let services = self.model.services().iter();
        services
            .filter_map(|service| Some((service.cluster_ip()?, service.full_name())))
            .collect()
    }

    fn ports(&self, node: NodeRef) -> BTreeMap<u16, u16> {
        match node {
            NodeRef::Gateway(id) => {
                let listens = self.model.gateways()[id.index()].listens.iter();
                listens.map(|it| (it.bound, it.port)).collect()
            }
            NodeRef::Sidecar(_) => BTreeMap::new(),
        }
    }
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
