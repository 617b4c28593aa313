//! The shop of `scenarios/eight-systems` under one system, and what comes of one request to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifests::model::{NodeRef, Place, Pod, Pods};
use proxy_core::config::{Cluster, Gate, NodeConfig};
use reports::outcome::ErrorReason;
use reports::trace::{Consequence, Part, Subject, Trace, Trouble};
use reports::waterfall::LaneKind;
use scenarios::plan::WorkloadId;
use sim::trace::{Request, Source, consequences, trace};
use sim::{Flight, Options};
use tempfile::TempDir;
use testkit::flights::{shipped, told_in};

/// Who enforces policy before the shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    Istio,
    Linkerd,
    Consul,
    Kuma,
    Kong,
    Emissary,
    Nginx,
    Traefik,
}

pub(crate) use System::{Consul, Emissary, Istio, Kong, Kuma, Linkerd, Nginx, Traefik};

pub(crate) const ALL: [System; 8] = [Istio, Linkerd, Consul, Kuma, Kong, Emissary, Nginx, Traefik];

impl System {
    const fn name(self) -> &'static str {
        match self {
            Istio => "istio",
            Linkerd => "linkerd",
            Consul => "consul",
            Kuma => "kuma",
            Kong => "kong",
            Emissary => "emissary",
            Nginx => "nginx",
            Traefik => "traefik",
        }
    }

    pub(crate) const fn is_mesh(self) -> bool {
        matches!(self, Istio | Linkerd | Consul | Kuma)
    }

    /// The shop under its defaults.
    pub(crate) fn alone(self) -> Shop {
        self.with("")
    }

    /// The same with manifests laid over it.
    pub(crate) fn with(self, manifests: &str) -> Shop {
        Shop::new(self, manifests, "")
    }

    /// The same, flown for 30 s at 100 requests a second with these faults.
    pub(crate) fn flown(self, manifests: &str, faults: &str) -> Shop {
        Shop::new(self, manifests, faults)
    }
}

/// A request to the shop, as a client behind the gateway or in the mesh sends it.
pub(crate) struct Shop {
    system: System,
    pub(crate) flight: Flight,
    /// All that is told of the manifests.
    pub(crate) told: String,
    method: &'static str,
    path: String,
    headers: Vec<(Box<str>, Box<str>)>,
    _folder: TempDir,
}

fn copy(from: &Path, to: PathBuf) {
    fs::create_dir(&to).expect("a folder");
    for file in fs::read_dir(from).expect("the shipped manifests") {
        let file = file.expect("a file").path();
        fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("copied");
    }
}

impl Shop {
    fn new(system: System, over: &str, faults: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let shipped = shipped().join("eight-systems");
        for each in ["app", system.name()] {
            copy(&shipped.join(each), folder.path().join(each));
        }
        let mut layers = vec!["app/", system.name()];
        if !over.is_empty() {
            fs::create_dir(folder.path().join("over")).expect("a folder");
            fs::write(folder.path().join("over/over.yaml"), over).expect("written");
            layers.push("over/");
        }
        let mesh = if system.is_mesh() {
            system.name()
        } else {
            "none"
        };
        let (via, host) = if system.is_mesh() {
            ("edge", "shop")
        } else {
            ("gateway", "shop.example.com")
        };
        let yaml = format!(
            "apiVersion: windtunnel.dev/v1alpha1
kind: Scenario
metadata: {{name: difference}}
spec:
  duration: 30s
  seed: 3
  mesh: {mesh}
  manifests: [{}]
  workloads:
    shop: {{concurrency: 64, handlers: [{{match: /, time: 1ms}}]}}
  load:
    - {{name: users, via: {via}, open: {{rate: 100/s}}, requests: [{{host: {host}, path: /}}]}}
  faults: [{faults}]
",
            layers.join(", ")
        );
        let (flight, told) = told_in(folder.path(), &yaml, None, &[]);
        let flight = flight.unwrap_or_else(|| panic!("{told}"));
        Self {
            system,
            flight,
            told,
            method: "GET",
            path: "/".into(),
            headers: Vec::new(),
            _folder: folder,
        }
    }

    /// Has chance begin elsewhere.
    pub(crate) fn reseed(&mut self, seed: u64) {
        Arc::make_mut(&mut self.flight.plan).seed = seed;
    }

    pub(crate) fn post(mut self) -> Self {
        self.method = "POST";
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn request(&self) -> Request {
        let workloads = self.flight.plan.workloads.iter();
        let edge = workloads
            .enumerate()
            .find(|(_, workload)| workload.full_name() == "default/edge")
            .map(|(at, _)| WorkloadId::at(at));
        let (from, authority) = if self.system.is_mesh() {
            (Source::Workload(edge.expect("an edge")), "shop")
        } else {
            (Source::Gateway(None), "shop.example.com")
        };
        Request {
            from,
            tls: false,
            method: self.method.into(),
            authority: authority.into(),
            path: self.path.as_str().into(),
            headers: self.headers.clone(),
            size: if self.method == "POST" { 100 } else { 0 },
        }
    }

    /// The way of a request to a path.
    pub(crate) fn get(&mut self, path: &str) -> Trace {
        path.clone_into(&mut self.path);
        trace(&self.flight, &self.request())
    }

    /// The status that a request to a path gets.
    pub(crate) fn status(&mut self, path: &str) -> u16 {
        self.get(path).outcome.status
    }

    /// What comes of a trouble of all pods of the shop.
    pub(crate) fn when(&self, trouble: Trouble) -> After {
        let all = consequences(&self.flight, &self.request());
        let found = all.into_iter().find(|each| each.trouble == trouble);
        After(found.expect("a trouble that is gone through"))
    }

    /// The configuration of whoever enforces policy.
    fn config(&self) -> Arc<NodeConfig> {
        let model = &self.flight.model;
        let node = if self.system.is_mesh() {
            let mut all = model.workloads().iter();
            let edge = all.position(|it| it.full_name() == "default/edge");
            let edge = u32::try_from(edge.expect("an edge")).expect("few workloads");
            NodeRef::Sidecar(manifests::model::WorkloadId(edge))
        } else {
            NodeRef::Gateway(manifests::model::GatewayId(0))
        };
        let (place, pods) = self.pods();
        model.config(node, &place, &pods).expect("a proxy")
    }

    /// The cluster of the shop as whoever enforces policy has it.
    pub(crate) fn cluster(&self) -> Cluster {
        let config = self.config();
        let mut clusters = config.sections.iter().flat_map(|it| it.clusters());
        let found = clusters.find(|it| matches!(&*it.service, "default/shop" | "shop"));
        Cluster::clone(found.expect("a cluster of the shop"))
    }

    /// The gates of the one route that has some.
    pub(crate) fn gates(&self) -> Vec<Gate> {
        let config = self.config();
        let tables = config.sections.iter().flat_map(|it| it.tables());
        let hosts = tables.flat_map(|it| &it.virtual_hosts);
        let mut routes = hosts.flat_map(|it| &it.routes);
        let found = routes.find(|it| !it.gates.is_empty());
        found.map_or_else(Vec::new, |it| it.gates.clone())
    }

    /// Flies it: requests that were served, and those that were not.
    pub(crate) fn outcomes(&self) -> (u64, u64) {
        let result = sim::fly(&self.flight, self.flight.plan.seed, Options::default()).result;
        let reasons = &result.loads[0].reasons;
        let served = reasons.get(&ErrorReason::None).copied().unwrap_or(0);
        (served, reasons.values().sum::<u64>() - served)
    }

    /// A pod of the shop in zone a, where the caller is, and one in zone b.
    fn pods(&self) -> (Place, Pods) {
        let place = |zone: &str| Place {
            locality: format!("r/{zone}").as_str().into(),
            node: zone.into(),
        };
        let workloads = self.flight.model.workloads();
        let shop = workloads
            .iter()
            .position(|it| it.full_name() == "default/shop");
        let shop = u32::try_from(shop.expect("a shop")).expect("few workloads");
        let mut pods = Pods::new(workloads.len());
        for (nth, zone) in ["a", "b"].into_iter().enumerate() {
            let last = u8::try_from(nth + 1).expect("two");
            pods.of_mut(manifests::model::WorkloadId(shop)).push(Pod {
                ip: [10, 0, 0, last].into(),
                name: format!("shop-{nth}").as_str().into(),
                place: place(zone),
                ready: true,
                draining: false,
                labels: None,
            });
        }
        (place("a"), pods)
    }

    /// Flies the faults: requests sent, and tries that reached a pod.
    pub(crate) fn fly(&self) -> (u64, u64) {
        let result = sim::fly(&self.flight, self.flight.plan.seed, Options::default()).result;
        let to = result.workloads_named("default/shop");
        let edges = result.edges.iter();
        let edges = edges.filter(|edge| to.contains(&(edge.to as usize)));
        let reached = edges
            .map(|edge| edge.totals.ok + edge.totals.status_5xx)
            .sum();
        (result.loads[0].sent, reached)
    }

    /// What is said of a subject on the way to the shop by whoever enforces policy.
    pub(crate) fn said(&mut self, subject: Subject) -> Vec<String> {
        let seen = self.get("/");
        let enforcer = enforcer(&seen);
        let steps = seen.steps.iter();
        let of_it = steps.filter(|it| Some(it.party) == enforcer && it.subject == subject);
        of_it.map(|it| it.text.clone()).collect()
    }
}

/// The first proxy on the way that is no server's.
fn enforcer(seen: &Trace) -> Option<u32> {
    let parties = seen.parties.iter().enumerate();
    let mut proxies = parties.filter(|(_, it)| match it.kind {
        LaneKind::Gateway => true,
        LaneKind::Sidecar => it.side == Some(reports::trace::Side::Outbound),
        LaneKind::Client | LaneKind::Application => false,
    });
    proxies
        .next()
        .map(|(at, _)| u32::try_from(at).expect("few parties"))
}

/// What came of a trouble.
pub(crate) struct After(Consequence);

impl After {
    fn part(&self) -> Option<&Part> {
        let by = enforcer(&self.0.trace);
        self.0.parts.iter().find(|part| Some(part.party) == by)
    }

    /// Tries of whoever enforces policy, the first included.
    pub(crate) fn tries(&self) -> u32 {
        self.part().map_or(1, |part| part.tries.max(1))
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.trace.outcome.status
    }

    /// Whether the client was still waiting after two hours.
    pub(crate) fn is_open(&self) -> bool {
        self.0.trace.outcome.open
    }

    /// Seconds until the client knew.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.trace.outcome.after_ns as f64 / 1e9
    }
}
