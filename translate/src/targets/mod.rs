//! The systems that manifests can be written for: a file or folder each, and a line in [`TARGETS`].
//!
//! A writer goes through an [`Intent`] and says each rule with the target's nearest means. It writes *effective* values, whatever objects they
//! came from, and leaves out what the target's own default says anyway. What the target cannot say becomes a [`Loss`](crate::Loss). Who has a
//! sidecar and what becomes of objects that no system owns is settled before: [`Intent::carried`].

pub(crate) mod common;
pub(crate) mod edge;
mod envoy;
mod gateway_api;
mod istio;
mod kong;
mod kuma;
mod linkerd;
mod nginx;
mod traefik;

use std::fmt;

use compare::Area;
use manifests::model::GatewayFacts;

use crate::intent::Intent;
use crate::object::Written;

/// Every target, in the order in which they are listed.
pub static TARGETS: &[&Target] = &[
    &gateway_api::TARGET,
    &istio::TARGET,
    &linkerd::TARGET,
    &kuma::TARGET,
    &kong::TARGET,
    &traefik::TARGET,
    &nginx::TARGET,
    &envoy::TARGET,
];

/// A system that manifests can be written for.
pub struct Target {
    /// What the command line calls it: `istio`.
    pub name: &'static str,
    /// What people call it: `Istio 1.29`.
    pub title: &'static str,
    /// The dialect that reads it, and the release that it is written for: `istio`, `1.29`. For targets that are files of one proxy each, the
    /// name alone.
    pub dialect: &'static str,
    /// See above.
    pub release: &'static str,
    /// How pods get its sidecar; none: it has none.
    pub injection: Option<Injection>,
    /// What it does with gateways.
    pub gateways: Gateways,
    /// What it has no words for at all, and why differences of that kind remain: the reason that is given where no loss says more.
    pub unsaid: &'static [(Area, &'static str)],
    /// Writes everything that is not carried over. What is has been put in already, so that writers may change it (annotations of Services).
    pub write: fn(&Intent<'_>, &mut Written),
}

/// How pods get a sidecar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Injection {
    /// By the scenario or the command line alone: the Gateway API does not say who is in a mesh.
    Named,
    /// By labels and annotations.
    Marked {
        /// On namespaces.
        namespace: Mark,
        /// On pods without one in a namespace that is marked.
        out: Mark,
    },
}

/// A label or an annotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Key and value of a label.
    Label(&'static str, &'static str),
    /// Key and value of an annotation.
    Annotation(&'static str, &'static str),
}

/// What a target does with gateways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gateways {
    /// It is a kind of gateway, or one that serves them all: every gateway is written anew.
    All,
    /// It has gateways of its own. Where there is a mesh, others than its own stay as they are beside the new one.
    Own,
    /// It has none: gateways stay as they are; those that are part of the source's mesh are written for the Gateway API.
    None,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Target {
    /// The target that the command line calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().copied().find(|target| target.name == name)
    }

    /// Why differences of an area remain, where no loss says more; none: the target has words for it.
    #[must_use]
    pub fn why(&self, area: Area) -> Option<&'static str> {
        let found = self.unsaid.iter().find(|(own, _)| *own == area);
        found.map(|(_, why)| *why)
    }

    /// Whether a gateway goes on as it is beside the target, where this mesh was the source's.
    #[must_use]
    pub fn keeps(&self, facts: &GatewayFacts, mesh: Option<&str>) -> bool {
        let is_part = mesh == Some(facts.dialect);
        match self.gateways {
            Gateways::All => false,
            Gateways::Own => mesh.is_some() && !is_part,
            Gateways::None => !is_part,
        }
    }
}
