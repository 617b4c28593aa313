//! Workloads and Services by name.

use manifests::diagnostics::{Diagnostic, closest};
use manifests::text::Span;

use super::{Compiler, MAX_PODS};
use crate::format::{self, Located};
use crate::plan::ids::{ServiceId, WorkloadId};
use crate::plan::known::{DEFAULT_NAMESPACE, DEFAULT_PORT};
use crate::plan::{KnownWorkload, Service, Workload};

impl<'a> Compiler<'a> {
    /// Makes the tables of workloads and Services: those of the manifests first, then those that only the scenario has.
    pub(super) fn declare_workloads(&mut self) {
        for known in &self.known.workloads {
            self.workloads.push(Workload {
                namespace: known.namespace.as_str().into(),
                name: known.name.as_str().into(),
                in_manifests: known.in_manifests,
                described: false,
                labels: Vec::new(),
                versions: Vec::new(),
                services: Vec::new(),
                span: Span::NOWHERE,
            });
        }
        for (index, known) in self.known.services.iter().enumerate() {
            let workloads: Vec<WorkloadId> = known
                .workloads
                .iter()
                .map(|at| WorkloadId::at(*at))
                .collect();
            for id in &workloads {
                self.workloads[id.index()]
                    .services
                    .push(ServiceId::at(index));
            }
            self.services.push(Service {
                namespace: known.namespace.as_str().into(),
                name: known.name.as_str().into(),
                ports: if known.ports.is_empty() {
                    vec![DEFAULT_PORT]
                } else {
                    known.ports.clone()
                },
                workloads,
                in_manifests: known.in_manifests,
            });
        }
        let spec = self.spec;
        for (key, workload) in &spec.workloads {
            self.declare(key, workload);
        }
    }

    fn declare(&mut self, key: &Located<String>, given: &format::Workload) {
        let found = self.find_workload(key);
        let id = match found[..] {
            [id] => {
                let workload = &mut self.workloads[id.index()];
                if !workload.span.is_nowhere() {
                    let first = workload.span;
                    let message = format!("`{}` is described twice", workload.full_name());
                    let problem = Diagnostic::error("workload::duplicate", message)
                        .label(key.span(), "again here")
                        .label(first, "first here");
                    self.problems.push(problem);
                    return;
                }
                if workload.in_manifests && given.ports.is_some() {
                    self.error(
                        "workload::ports",
                        "its Services are in the manifests",
                        key.span(),
                        "`ports` is for a workload that no manifest has",
                    );
                }
                let known = self.known.workloads.get(id.index());
                if known.is_some_and(|known| !known.in_manifests && !known.is_gateway) {
                    self.check_new(key);
                }
                id
            }
            [] => self.declare_new(key, given),
            [first, second, ..] => {
                let names = [first, second].map(|id| self.workloads[id.index()].full_name());
                let message = format!("`{}` may be `{}` or `{}`", **key, names[0], names[1]);
                self.error(
                    "workload::ambiguous",
                    message,
                    key.span(),
                    "write it as `namespace/name`",
                );
                return;
            }
        };
        let workload = &mut self.workloads[id.index()];
        workload.span = key.span();
        workload.described = true;
        workload.labels = labels(&given.labels);
    }

    /// Reports a new workload whose name is none, or is nearly that of one of the manifests.
    fn check_new(&mut self, key: &Located<String>) {
        let (namespace, name) = key.split_once('/').unwrap_or((DEFAULT_NAMESPACE, key));
        for part in [namespace, name] {
            if !is_kubernetes_name(part) {
                let message = format!("`{}` is not the name of a workload", part.escape_debug());
                self.error(
                    "name::invalid",
                    message,
                    key.span(),
                    "lower-case letters, digits, `-` and `.`",
                );
            }
        }
        // A workload that the scenario describes too is not what this one was meant to be.
        let described = |known: &&KnownWorkload| {
            if known.is_gateway || !known.in_manifests {
                return true;
            }
            let keys = self.spec.workloads.keys();
            let mut names =
                keys.map(|key| key.split_once('/').map_or(key.as_str(), |(_, name)| name));
            names.any(|name| name == known.name)
        };
        let others = self
            .known
            .workloads
            .iter()
            .filter(|known| !described(known));
        if let Some(near) = closest(name, others.map(|known| known.name.as_str())) {
            let problem = Diagnostic::warning(
                "workload::not-in-manifests",
                format!("no manifest has a workload `{name}`"),
            )
            .label(key.span(), "taken for a new one")
            .help(format!("did you mean `{near}`?"));
            self.problems.push(problem);
        }
    }

    fn declare_new(&mut self, key: &Located<String>, given: &format::Workload) -> WorkloadId {
        self.check_new(key);
        let (namespace, name) = key.split_once('/').unwrap_or((DEFAULT_NAMESPACE, key));
        let id = WorkloadId::at(self.workloads.len());
        let existing = self
            .services
            .iter()
            .position(|service| *service.namespace == *namespace && *service.name == *name);
        let service = ServiceId::at(existing.unwrap_or(self.services.len()));
        if let Some(index) = existing {
            self.services[index].workloads.push(id);
        } else {
            let ports = given.ports.as_ref().map(|ports| {
                ports
                    .iter()
                    .map(|port| u16::try_from(port.0).expect("read as a port"))
                    .collect::<Vec<u16>>()
            });
            self.services.push(Service {
                namespace: namespace.into(),
                name: name.into(),
                ports: ports
                    .filter(|ports| !ports.is_empty())
                    .unwrap_or_else(|| vec![DEFAULT_PORT]),
                workloads: vec![id],
                in_manifests: false,
            });
        }
        self.workloads.push(Workload {
            namespace: namespace.into(),
            name: name.into(),
            in_manifests: false,
            described: true,
            labels: Vec::new(),
            versions: Vec::new(),
            services: vec![service],
            span: Span::NOWHERE,
        });
        id
    }

    /// All workloads that `name` may mean: `namespace/name`, or `name` in any namespace.
    fn find_workload(&self, name: &str) -> Vec<WorkloadId> {
        let matches = |workload: &Workload| match name.split_once('/') {
            Some((namespace, name)) => *workload.namespace == *namespace && *workload.name == *name,
            None => *workload.name == *name,
        };
        let all = self.workloads.iter().enumerate();
        all.filter(|(_, workload)| matches(workload))
            .map(|(index, _)| WorkloadId::at(index))
            .collect()
    }

    /// The workload of this name, or a report; of several, the one in the caller's namespace.
    pub(super) fn workload(&mut self, name: &Located<String>, near: &str) -> Option<WorkloadId> {
        let found = self.find_workload(name);
        let here = found
            .iter()
            .find(|id| *self.workloads[id.index()].namespace == *near);
        match (&found[..], here) {
            ([id], _) | (_, Some(id)) => Some(*id),
            ([], _) => {
                let names: Vec<Box<str>> = self
                    .workloads
                    .iter()
                    .map(|each| each.name.clone())
                    .collect();
                self.unknown(
                    "workload::unknown",
                    "workload",
                    name,
                    names.iter().map(|each| &**each),
                );
                None
            }
            ([first, second, ..], None) => {
                let names = [*first, *second].map(|id| self.workloads[id.index()].full_name());
                let message = format!("`{}` may be `{}` or `{}`", **name, names[0], names[1]);
                self.error(
                    "workload::ambiguous",
                    message,
                    name.span(),
                    "write it as `namespace/name`",
                );
                None
            }
        }
    }

    /// The Service of a host as it is resolved in a pod of `namespace`: `name`, `name.namespace`, `name.namespace.svc` and
    /// `name.namespace.svc.cluster.local`.
    pub(super) fn service_of_host(&self, host: &str, namespace: &str) -> Option<ServiceId> {
        let host = host.strip_suffix(".cluster.local").unwrap_or(host);
        let host = host.strip_suffix(".svc").unwrap_or(host);
        let (name, namespace) = host.split_once('.').unwrap_or((host, namespace));
        self.service(namespace, name)
    }

    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<ServiceId> {
        self.services
            .iter()
            .position(|service| *service.namespace == *namespace && *service.name == *name)
            .map(ServiceId::at)
    }

    /// Pods are laid down when the versions are known.
    pub(super) fn check_pods(&mut self) {
        let pods: u64 = self
            .workloads
            .iter()
            .map(|workload| u64::from(workload.replicas()))
            .sum();
        if pods > MAX_PODS {
            let span = self
                .workloads
                .iter()
                .map(|workload| workload.span)
                .find(|span| !span.is_nowhere());
            let message =
                format!("{pods} pods are more than the {MAX_PODS} that a scenario may have");
            self.error(
                "workload::too-many-pods",
                message,
                span.unwrap_or(Span::NOWHERE),
                "with these",
            );
        }
    }
}

pub(super) fn labels(given: &indexmap::IndexMap<String, String>) -> Vec<(Box<str>, Box<str>)> {
    given
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
        .collect()
}

/// DNS-1123 subdomain, as Kubernetes asks of names.
fn is_kubernetes_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=253).contains(&name.len())
        && name.bytes().all(|b| letter(b) || b == b'-' || b == b'.')
        && name.bytes().next().is_some_and(letter)
        && name.bytes().last().is_some_and(letter)
}
