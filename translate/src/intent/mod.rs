//! What the manifests of a system mean, in words that no system owns: what writers of targets go by.
//!
//! It is a view of the compiled model and not a model of its own: routes, matches, policies and clusters are those of
//! [`proxy_core::config`], borrowed, with every default of the source's release in its place. What a rule says is found where it decides:
//!
//! - Who may be dialled, for which hosts, and what becomes of requests: [`Gateway`] → [`Door`] → [`Serves`] → [`Host`] → [`Rule`].
//! - How callers in the mesh reach a Service: [`Mesh::services`], by Service port; the same [`Serves`].
//! - Who takes plaintext: [`Mesh::workloads`].
//! - Objects that no system owns: [`Intent::carried`].

mod carried;
mod gateways;
mod mesh;
mod parts;

use std::collections::BTreeMap;

use manifests::load::ObjectKey;
use manifests::model::{
    GatewayFacts, GatewayId, Model, Service, ServiceId, ServicePort, Upstream, WorkloadId,
};
use manifests::origins::{Origin, Origins};
use manifests::text::Sources;
use proxy_core::config::{
    Cluster, FilterChain, Forward, HttpConnections, Listener, Name, Route, RouteAction,
    SectionDraft, ServerName, TcpRoute, UdpRoute, VirtualHost, WeightedCluster,
};
use proxy_core::origin::OriginId;

pub(crate) use parts::leads_of;

use crate::object::Object;
use crate::targets::Target;

/// What is translated.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// What the manifests mean.
    pub model: &'a Model,
    /// Where its values come from.
    pub origins: &'a Origins,
    /// The manifests' text.
    pub sources: &'a Sources,
}

impl<'a> Source<'a> {
    /// `vs.yaml:14`, `default of istio@1.29`; empty for what no rule sets.
    #[must_use]
    pub fn words(&self, origin: OriginId) -> String {
        self.origins.text(origin, self.sources)
    }

    /// Whether somebody wrote it.
    #[must_use]
    pub fn is_written(&self, origin: OriginId) -> bool {
        matches!(self.origins.get(origin), Origin::Written(_))
    }

    /// A Service by its id.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> &'a Service {
        &self.model.services()[id.index()]
    }
}

/// What is to be written.
pub struct Intent<'a> {
    /// What it is taken from.
    pub source: Source<'a>,
    /// Gateways by id.
    pub gateways: Vec<Gateway<'a>>,
    /// What callers and servers in the mesh go by; none: there is no mesh.
    pub mesh: Option<Mesh<'a>>,
    /// Objects that no system owns, ready to be written: without labels and annotations of the source's systems, and with those that say
    /// who has a sidecar of the target's.
    pub carried: Vec<Object>,
    /// Objects that are carried over in no form but that of the target's own: what they say is said by what writers write.
    pub replaced: Vec<ObjectKey>,
    /// What people have to see to themselves: Secrets, whose values are never written.
    pub left: Vec<ObjectKey>,
    /// Labels and annotations of systems that are not there any more, which were taken out of what is carried, and how often.
    pub taken_out: BTreeMap<String, usize>,
    /// Workloads without a sidecar that have no object to say so for the target.
    pub unmarked: Vec<String>,
}

/// A gateway.
pub struct Gateway<'a> {
    /// Its id in the model.
    pub id: GatewayId,
    /// Who it is, and where clients dial it.
    pub facts: &'a GatewayFacts,
    /// It goes on as it is, beside the target: its objects are among those that are carried over, and writers leave it alone. So do the gateways
    /// that are not the source mesh's own when a mesh is translated to another.
    pub stays: bool,
    /// Its whole configuration.
    pub part: Part<'a>,
    /// What it takes, a filter chain each, in the order of its listeners.
    pub doors: Vec<Door<'a>>,
}

/// A section without endpoints, and whom its clusters lead to.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Listeners, tables and clusters.
    pub draft: &'a SectionDraft,
    /// Whom its clusters lead to, in their order.
    pub upstreams: &'a [Upstream],
}

/// One filter chain of a gateway's listener.
pub struct Door<'a> {
    /// The listener.
    pub listener: &'a Listener,
    /// The chain.
    pub chain: &'a FilterChain,
    /// The port that clients dial.
    pub port: u16,
    /// The port that the gateway's pods listen on.
    pub bound: u16,
    /// Who ends TLS.
    pub tls: Tls<'a>,
    /// What connections become.
    pub serves: Serves<'a>,
}

/// Who ends TLS.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tls<'a> {
    /// Nobody: connections are in plaintext.
    None,
    /// The gateway.
    Ends {
        /// `namespace/name` of the Secret, or what [`Model::credential`] knows by this name.
        certificate: &'a Name,
        /// Whether clients must show a certificate.
        mutual: bool,
    },
    /// The server: connections are chosen by the server name and carried as bytes.
    Passed,
}

impl Door<'_> {
    /// Server names that it is chosen by; empty: any.
    #[must_use]
    pub fn server_names(&self) -> &[ServerName] {
        &self.chain.matches.server_names
    }
}

/// What connections become.
pub enum Serves<'a> {
    /// Requests are read from them.
    Requests {
        /// How.
        http: &'a HttpConnections,
        /// By host, as the route table has them.
        hosts: Vec<Host<'a>>,
    },
    /// They are carried as bytes.
    Bytes {
        /// How.
        route: &'a TcpRoute,
        /// Where to.
        to: Vec<Destination<'a>>,
    },
    /// Datagrams are carried.
    Datagrams {
        /// How.
        route: &'a UdpRoute,
        /// Where to.
        to: Vec<Destination<'a>>,
    },
    /// They go where they were meant for, untouched: no rule is for them.
    Untouched,
    /// They are closed.
    Closed,
}

/// A virtual host.
pub struct Host<'a> {
    /// As it was compiled.
    pub host: &'a VirtualHost,
    /// Hosts as people write them, each once: lower case, `*.suffix`, or `*` for any. Ports are taken off where the same host stands without
    /// one, and where the table leaves ports out of account.
    pub names: Vec<String>,
    /// Its routes: the first that matches counts.
    pub rules: Vec<Rule<'a>>,
}

/// A route with whom it leads to.
pub struct Rule<'a> {
    /// As it was compiled: match, action, edits, fault, limits, gates, CORS.
    pub route: &'a Route,
    /// Where it sends requests, in the order of [`Forward::clusters`]; empty for redirects and direct responses.
    pub to: Vec<Destination<'a>>,
    /// Where copies go, in the order of [`Forward::mirrors`].
    pub mirrors: Vec<Destination<'a>>,
}

impl<'a> Rule<'a> {
    /// What it does with requests that it sends on; none: it answers itself.
    #[must_use]
    pub fn forward(&self) -> Option<&'a Forward> {
        match &self.route.action {
            RouteAction::Forward(forward) => Some(&**forward),
            RouteAction::Redirect(_) | RouteAction::Direct(_) => None,
        }
    }
}

/// A destination and its share.
#[derive(Clone)]
pub struct Destination<'a> {
    /// Who.
    pub leads: Leads,
    /// Relative to the sum of all; 1 for mirrors.
    pub weight: u32,
    /// Its part of the route, with edits of its own; none for mirrors and for what is carried.
    pub weighted: Option<&'a WeightedCluster>,
    /// How it is called: balancing, connections, limits, health, TLS. None: it does not exist.
    pub cluster: Option<&'a Cluster>,
    /// Whom it leads to, in full.
    pub upstream: Option<&'a Upstream>,
}

/// Whom a destination leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leads {
    /// Pods behind a Service's port.
    Service {
        /// The Service.
        service: ServiceId,
        /// Its port.
        port: u16,
        /// Labels that pods must have besides, sorted by key: a subset. Empty: all.
        labels: Vec<(Name, Name)>,
        /// The Service's own address is dialled, and kube-proxy picks the pod; a sidecar beside the gateway sees the Service.
        by_address: bool,
    },
    /// Somebody else: fixed addresses, hosts outside, several Services. [`Destination::upstream`] and the cluster's name say who.
    Other,
    /// Nobody: the Service does not exist.
    Missing,
}

impl Destination<'_> {
    /// The Service and its port, if it leads to one.
    #[must_use]
    pub fn service(&self) -> Option<(ServiceId, u16)> {
        match &self.leads {
            Leads::Service { service, port, .. } => Some((*service, *port)),
            Leads::Other | Leads::Missing => None,
        }
    }
}

/// What callers and servers in the mesh go by.
pub struct Mesh<'a> {
    /// `istio`.
    pub system: &'a str,
    /// `istio@1.29`.
    pub release: &'a str,
    /// Every TCP port of every Service, as callers with a sidecar see it, by Service and port.
    pub services: Vec<Called<'a>>,
    /// Every workload with a sidecar, by id.
    pub workloads: Vec<Inbound<'a>>,
}

/// A Service's port as callers with a sidecar see it.
pub struct Called<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Its port.
    pub port: &'a ServicePort,
    /// Callers by what they go by: the largest group first. There is one, unless rules are for some callers alone.
    pub callers: Vec<Callers<'a>>,
}

/// Callers that go by the same rules.
pub struct Callers<'a> {
    /// They.
    pub workloads: Vec<WorkloadId>,
    /// Their outbound section.
    pub part: Part<'a>,
    /// What becomes of what they send to the Service's port; of hosts there is the one that takes the Service's own name.
    pub serves: Serves<'a>,
}

impl<'a> Callers<'a> {
    /// The routes that callers go by; none: requests are not read.
    #[must_use]
    pub fn rules(&self) -> Option<&[Rule<'a>]> {
        match &self.serves {
            Serves::Requests { hosts, .. } => hosts.first().map(|host| &host.rules[..]),
            Serves::Bytes { .. }
            | Serves::Datagrams { .. }
            | Serves::Untouched
            | Serves::Closed => None,
        }
    }

    /// How the Service itself is called, the whole of it: by the first route that sends to all of its pods, else to some of them.
    #[must_use]
    pub fn cluster(&self, service: ServiceId) -> Option<&'a Cluster> {
        let all: Vec<&Destination<'a>> = match &self.serves {
            Serves::Requests { hosts, .. } => {
                let rules = hosts.iter().flat_map(|host| &host.rules);
                rules.flat_map(|rule| &rule.to).collect()
            }
            Serves::Bytes { to, .. } | Serves::Datagrams { to, .. } => to.iter().collect(),
            Serves::Untouched | Serves::Closed => Vec::new(),
        };
        let whole = |it: &&&Destination<'a>| matches!(&it.leads, Leads::Service { service: own, labels, .. } if *own == service && labels.is_empty());
        let some = |it: &&&Destination<'a>| matches!(&it.leads, Leads::Service { service: own, .. } if *own == service);
        let found = all.iter().find(whole).or_else(|| all.iter().find(some));
        found.and_then(|it| it.cluster)
    }
}

/// What arrives at pods of a workload with a sidecar.
pub struct Inbound<'a> {
    /// The workload.
    pub workload: WorkloadId,
    /// Its inbound section.
    pub part: Part<'a>,
    /// What most of its known ports take, and the rule that says so.
    pub accepts: (Accepts, OriginId),
    /// Ports of the pods that differ from it.
    pub ports: Vec<(u16, Accepts, OriginId)>,
}

/// Which connections a server takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepts {
    /// Those of the mesh and plaintext.
    Both,
    /// Those of the mesh alone (strict mutual TLS).
    Meshed,
    /// Plaintext alone: mutual TLS is off.
    Plaintext,
    /// None at all.
    Nothing,
}

impl<'a> Intent<'a> {
    /// What is to be written for a target.
    #[must_use]
    pub fn of(source: Source<'a>, target: &Target) -> Self {
        let mesh = mesh::of(source);
        let system = mesh.as_ref().map(|mesh| mesh.system);
        let gateways = gateways::of(source, |facts| target.keeps(facts, system));
        let sorted = carried::sort(source, target, &gateways, mesh.as_ref());
        Self {
            source,
            gateways,
            mesh,
            carried: sorted.carried,
            replaced: sorted.replaced,
            left: sorted.left,
            taken_out: sorted.taken_out,
            unmarked: sorted.unmarked,
        }
    }

    /// What it is taken from, in words: `istio@1.29, kong`.
    #[must_use]
    pub fn system(&self) -> String {
        let mut all: Vec<&str> = self.mesh.iter().map(|mesh| mesh.release).collect();
        for gateway in &self.gateways {
            let is_there = all
                .iter()
                .any(|it| it.split('@').next() == Some(gateway.facts.dialect));
            if !is_there {
                all.push(gateway.facts.dialect);
            }
        }
        if all.is_empty() {
            all.push("manifests without proxies");
        }
        all.join(", ")
    }

    /// Gateways that writers write.
    pub fn to_write(&self) -> impl Iterator<Item = &Gateway<'a>> {
        self.gateways.iter().filter(|gateway| !gateway.stays)
    }
}

/// What callers and servers of a model go by, if there is a mesh.
pub(crate) fn mesh_of(source: Source<'_>) -> Option<Mesh<'_>> {
    mesh::of(source)
}
