//! Which proxy a dump is of.

use std::collections::BTreeMap;

use manifests::diagnostics::{Diagnostic, Diagnostics, did_you_mean};
use manifests::model::{GatewayFacts, GatewayId, Model, NodeRef, Seen, WorkloadId};
use manifests::text::{self, Node, Sources};

use super::codes;

/// What a dump says of its node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Identity {
    id: String,
    cluster: String,
    /// Texts of its metadata, by name.
    metadata: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

/// A proxy as people name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    role: Role,
    /// `namespace/name`.
    name: String,
}

/// A proxy's role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Role {
    Gateway,
    Sidecar,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Sidecar => "sidecar",
        }
    }
}

/// `sidecar/shop/cart-v1`.
pub(super) fn parse(text: &str) -> Result<Named, String> {
    let wrong = || format!("`{text}` is not sidecar/NAMESPACE/WORKLOAD or gateway/NAMESPACE/NAME");
    let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
    let role = match kind {
        "sidecar" => Role::Sidecar,
        "gateway" => Role::Gateway,
        _ => return Err(wrong()),
    };
    match name.split_once('/') {
        Some((namespace, own)) if !namespace.is_empty() && !own.is_empty() => Ok(Named {
            role,
            name: name.to_owned(),
        }),
        Some(_) | None => Err(wrong()),
    }
}

impl Identity {
    /// What the text of a dump says of its node; nothing where it says nothing, or is no dump at all.
    pub(super) fn of(text: &str) -> Self {
        let mut sources = Sources::default();
        let source = sources.add("", text);
        let documents = text::parse(&sources, source, &mut Diagnostics::default());
        let document = documents.first();
        let configs = document
            .and_then(|it| it.get("configs"))
            .and_then(Node::as_seq);
        let mut parts = configs.unwrap_or_default().iter();
        let of_dump = parts.find_map(|part| part.at("bootstrap.node"));
        let node = of_dump.or_else(|| document.and_then(|it| it.get("node")));
        let text = |path: &str| {
            let found = node.and_then(|node| node.at(path)).and_then(Node::as_str);
            found.unwrap_or_default().to_owned()
        };
        let texts = |path: &str| {
            let map = node.and_then(|node| node.at(path)).and_then(Node::as_map);
            let entries = map.map_or(&[][..], |map| map.entries()).iter();
            let texts = entries.filter_map(|it| {
                let value = it.value.as_str()?;
                Some((it.key.text.clone(), value.to_owned()))
            });
            texts.collect()
        };
        Self {
            id: text("id"),
            cluster: text("cluster"),
            metadata: texts("metadata"),
            labels: texts("metadata.LABELS"),
        }
    }

    /// Ports that the control plane keeps for its proxies: virtual listeners, health, figures, admin.
    ///
    /// Source: istio 1.29 `pilot/pkg/networking/core/listener.go`, `pkg/istio-agent`; hashicorp/consul-k8s 1.7 `control-plane/connect-inject/constants`;
    /// kuma 2.14 `pkg/config/app/kuma-dp`; emissary 3.10 `python/ambassador/ir`.
    pub(super) fn own_ports(&self) -> &'static [u16] {
        const ISTIO: &[u16] = &[
            15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090,
        ];
        const CONSUL: &[u16] = &[15001, 19000, 20000, 20200];
        const KUMA: &[u16] = &[9901, 9902, 15001, 15006, 15053];
        const EMISSARY: &[u16] = &[8001, 8002, 8003, 8004, 8005, 8006, 8877];
        if self.of_istio().is_some() {
            ISTIO
        } else if self.of_consul().is_some() {
            CONSUL
        } else if self.of_kuma().is_some() {
            KUMA
        } else if self.is_of_emissary() {
            EMISSARY
        } else {
            &[]
        }
    }

    /// Fields that no manifest has a say in: what a proxy calls itself, the trust domain in Consul's server names, headers in which Kuma tells
    /// itself who calls.
    pub(super) fn own_fields(&self) -> &'static [&'static str] {
        if self.of_consul().is_some() {
            &["server", "tls.server name"]
        } else if self.of_kuma().is_some() {
            &["server", "request header x-kuma-tags"]
        } else {
            &["server"]
        }
    }

    /// The system and its release, `1.31` of `1.31.0`; none: it is not said.
    pub(super) fn seen(&self) -> Option<Seen> {
        let version = self.metadata.get("ISTIO_VERSION")?;
        let (major, rest) = version.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(Seen {
            system: "istio".to_owned(),
            release: format!("{major}.{minor}"),
        })
    }

    fn hints(&self) -> Hints {
        self.of_istio()
            .or_else(|| self.of_consul())
            .or_else(|| self.of_kuma())
            .unwrap_or_else(|| Hints {
                role: None,
                namespace: self.metadata.get("namespace").cloned(),
                names: [self.cluster.clone(), self.id.clone()]
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .collect(),
            })
    }

    /// `sidecar~10.1.2.3~cart-v1-7c5d9-x2x4k.shop~shop.svc.cluster.local`.
    fn of_istio(&self) -> Option<Hints> {
        let parts: Vec<&str> = self.id.split('~').collect();
        let [role, _, pod, _] = parts[..] else {
            return None;
        };
        let role = match role {
            "sidecar" => Role::Sidecar,
            "router" => Role::Gateway,
            _ => return None,
        };
        let (pod, namespace) = pod.rsplit_once('.')?;
        let mut names: Vec<String> = self
            .metadata
            .get("WORKLOAD_NAME")
            .cloned()
            .into_iter()
            .collect();
        names.extend(owners(pod));
        Some(Hints {
            role: Some(role),
            namespace: Some(namespace.to_owned()),
            names,
        })
    }

    /// `cart-7c5d9-x2x4k-cart-sidecar-proxy`, of the service that its cluster is.
    fn of_consul(&self) -> Option<Hints> {
        let rest = self.id.strip_suffix("-sidecar-proxy")?;
        let pod = rest
            .strip_suffix(&format!("-{}", self.cluster))
            .unwrap_or(rest);
        let mut names: Vec<String> = owners(pod).collect();
        names.push(self.cluster.clone());
        Some(Hints {
            role: Some(Role::Sidecar),
            namespace: self.metadata.get("k8s-namespace").cloned(),
            names,
        })
    }

    /// Whether it is what Emissary calls every Envoy.
    ///
    /// Source: emissary 4.1 `python/ambassador/src/ambassador/envoy/v3/v3bootstrap.py`.
    fn is_of_emissary(&self) -> bool {
        self.id == "test-id"
    }

    /// `default.cart-v1-7c5d9-x2x4k.shop`: a mesh, a pod and its namespace.
    fn of_kuma(&self) -> Option<Hints> {
        let is_kuma = self
            .metadata
            .keys()
            .any(|key| key.starts_with("dataplane."));
        let (_, rest) = self.id.split_once('.').filter(|_| is_kuma)?;
        let (pod, namespace) = rest.rsplit_once('.')?;
        Some(Hints {
            role: None,
            namespace: Some(namespace.to_owned()),
            names: owners(pod).collect(),
        })
    }
}

/// Names of who may have made a pod: its own, and without one or two endings that were drawn for it.
fn owners(pod: &str) -> impl Iterator<Item = String> + '_ {
    std::iter::successors(Some(pod), |name| Some(name.rsplit_once('-')?.0))
        .take(3)
        .map(str::to_owned)
}

/// What is known of a node: of its names the first that fits counts.
#[derive(Debug)]
struct Hints {
    role: Option<Role>,
    namespace: Option<String>,
    names: Vec<String>,
}

/// A proxy of the manifests.
struct Candidate<'a> {
    node: NodeRef,
    role: Role,
    /// `namespace/name`, of the gateway or its pods.
    names: Vec<String>,
    gateway: Option<&'a GatewayFacts>,
}

impl Candidate<'_> {
    /// `sidecar/shop/cart-v1`.
    fn title(&self) -> String {
        let name = self.names.first().map_or("", String::as_str);
        format!("{}/{name}", self.role.word())
    }

    fn is_called(&self, namespace: Option<&str>, name: &str) -> bool {
        self.names
            .iter()
            .any(|own| match (own.split_once('/'), namespace) {
                (Some((home, short)), Some(namespace)) => home == namespace && short == name,
                (Some((_, short)), None) => short == name || own == name,
                (None, _) => own == name,
            })
    }

    /// Whether it is an Emissary of the namespace that ends `cluster`: `AMBASSADOR_ID-AMBASSADOR_NAMESPACE`, the first `ambassador` unless set.
    fn is_emissary(&self, cluster: &str) -> bool {
        self.gateway.is_some_and(|facts| {
            let before = cluster.strip_suffix(&*facts.namespace);
            facts.dialect == "emissary" && before.is_some_and(|it| it.ends_with('-'))
        })
    }

    /// Whether the labels of its pods are among those of a node.
    fn is_labelled(&self, labels: &BTreeMap<String, String>) -> bool {
        self.gateway.is_some_and(|facts| {
            let mut own = facts.labels.iter();
            let is = |(key, value): (&proxy_core::config::Name, &proxy_core::config::Name)| {
                labels.get(&**key).is_some_and(|it| **it == **value)
            };
            !facts.labels.is_empty() && own.all(is)
        })
    }
}

fn candidates(model: &Model) -> Vec<Candidate<'_>> {
    let number = |at: usize| u32::try_from(at).expect("fewer than 2^32 proxies");
    let mut all = Vec::new();
    for (at, facts) in model.gateways().iter().enumerate() {
        let workload = facts
            .workload
            .and_then(|id| model.workloads().get(id.index()));
        let names = [facts.name.to_string()];
        all.push(Candidate {
            node: NodeRef::Gateway(GatewayId(number(at))),
            role: Role::Gateway,
            names: names
                .into_iter()
                .chain(workload.map(manifests::model::Workload::full_name))
                .collect(),
            gateway: Some(facts),
        });
    }
    for (at, workload) in model.workloads().iter().enumerate() {
        if workload.sidecar.is_some() {
            all.push(Candidate {
                node: NodeRef::Sidecar(WorkloadId(number(at))),
                role: Role::Sidecar,
                names: vec![workload.full_name()],
                gateway: None,
            });
        }
    }
    all
}

/// The proxy of the manifests that a dump is of, and how people call it.
///
/// # Errors
/// When there is none, or more than one.
pub(super) fn choose(
    model: &Model,
    identity: &Identity,
    wish: Option<&Named>,
) -> Result<(NodeRef, String), Diagnostic> {
    let all = candidates(model);
    let found: Vec<&Candidate<'_>> = match wish {
        Some(wish) => {
            let is = |it: &&Candidate<'_>| it.role == wish.role && it.names.contains(&wish.name);
            all.iter().filter(is).collect()
        }
        None => fitting(&all, identity),
    };
    if let [only] = found[..] {
        return Ok((only.node, only.title()));
    }
    let asked = wish.map(|wish| format!("{}/{}", wish.role.word(), wish.name));
    let message = match (&asked, found.len()) {
        (Some(asked), _) => format!("the manifests have no proxy `{asked}`"),
        (None, 0) if identity.id.is_empty() => {
            "the dump does not say which proxy it is of".to_owned()
        }
        (None, 0) => format!("the manifests have no proxy like `{}`", identity.id),
        (None, _) => format!("the dump of `{}` may be of several proxies", identity.id),
    };
    let listed = if found.is_empty() {
        all.iter().collect()
    } else {
        found
    };
    let titles: Vec<String> = listed.iter().map(|it| it.title()).collect();
    let close = asked.and_then(|asked| did_you_mean(&asked, titles.iter().map(String::as_str)));
    let help = close.unwrap_or_else(|| match titles.is_empty() {
        true => "the manifests describe no proxy at all".to_owned(),
        false => format!(
            "say with --node which of these it is: {}",
            titles.join(", ")
        ),
    });
    Err(Diagnostic::error(codes::NODE, message).help(help))
}

fn fitting<'a>(all: &'a [Candidate<'a>], identity: &Identity) -> Vec<&'a Candidate<'a>> {
    if identity.is_of_emissary() {
        let all = all.iter();
        return all.filter(|it| it.is_emissary(&identity.cluster)).collect();
    }
    let hints = identity.hints();
    let of_role = |it: &&Candidate<'_>| hints.role.is_none_or(|role| role == it.role);
    let namespace = hints.namespace.as_deref();
    for name in &hints.names {
        let called = all
            .iter()
            .filter(of_role)
            .filter(|it| it.is_called(namespace, name));
        let called: Vec<&Candidate<'_>> = called.collect();
        if !called.is_empty() {
            return called;
        }
    }
    let labelled = all
        .iter()
        .filter(of_role)
        .filter(|it| it.is_labelled(&identity.labels));
    labelled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(id: &str, cluster: &str, metadata: &[(&str, &str)]) -> String {
        let metadata = metadata.iter();
        let identity = Identity {
            id: id.to_owned(),
            cluster: cluster.to_owned(),
            metadata: metadata
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            labels: BTreeMap::new(),
        };
        let hints = identity.hints();
        format!(
            "{}/{}/{}",
            hints.role.map_or("?", Role::word),
            hints.namespace.as_deref().unwrap_or("?"),
            hints.names.join("|")
        )
    }

    #[test]
    fn a_node_says_who_it_is_as_its_system_has_it() {
        for (id, cluster, metadata, expected) in [
            (
                "sidecar~10.1.2.3~cart-v1-7c5d9-x2x4k.shop~shop.svc.cluster.local",
                "cart.shop",
                &[("WORKLOAD_NAME", "cart-v1")][..],
                "sidecar/shop/cart-v1|cart-v1-7c5d9-x2x4k|cart-v1-7c5d9|cart-v1",
            ),
            (
                "router~10.1.2.3~edge-6f7-abc.istio-system~istio-system.svc.cluster.local",
                "edge.istio-system",
                &[],
                "gateway/istio-system/edge-6f7-abc|edge-6f7|edge",
            ),
            (
                "cart-7c5d9-x2x4k-cart-sidecar-proxy",
                "cart",
                &[],
                "sidecar/?/cart-7c5d9-x2x4k|cart-7c5d9|cart|cart",
            ),
            (
                "default.cart-7c5d9-x2x4k.shop",
                "cart",
                &[("dataplane.proxyType", "dataplane")],
                "?/shop/cart-7c5d9-x2x4k|cart-7c5d9|cart",
            ),
            (
                "test-id",
                "ambassador-default",
                &[],
                "?/?/ambassador-default|test-id",
            ),
            ("", "", &[], "?/?/"),
        ] {
            assert_eq!(hints(id, cluster, metadata), expected, "{id}");
        }
    }

    #[test]
    fn a_release_is_read_without_its_patch() {
        for (version, expected) in [
            (Some("1.31.0"), Some("1.31")),
            (Some("1.29-alpha.abc"), Some("1.29")),
            (Some("unknown"), None),
            (None, None),
        ] {
            let metadata = version.map(|it| ("ISTIO_VERSION".to_owned(), it.to_owned()));
            let identity = Identity {
                metadata: metadata.into_iter().collect(),
                ..Identity::default()
            };
            let seen = identity.seen();
            assert_eq!(
                seen.as_ref().map(|it| &*it.release),
                expected,
                "{version:?}"
            );
        }
    }

    #[test]
    fn a_dump_says_its_node_and_other_texts_say_nothing() {
        let text = r#"{"configs": [{"@type": "x"}, {"bootstrap": {"node": {"id": "a", "cluster": "b", "metadata": {"LABELS": {"app": "c"}, "N": "d"}}}}]}"#;
        let identity = Identity::of(text);
        assert_eq!((&*identity.id, &*identity.cluster), ("a", "b"));
        assert_eq!(identity.metadata.get("N").map(String::as_str), Some("d"));
        assert_eq!(identity.labels.get("app").map(String::as_str), Some("c"));
        for text in ["", "a: [", "{}", "configs: 1", "- 1"] {
            assert_eq!(Identity::of(text), Identity::default(), "{text}");
        }
    }

    #[test]
    fn proxies_are_named_by_role_namespace_and_name() {
        assert!(parse("sidecar/shop/cart").is_ok());
        assert!(parse("gateway/shop/edge").is_ok());
        for text in [
            "shop/cart",
            "sidecar/cart",
            "sidecar//cart",
            "pod/shop/cart",
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
