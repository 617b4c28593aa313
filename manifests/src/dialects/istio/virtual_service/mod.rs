//! VirtualServices: which route takes a request, and what it does.
//!
//! Rules stand in their order and the first that matches counts; each condition of a rule becomes a route of its own. Of several
//! VirtualServices for one host the oldest counts for sidecars; gateways take the routes of all.

mod compile;
mod connections;
mod cors;
mod delegates;
mod duration;
mod edits;
mod faults;
mod matching;
pub(super) mod names;
mod policy;
mod read;
mod references;
mod retries;
mod rules;
#[cfg(test)]
mod tests;
pub mod types;

use proxy_core::config::{ChainAction, Cidr, ClusterIndex, HashPolicy, ServerName};
use proxy_core::origin::OriginId;

pub(super) use self::matching::takes_all;
use self::policy::VirtualServicePolicy;
use self::references::Registry;
pub(super) use self::retries::default_retry;
use crate::model::Labels;

/// The API group of Istio's traffic resources.
pub(super) const GROUP: &str = "networking.istio.io";
const KIND: &str = "VirtualService";

/// Every VirtualService, read and checked.
pub(super) struct VirtualServices {
    all: Vec<VirtualServicePolicy>,
    registry: Registry,
}

/// What a compiled route may lead to; implemented by whoever builds clusters.
pub(super) trait Destinations {
    /// The cluster of a host, complete as `name.namespace.svc.cluster.local` or of a ServiceEntry, with subset and port; none: there is
    /// no such destination. A port is always given: the one written, else the host's only one, else the listener's.
    fn cluster(
        &mut self,
        host: &str,
        subset: Option<&str>,
        port: Option<u16>,
    ) -> Option<ClusterIndex>;

    /// What a hashing balancer of that destination goes by (DestinationRule `consistentHash`); empty if none.
    fn hash(&mut self, host: &str, subset: Option<&str>, port: Option<u16>) -> Vec<HashPolicy>;
}

/// Whose proxy it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// Namespace of its pods.
    pub(super) namespace: &'a str,
    /// Labels of its pods.
    pub(super) labels: &'a Labels,
}

/// What routes fall back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteDefaults {
    /// The release, as `1.29`.
    pub(super) release: &'static str,
    /// `default of istio@1.29`.
    pub(super) origin: OriginId,
    /// The scheme of what the listener takes: `http`, or `https` where TLS ends at it.
    pub(super) scheme: &'static str,
}

/// One server of a gateway, as VirtualServices see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    /// `namespace/name` of its gateway.
    pub(super) gateway: &'a str,
    /// The port as the gateway writes it.
    pub(super) port: u16,
    /// Hosts that it serves, in lower case; with a namespace those of its VirtualServices alone.
    pub(super) hosts: &'a [(Option<String>, String)],
    /// Whose proxy it is.
    pub(super) caller: Caller<'a>,
}

impl Server<'_> {
    /// The hosts that it shares with a VirtualService of `namespace`: of two that overlap the narrower.
    fn shared(&self, hosts: &[String], namespace: &str) -> Vec<String> {
        let own = self.hosts.iter();
        let own = own.filter(|(only, _)| only.as_deref().is_none_or(|only| only == namespace));
        let mut shared: Vec<String> = Vec::new();
        for (_, own) in own {
            for host in hosts {
                if let Some(host) = names::intersection(own, host)
                    && !shared.iter().any(|it| it == host)
                {
                    shared.push(host.to_owned());
                }
            }
        }
        shared
    }
}

/// Connections that a VirtualService takes, and what they become.
#[derive(Clone, Debug)]
pub(super) struct L4Chain {
    /// Server names asked for; empty: any.
    pub(super) server_names: Vec<ServerName>,
    /// Address blocks dialled; empty: any.
    pub(super) destinations: Vec<Cidr>,
    /// What they become.
    pub(super) action: ChainAction,
    /// The rule that made it.
    pub(super) origin: OriginId,
}
