//! Objects to typed resources.

use serde::de::DeserializeOwned;

use super::types::{
    BackendRef, BackendTlsPolicy, Document, Filter, Gateway, GatewayClass, Grant, GrpcRoute,
    HttpRoute, L4Route, ListenerSet, ParentRef,
};
use crate::diagnostics::Diagnostics;
use crate::load::{Object, ObjectKey, Objects};
use crate::text::{Span, Spanned, read};

/// The API's group.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The group of what is being tried out.
const EXPERIMENTAL: &str = "gateway.networking.x-k8s.io";

/// An object and what it asks for.
#[derive(Clone, Debug)]
pub struct Item<T> {
    /// Who it is.
    pub key: ObjectKey,
    /// Group and version as written.
    pub api_version: String,
    /// What it asks for.
    pub spec: T,
    /// The text of its name.
    pub span: Span,
    /// When a cluster has made it.
    pub created: Option<String>,
    /// Its generation; 0 where no cluster has counted.
    pub generation: i64,
}

impl<T> Item<T> {
    /// The older comes first, then the one whose namespace and name come first; one that no cluster has made yet is the youngest.
    pub fn age(&self) -> (bool, Option<&str>, &str, &str) {
        (
            self.created.is_none(),
            self.created.as_deref(),
            &self.key.namespace,
            &self.key.name,
        )
    }

    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.key.namespace, self.key.name)
    }
}

/// Everything of the Gateway API, each kind from the oldest to the youngest.
#[derive(Clone, Debug, Default)]
pub struct Api {
    /// Classes of Gateways.
    pub classes: Vec<Item<GatewayClass>>,
    /// Gateways.
    pub gateways: Vec<Item<Gateway>>,
    /// Listeners that others bring.
    pub sets: Vec<Item<ListenerSet>>,
    /// Routes for requests.
    pub http: Vec<Item<HttpRoute>>,
    /// Routes for calls.
    pub grpc: Vec<Item<GrpcRoute>>,
    /// Routes for connections by server name.
    pub tls: Vec<Item<L4Route>>,
    /// Routes for connections.
    pub tcp: Vec<Item<L4Route>>,
    /// Routes for datagrams.
    pub udp: Vec<Item<L4Route>>,
    /// What one namespace allows another.
    pub grants: Vec<Item<Grant>>,
    /// TLS toward backends.
    pub policies: Vec<Item<BackendTlsPolicy>>,
}

impl Api {
    /// Reads all of it; what cannot be read is reported and left out.
    pub fn read(objects: &Objects, out: &mut Diagnostics) -> Self {
        Self {
            classes: all(objects, &[(GROUP, "GatewayClass")], out),
            gateways: all(objects, &[(GROUP, "Gateway")], out),
            sets: all(
                objects,
                &[(GROUP, "ListenerSet"), (EXPERIMENTAL, "XListenerSet")],
                out,
            ),
            http: all(objects, &[(GROUP, "HTTPRoute")], out),
            grpc: all(objects, &[(GROUP, "GRPCRoute")], out),
            tls: all(objects, &[(GROUP, "TLSRoute")], out),
            tcp: all(objects, &[(GROUP, "TCPRoute")], out),
            udp: all(objects, &[(GROUP, "UDPRoute")], out),
            grants: all(objects, &[(GROUP, "ReferenceGrant")], out),
            policies: all(objects, &[(GROUP, "BackendTLSPolicy")], out),
        }
    }

    /// Whether this kind is one of those that are read.
    #[must_use]
    pub fn reads(group: &str, kind: &str) -> bool {
        match group {
            GROUP => matches!(
                kind,
                "GatewayClass"
                    | "Gateway"
                    | "ListenerSet"
                    | "HTTPRoute"
                    | "GRPCRoute"
                    | "TLSRoute"
                    | "TCPRoute"
                    | "UDPRoute"
                    | "ReferenceGrant"
                    | "BackendTLSPolicy"
            ),
            EXPERIMENTAL => kind == "XListenerSet",
            _ => false,
        }
    }

    /// Every route, kind by kind.
    pub fn routes(&self) -> impl Iterator<Item = RouteRef<'_>> {
        let count = |kind: RouteKind| match kind {
            RouteKind::Http => self.http.len(),
            RouteKind::Grpc => self.grpc.len(),
            RouteKind::Tls => self.tls.len(),
            RouteKind::Tcp => self.tcp.len(),
            RouteKind::Udp => self.udp.len(),
        };
        let ids = RouteKind::ALL
            .into_iter()
            .flat_map(move |kind| (0..count(kind)).map(move |at| RouteId { kind, at }));
        ids.map(|id| self.route(id))
    }

    /// One route.
    #[must_use]
    pub fn route(&self, id: RouteId) -> RouteRef<'_> {
        match id.kind {
            RouteKind::Http => {
                let route = &self.http[id.at];
                route_of(id, route, &route.spec.parent_refs, &route.spec.hostnames)
            }
            RouteKind::Grpc => {
                let route = &self.grpc[id.at];
                route_of(id, route, &route.spec.parent_refs, &route.spec.hostnames)
            }
            RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => {
                let route = self.l4(id);
                route_of(id, route, &route.spec.parent_refs, &route.spec.hostnames)
            }
        }
    }

    /// Every backend that a route names, those of its copies among them.
    #[must_use]
    pub fn backends(&self, id: RouteId) -> Vec<&BackendRef> {
        let mut found = Vec::new();
        match id.kind {
            RouteKind::Http => {
                for rule in &self.http[id.at].spec.rules {
                    of_rule(&rule.backend_refs, &rule.filters, &mut found);
                }
            }
            RouteKind::Grpc => {
                for rule in &self.grpc[id.at].spec.rules {
                    of_rule(&rule.backend_refs, &rule.filters, &mut found);
                }
            }
            RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => {
                for rule in &self.l4(id).spec.rules {
                    of_rule(&rule.backend_refs, &[], &mut found);
                }
            }
        }
        found
    }

    /// A route for connections or datagrams.
    ///
    /// # Panics
    /// When it is a route for requests.
    #[must_use]
    pub fn l4(&self, id: RouteId) -> &Item<L4Route> {
        match id.kind {
            RouteKind::Tls => &self.tls[id.at],
            RouteKind::Tcp => &self.tcp[id.at],
            RouteKind::Udp => &self.udp[id.at],
            RouteKind::Http | RouteKind::Grpc => unreachable!("it is a route for requests"),
        }
    }
}

fn route_of<'a, T>(
    id: RouteId,
    item: &'a Item<T>,
    parents: &'a [ParentRef],
    hostnames: &'a [Spanned<String>],
) -> RouteRef<'a> {
    RouteRef {
        id,
        key: &item.key,
        span: item.span,
        parents,
        hostnames,
    }
}

fn of_rule<'a>(backends: &'a [BackendRef], filters: &'a [Filter], found: &mut Vec<&'a BackendRef>) {
    let mirrored = |filters: &'a [Filter]| {
        let mirrors = filters
            .iter()
            .filter_map(|filter| filter.request_mirror.as_ref());
        mirrors.map(|mirror| &mirror.backend_ref)
    };
    for backend in backends {
        found.push(backend);
        found.extend(mirrored(&backend.filters));
    }
    found.extend(mirrored(filters));
}

/// A kind of route.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum RouteKind {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
    /// TLSRoute.
    Tls,
    /// TCPRoute.
    Tcp,
    /// UDPRoute.
    Udp,
}

impl RouteKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Http, Self::Grpc, Self::Tls, Self::Tcp, Self::Udp];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
            Self::Udp => "UDPRoute",
        }
    }
}

/// A route by its place in [`Api`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct RouteId {
    /// Which list.
    pub kind: RouteKind,
    /// Its place there.
    pub at: usize,
}

/// What all routes have.
#[derive(Clone, Copy, Debug)]
pub struct RouteRef<'a> {
    /// Which one.
    pub id: RouteId,
    /// Who it is.
    pub key: &'a ObjectKey,
    /// The text of its name.
    pub span: Span,
    /// Whose traffic it is for.
    pub parents: &'a [ParentRef],
    /// Hosts; none: any.
    pub hostnames: &'a [Spanned<String>],
}

fn all<T: DeserializeOwned>(
    objects: &Objects,
    kinds: &[(&str, &str)],
    out: &mut Diagnostics,
) -> Vec<Item<T>> {
    let mut found: Vec<Item<T>> = Vec::new();
    for (group, kind) in kinds {
        found.extend(
            objects
                .of(group, kind)
                .filter_map(|object| item(object, out)),
        );
    }
    found.sort_by(|a, b| a.age().cmp(&b.age()));
    found
}

fn item<T: DeserializeOwned>(object: &Object, out: &mut Diagnostics) -> Option<Item<T>> {
    let document = read::<Document<T>>(&object.node, out)?;
    Some(Item {
        key: object.key.clone(),
        api_version: format!("{}/{}", object.key.group, object.version),
        spec: document.spec,
        span: object.name_span,
        created: object.created.clone(),
        generation: object.generation.unwrap_or_default(),
    })
}
