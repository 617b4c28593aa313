//! Objects to what one Emissary goes by.

use proxy_core::origin::OriginId;

use super::groups::{self, Group};
use super::hosts::{self, Host};
use super::install::{self, DEFAULT_ID, Install};
use super::listeners::{self, Listener};
use super::mapping::{self, Mapping};
use super::resolvers::{self, Resolvers};
use super::tcp::{self, TcpGroup};
use super::tls::{self, Context};
use super::types::ModuleConfig;
use super::{GROUP, ingress, module, notes};
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::load::{Object, ObjectKey, Objects};
use crate::model::Labels;

/// What one Emissary goes by.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) install: Install,
    pub(super) module: ModuleConfig,
    /// By name, the first of each.
    pub(super) contexts: Vec<Context>,
    /// In the order in which they are read.
    pub(super) hosts: Vec<Host>,
    /// One for each port.
    pub(super) listeners: Vec<Listener>,
    /// Those that Emissary takes, in the order in which it reads them.
    pub(super) mappings: Vec<Mapping>,
    /// Those, put together, in the order of their routes.
    pub(super) groups: Vec<Group>,
    pub(super) tcp: Vec<TcpGroup>,
    /// Ingresses that it serves.
    pub(super) ingresses: Vec<ObjectKey>,
    /// Where the first of its objects is written.
    pub(super) origin: OriginId,
}

/// Reads what every Emissary goes by.
pub(super) fn all(release: &str, cx: &mut Compile<'_>) -> Vec<Reading> {
    let ingresses = ingress::of_class(cx);
    let installs = install::all(&ingresses, cx);
    report_strangers(&installs, cx);
    let mut readings = Vec::new();
    for install in installs {
        let ingresses: Vec<&Object> = ingresses
            .iter()
            .copied()
            .filter(|it| install.reads_ingress(it))
            .collect();
        readings.push(one(install, &ingresses, release, cx));
    }
    readings
}

fn one(install: Install, ingresses: &[&Object], release: &str, cx: &mut Compile<'_>) -> Reading {
    let module = module::config(&install, cx);
    let mut contexts = tls::contexts(&install, &module, cx);
    let resolvers: Resolvers = resolvers::all(&install, cx);
    let mut hosts = hosts::all(&install, &contexts, cx);
    hosts.extend(ingress::hosts(ingresses, cx));
    hosts.sort_by(|a, b| a.key.cmp(&b.key));
    tls::complete(&mut contexts, &hosts);
    let defaults = cx.default_of(release);
    if hosts.is_empty() {
        hosts.push(hosts::fallback(&install, defaults, cx));
    }
    let mut reader = mapping::Reader {
        install: &install,
        module: &module,
        resolvers: &resolvers,
        contexts: &contexts,
        defaults,
        cx,
    };
    let mut mappings = reader.all();
    mappings.extend(ingress::mappings(ingresses, &mut reader));
    mappings.sort_by(|a, b| a.key.cmp(&b.key));
    let tcp = tcp::groups(&mut reader);
    let listeners = listeners::all(&install, &tcp, cx);
    let groups = groups::all(&mut mappings, &hosts, &install, cx);
    let origin = first_origin(&install, cx);
    let reading = Reading {
        module,
        contexts,
        hosts,
        listeners,
        mappings,
        groups,
        tcp,
        ingresses: ingresses.iter().map(|it| it.key.clone()).collect(),
        origin,
        install,
    };
    notes::tell(&reading, cx);
    reading
}

fn first_origin(install: &Install, cx: &mut Compile<'_>) -> OriginId {
    if let Some(id) = install.workload {
        return cx.workloads[id.index()].origin;
    }
    let kinds = ["Listener", "Mapping", "TCPMapping", "Host"];
    let objects = cx.objects;
    let mut all = kinds.iter().flat_map(|kind| sorted(objects, install, kind));
    let first = all.next().map(|object| object.name_span);
    first.map_or(OriginId::NONE, |span| cx.origins.written(span))
}

/// The objects of a kind that an Emissary reads, in its order: by name, then by namespace.
///
/// Source: emissary `python/ambassador/src/ambassador/fetch/fetcher.py` (`sorted`).
pub(super) fn sorted<'a>(objects: &'a Objects, install: &Install, kind: &str) -> Vec<&'a Object> {
    let mut found: Vec<&Object> = objects
        .iter()
        .filter(|object| object.key.group == GROUP && object.key.kind == kind)
        .filter(|object| install.reads(object))
        .collect();
    found.sort_by_key(|object| key(object));
    found
}

/// What Emissary calls an object: `name.namespace`.
pub(super) fn key(object: &Object) -> String {
    format!("{}.{}", object.key.name, object.key.namespace)
}

/// The labels of an object.
pub(super) fn labels(object: &Object) -> Labels {
    let written = object.node.at("metadata.labels");
    let entries = written.and_then(|node| node.as_map());
    entries
        .map_or(&[][..], |map| map.entries())
        .iter()
        .filter_map(|entry| Some((entry.key.text.as_str().into(), entry.value.as_str()?.into())))
        .collect()
}

/// Objects that belong to no Emissary have no effect.
fn report_strangers(installs: &[Install], cx: &mut Compile<'_>) {
    let own = cx.objects.iter().filter(|it| it.key.group == GROUP);
    for object in own {
        if installs.iter().any(|install| install.reads(object)) {
            continue;
        }
        let ids = install::ids(object);
        let known = installs.iter().map(|install| install.id.as_str());
        let message = format!("no Emissary of the manifests reads {}", object.key);
        let written = object.node.at("spec.ambassador_id");
        let span = written.map_or(object.name_span, |node| node.span);
        let help = ids
            .iter()
            .find_map(|id| did_you_mean(id, known.clone()))
            .or_else(|| {
                (ids == [DEFAULT_ID]).then(|| {
                    "an object without `ambassador_id` belongs to the Emissary `default`".to_owned()
                })
            });
        cx.diagnostics.push(
            Diagnostic::warning("emissary::other-id", message)
                .label(span, "for another Emissary")
                .maybe_help(help),
        );
    }
}
