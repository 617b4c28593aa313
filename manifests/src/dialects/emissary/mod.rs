//! Emissary (Ambassador): Mappings and what belongs to them, and Ingresses of its class.
//!
//! Emissary is a control plane of Envoy: a Mapping is a route, or several, of Envoy's. The settings that it pushes are made here as it makes them,
//! with the same order of routes, the same names of clusters, and the mistakes that it makes on the way; what it leaves unset is Envoy's default.
//! `docs/emissary.md` says what is served.
//!
//! Source: emissary-ingress/emissary 4.1, `python/ambassador/src/ambassador/{fetch,ir,envoy/v3}`. Of the Gateway API it reads nothing.

mod breakers;
mod clusters;
mod cors;
mod duration;
mod edits;
mod facts;
mod globs;
mod groups;
mod heads;
mod hosts;
mod ingress;
mod install;
mod listeners;
mod mapping;
mod matching;
mod module;
mod notes;
mod read;
mod resolvers;
mod retries;
mod routes;
mod section;
mod service;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
pub mod types;
mod version;

use proxy_core::origin::OriginId;

use self::read::Reading;
use self::service::Place;
use super::{Compile, Compiled, Dialect, Gateway, Lead};
use crate::load::ObjectKey;
use crate::model::{GatewayFacts, GatewayId};
use crate::text::Span;

/// The group of Emissary's kinds.
const GROUP: &str = "getambassador.io";

/// Emissary.
pub static DIALECT: Dialect = Dialect {
    name: "emissary",
    releases: &["4.1"],
    reads: |group, _kind| group == GROUP,
    shows: |_objects| None,
    mesh: None,
    gateways: Some(|release, cx| {
        let release = format!("emissary@{release}");
        let readings = read::all(&release, cx);
        Box::new(Emissary { release, readings })
    }),
};

struct Emissary {
    release: String,
    readings: Vec<Reading>,
}

impl Gateway for Emissary {
    fn release(&self) -> &str {
        &self.release
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let all = self.readings.iter();
        all.map(|reading| facts::facts(reading, cx)).collect()
    }

    fn serves(&self, ingress: &ObjectKey) -> bool {
        let mut all = self.readings.iter().flat_map(|it| &it.ingresses);
        all.any(|key| key == ingress)
    }

    fn leads(&self, cx: &Compile<'_>, gateway: GatewayId) -> Vec<Lead> {
        let reading = self.reading(cx, gateway);
        let http = reading.mappings.iter().map(|it| (&it.target, it.origin));
        let bytes = reading.tcp.iter().flat_map(|group| &group.mappings);
        let all = http.chain(bytes.map(|it| (&it.target, it.origin)));
        all.filter_map(|(target, origin)| {
            let (service, port, dials_pods) = match target.place {
                Place::Address { service, port } => (service, port, false),
                Place::Pods { service, port } => (service, port, true),
                Place::Outside(_) | Place::Nowhere => return None,
            };
            Some(Lead {
                service,
                port,
                dials_pods,
                remedy: "leave `resolver` of the Mapping and of the Module `ambassador` out, so that Emissary dials the Service".to_owned(),
                origin,
            })
        })
        .collect()
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let defaults = cx.default_of(&self.release);
        section::compile(self.reading(cx, gateway), defaults, cx)
    }
}

impl Emissary {
    fn reading(&self, cx: &Compile<'_>, gateway: GatewayId) -> &Reading {
        let facts = &cx.gateways[gateway.index()];
        // readings and gateways stand in one order
        let before = cx.gateways[..gateway.index()].iter();
        let nth = before
            .filter(|other| other.dialect == facts.dialect)
            .count();
        &self.readings[nth]
    }
}

/// Where a value is written; nowhere, where a release or the proxy itself brings it.
fn span_of(origin: OriginId, cx: &Compile<'_>) -> Span {
    cx.origins.span(origin).unwrap_or(Span::NOWHERE)
}
