//! Building a model: Kubernetes first, then gateways, then who has a sidecar, then every section.

use std::collections::BTreeMap;

use proxy_core::config::Name;
use proxy_core::origin::Sourced;

use super::compiled::Part;
use super::{
    Directory, GatewayFacts, GatewayId, GatewayOverride, Labels, Model, Service, SidecarRules,
    Workload, WorkloadId, WorkloadKind, bridge,
};
use crate::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use crate::dialects::{Compile, Compiled, DIALECTS, Dialect, Gateway, Mesh, ScopeKey, plain};
use crate::kubernetes::{self, Added, World, accounts_for};
use crate::lints::reach;
use crate::load::{ObjectKey, Objects};
use crate::origins::Origins;
use crate::text::{Span, Spanned};

/// What a model is built from.
#[derive(Clone, Debug, Default)]
pub struct Input<'a> {
    /// What was read.
    pub objects: Objects,
    /// Which mesh runs.
    pub mesh: MeshWish,
    /// What the scenario says of gateways.
    pub overrides: Vec<GatewayOverride>,
    /// What the scenario says of sidecars.
    pub sidecars: SidecarRules,
    /// Workloads that the scenario names; those that no manifest has are added, each with a Service of its name.
    pub declared: Vec<Declared>,
    /// Nodes of the cluster; a DaemonSet has a pod on each. 0 counts as 1.
    pub nodes: u32,
    /// What is known to run, where nothing else says a release.
    pub seen: Option<Seen>,
    /// The model that this one follows after a change: what persists keeps its id and its addresses.
    pub before: Option<&'a Model>,
}

/// Which mesh runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum MeshWish {
    /// The one that the manifests show, if any.
    #[default]
    Shown,
    /// None, whatever the manifests show.
    None,
    /// This one.
    Named {
        /// `istio`, `linkerd`, …
        system: String,
        /// The release; none: the newest that is known.
        release: Option<String>,
        /// Where it is written.
        span: Span,
    },
}

/// A release that was seen to run: a proxy says whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// `istio`, `linkerd`, …
    pub system: String,
    /// `1.31`.
    pub release: String,
}

impl Seen {
    /// The release of a dialect by which it is built: the one that was seen to run, where its defaults are known, else the usual one.
    fn release(seen: Option<&Self>, dialect: &Dialect) -> &'static str {
        let seen = seen.filter(|seen| seen.system == dialect.name);
        let known = seen.and_then(|seen| dialect.releases.iter().find(|it| **it == seen.release));
        known.map_or(dialect.releases[0], |release| *release)
    }
}

/// A workload that a scenario names.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Its pods.
    pub replicas: u32,
    /// Labels of its pods.
    pub labels: Labels,
    /// Ports of the Service of its name.
    pub ports: Vec<u16>,
    /// Whether a Service of its name is made where no manifest has one.
    pub has_service: bool,
    /// Where it is named.
    pub span: Span,
}

impl Model {
    /// Reads and compiles everything; every problem is reported, and with errors among them what could be compiled is there all the same.
    /// None: the mesh that was asked for is not known.
    pub fn build(
        input: Input<'_>,
        origins: &mut Origins,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mesh = choose_mesh(&input, diagnostics)?;
        let seen = input.seen.clone();
        let nodes = input.nodes.max(1);
        let before = input.before.map(|model| &model.world);
        let parts = kubernetes::Input {
            objects: input.objects,
            nodes,
            before,
        };
        let mut world = World::build(parts, origins, diagnostics);
        for declared in &input.declared {
            add(&mut world, declared, origins, diagnostics);
        }
        let objects = world.objects().clone();
        let mut builder = Builder {
            objects: &objects,
            services: bridge::services(&world, origins),
            workloads: bridge::workloads(&world, origins),
            gateways: Vec::new(),
            directory: Directory::default(),
            overrides: &input.overrides,
            sidecars: &input.sidecars,
            origins,
            diagnostics,
        };
        builder.directory = Directory::new(&builder.services);
        let chosen = mesh.map(|(dialect, release)| {
            let make = dialect.mesh.expect("it was chosen for it");
            builder.with(|cx| make(release, cx))
        });
        let kinds = builder.find_gateways(mesh, seen.as_ref(), &mut world);
        if let Some(mesh) = &chosen {
            builder.decide_sidecars(&**mesh);
        }
        let all: Vec<&dyn Gateway> = kinds.iter().map(|kind| &*kind.gateway).collect();
        plain::report_unserved(builder.objects, &all, builder.diagnostics);
        builder.report_inert(mesh.map(|(dialect, _)| dialect));
        let (parts, inbound, outbound) = builder.compile_sidecars(chosen.as_deref());
        let (parts, served) = builder.compile_gateways(&kinds, parts);
        let statuses = builder.with(|cx| {
            kinds
                .iter()
                .flat_map(|it| it.gateway.statuses(cx))
                .collect()
        });
        let reached = chosen.as_deref().map(|mesh| {
            let all: Vec<(GatewayId, &dyn Gateway)> = kinds.iter().flat_map(Kind::each).collect();
            builder.with(|cx| reach::report(mesh, &all, cx))
        });
        let Builder {
            services,
            workloads,
            gateways,
            directory,
            ..
        } = builder;
        let mesh = chosen.map(|mesh| mesh.release().to_owned());
        Some(Self::of(
            world,
            services,
            workloads,
            gateways,
            directory,
            mesh,
            parts,
            inbound,
            outbound,
            served,
            statuses,
            reached.unwrap_or_default(),
        ))
    }
}

fn add(
    world: &mut World,
    declared: &Declared,
    origins: &mut Origins,
    diagnostics: &mut Diagnostics,
) {
    let written = |name: &Name| Spanned::new(name.to_string(), declared.span);
    let labels = declared
        .labels
        .iter()
        .map(|(key, value)| (written(key), written(value)));
    let added = Added {
        namespace: &declared.namespace,
        name: &declared.name,
        replicas: Sourced::new(declared.replicas, origins.written(declared.span)),
        ports: &declared.ports,
        labels: labels.collect(),
        has_service: declared.has_service,
    };
    // without an address left it is not there, which was reported
    let _: Option<kubernetes::WorkloadId> = world.add_workload(added, diagnostics);
}

type Choice = Option<(&'static Dialect, &'static str)>;

fn choose_mesh(input: &Input<'_>, out: &mut Diagnostics) -> Option<Choice> {
    let (objects, seen) = (&input.objects, input.seen.as_ref());
    let meshes = || {
        DIALECTS
            .iter()
            .copied()
            .filter(|dialect| dialect.mesh.is_some())
    };
    match &input.mesh {
        MeshWish::None => Some(None),
        MeshWish::Shown => {
            let shown: Vec<(&Dialect, String)> = meshes()
                .filter_map(|dialect| Some((dialect, (dialect.shows)(objects)?)))
                .collect();
            if let [(first, why), (second, other), ..] = &shown[..] {
                let message = format!(
                    "the manifests show two meshes: {} ({why}) and {} ({other})",
                    first.name, second.name
                );
                out.push(
                    Diagnostic::warning("mesh::several", message).help(
                        "the first is taken; say which one runs under `mesh` of the scenario",
                    ),
                );
            }
            let Some((dialect, why)) = shown.into_iter().next() else {
                return Some(None);
            };
            let release = Seen::release(seen, dialect);
            let message = format!("the mesh is {}@{release}", dialect.name);
            let by = match seen.filter(|seen| seen.system == dialect.name) {
                Some(seen) if seen.release == release => "the release that runs".to_owned(),
                Some(seen) => {
                    format!(
                        "what runs is {}, whose defaults are not known",
                        seen.release
                    )
                }
                None => "the newest release that is known".to_owned(),
            };
            let meaning = format!("the manifests have {why}; {by}");
            out.push(Diagnostic::assumed("mesh::shown", message, meaning));
            Some(Some((dialect, release)))
        }
        MeshWish::Named {
            system,
            release,
            span,
        } => {
            let names: Vec<&str> = meshes().map(|dialect| dialect.name).collect();
            let Some(dialect) = meshes().find(|dialect| dialect.name == system) else {
                let help = did_you_mean(system, names.iter().copied())
                    .unwrap_or_else(|| format!("known: {}", names.join(", ")));
                out.push(
                    Diagnostic::error("mesh::unknown", format!("no mesh `{system}` is known"))
                        .label(*span, "this mesh")
                        .help(help),
                );
                return None;
            };
            let Some(release) = release else {
                return Some(Some((dialect, Seen::release(seen, dialect))));
            };
            let Some(release) = dialect.releases.iter().find(|known| *known == release) else {
                let message = format!("the defaults of {system}@{release} are not known");
                let help = format!("known releases: {}", dialect.releases.join(", "));
                out.push(
                    Diagnostic::error("mesh::unknown-release", message)
                        .label(*span, "this release")
                        .help(help),
                );
                return None;
            };
            Some(Some((dialect, release)))
        }
    }
}

/// A kind of gateway that serves something: its dialect, what it read, and the first of its gateways.
struct Kind {
    gateway: Box<dyn Gateway>,
    ids: std::ops::Range<usize>,
}

impl Kind {
    /// Its gateways.
    fn each(&self) -> impl Iterator<Item = (GatewayId, &dyn Gateway)> {
        self.ids.clone().map(|at| (id_at(at), &*self.gateway))
    }
}

fn id_at(at: usize) -> GatewayId {
    GatewayId(u32::try_from(at).expect("fewer than 2^32 gateways"))
}

struct Builder<'a> {
    objects: &'a Objects,
    services: Vec<Service>,
    workloads: Vec<Workload>,
    gateways: Vec<GatewayFacts>,
    directory: Directory,
    overrides: &'a [GatewayOverride],
    sidecars: &'a SidecarRules,
    origins: &'a mut Origins,
    diagnostics: &'a mut Diagnostics,
}

impl Builder<'_> {
    fn with<T>(&mut self, then: impl FnOnce(&mut Compile<'_>) -> T) -> T {
        let mut cx = Compile {
            objects: self.objects,
            services: &self.services,
            workloads: &self.workloads,
            gateways: &self.gateways,
            directory: &self.directory,
            overrides: self.overrides,
            sidecars: self.sidecars,
            origins: &mut *self.origins,
            diagnostics: &mut *self.diagnostics,
        };
        then(&mut cx)
    }

    /// Finds all gateways; those whose pods are not in the manifests get a workload of their own. Those of the mesh's own system have its
    /// release, others the newest.
    fn find_gateways(&mut self, mesh: Choice, seen: Option<&Seen>, world: &mut World) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for dialect in DIALECTS {
            let Some(make) = dialect.gateways else {
                continue;
            };
            let release = mesh
                .filter(|(mesh, _)| mesh.name == dialect.name)
                .map_or_else(|| Seen::release(seen, dialect), |(_, release)| release);
            let gateway = self.with(|cx| make(release, cx));
            kinds.push(self.add_gateways(gateway, world));
        }
        let taken = |key: &ObjectKey| kinds.iter().any(|kind: &Kind| kind.gateway.serves(key));
        let rest = self.with(|cx| plain::gateway(&taken, cx));
        kinds.push(self.add_gateways(rest, world));
        kinds
    }

    fn add_gateways(&mut self, gateway: Box<dyn Gateway>, world: &mut World) -> Kind {
        let found = self.with(|cx| gateway.gateways(cx));
        let first = self.gateways.len();
        for mut facts in found {
            match (facts.workload, facts.replicas) {
                (None, _) => facts.workload = self.add_pods(&facts, world),
                // what the scenario says counts for pods of the manifests, too
                (Some(id), Some(replicas)) => self.workloads[id.index()].replicas = replicas,
                (Some(_), None) => {}
            }
            self.gateways.push(facts);
        }
        Kind {
            gateway,
            ids: first..self.gateways.len(),
        }
    }

    fn add_pods(&mut self, facts: &GatewayFacts, world: &mut World) -> Option<WorkloadId> {
        let name = facts.name.rsplit('/').next().unwrap_or(&facts.name);
        let written = |name: &Name| Spanned::new(name.to_string(), Span::NOWHERE);
        let ports: Vec<u16> = facts.listens.iter().map(|listen| listen.bound).collect();
        let added = Added {
            namespace: &facts.namespace,
            name,
            replicas: Sourced::new(facts.replicas.unwrap_or(1), facts.origin),
            ports: &ports,
            labels: facts
                .labels
                .iter()
                .map(|(key, value)| (written(key), written(value)))
                .collect(),
            has_service: false,
        };
        let id = world.add_workload(added, self.diagnostics)?;
        let all = bridge::workloads(world, self.origins);
        let mut workload = all.into_iter().nth(id.index())?;
        workload.kind = WorkloadKind::Gateway;
        workload.service_account = facts.service_account.clone();
        // nothing of a scenario may be taken for a gateway's pods, so the new one is the last
        let id = workload.id;
        if id.index() == self.workloads.len() {
            self.workloads.push(workload);
        }
        self.services = bridge::services(world, self.origins);
        Some(id)
    }

    fn decide_sidecars(&mut self, mesh: &dyn Mesh) {
        let own_identity: Vec<WorkloadId> = self
            .gateways
            .iter()
            .filter(|facts| facts.identity.is_some())
            .filter_map(|facts| facts.workload)
            .collect();
        let decided: Vec<_> = (0..self.workloads.len())
            .map(|at| {
                let id = self.workloads[at].id;
                if own_identity.contains(&id) {
                    None
                } else {
                    self.with(|cx| mesh.sidecar(cx, id))
                }
            })
            .collect();
        for (workload, sidecar) in self.workloads.iter_mut().zip(decided) {
            workload.sidecar = sidecar;
        }
    }

    /// Lists objects of systems that do not run, and of kinds that nobody knows.
    fn report_inert(&mut self, mesh: Option<&Dialect>) {
        for object in self.objects.iter() {
            let (group, kind) = (object.key.group.as_str(), object.key.kind.as_str());
            if accounts_for(group, kind) {
                continue;
            }
            let owners: Vec<&&Dialect> = DIALECTS
                .iter()
                .filter(|dialect| (dialect.reads)(group, kind))
                .collect();
            let runs = |dialect: &&&Dialect| {
                mesh.is_some_and(|mesh| mesh.name == dialect.name)
                    || self
                        .gateways
                        .iter()
                        .any(|facts| facts.dialect == dialect.name)
            };
            if owners.iter().any(runs) || group == "gateway.networking.k8s.io" {
                continue;
            }
            let message = match owners.first() {
                Some(owner) => format!(
                    "{} has no bearing: {} does not run here",
                    object.key, owner.name
                ),
                None => format!(
                    "{} is of a kind that is not known: it has no bearing",
                    object.key
                ),
            };
            self.diagnostics
                .push(Diagnostic::listed("objects::inert", message).label(object.name_span, ""));
        }
    }

    /// Inbound sections by workload, outbound sections by scope.
    fn compile_sidecars(
        &mut self,
        mesh: Option<&dyn Mesh>,
    ) -> (Vec<Part>, Vec<Option<usize>>, Vec<Option<usize>>) {
        let mut parts = Vec::new();
        let (mut inbound, mut outbound) = (
            vec![None; self.workloads.len()],
            vec![None; self.workloads.len()],
        );
        let Some(mesh) = mesh else {
            return (parts, inbound, outbound);
        };
        let mut scopes: BTreeMap<ScopeKey, usize> = BTreeMap::new();
        for at in 0..self.workloads.len() {
            if self.workloads[at].sidecar.is_none() {
                continue;
            }
            let id = self.workloads[at].id;
            let name = self.workloads[at].full_name();
            let compiled = self.with(|cx| mesh.inbound(cx, id));
            inbound[at] = self.keep(&mut parts, compiled, &format!("inbound of {name}"));
            let scope = self.with(|cx| mesh.outbound_scope(cx, id));
            let known = scopes.get(&scope).copied();
            outbound[at] = known.or_else(|| {
                let compiled = self.with(|cx| mesh.outbound(cx, id));
                let kept = self.keep(&mut parts, compiled, &format!("outbound of {name}"))?;
                scopes.insert(scope, kept);
                Some(kept)
            });
        }
        (parts, inbound, outbound)
    }

    fn compile_gateways(
        &mut self,
        kinds: &[Kind],
        mut parts: Vec<Part>,
    ) -> (Vec<Part>, Vec<Option<usize>>) {
        let mut served = vec![None; self.gateways.len()];
        for kind in kinds {
            for at in kind.ids.clone() {
                let name = self.gateways[at].name.to_string();
                let compiled = self.with(|cx| kind.gateway.section(cx, id_at(at)));
                served[at] = self.keep(&mut parts, compiled, &format!("gateway {name}"));
            }
        }
        (parts, served)
    }

    /// A section that the core would refuse is an error that names it.
    fn keep(&mut self, parts: &mut Vec<Part>, compiled: Compiled, what: &str) -> Option<usize> {
        if let Err(error) = compiled.draft.clone().build() {
            self.diagnostics.push(Diagnostic::error(
                "model::section",
                format!("{what}: {error}"),
            ));
            return None;
        }
        parts.push(Part::of(compiled));
        Some(parts.len() - 1)
    }
}
