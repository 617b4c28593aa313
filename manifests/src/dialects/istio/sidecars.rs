//! Sidecar: which hosts a proxy knows, and what becomes of the others.

use proxy_core::config::Name;
use proxy_core::origin::{OriginId, Sourced};

use super::destination_rule::{Pool, read_pool};
use super::export::ROOT_NAMESPACE;
use super::notes::{bad_value, labels, not_modelled};
use super::protocol::Protocol;
use super::registry::{Host, Registry};
use super::types::{Document, Egress, OutboundPolicy, PolicyMode, Sidecar};
use super::virtual_service::names::is_within;
use crate::diagnostics::Diagnostic;
use crate::dialects::Compile;
use crate::load::Object;
use crate::model::{Labels, Workload, selects};
use crate::text::{Spanned, read};

/// What becomes of destinations that are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unknown {
    /// They are dialled.
    Dialled,
    /// They are refused.
    Refused,
}

/// What a Sidecar resource says.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    namespace: Name,
    name: Name,
    /// Empty: all pods of its namespace.
    selector: Labels,
    egress: Vec<EgressRule>,
    /// None: as the mesh has it.
    pub(super) unknown: Option<Sourced<Unknown>>,
    /// Limits toward the application, in the place of a DestinationRule's.
    pub(super) inbound: Option<Pool>,
}

/// Hosts that are known by one port, or by all others.
#[derive(Clone, Debug)]
struct EgressRule {
    port: Option<(u16, Option<Protocol>)>,
    hosts: Vec<(Place, Name)>,
}

/// The namespaces of hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Any,
    Own,
    None,
    Named(Name),
}

/// A port of a host that a proxy knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Which host of the registry.
    pub(super) host: usize,
    /// Which port.
    pub(super) port: u16,
    /// What is spoken.
    pub(super) protocol: Protocol,
    /// Whether it is known by a listener of that port alone, which hosts of the others do not join.
    pub(super) alone: bool,
}

/// Every Sidecar.
#[derive(Clone, Debug, Default)]
pub(super) struct Sidecars {
    list: Vec<Scope>,
}

impl Sidecars {
    /// Takes one in.
    pub(super) fn add(&mut self, object: &Object, cx: &mut Compile<'_>) {
        let Some(Document { spec, .. }) = read::<Document<Sidecar>>(&object.node, cx.diagnostics)
        else {
            return;
        };
        let selector = spec
            .workload_selector
            .as_ref()
            .map(|selector| labels(&selector.labels))
            .unwrap_or_default();
        if !selector.is_empty() && object.key.namespace == ROOT_NAMESPACE {
            cx.diagnostics.push(
                Diagnostic::warning(
                    "istio::ignored",
                    format!("{} reaches pods of {ROOT_NAMESPACE} alone", object.key),
                )
                .label(object.name_span, "has a selector")
                .help("a Sidecar of the root namespace without a selector is for the whole mesh"),
            );
        }
        not_modelled(
            spec.ingress,
            "`ingress` of a Sidecar",
            "connections to the pods are taken as the ports of their Services say",
            cx.diagnostics,
        );
        let egress = spec
            .egress
            .iter()
            .map(|egress| egress_rule(egress, cx))
            .collect();
        self.list.push(Scope {
            namespace: object.key.namespace.as_str().into(),
            name: object.key.name.as_str().into(),
            selector,
            egress,
            unknown: spec
                .outbound_traffic_policy
                .as_ref()
                .map(|policy| unknown(policy, object, cx)),
            inbound: spec
                .inbound_connection_pool
                .as_ref()
                .map(|pool| read_pool(pool, cx)),
        });
    }

    /// Puts them in order: of several for the same pods the first by name counts.
    pub(super) fn finish(&mut self) {
        self.list
            .sort_by(|a, b| (&a.name, &a.namespace).cmp(&(&b.name, &b.namespace)));
    }

    /// The Sidecar of a workload: one that selects it, else its namespace's, else the mesh's.
    ///
    /// Source: istio 1.29 `pilot/pkg/model/push_context.go`, `getSidecarScope`.
    pub(super) fn of(&self, workload: &Workload) -> Option<&Scope> {
        let mut own = self
            .list
            .iter()
            .filter(|scope| scope.namespace == workload.namespace);
        let selected = own
            .clone()
            .find(|scope| !scope.selector.is_empty() && selects(&scope.selector, &workload.labels));
        selected
            .or_else(|| own.find(|scope| scope.selector.is_empty()))
            .or_else(|| {
                self.list
                    .iter()
                    .find(|scope| *scope.namespace == *ROOT_NAMESPACE && scope.selector.is_empty())
            })
    }
}

impl Scope {
    /// What tells it apart from others.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// The ports of hosts that proxies in `namespace` know, in the order in which their listeners are made.
pub(super) fn known(scope: Option<&Scope>, registry: &Registry, namespace: &str) -> Vec<Known> {
    let everything = [EgressRule {
        port: None,
        hosts: vec![(Place::Any, "*".into())],
    }];
    let egress = match scope {
        Some(scope) if !scope.egress.is_empty() => &scope.egress[..],
        Some(_) | None => &everything,
    };
    let mut found = Vec::new();
    for rule in egress {
        let imported = rule.imported(registry, namespace);
        for at in imported {
            let host = &registry.hosts()[at];
            for port in &host.ports {
                let by_port = rule.port.filter(|(number, _)| *number == port.number);
                if rule.port.is_some() && by_port.is_none() {
                    continue;
                }
                let declared = by_port.and_then(|(_, protocol)| protocol);
                found.push(Known {
                    host: at,
                    port: port.number,
                    protocol: declared.unwrap_or(port.protocol),
                    alone: rule.port.is_some(),
                });
            }
        }
    }
    found
}

impl EgressRule {
    /// Hosts that it brings in; of several with one name that of the proxy's own namespace, else the first.
    fn imported(&self, registry: &Registry, namespace: &str) -> Vec<usize> {
        let hosts = registry.hosts();
        let wanted = |host: &Host| {
            host.export.shows(&host.namespace, namespace)
                && self.hosts.iter().any(|(place, pattern)| {
                    let here = match place {
                        Place::Any => true,
                        Place::Own => *host.namespace == *namespace,
                        Place::None => false,
                        Place::Named(name) => host.namespace == *name,
                    };
                    here && is_within(&host.name, pattern)
                })
        };
        let mut found: Vec<usize> = (0..hosts.len()).filter(|at| wanted(&hosts[*at])).collect();
        let all = found.clone();
        found.retain(|at| {
            let same = all
                .iter()
                .filter(|other| hosts[**other].name == hosts[*at].name);
            let best = same.min_by_key(|other| (*hosts[**other].namespace != *namespace, **other));
            best == Some(at)
        });
        found
    }
}

fn egress_rule(written: &Egress, cx: &mut Compile<'_>) -> EgressRule {
    not_modelled(
        written.bind,
        "`bind` of an egress listener",
        "it takes connections to its port by the addresses of its hosts",
        cx.diagnostics,
    );
    if let Some(mode) = written
        .capture_mode
        .as_ref()
        .filter(|mode| mode.value == "NONE")
    {
        super::notes::left_out(
            mode.span,
            "`captureMode: NONE`",
            "connections are taken as if they were redirected to the proxy",
            cx.diagnostics,
        );
    }
    if written.hosts.is_empty() {
        let span = written
            .port
            .as_ref()
            .and_then(|port| port.number)
            .map(|number| number.span);
        if let Some(span) = span {
            bad_value(span, "an egress listener needs `hosts`", cx.diagnostics);
        }
    }
    let port = written.port.as_ref().and_then(|port| {
        let number = port.number?;
        if let Some(word) = &port.protocol
            && word.eq_ignore_ascii_case("http_proxy")
        {
            super::notes::left_out(
                word.span,
                "a listener that is an HTTP proxy",
                "requests to its port are taken like others",
                cx.diagnostics,
            );
        }
        let protocol = port
            .protocol
            .as_ref()
            .and_then(|word| Protocol::of_word(word));
        (number.value > 0).then_some((number.value, protocol))
    });
    EgressRule {
        port,
        hosts: written
            .hosts
            .iter()
            .filter_map(|host| host_pattern(host, cx))
            .collect(),
    }
}

fn host_pattern(written: &Spanned<String>, cx: &mut Compile<'_>) -> Option<(Place, Name)> {
    let Some((place, host)) = written.split_once('/') else {
        cx.diagnostics.push(
            Diagnostic::error(
                "istio::bad-value",
                format!("`{written}` names no namespace"),
            )
            .label(written.span, "this value")
            .help(format!("write `namespace/host`, such as `*/{written}`")),
        );
        return None;
    };
    let place = match place {
        "*" => Place::Any,
        "." => Place::Own,
        "~" => Place::None,
        name => Place::Named(name.into()),
    };
    Some((place, host.to_ascii_lowercase().into()))
}

fn unknown(written: &OutboundPolicy, object: &Object, cx: &mut Compile<'_>) -> Sourced<Unknown> {
    not_modelled(
        written.egress_proxy,
        "`egressProxy`",
        "destinations that are not known are dialled as they are",
        cx.diagnostics,
    );
    let span = written.mode.map_or(object.name_span, |mode| mode.span);
    let unknown = match written.mode.map(|mode| mode.value) {
        Some(PolicyMode::AllowAny) => Unknown::Dialled,
        // the enumeration's first word, which counts where none is written
        Some(PolicyMode::RegistryOnly) | None => Unknown::Refused,
    };
    let origin: OriginId = cx.origins.written(span);
    Sourced::new(unknown, origin)
}
