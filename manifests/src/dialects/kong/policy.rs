//! What was read, checked and resolved: the controller's view of one ingress class.

use std::collections::BTreeMap;

use proxy_core::config::{Balancer, HashPolicy, Name, Share};
use proxy_core::health::Check;
use proxy_core::origin::{OriginId, Sourced};
use proxy_core::outlier;
use proxy_core::time::Duration;

use super::annotations::{Protocol, RouteNotes};
use super::paths::PathKind;
use super::settings::PluginSet;
use crate::model::ServiceId;

/// One Kong with its controller: every Ingress of one class.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// The class's name, `kong` as a rule.
    pub(super) name: Name,
    /// In the order written.
    pub(super) ingresses: Vec<IngressPolicy>,
    /// The IngressClass object, or the first Ingress.
    pub(super) origin: OriginId,
}

/// An Ingress.
#[derive(Clone, Debug)]
pub(super) struct IngressPolicy {
    /// Its namespace.
    pub(super) namespace: Name,
    /// Its name.
    pub(super) name: Name,
    /// What its annotations say.
    pub(super) notes: RouteNotes,
    /// Its paths, in the order written.
    pub(super) paths: Vec<PathRule>,
    /// What its plugins set.
    pub(super) plugins: PluginSet,
    /// Where requests go that nothing takes.
    pub(super) default_backend: Option<Backend>,
    /// The Secret of its first certificate.
    pub(super) certificate: Option<Name>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// One path of an Ingress.
#[derive(Clone, Debug)]
pub(super) struct PathRule {
    /// Lower case; empty: any.
    pub(super) host: String,
    /// As written.
    pub(super) path: String,
    /// How it is compared.
    pub(super) kind: PathKind,
    /// Where it leads.
    pub(super) backend: Backend,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// A port of a Service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Backend {
    /// The Service.
    pub(super) service: ServiceId,
    /// Its port.
    pub(super) port: u16,
}

/// How the controller sends to a Service.
#[derive(Clone, Debug)]
pub(super) struct ServicePolicy {
    /// What is spoken.
    pub(super) protocol: Sourced<Protocol>,
    /// Put before every path; begins with a slash.
    pub(super) path: Sourced<String>,
    /// The Host of requests whose own is not kept.
    pub(super) host_header: Option<Sourced<String>>,
    /// Until a connection stands.
    pub(super) connect_timeout: Sourced<Duration>,
    /// Between two reads.
    pub(super) read_timeout: Sourced<Duration>,
    /// What its plugins set.
    pub(super) plugins: PluginSet,
    /// Tries after the first.
    pub(super) retries: Sourced<u32>,
    /// Sends to the Service's address in place of its pods'.
    pub(super) service_upstream: Sourced<bool>,
    /// How a target is chosen.
    pub(super) balancer: Sourced<Balancer>,
    /// What a hashing balancer goes by.
    pub(super) hash: Vec<HashPolicy>,
    /// Probes.
    pub(super) active: Option<Sourced<Check>>,
    /// What answers and failures say.
    pub(super) passive: Option<Sourced<outlier::Settings>>,
    /// Least share of healthy weight.
    pub(super) threshold: Sourced<Share>,
}

/// Policies of all Services that Ingresses lead to.
pub(super) type ServicePolicies = BTreeMap<ServiceId, ServicePolicy>;
