//! Reading again what was written, and asking both the same.

mod again;
mod book;

use std::collections::BTreeSet;
use std::sync::Arc;

use compare::{Area, Asked, Comparison, Destination, Difference, Options, Side, compare};
use manifests::model::{NodeRef, WorkloadId};
use proxy_core::config::{Cluster, Section};
use proxy_core::origin::OriginId;

use self::again::Again;
use self::book::{Book, Destinations, Part};
use crate::Remaining;
use crate::intent::Intent;
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

/// Both, side by side.
struct Laid<'l, 'a> {
    intent: &'l Intent<'a>,
    target: &'l Target,
    written: &'l Written,
    again: &'l Again,
    verdict: &'l mut Verdict,
    used: &'l mut BTreeSet<usize>,
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
