//! ingress-nginx: Ingresses of its classes, its annotations and its ConfigMap.
//!
//! A controller serves every Ingress of its classes, whatever its namespace, as servers and locations of NGINX. It picks a pod itself, from the
//! endpoints of the Service that a path leads to; `service-upstream` makes it dial the Service's address instead. Of two Ingresses with the same
//! host and path the older one has it, a canary beside it has some of its requests.

mod actions;
mod addresses;
mod annotations;
mod backends;
mod canary;
mod checks;
mod clusters;
mod compile;
mod cors;
mod flags;
mod gateways;
mod keys;
mod limits;
mod locations;
mod mirrors;
mod paths;
mod policy;
mod read;
mod redirects;
mod servers;
mod settings;
#[cfg(test)]
mod tests;
mod values;

use proxy_core::origin::OriginId;

use self::policy::Controller;
use super::{Compile, Compiled, Dialect, Gateway, Lead};
use crate::ingress::ServicePortId;
use crate::load::ObjectKey;
use crate::model::{GatewayFacts, GatewayId};

/// ingress-nginx.
pub static DIALECT: Dialect = Dialect {
    name: "nginx",
    releases: &["1.15"],
    reads: |_group, _kind| false,
    shows: |_objects| None,
    mesh: None,
    gateways: Some(|release, cx| {
        let release = format!("nginx@{release}");
        let (controllers, claimed) = read::controllers(&release, cx);
        Box::new(Nginx {
            release,
            controllers,
            claimed,
        })
    }),
};

struct Nginx {
    release: String,
    controllers: Vec<Controller>,
    /// What is served by one of them, or by nobody.
    claimed: Vec<ObjectKey>,
}

impl Gateway for Nginx {
    fn release(&self) -> &str {
        &self.release
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let controllers = self.controllers.iter();
        controllers.map(|it| gateways::facts(it, cx)).collect()
    }

    fn serves(&self, ingress: &ObjectKey) -> bool {
        self.claimed.contains(ingress)
    }

    fn leads(&self, cx: &Compile<'_>, gateway: GatewayId) -> Vec<Lead> {
        let controller = self.controller(cx, gateway);
        let mut leads = Vec::new();
        for ingress in &controller.ingresses {
            let rules = ingress.rules.iter().flat_map(|rule| &rule.paths);
            let rules = rules.map(|path| (path.backend, path.origin));
            let rules = rules.chain(ingress.default_backend.map(|it| (it, ingress.origin)));
            let own = ingress.notes.flag("service-upstream");
            let asked = own.map_or_else(
                || controller.settings.flag("service-upstream", false),
                |it| it.value,
            );
            leads.extend(rules.map(|rule| lead(rule, asked, &ingress.full_name(), cx)));
        }
        leads
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let default = cx.default_of(&self.release);
        compile::section(self.controller(cx, gateway), default, cx)
    }
}

impl Nginx {
    fn controller(&self, cx: &Compile<'_>, gateway: GatewayId) -> &Controller {
        let facts = &cx.gateways[gateway.index()];
        // controllers and gateways stand in one order
        let nth = cx.gateways[..gateway.index()]
            .iter()
            .filter(|other| other.dialect == facts.dialect)
            .count();
        &self.controllers[nth]
    }
}

fn lead(
    (backend, origin): (ServicePortId, OriginId),
    by_address: bool,
    ingress: &str,
    cx: &Compile<'_>,
) -> Lead {
    let service = cx.services[backend.service.index()].host();
    Lead {
        service: backend.service,
        port: backend.port,
        dials_pods: clusters::dials_pods(backend, by_address, cx.services),
        remedy: format!(
            "annotate Ingress `{ingress}` with `nginx.ingress.kubernetes.io/service-upstream: \"true\"`, so that NGINX dials the Service, \
             and with `nginx.ingress.kubernetes.io/upstream-vhost: {service}` where its port is declared to be HTTP, by its name or `appProtocol`"
        ),
        origin,
    }
}
