//! Gateways of the Gateway API.
//!
//! Which system serves a Gateway follows from its class's controller: `systems` has what each brings where the API leaves things open, and what of
//! the API it does not read. A Gateway of no known system is served as this proxy decides. `docs/gateway-api.md` lists both.

mod clusters;
mod facts;
mod filters;
mod l4;
mod matching;
mod mesh;
mod notes;
mod rules;
mod section;
mod systems;
mod tables;
mod unmodelled;

use super::{Compile, Compiled, Dialect, Gateway, Lead};
use crate::gateway_api::status::{self, ObjectStatus};
use crate::gateway_api::{Api, GatewayState, Lookup, Resolved};
use crate::model::{GatewayFacts, GatewayId};

/// The Gateway API by itself.
pub static DIALECT: Dialect = Dialect {
    name: "gateway-api",
    releases: &["1.5"],
    reads: Api::reads,
    shows: |_objects| None,
    mesh: Some(|release, cx| {
        let (api, resolved) = read(cx);
        Box::new(mesh::ServiceMesh {
            release: format!("gateway-api@{release}"),
            api,
            resolved,
        })
    }),
    gateways: Some(|release, cx| {
        let (api, resolved) = read(cx);
        notes::tell(&api, &resolved, cx);
        Box::new(Gateways {
            release: format!("gateway-api@{release}"),
            api,
            resolved,
        })
    }),
};

fn read(cx: &mut Compile<'_>) -> (Api, Resolved) {
    let api = Api::read(cx.objects, cx.diagnostics);
    let lookup = Lookup {
        objects: cx.objects,
        services: cx.services,
    };
    let resolved = Resolved::new(&api, lookup, |_controller| true);
    (api, resolved)
}

struct Gateways {
    release: String,
    api: Api,
    resolved: Resolved,
}

impl Gateway for Gateways {
    fn release(&self) -> &str {
        &self.release
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        self.served()
            .map(|state| facts::facts(&self.api, state, cx))
            .collect()
    }

    fn leads(&self, cx: &Compile<'_>, gateway: GatewayId) -> Vec<Lead> {
        facts::leads(&self.api, self.state(cx, gateway), cx)
    }

    fn statuses(&self, cx: &Compile<'_>) -> Vec<ObjectStatus> {
        let lookup = Lookup {
            objects: cx.objects,
            services: cx.services,
        };
        status::statuses(&self.api, &self.resolved, lookup)
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let state = self.state(cx, gateway);
        let system = systems::of(&state.controller);
        let origin = match system.is_the_api() {
            true => cx.default_of(&self.release),
            false => cx.default_of(system.release),
        };
        section::compile(&self.api, &self.resolved, state, (system, origin), cx)
    }
}

impl Gateways {
    /// Those that serve something, in the order of their ids.
    fn served(&self) -> impl Iterator<Item = &GatewayState> {
        let all = self.resolved.gateways.iter();
        all.filter(|state| state.is_accepted())
    }

    fn state(&self, cx: &Compile<'_>, gateway: GatewayId) -> &GatewayState {
        let facts = &cx.gateways[gateway.index()];
        let before = cx.gateways[..gateway.index()].iter();
        let nth = before
            .filter(|other| other.dialect == facts.dialect)
            .count();
        self.served()
            .nth(nth)
            .expect("gateways and their facts stand in one order")
    }
}
