//! Consul's service mesh: Envoy beside each pod, configured by entries that are by service, with mutual TLS always.
//!
//! A transparent proxy knows services by the addresses of their Kubernetes Services. What is sent to one passes its discovery chain: router,
//! splitter, resolver. None of that exists for a service that does not speak HTTP, and a service speaks bytes unless ServiceDefaults or
//! ProxyDefaults say otherwise. Between proxies there is mutual TLS and nothing else: a caller without one is refused. Who may call
//! (ServiceIntentions) is reported, not modelled. The API gateway is the Gateway API's affair.
//!
//! Defaults are those of a release of the community edition, which has one namespace.

mod annotations;
mod balance;
mod chain;
mod check;
mod clusters;
mod compile;
mod defaults;
mod duration;
mod filter;
mod inbound;
mod injection;
mod mesh;
mod notes;
mod others;
mod outbound;
mod policy;
mod read;
mod registry;
mod resolver;
mod router;
mod settings;
mod shared;
mod splitter;
#[cfg(test)]
mod tests;
pub mod types;
mod upstream;

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use self::inbound::Inbound;
use self::notes::Defaults;
use self::outbound::Callers;
use self::policy::{Policies, ProxySettings};
use super::{Compile, Compiled, Dialect, Mesh, ScopeKey};
use crate::diagnostics::Diagnostics;
use crate::model::{ServiceId, SidecarFacts, Workload, WorkloadId};
use crate::text::{SourceId, Sources, parse};

/// Consul.
pub static DIALECT: Dialect = Dialect {
    name: "consul",
    releases: &["1.21"],
    reads: |group, _kind| group == injection::GROUP,
    shows: injection::shows,
    mesh: Some(|release, cx| {
        let release = format!("consul@{release}");
        let defaults = Defaults {
            origin: cx.default_of(&release),
        };
        let policies = read::policies(defaults, cx);
        Box::new(Consul { release, policies })
    }),
    gateways: None,
};

struct Consul {
    release: String,
    policies: Policies,
}

impl Mesh for Consul {
    fn release(&self) -> &str {
        &self.release
    }

    fn sidecar(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Option<SidecarFacts> {
        injection::sidecar(workload, &self.policies.registry, cx)
    }

    fn inbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let inbound = self.arriving(&workloads[workload.index()], cx);
        inbound::section(&inbound, defaults)
    }

    fn outbound_scope(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> ScopeKey {
        let workloads = cx.workloads;
        let callers = self.callers(&workloads[workload.index()], cx);
        ScopeKey(
            format!(
                "{}|{}|{:?}|{:?}|{:?}",
                callers.service,
                callers.is_transparent,
                callers.explicit,
                callers.excluded_ports,
                callers.excluded
            )
            .into(),
        )
    }

    fn outbound(&self, cx: &mut Compile<'_>, workload: WorkloadId) -> Compiled {
        let defaults = self.defaults(cx);
        let workloads = cx.workloads;
        let callers = self.callers(&workloads[workload.index()], cx);
        outbound::section(&self.policies, &callers, defaults, cx)
    }

    fn rules_for_callers(
        &self,
        _cx: &Compile<'_>,
        _caller: WorkloadId,
        service: ServiceId,
    ) -> Vec<(String, OriginId)> {
        let Some(name) = self.policies.registry.named_by(service) else {
            return Vec::new();
        };
        let router = self.policies.routers.get(name);
        let splitter = self.policies.splitters.get(name);
        let resolver = self.policies.resolvers.get(name);
        let first = splitter.and_then(|splitter| splitter.splits.first());
        let found = [
            router.map(|it| ("ServiceRouter", it.origin)),
            first.map(|it| ("ServiceSplitter", it.origin)),
            resolver.map(|it| ("ServiceResolver", it.origin)),
        ];
        let found = found.into_iter().flatten();
        found
            .map(|(kind, origin)| (format!("{kind}/{name}"), origin))
            .collect()
    }

    fn refuses_plaintext(
        &self,
        cx: &mut Compile<'_>,
        workload: WorkloadId,
        port: u16,
    ) -> Option<OriginId> {
        let workloads = cx.workloads;
        let inbound = self.arriving(&workloads[workload.index()], cx);
        match inbound.opens(port) {
            Some(_) => None,
            None => Some(inbound.is_transparent.origin),
        }
    }

    fn joining(&self, namespace: &str) -> Option<String> {
        Some(format!(
            "give its pods in `{namespace}` a proxy: annotate them with `{}: \"true\"`",
            injection::INJECT
        ))
    }
}

impl Consul {
    fn defaults(&self, cx: &mut Compile<'_>) -> Defaults {
        Defaults {
            origin: cx.default_of(&self.release),
        }
    }

    fn callers(&self, workload: &Workload, cx: &mut Compile<'_>) -> Callers {
        let default = cx.default_of(&self.release);
        let service = self.policies.registry.service_of(workload);
        let named = workload.annotations.get(annotations::UPSTREAMS);
        let read = named.map_or(Vec::new(), |text| {
            annotations::upstreams(text, |name| registry::port_named(workload, name))
        });
        Callers {
            identity: injection::identity(&service),
            service,
            is_transparent: injection::is_transparent(workload, default, cx).value,
            explicit: read.into_iter().flatten().collect(),
            excluded_ports: annotations::ports(workload, annotations::EXCLUDE_OUTBOUND),
            excluded: annotations::cidrs(workload),
        }
    }

    fn arriving(&self, workload: &Workload, cx: &mut Compile<'_>) -> Inbound<'_> {
        let default = cx.default_of(&self.release);
        let service = self.policies.registry.service_of(workload);
        Inbound {
            identity: injection::identity(&service),
            port: registry::port(workload),
            is_transparent: injection::is_transparent(workload, default, cx),
            excluded: annotations::ports(workload, annotations::EXCLUDE_INBOUND),
            settings: self.settings(workload, &service, cx),
            service,
            mesh: &self.policies.mesh,
        }
    }

    /// Settings of a proxy: its pods' annotation, ServiceDefaults, ProxyDefaults.
    fn settings(&self, workload: &Workload, service: &Name, cx: &mut Compile<'_>) -> ProxySettings {
        let annotated = workload.annotations.get(annotations::CONFIG);
        let annotated = annotated.and_then(|text| written_settings(text, workload, cx));
        let own = self.policies.services.get(service);
        let own = own.map(|own| own.own.clone()).unwrap_or_default();
        annotated
            .unwrap_or_default()
            .or(&own)
            .or(&self.policies.proxy)
    }
}

/// Settings that an annotation has as JSON. Their places are that of the annotation; what is wrong with it is reported once.
fn written_settings(
    text: &str,
    workload: &Workload,
    cx: &mut Compile<'_>,
) -> Option<ProxySettings> {
    let mut sources = Sources::default();
    let mut problems = Diagnostics::default();
    let source: SourceId = sources.add("annotation", text.to_owned());
    let documents = parse(&sources, source, &mut problems);
    let place = injection::place(workload, annotations::CONFIG, cx.objects);
    let document = documents.first().filter(|_| !problems.has_errors());
    let Some(document) = document else {
        cx.diagnostics.push(
            crate::diagnostics::Diagnostic::error(
                "consul::bad-annotation",
                format!("`{}` is no JSON", annotations::CONFIG),
            )
            .label(place, "this value"),
        );
        return None;
    };
    let origin = cx.origins.written(place);
    let mark = cx.diagnostics.len();
    let settings = settings::settings(document, cx);
    relabel(mark, place, cx.diagnostics);
    Some(settings.at(origin))
}

/// Puts the place of the annotation in that of a place within its text.
fn relabel(mark: usize, place: crate::text::Span, out: &mut Diagnostics) {
    let mut said = Diagnostics::default();
    for mut one in out.since(mark).to_vec() {
        for label in &mut one.labels {
            label.span = place;
        }
        said.push(one);
    }
    out.retain_since(mark, |_| false);
    out.extend(said);
}
