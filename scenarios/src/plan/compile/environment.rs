//! Mesh, gateways, proxies, topology, network.

use manifests::diagnostics::did_you_mean;
use manifests::text::Spanned;
use proxy_core::time::Duration;

use super::Compiler;
use crate::format::{self, Located};
use crate::plan::environment::{
    GatewayOverride, Machine, MeshChoice, MeshSystem, Network, Proxies, ProxyCpu, SidecarOverrides,
    Spread, Topology,
};
use crate::plan::ids::{DistId, ZoneId};
use crate::plan::known::DEFAULT_NAMESPACE;

impl Compiler<'_> {
    pub(super) fn mesh(&mut self) -> Option<MeshChoice> {
        let text = self.spec.mesh.as_ref()?;
        let (name, release) = match text.split_once('@') {
            Some((name, release)) => (name, Some(release.to_owned())),
            None => (text.as_str(), None),
        };
        let names = MeshSystem::ALL.map(|each| each.0);
        let system = MeshSystem::ALL.iter().find(|each| each.0 == name);
        let Some((_, system)) = system else {
            let problem = manifests::diagnostics::Diagnostic::error(
                "mesh::unknown",
                format!("there is no mesh `{name}`"),
            )
            .label(text.span(), "not known here")
            .help(
                did_you_mean(name, names.iter().copied())
                    .unwrap_or_else(|| format!("one of `{}`", names.join("`, `"))),
            );
            self.problems.push(problem);
            return None;
        };
        if release
            .as_deref()
            .is_some_and(|release| release.is_empty() || *system == MeshSystem::None)
        {
            self.error(
                "mesh::release",
                format!("`{}` names no release", **text),
                text.span(),
                "after the `@`",
            );
        }
        Some(MeshChoice {
            system: *system,
            release,
            span: text.span(),
        })
    }

    pub(super) fn gateways(&mut self) -> Vec<GatewayOverride> {
        let spec = self.spec;
        spec.gateways
            .iter()
            .map(|(key, gateway)| {
                let target = match key.contains('/') {
                    true => key.to_string(),
                    false => format!("{DEFAULT_NAMESPACE}/{}", **key),
                };
                GatewayOverride {
                    target,
                    kind: gateway.kind.as_ref().map(|kind| kind.to_string()),
                    namespace: gateway.namespace.as_ref().map(|name| name.to_string()),
                    labels: gateway
                        .labels
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                    replicas: gateway.replicas.as_ref().map(|count| count.0),
                    span: key.span(),
                }
            })
            .collect()
    }

    pub(super) fn sidecars(&mut self) -> SidecarOverrides {
        let list = |names: &[Located<String>]| {
            names
                .iter()
                .map(|name| (name.to_string(), name.span()))
                .collect()
        };
        let sidecars = &self.spec.sidecars;
        for name in &sidecars.skip {
            if let Some(other) = sidecars.inject.iter().find(|other| **other == *name) {
                let problem = manifests::diagnostics::Diagnostic::error(
                    "sidecars::both",
                    format!("`{}` is both injected and skipped", **name),
                )
                .label(name.span(), "skipped here")
                .label(other.span(), "injected here");
                self.problems.push(problem);
            }
        }
        SidecarOverrides {
            inject: list(&sidecars.inject),
            skip: list(&sidecars.skip),
        }
    }

    pub(super) fn proxies(&mut self) -> Proxies {
        let proxies = &self.spec.proxies;
        Proxies {
            concurrency: proxies.concurrency.as_ref().map_or(2, |count| count.0),
            cpu: match proxies.cpu {
                None | Some(format::ProxyCpu::Measured) => ProxyCpu::Envoy,
                Some(format::ProxyCpu::Windtunnel) => ProxyCpu::Windtunnel,
                Some(format::ProxyCpu::Free) => ProxyCpu::Free,
            },
        }
    }

    pub(super) fn read_topology(&mut self) -> Topology {
        let given = &self.spec.topology;
        let zones: Vec<Box<str>> = match &given.zones {
            Some(zones) if !zones.is_empty() => {
                self.distinct("zones", zones);
                zones.iter().map(|zone| zone.as_str().into()).collect()
            }
            Some(_) | None => vec!["a".into()],
        };
        let count = given
            .nodes
            .as_ref()
            .map_or(2 * zones.len(), |count| count.0 as usize);
        if let Some(nodes) = given.nodes.as_ref().filter(|_| count < zones.len()) {
            let message = format!("{count} machines are too few for {} zones", zones.len());
            self.error(
                "topology::nodes",
                message,
                nodes.span(),
                "at least one a zone is needed",
            );
        }
        let nodes = (0..count)
            .map(|index| Machine {
                name: format!("node-{}", index + 1).into(),
                zone: ZoneId::at(index % zones.len()),
            })
            .collect();
        let spread = match given.spread {
            None | Some(format::Spread::Even) => Spread::Even,
            Some(format::Spread::Packed) => Spread::Packed,
        };
        Topology {
            zones,
            nodes,
            spread,
        }
    }

    pub(super) fn network(&mut self) -> Option<Network> {
        const SAME_NODE: Duration = Duration::from_micros(50);
        const SAME_ZONE: Duration = Duration::from_micros(250);
        const CROSS_ZONE: Duration = Duration::from_millis(1);
        const EXTERNAL: Duration = Duration::from_millis(20);
        let network = &self.spec.network;
        let loss = network.loss.as_ref().map_or(0.0, |loss| loss.0);
        let given = network.latency.as_deref().cloned().unwrap_or_default();
        let by_distance = [
            &given.same_node,
            &given.same_zone,
            &given.cross_zone,
            &given.external,
        ];
        if let (Some(everywhere), Some(latency)) = (&given.everywhere, &network.latency) {
            if by_distance.iter().any(|each| each.is_some()) {
                self.error(
                    "network::latency",
                    "one distribution for all distances excludes others by distance",
                    latency.span(),
                    "both are given",
                );
            }
            let id = self.times_at(everywhere, latency.span())?;
            let is_free = loss == 0.0 && self.program.distribution(id).quantile(1.0 - 1e-12) == 0.0;
            return Some(Network {
                same_node: id,
                same_zone: id,
                cross_zone: id,
                external: id,
                loss,
                is_free,
            });
        }
        let defaults = [
            ("sameNode", SAME_NODE, ["10us", "200us"]),
            ("sameZone", SAME_ZONE, ["100us", "1ms"]),
            ("crossZone", CROSS_ZONE, ["500us", "3ms"]),
            ("external", EXTERNAL, ["1ms", "80ms"]),
        ];
        let mut ids: Vec<DistId> = Vec::new();
        for (given, (name, default, alternatives)) in by_distance.into_iter().zip(defaults) {
            let id = match given {
                Some(times) => self.times(times)?,
                None => {
                    let path = format!("network.latency.{name}");
                    let why = "a common figure for one way; no scenario or manifest says";
                    self.assume(path, &default.to_string(), why, &alternatives);
                    self.constant(default)
                }
            };
            ids.push(id);
        }
        Some(Network {
            same_node: ids[0],
            same_zone: ids[1],
            cross_zone: ids[2],
            external: ids[3],
            loss,
            is_free: false,
        })
    }

    pub(super) fn paths(&mut self, list: &[Located<String>]) -> Vec<Spanned<String>> {
        let mut paths = Vec::new();
        for path in list {
            if path.trim().is_empty() {
                self.error("path::empty", "a path is needed", path.span(), "nothing");
            }
            paths.push(Spanned::new(path.to_string(), path.span()));
        }
        paths
    }

    pub(super) fn object_refs(&mut self, list: &[Located<String>]) -> Vec<Spanned<String>> {
        let mut refs = Vec::new();
        for text in list {
            let parts: Vec<&str> = text.split('/').collect();
            if !matches!(parts[..], [_, _] | [_, _, _]) || parts.iter().any(|part| part.is_empty())
            {
                let message = format!("`{}` is not `Kind/name` or `Kind/namespace/name`", **text);
                self.error("object::reference", message, text.span(), "this object");
            }
            refs.push(Spanned::new(text.to_string(), text.span()));
        }
        refs
    }
}
