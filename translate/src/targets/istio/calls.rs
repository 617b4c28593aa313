//! Who is called, in which subsets and how: what DestinationRules are made of; and the routes of callers in the mesh.

use std::collections::BTreeMap;

use compare::Area;
use manifests::model::ServiceId;
use proxy_core::config::{Cluster, HashPolicy};

use super::rules::Writer;
use super::{NETWORKING, host};
use crate::intent::{Called, Callers, Destination, Intent, Leads, Mesh, Rule, Serves, Source};
use crate::loss::{Loss, Reach};
use crate::object::{Object, Written, dns_name};
use crate::yaml::{Map, Value};

/// How a Service's port, or a subset's, is called.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub(super) cluster: &'a Cluster,
    /// What requests are hashed by.
    pub(super) hash: Vec<HashPolicy>,
}

/// A subset.
pub(super) struct Subset<'a> {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    /// By port.
    pub(super) calls: BTreeMap<u16, Call<'a>>,
}

/// A Service that somebody calls.
#[derive(Default)]
pub(super) struct Target<'a> {
    /// All of its pods, by port.
    pub(super) whole: BTreeMap<u16, Call<'a>>,
    pub(super) subsets: Vec<Subset<'a>>,
}

/// Everybody who is called.
#[derive(Default)]
pub(super) struct Calls<'a> {
    pub(super) services: BTreeMap<ServiceId, Target<'a>>,
}

impl<'a> Calls<'a> {
    /// Takes a destination in, and gives the name of its subset, if it is one. Of two ways to call the same pods the first counts.
    pub(super) fn add(
        &mut self,
        source: Source<'a>,
        to: &Destination<'a>,
        reach: Reach,
        out: &mut Written,
    ) -> Option<String> {
        let Leads::Service {
            service,
            port,
            labels,
            ..
        } = &to.leads
        else {
            return None;
        };
        let target = self.services.entry(*service).or_default();
        let call = to.cluster.map(|cluster| Call {
            cluster,
            hash: Vec::new(),
        });
        if labels.is_empty() {
            if let Some(call) = call {
                keep(source, *service, &mut target.whole, *port, call, reach, out);
            }
            return None;
        }
        let labels: Vec<(String, String)> = labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let known = target.subsets.iter().position(|it| it.labels == labels);
        let at = known.unwrap_or_else(|| {
            let values: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).collect();
            let mut name = dns_name(&values.join("-"));
            if target.subsets.iter().any(|it| it.name == name) {
                name = format!("{name}-{}", target.subsets.len() + 1);
            }
            target.subsets.push(Subset {
                name,
                labels,
                calls: BTreeMap::new(),
            });
            target.subsets.len() - 1
        });
        let subset = &mut target.subsets[at];
        let name = subset.name.clone();
        if let Some(call) = call {
            keep(source, *service, &mut subset.calls, *port, call, reach, out);
        }
        Some(name)
    }

    /// Says by what requests of a rule are hashed, to everybody whom it leads to.
    pub(super) fn hash(&mut self, rule: &Rule<'a>) {
        let Some(forward) = rule.forward().filter(|it| !it.hash.is_empty()) else {
            return;
        };
        for to in &rule.to {
            let Leads::Service {
                service,
                port,
                labels,
                ..
            } = &to.leads
            else {
                continue;
            };
            let Some(target) = self.services.get_mut(service) else {
                continue;
            };
            let same = |own: &Subset<'_>| {
                let own = own.labels.iter().map(|(key, value)| (&**key, &**value));
                own.eq(labels.iter().map(|(key, value)| (&**key, &**value)))
            };
            let calls = match labels.is_empty() {
                true => Some(&mut target.whole),
                false => {
                    let mut subsets = target.subsets.iter_mut();
                    subsets.find(|it| same(it)).map(|it| &mut it.calls)
                }
            };
            if let Some(call) = calls.and_then(|calls| calls.get_mut(port))
                && call.hash.is_empty()
            {
                call.hash.clone_from(&forward.hash);
            }
        }
    }

    /// Routes of callers in the mesh, a VirtualService for each Service that has any.
    pub(super) fn mesh(&mut self, intent: &Intent<'a>, mesh: &Mesh<'a>, out: &mut Written) {
        let mut by_service: BTreeMap<ServiceId, Vec<&Called<'a>>> = BTreeMap::new();
        for called in &mesh.services {
            by_service
                .entry(called.service.id)
                .or_default()
                .push(called);
        }
        for ports in by_service.values() {
            self.service(intent, ports, out);
        }
    }

    fn service(&mut self, intent: &Intent<'a>, ports: &[&Called<'a>], out: &mut Written) {
        let Some(first) = ports.first() else {
            return;
        };
        let service = first.service;
        let several = ports.len() > 1;
        let mut rules = Vec::new();
        let mut object = Object::new(
            NETWORKING,
            "VirtualService",
            &service.namespace,
            &service.name,
        );
        let mut says_something = false;
        for called in ports {
            if let Some(Serves::Bytes { to, .. }) = called.callers.first().map(|it| &it.serves) {
                for to in to {
                    self.add(intent.source, to, Reach::Service(service.id), out);
                }
                declare_bytes(called, out);
            }
            for (nth, callers) in order(called).into_iter().enumerate() {
                let Some(own) = callers.rules() else {
                    continue;
                };
                let mut besides = Map::new();
                if several {
                    besides.set("port", called.port.number);
                }
                let is_main = nth + 1 == called.callers.len();
                if !is_main {
                    match only_namespace(intent, called, callers) {
                        Some(namespace) => besides.set("sourceNamespace", namespace),
                        None => {
                            tell_apart(intent, called, callers, out);
                            continue;
                        }
                    }
                }
                let mut writer = Writer {
                    source: intent.source,
                    reach: Reach::Service(service.id),
                    calls: &mut *self,
                    besides: besides.clone(),
                };
                let made = writer.rules(own, out);
                for rule in own {
                    object.comes_from(rule.route.origin);
                    self.hash(rule);
                }
                let is_plain = matches!(&made[..], [only]
                    if is_plain(only, &host(&service.namespace, &service.name), called.port.number));
                says_something |= !is_plain || !is_main;
                rules.extend(made);
            }
        }
        if !says_something || rules.is_empty() {
            return;
        }
        object.name = out.free_name("VirtualService", &service.namespace, &service.name);
        let spec = Map::new()
            .with("hosts", vec![host(&service.namespace, &service.name)])
            .with("http", rules);
        out.add(object.spec(spec));
    }
}

fn keep<'a>(
    source: Source<'a>,
    service: ServiceId,
    calls: &mut BTreeMap<u16, Call<'a>>,
    port: u16,
    call: Call<'a>,
    reach: Reach,
    out: &mut Written,
) {
    let Some(known) = calls.get(&port) else {
        calls.insert(port, call);
        return;
    };
    let traffic = |call: &Call<'_>| super::traffic::policy(call, &mut Vec::new());
    if traffic(known) != traffic(&call) {
        let name = source.service(service).full_name();
        let loss = Loss::new(
            reach,
            Area::Balance,
            call.cluster.origin,
            format!("`{name}` is called otherwise from here than from elsewhere"),
            "a DestinationRule is for all callers",
        );
        out.lose(
            loss.also(Area::Pool)
                .also(Area::Limit)
                .also(Area::Ejection)
                .nearest("it is called as from elsewhere"),
        );
    }
}

/// The smaller groups first, since their conditions ask for more.
fn order<'c, 'a>(called: &'c Called<'a>) -> Vec<&'c Callers<'a>> {
    called.callers.iter().rev().collect()
}

/// The namespace of callers, if no other callers are in it.
fn only_namespace(
    intent: &Intent<'_>,
    called: &Called<'_>,
    callers: &Callers<'_>,
) -> Option<String> {
    let workloads = intent.source.model.workloads();
    let of = |callers: &Callers<'_>| -> Vec<String> {
        let all = callers.workloads.iter();
        let mut names: Vec<String> = all
            .map(|id| workloads[id.index()].namespace.to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let own = of(callers);
    let [only] = &own[..] else {
        return None;
    };
    let others = called.callers.iter();
    let mut others = others.filter(|it| it.workloads != callers.workloads);
    (!others.any(|it| of(it).contains(only))).then(|| only.clone())
}

fn tell_apart(intent: &Intent<'_>, called: &Called<'_>, callers: &Callers<'_>, out: &mut Written) {
    crate::targets::gateway_api::mesh_parts::tell_apart(intent, called, callers, out);
}

/// A port whose bytes nobody looks into says so: else Istio would find out by itself what is spoken.
fn declare_bytes(called: &Called<'_>, out: &mut Written) {
    let named = called.port.name.as_deref().unwrap_or_default();
    let is_declared = called.port.app_protocol.is_some()
        || ["tcp", "tls", "mysql", "mongo", "redis", "udp"]
            .iter()
            .any(|word| named == *word || named.starts_with(&format!("{word}-")));
    if is_declared {
        return;
    }
    crate::targets::gateway_api::mesh_parts::says(called, "tcp", out);
}

/// Whether a rule says no more than that all requests go to the Service itself.
fn is_plain(rule: &Map, host: &str, port: u16) -> bool {
    let destination = Map::new()
        .with("host", host)
        .with("port", Map::new().with("number", port));
    let route = Map::new().with("destination", destination);
    let own = Value::from(vec![route]);
    let mut fields = rule.iter().filter(|(key, _)| *key != "match");
    let only_ports = match rule.get("match") {
        None => true,
        Some(Value::List(all)) => all
            .iter()
            .all(|one| matches!(one, Value::Map(map) if map.iter().all(|(key, _)| key == "port"))),
        Some(_) => false,
    };
    let lone = (fields.next(), fields.next());
    only_ports && matches!(lone, (Some(("route", routes)), None) if *routes == own)
}
