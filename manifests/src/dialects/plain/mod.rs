//! What is left when no system takes it: callers and servers without proxies, and Ingresses of controllers that are not known.
//!
//! A pod without a sidecar dials addresses itself, and kube-proxy picks a pod for each connection to a Service's address; neither needs a
//! configuration.
//!
//! An Ingress is served here as `networking.k8s.io/v1` specifies and no further, when its class is there and has a controller that no system
//! here is, or when the scenario says so (`kind: plain`). An Ingress without a class, or of one that is not there, is served by nobody, as in a
//! cluster.

mod compile;
mod gateways;
mod read;
#[cfg(test)]
mod tests;

pub use gateways::report_unserved;

use self::read::PlainGateway;
use super::{Compile, Compiled, Gateway, Lead};
use crate::load::ObjectKey;
use crate::model::{GatewayFacts, GatewayId};

/// What it is called in scenarios and reports.
pub const NAME: &str = "plain";

/// Reads the Ingresses that none of the other kinds of gateways serves.
pub fn gateway(taken: &dyn Fn(&ObjectKey) -> bool, cx: &mut Compile<'_>) -> Box<dyn Gateway> {
    Box::new(Plain {
        gateways: read::gateways(taken, cx),
    })
}

struct Plain {
    gateways: Vec<PlainGateway>,
}

impl Gateway for Plain {
    fn release(&self) -> &str {
        NAME
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let all = self.gateways.iter();
        all.map(|it| gateways::facts(it, cx)).collect()
    }

    fn serves(&self, ingress: &ObjectKey) -> bool {
        let mut all = self.gateways.iter().flat_map(|it| &it.ingresses);
        all.any(|it| it.ingress.key == *ingress)
    }

    fn leads(&self, cx: &Compile<'_>, gateway: GatewayId) -> Vec<Lead> {
        let paths = self.of(cx, gateway).ingresses.iter();
        let paths = paths.flat_map(|it| {
            let paths = it.paths.iter().map(|path| (path.backend, path.origin));
            paths.chain(it.default_backend.map(|backend| (backend, it.origin)))
        });
        let leads = paths.map(|(backend, origin)| Lead {
            service: backend.service,
            port: backend.port,
            dials_pods: true,
            remedy: "a gateway that is not known dials pods; say which it is under `gateways` of the scenario"
                .into(),
            origin,
        });
        leads.collect()
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        compile::section(self.of(cx, gateway), cx)
    }
}

impl Plain {
    fn of(&self, cx: &Compile<'_>, gateway: GatewayId) -> &PlainGateway {
        let facts = &cx.gateways[gateway.index()];
        // they stand in one order
        let nth = cx.gateways[..gateway.index()]
            .iter()
            .filter(|other| other.dialect == facts.dialect)
            .count();
        &self.gateways[nth]
    }
}
