//! Who finds the endpoints of a service.

use std::collections::BTreeMap;

use super::install::Install;
use super::read::sorted;
use super::types::{Document, ResolverSpec};
use super::version::Version;
use crate::diagnostics::{Diagnostic, did_you_mean};
use crate::dialects::Compile;
use crate::text::{Spanned, read};

/// The one that counts where none is named.
const DEFAULT: &str = "kubernetes-service";

/// A way to find endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Resolver {
    /// The Service's own address, by its name.
    Service,
    /// The pods behind it.
    Endpoints,
    /// Consul, which is not here.
    Consul,
}

/// Resolvers by name.
pub(super) type Resolvers = BTreeMap<String, Resolver>;

/// Those of the manifests, and those that are always there.
///
/// Source: emissary `python/ambassador/src/ambassador/ir/irserviceresolver.py` (`IRServiceResolverFactory`): the two names of each of the others
/// mean the same where only one of them is taken.
pub(super) fn all(install: &Install, cx: &mut Compile<'_>) -> Resolvers {
    let mut found = Resolvers::new();
    for (kind, resolver) in [
        ("ConsulResolver", Resolver::Consul),
        ("KubernetesEndpointResolver", Resolver::Endpoints),
        ("KubernetesServiceResolver", Resolver::Service),
    ] {
        for object in sorted(cx.objects, install, kind) {
            let out = &mut *cx.diagnostics;
            let version = Version::of(object, out);
            let read = read::<Document<ResolverSpec>>(&object.node, out);
            if version.is_none() || read.is_none() {
                continue;
            }
            if resolver == Resolver::Consul {
                let meaning = "Mappings with it have no endpoints: their requests are answered 503";
                out.push(
                    Diagnostic::not_modelled(
                        "emissary::not-modelled",
                        "Consul is not here",
                        meaning,
                    )
                    .label(object.name_span, "this resolver"),
                );
            }
            found.insert(object.key.name.clone(), resolver);
        }
    }
    found.entry(DEFAULT.to_owned()).or_insert(Resolver::Service);
    for (one, other, usual) in [
        ("endpoint", "kubernetes-endpoint", Resolver::Endpoints),
        ("consul", "consul-endpoint", Resolver::Consul),
    ] {
        let of_one = found.get(one).copied();
        let of_other = found.get(other).copied();
        let both = of_one.or(of_other).unwrap_or(usual);
        found.entry(one.to_owned()).or_insert(both);
        found
            .entry(other.to_owned())
            .or_insert_with(|| of_other.unwrap_or(both));
    }
    found
}

/// The resolver of this name, or of the Module, or the usual one; none: nobody is called so, which is an error.
pub(super) fn find(
    resolvers: &Resolvers,
    own: Option<&Spanned<String>>,
    of_module: Option<&Spanned<String>>,
    cx: &mut Compile<'_>,
) -> Option<Resolver> {
    let own = own.filter(|name| !name.is_empty());
    let Some(name) = own.or(of_module) else {
        return resolvers.get(DEFAULT).copied();
    };
    let found = resolvers.get(&name.value).copied();
    if found.is_none() {
        let names = resolvers.keys().map(String::as_str);
        let help = did_you_mean(name, names.clone())
            .unwrap_or_else(|| format!("known: {}", names.collect::<Vec<_>>().join(", ")));
        cx.diagnostics.push(
            Diagnostic::error(
                "emissary::unknown-resolver",
                format!("there is no resolver `{name}`"),
            )
            .label(name.span, "asked for here")
            .help(help),
        );
    }
    found
}
