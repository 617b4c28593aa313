//! Traefik: IngressRoutes and their kin, and Ingresses of its class, as Traefik's providers read them.
//!
//! Every Traefik serves all objects of its class. A router is asked by its priority, which is the length of its rule unless one is set; it
//! passes its requests through middlewares in the order written, and balances among pods itself. Entry points and what providers allow are read
//! from the arguments of Traefik's own workload; where that is not among the manifests, Traefik runs as its chart installs it. Of the Gateway
//! API nothing is read.

mod blocks;
mod compile;
mod duration;
mod gateways;
mod install;
mod names;
mod policy;
mod read;
mod rules;
pub mod types;

use self::install::Install;
use self::policy::{Leads, Place, Policies, Router, Servers, Target};
use super::{Compile, Compiled, Dialect, Gateway, Lead};
use crate::load::ObjectKey;
use crate::model::{GatewayFacts, GatewayId};

/// The API group of Traefik's kinds.
const GROUP: &str = "traefik.io";
/// That of releases before 3, which today's do not read any more.
const OLD_GROUP: &str = "traefik.containo.us";

/// Traefik.
pub static DIALECT: Dialect = Dialect {
    name: "traefik",
    releases: &["3.7"],
    reads: |group, _kind| [GROUP, OLD_GROUP].contains(&group),
    shows: |_objects| None,
    mesh: None,
    gateways: Some(|release, cx| {
        let release = format!("traefik@{release}");
        let all = traefiks(&release, cx);
        gateways::report_old(cx);
        Box::new(Traefiks { release, all })
    }),
};

struct Traefiks {
    release: String,
    all: Vec<Traefik>,
}

struct Traefik {
    install: Install,
    policies: Policies,
}

/// The Traefiks that run: those of the manifests, else the chart's where anything is for one.
fn traefiks(release: &str, cx: &mut Compile<'_>) -> Vec<Traefik> {
    let mut installs: Vec<Install> = gateways::workloads(cx)
        .into_iter()
        .map(|(workload, object)| Install::of_workload(workload, object, release, cx))
        .collect();
    if installs.is_empty() && gateways::is_shown(cx) {
        installs.push(Install::of_chart(release, cx));
    }
    let each = installs.into_iter().map(|install| Traefik {
        policies: read::policies(&install, release, cx),
        install,
    });
    let all: Vec<Traefik> = each.collect();
    if let Some(first) = all.first() {
        let used = all.iter().flat_map(|it| it.policies.used.iter().cloned());
        read::report_unused(&first.install, used.collect(), release, cx);
    }
    all
}

impl Gateway for Traefiks {
    fn release(&self) -> &str {
        &self.release
    }

    fn gateways(&self, cx: &mut Compile<'_>) -> Vec<GatewayFacts> {
        let only = self.all.len() == 1;
        let all = self.all.iter();
        all.map(|it| gateways::facts(&it.install, &it.policies, only, cx))
            .collect()
    }

    fn serves(&self, ingress: &ObjectKey) -> bool {
        let mut all = self.all.iter().flat_map(|it| &it.policies.ingresses);
        all.any(|(namespace, name)| *namespace == ingress.namespace && *name == ingress.name)
    }

    fn leads(&self, cx: &Compile<'_>, gateway: GatewayId) -> Vec<Lead> {
        let mut all = Vec::new();
        for router in &self.of(cx, gateway).policies.routers {
            leads_of(router, &mut |servers| all.push(lead(servers, cx)));
        }
        all
    }

    fn section(&self, cx: &mut Compile<'_>, gateway: GatewayId) -> Compiled {
        let traefik = self.of(cx, gateway);
        compile::section(&traefik.install, &traefik.policies, &self.release, cx)
    }
}

impl Traefiks {
    fn of(&self, cx: &Compile<'_>, gateway: GatewayId) -> &Traefik {
        // the Traefiks and their gateways stand in one order
        let before = &cx.gateways[..gateway.index()];
        let nth = before
            .iter()
            .filter(|other| other.dialect == "traefik")
            .count();
        &self.all[nth]
    }
}

fn leads_of(router: &Router, see: &mut impl FnMut(&Servers)) {
    match &router.leads {
        Leads::To(target) => servers_of(target, see),
        Leads::Further(further) => further.iter().for_each(|child| leads_of(child, see)),
    }
}

fn servers_of(target: &Target, see: &mut impl FnMut(&Servers)) {
    match target {
        Target::Servers(servers) => see(servers),
        Target::Split { parts, .. } => parts.iter().for_each(|(part, _)| servers_of(part, see)),
        Target::Mirrored { main, copies } => {
            servers_of(main, see);
            copies.iter().for_each(|(copy, _)| servers_of(copy, see));
        }
    }
}

fn lead(servers: &Servers, cx: &Compile<'_>) -> Lead {
    let (service, port, dials_pods) = match &servers.at {
        Place::Pods(service, port) => (*service, *port, true),
        Place::Address(service, port) => (*service, *port, false),
        Place::Fixed(service, all, _) => (
            *service,
            all.first().map_or(0, std::net::SocketAddr::port),
            false,
        ),
    };
    let name = cx.services[service.index()].full_name();
    Lead {
        service,
        port,
        dials_pods,
        remedy: format!(
            "write `nativeLB: true` where Service `{name}` is named (or annotate it with `traefik.ingress.kubernetes.io/service.nativelb: \"true\"`), so that Traefik dials the Service; \
             where its port is declared to be HTTP, `passHostHeader: false`, too"
        ),
        origin: servers.origin,
    }
}
