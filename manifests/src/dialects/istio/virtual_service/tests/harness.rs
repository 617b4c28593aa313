//! VirtualServices read from text, their routes tried with requests.

use std::net::{IpAddr, Ipv4Addr};

use proxy_core::config::{
    ClusterIndex, Forward, HashPolicy, RetryPolicy, Route, RouteAction, VirtualHost,
};
use proxy_core::draw::DrawKey;
use proxy_core::heads::{HeadId, Heads};
use proxy_core::origin::OriginId;
use proxy_core::route::{RequestView, find_route};

use super::super::{Caller, Destinations, RouteDefaults, VirtualServices};
use crate::diagnostics::Diagnostics;
use crate::dialects::Compile;
use crate::load::{Layer, Objects, load};
use crate::model::{
    Directory, Labels, Service, ServiceId, ServiceKind, ServicePort, SidecarRules, TargetPort,
};
use crate::origins::Origins;
use crate::text::{Sources, Span};

/// What was read, over Services `reviews`, `ratings`, `details` (9080) and `shop` (80, 8080) of `default` and `other` (9080) of `far`.
pub(super) struct Read {
    sources: Sources,
    origins: Origins,
    diagnostics: Diagnostics,
    default: OriginId,
    all: VirtualServices,
}

/// Clusters by name: `host`, `host/subset` and the port; everything known to the registry is there, but no host `gone`.
#[derive(Default)]
pub(super) struct Clusters {
    pub(super) names: Vec<String>,
    pub(super) hash: Vec<HashPolicy>,
}

impl Destinations for Clusters {
    fn cluster(
        &mut self,
        host: &str,
        subset: Option<&str>,
        port: Option<u16>,
    ) -> Option<ClusterIndex> {
        if host.starts_with("gone") || subset == Some("gone") {
            return None;
        }
        let short = host.trim_end_matches(".svc.cluster.local");
        let port = port.expect("a port is always given");
        let name = match subset {
            Some(subset) => format!("{short}/{subset}:{port}"),
            None => format!("{short}:{port}"),
        };
        let known = self.names.iter().position(|it| *it == name);
        let at = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        Some(ClusterIndex(at as u32))
    }

    fn hash(&mut self, _: &str, _: Option<&str>, _: Option<u16>) -> Vec<HashPolicy> {
        self.hash.clone()
    }
}

/// Whose routes are asked for.
#[derive(Clone)]
pub(super) struct Asks {
    pub(super) host: &'static str,
    pub(super) port: u16,
    pub(super) namespace: &'static str,
    pub(super) labels: Vec<(&'static str, &'static str)>,
    pub(super) gateway: &'static str,
    pub(super) release: &'static str,
    pub(super) scheme: &'static str,
    pub(super) hash: Vec<HashPolicy>,
}

impl Asks {
    /// Sidecars of `default` that call `host` on port 9080.
    pub(super) fn of(host: &'static str) -> Self {
        Self {
            host,
            port: 9080,
            namespace: "default",
            labels: Vec::new(),
            gateway: "mesh",
            release: "1.29",
            scheme: "http",
            hash: Vec::new(),
        }
    }
}

fn service(id: u32, namespace: &str, name: &str, ports: &[u16]) -> Service {
    let port = |number: &u16| ServicePort {
        number: *number,
        name: None,
        app_protocol: None,
        target: TargetPort::Number(*number),
        udp: false,
        span: Span::NOWHERE,
    };
    Service {
        id: ServiceId(id),
        namespace: namespace.into(),
        name: name.into(),
        kind: ServiceKind::ClusterIp(IpAddr::V4(Ipv4Addr::new(10, 96, 0, id as u8 + 1))),
        ports: ports.iter().map(port).collect(),
        selector: Labels::new(),
        labels: Labels::new(),
        annotations: Labels::new(),
        listed: Vec::new(),
        workloads: Vec::new(),
        span: Span::NOWHERE,
        origin: OriginId::NONE,
    }
}

impl Read {
    /// Reads documents.
    pub(super) fn yaml(text: &str) -> Self {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let mut origins = Origins::default();
        let layers = [Layer::text("vs.yaml", text.to_owned())];
        let objects: Objects = load(&layers, &mut sources, &mut diagnostics);
        let services = [
            service(0, "default", "reviews", &[9080]),
            service(1, "default", "ratings", &[9080]),
            service(2, "default", "details", &[9080]),
            service(3, "default", "shop", &[80, 8080]),
            service(4, "far", "other", &[9080]),
        ];
        let directory = Directory::new(&services);
        let default = origins.default_of("istio@test");
        let mut cx = Compile {
            objects: &objects,
            services: &services,
            workloads: &[],
            gateways: &[],
            directory: &directory,
            overrides: &[],
            sidecars: &SidecarRules::default(),
            origins: &mut origins,
            diagnostics: &mut diagnostics,
        };
        let all = VirtualServices::read(&mut cx);
        Self {
            sources,
            origins,
            diagnostics,
            default,
            all,
        }
    }

    /// Reads one VirtualService `vs` of `default` for the host `reviews`, with this spec besides.
    pub(super) fn spec(spec: &str) -> Self {
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        Self::yaml(&format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: vs}}\nspec:\n  hosts: [reviews]\n{spec}"
        ))
    }

    /// The same with one rule that leads to `reviews` and has these settings besides.
    pub(super) fn rule(settings: &str) -> Self {
        let settings: String = settings.lines().map(|line| format!("  {line}\n")).collect();
        Self::spec(&format!(
            "http:\n- route: [{{destination: {{host: reviews}}}}]\n{settings}"
        ))
    }

    /// The same with one rule that leads to `reviews` under this condition.
    pub(super) fn condition(condition: &str) -> Self {
        Self::rule(&format!("match: [{condition}]"))
    }

    pub(super) fn all(&self) -> &VirtualServices {
        &self.all
    }

    pub(super) fn defaults(&self, asks: &Asks) -> RouteDefaults {
        RouteDefaults {
            release: asks.release,
            origin: self.default,
            scheme: asks.scheme,
        }
    }

    /// The routes and the clusters that they lead to.
    pub(super) fn routes(&self, asks: &Asks) -> Option<(Vec<Route>, Clusters)> {
        let labels: Labels = asks
            .labels
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        let caller = Caller {
            namespace: asks.namespace,
            labels: &labels,
        };
        let mut clusters = Clusters {
            hash: asks.hash.clone(),
            ..Clusters::default()
        };
        let routes = self.all.routes(
            asks.host,
            asks.port,
            caller,
            asks.gateway,
            &mut clusters,
            &self.defaults(asks),
        )?;
        Some((routes, clusters))
    }

    /// The routes for `reviews`; there must be some.
    pub(super) fn reviews(&self) -> Vec<Route> {
        let asks = Asks::of("reviews.default.svc.cluster.local");
        self.routes(&asks).expect("routes").0
    }

    /// The first route for `reviews`.
    pub(super) fn first(&self) -> Route {
        self.reviews().remove(0)
    }

    /// How the first route for `reviews` sends requests on.
    pub(super) fn forward(&self) -> Forward {
        forward(&self.first())
    }

    /// The retries of the first route for `reviews`.
    pub(super) fn retry(&self) -> RetryPolicy {
        *self.forward().retry.expect("retries")
    }

    /// Where a request to `reviews` goes: the names of the clusters, `-` for none, or what is answered; nothing: no route takes it.
    pub(super) fn decide(&self, request: &Request<'_>) -> String {
        self.decide_for(&Asks::of("reviews.default.svc.cluster.local"), request)
    }

    pub(super) fn decide_for(&self, asks: &Asks, request: &Request<'_>) -> String {
        let Some((routes, clusters)) = self.routes(asks) else {
            return "default".into();
        };
        let host = VirtualHost {
            name: "host".into(),
            domains: vec!["*".into()],
            routes,
            attempt_count: true,
            attempt_count_in_response: false,
            origin: OriginId::NONE,
        };
        let view = RequestView {
            heads: request,
            head: HeadId(0),
            edge: false,
        };
        match find_route(&host, view, DrawKey::root(1)) {
            Some(at) => leads_to(&host.routes[at as usize].action, &clusters.names),
            None => String::new(),
        }
    }

    /// Every problem in one line each.
    pub(super) fn problems(&self) -> String {
        self.diagnostics.to_lines(&self.sources)
    }

    /// Every problem as people see it.
    pub(super) fn rendered(&self) -> String {
        self.diagnostics.render(&self.sources)
    }

    /// `vs.yaml:14`, or whose default.
    pub(super) fn origin(&self, origin: OriginId) -> String {
        self.origins.text(origin, &self.sources)
    }
}

fn leads_to(action: &RouteAction, names: &[String]) -> String {
    match action {
        RouteAction::Forward(forward) => {
            let several = forward.clusters.len() > 1;
            let one = |weighted: &proxy_core::config::WeightedCluster| {
                let name = weighted
                    .cluster
                    .map_or("-", |cluster| names[cluster.0 as usize].as_str());
                if several {
                    format!("{name} {}", weighted.weight)
                } else {
                    name.to_owned()
                }
            };
            let all: Vec<String> = forward.clusters.iter().map(one).collect();
            all.join(", ")
        }
        RouteAction::Redirect(redirect) => redirect.status.to_string(),
        RouteAction::Direct(response) => response.status.to_string(),
    }
}

pub(super) fn forward(route: &Route) -> Forward {
    match &route.action {
        RouteAction::Forward(forward) => (**forward).clone(),
        RouteAction::Redirect(_) | RouteAction::Direct(_) => panic!("sent on"),
    }
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl<'a> Request<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            authority: "reviews:9080",
            path,
            headers: &[],
        }
    }

    pub(super) fn with(headers: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            headers,
            ..Self::get("/")
        }
    }
}

impl Heads for Request<'_> {
    fn method(&self, _: HeadId) -> &str {
        self.method
    }

    fn authority(&self, _: HeadId) -> &str {
        self.authority
    }

    fn path(&self, _: HeadId) -> &str {
        self.path
    }

    fn header(&self, _: HeadId, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }

    fn status(&self, _: HeadId) -> u16 {
        0
    }

    fn response_header(&self, _: HeadId, _: &str) -> Option<&str> {
        None
    }
}
