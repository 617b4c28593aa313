//! `windtunnel check --against`: what a running proxy was told, beside what the manifests say.

mod codes;
mod identity;
mod names;
mod passed;
mod section;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compare::{Comparison, Difference, Options, Said, Side, compare, learn};
use manifests::diagnostics::{Diagnostic, Diagnostics};
use manifests::envoy::{self, Bootstrap};
use manifests::model::{Model, NodeRef, Place, Pods, Seen};
use manifests::origins::{Origin, Origins};
use manifests::text::{Sources, Span};
use proxy_core::config::{Cluster, PathMatch, RouteAction, Section};
use proxy_core::origin::OriginId;

use crate::exit::Fault;
use crate::print::counted;
use crate::told::Told;

use identity::{Identity, Named, parse};
use names::Names;

/// A dump, read as text.
#[derive(Debug)]
pub(super) struct Dump {
    name: String,
    text: String,
    identity: Identity,
    /// Which proxy it is, where the command line says it.
    wish: Option<Named>,
}

impl Dump {
    /// Reads the file of a dump.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(path: &Path, wish: Option<&Named>) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Fault::text(format!("cannot read `{name}`: {error}")))?;
        Ok(Self {
            identity: Identity::of(&text),
            name,
            text,
            wish: wish.cloned(),
        })
    }

    /// What runs, by what the dump says of its proxy: defaults are those of its release.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.identity.seen()
    }

    /// Tells what the manifests say differently from the dump, and says in a line what was asked.
    pub(super) fn tell(
        &self,
        model: &Model,
        origins: &Origins,
        sources: &Sources,
        problems: &mut Diagnostics,
        told: &mut Told,
    ) -> Option<String> {
        let found = identity::choose(model, &self.identity, self.wish.as_ref());
        let (node, title) = match found {
            Ok(found) => found,
            Err(problem) => {
                // that a file is no dump at all comes before whose it is
                let read = envoy::read_sidecar(&self.name, &self.text);
                match read.or_else(|_| envoy::read(&self.name, &self.text)) {
                    Ok(_) => problems.push(problem),
                    Err(refused) => told.add(&refused.diagnostics, &refused.sources),
                }
                return None;
            }
        };
        let read = match node {
            NodeRef::Sidecar(_) => envoy::read_sidecar(&self.name, &self.text),
            NodeRef::Gateway(_) => envoy::read(&self.name, &self.text),
        };
        let dump = match read {
            Ok(dump) => dump,
            Err(refused) => {
                told.add(&refused.diagnostics, &refused.sources);
                return None;
            }
        };
        let place = Place {
            locality: dump.locality.clone(),
            ..Place::default()
        };
        let pods = Pods::new(model.workloads().len());
        let config = model.config(node, &place, &pods)?;
        let own = matches!(node, NodeRef::Sidecar(_));
        let (sections, aside) = section::of(&dump, own);
        let names = Names {
            model,
            node,
            dump: &dump,
        };
        let asked = Asked {
            config: &config.sections,
            dump: &sections,
            names: &names,
            identity: &self.identity,
        };
        let words = |id| origins.text(id, sources);
        let comparison = asked.compare(&words);
        for difference in &comparison.differences {
            problems.push(finding(difference, &dump, origins));
        }
        let left_out = passed::left_out(&dump, &aside, &comparison);
        problems.extend(left_out.note(&self.name));
        Some(self.summary(&title, &comparison))
    }

    fn summary(&self, title: &str, comparison: &Comparison) -> String {
        let asked = comparison.asked;
        format!(
            "{} as {title}: asked about {}, {} and {}: {}",
            self.name,
            counted(asked.connections, "connection", "connections"),
            counted(asked.requests, "request", "requests"),
            counted(asked.clusters, "cluster", "clusters"),
            match comparison.differences.len() {
                0 => "no difference".to_owned(),
                count => counted(count, "difference", "differences"),
            }
        )
    }
}

/// A difference, at what the manifests say.
fn finding(difference: &Difference, dump: &Bootstrap, origins: &Origins) -> Diagnostic {
    let Difference {
        area,
        place,
        what,
        left,
        right,
        ..
    } = difference;
    let by = match origins.get(left.id) {
        Origin::Default { .. } | Origin::Assumed { .. } => format!(" ({})", left.origin),
        Origin::Unruled | Origin::Written(_) => String::new(),
    };
    let message = format!(
        "{place}: {what} is `{}`{by} by the manifests, `{}` in the dump",
        left.text, right.text
    );
    let span = origins.span(left.id).unwrap_or(Span::NOWHERE);
    let label = format!("{what}: {}", left.text);
    Diagnostic::warning(codes::of(*area), message)
        .label(span, label)
        .maybe_help(help(difference, written(right, dump)))
}

/// Where the dump says it.
fn written(said: &Said, dump: &Bootstrap) -> Option<String> {
    let row = dump.origins.get(said.id.0 as usize)?;
    match (row.is_written, row.text.is_empty()) {
        (true, _) => Some(format!("the dump has it at {}", row.text)),
        (false, false) => Some(format!("the dump has the {}", row.text)),
        (false, true) => None,
    }
}

/// What shows a difference, how often, and where the dump says it.
fn help(difference: &Difference, written: Option<String>) -> Option<String> {
    let mut words = Vec::new();
    if !difference.example.is_empty() {
        let more = match difference.count {
            0 | 1 => String::new(),
            count => format!(", and so do {}", counted(count - 1, "other", "others")),
        };
        words.push(format!("`{}` shows it{more}", difference.example));
    }
    if difference.places > 1 {
        let count = difference.places - 1;
        words.push(format!(
            "also in {}",
            counted(count, "other place", "other places")
        ));
    }
    words.extend(written);
    (!words.is_empty()).then(|| words.join("; "))
}

/// Both configurations.
struct Asked<'a> {
    config: &'a [Arc<Section>],
    dump: &'a [Arc<Section>],
    names: &'a Names<'a>,
    identity: &'a Identity,
}

impl Asked<'_> {
    fn compare(&self, words: &dyn Fn(OriginId) -> String) -> Comparison {
        let ours = |cluster: &Cluster| self.names.ours(cluster);
        let theirs = |cluster: &Cluster| self.names.theirs(cluster);
        // lines of a dump would tell one difference of many routes as many
        let silent = |_| String::new();
        let mut left = Side::new(self.config, words, &ours);
        let mut right = Side::new(self.dump, &silent, &theirs);
        left.addresses = learn(self.config, &ours);
        right.addresses = learn(self.dump, &theirs);
        let listens = self.names.listens();
        left.ports.clone_from(&listens);
        right.ports = listens;
        let clusters = self.config.iter().flat_map(|section| section.clusters());
        let mut known: BTreeSet<String> = clusters.map(|it| ours(it).service).collect();
        let services = self.names.model.services().iter();
        known.extend(services.map(manifests::model::Service::full_name));
        let fields = self.identity.own_fields().iter();
        let options = Options {
            passed_ports: self.identity.own_ports().iter().copied().collect(),
            passed_fields: fields.map(|it| (*it).to_owned()).collect(),
            passed_paths: self.own_pages(),
            known: Some(known),
            ..Options::default()
        };
        compare(&left, &right, &options)
    }

    /// Beginnings of paths that the dump sends to the proxy's own ports, on its own machine.
    fn own_pages(&self) -> BTreeSet<String> {
        let ports = self.identity.own_ports();
        let is_own = |cluster: &Cluster| {
            let mut endpoints = cluster.endpoints.endpoints.iter().map(|it| it.address);
            endpoints.len() > 0
                && endpoints.all(|it| it.ip().is_loopback() && ports.contains(&it.port()))
        };
        let mut found = BTreeSet::new();
        for section in self.dump {
            let hosts = section.tables().iter().flat_map(|it| &it.virtual_hosts);
            for route in hosts.flat_map(|host| &host.routes) {
                let RouteAction::Forward(forward) = &route.action else {
                    continue;
                };
                let mut clusters = forward.clusters.iter().filter_map(|it| {
                    let at = it.cluster?;
                    section.clusters().get(at.0 as usize)
                });
                if let PathMatch::Prefix(path) = &route.matches.path
                    && clusters.any(|it| is_own(it))
                {
                    found.insert(path.to_string());
                }
            }
        }
        found
    }
}

/// What the command line says of a dump.
#[derive(Debug, clap::Args)]
pub(super) struct Against {
    /// Say what a running Envoy decides differently from what the manifests say: its answer on `/config_dump`, or what
    /// `istioctl proxy-config all POD -o json` prints
    #[arg(long, value_name = "DUMP")]
    against: Option<PathBuf>,
    /// Which proxy the dump is of, where it does not say so itself: sidecar/NAMESPACE/WORKLOAD or
    /// gateway/NAMESPACE/NAME
    #[arg(long, value_name = "KIND/NAMESPACE/NAME", requires = "against", value_parser = parse)]
    node: Option<Named>,
}

impl Against {
    /// The dump, if one is named.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(&self) -> Result<Option<Dump>, Fault> {
        let path = self.against.as_deref();
        path.map(|path| Dump::open(path, self.node.as_ref()))
            .transpose()
    }
}
