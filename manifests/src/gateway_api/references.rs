//! What objects name besides backends: certificates, and whom one believes.

use std::sync::Arc;

use data_encoding::BASE64;
use proxy_core::config::Name;

use super::grants::{Naming, permits};
use super::read::{Api, GROUP};
use super::types::{ObjectRef, text};
use crate::load::Objects;
use crate::model::Service;
use crate::text::Node;

/// Where what is named is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Every object.
    pub objects: &'a Objects,
    /// Services by id.
    pub services: &'a [Service],
}

/// Why a reference leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum ReferenceProblem {
    /// It names a kind that cannot be what is needed.
    Kind,
    /// It names another namespace's object without a ReferenceGrant.
    NotPermitted,
    /// There is no such object.
    NotFound,
    /// The object has not what it should have.
    Malformed,
}

/// Who names something: kind and namespace of an object of the Gateway API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namer<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

impl Lookup<'_> {
    /// A label of a namespace; without its object the one that the API server itself sets.
    pub(super) fn namespace_label<'s>(&'s self, namespace: &'s str, key: &str) -> Option<&'s str> {
        let object = self.objects.get("", "Namespace", "", namespace);
        let label = object.and_then(|object| object.label(key));
        let label = label.map(|label| label.value);
        label.or_else(|| (key == "kubernetes.io/metadata.name").then_some(namespace))
    }

    /// The Secret with certificate and key that is named, as `namespace/name`.
    pub(super) fn certificate(
        &self,
        api: &Api,
        reference: &ObjectRef,
        by: Namer<'_>,
    ) -> Result<Name, ReferenceProblem> {
        let namespace = text(&reference.namespace).unwrap_or(by.namespace);
        let name = reference.name.value.as_str();
        let kind = text(&reference.kind).unwrap_or("Secret");
        if !is_core(reference) || kind != "Secret" {
            return Err(ReferenceProblem::Kind);
        }
        let naming = Naming {
            from: (GROUP, by.kind, by.namespace),
            to: ("", "Secret", namespace, name),
        };
        if !permits(&api.grants, naming) {
            return Err(ReferenceProblem::NotPermitted);
        }
        let object = self.objects.get("", "Secret", namespace, name);
        let object = object.ok_or(ReferenceProblem::NotFound)?;
        let has = |key| {
            let data = ["data", "stringData"].map(|field| object.node.get(field)?.get(key));
            data.into_iter().flatten().next().is_some()
        };
        let Some(vault) = self.objects.vault() else {
            // values are not at hand; names are
            let whole = has("tls.crt") && has("tls.key");
            return whole
                .then(|| format!("{namespace}/{name}").into())
                .ok_or(ReferenceProblem::Malformed);
        };
        let sound = |key, label| {
            let value = vault.get(namespace, name, key);
            value.is_some_and(|value| is_pem(&String::from_utf8_lossy(value), label))
        };
        if sound("tls.crt", "CERTIFICATE") && sound("tls.key", "PRIVATE KEY") {
            Ok(format!("{namespace}/{name}").into())
        } else {
            Err(ReferenceProblem::Malformed)
        }
    }

    /// The certificates of the authority that is named, as PEM: those of a ConfigMap's `ca.crt`.
    pub(super) fn authority(
        &self,
        api: &Api,
        reference: &ObjectRef,
        by: Namer<'_>,
    ) -> Result<Arc<str>, ReferenceProblem> {
        let namespace = text(&reference.namespace).unwrap_or(by.namespace);
        let name = reference.name.value.as_str();
        let kind = text(&reference.kind).unwrap_or("ConfigMap");
        if !is_core(reference) || kind != "ConfigMap" {
            return Err(ReferenceProblem::Kind);
        }
        let naming = Naming {
            from: (GROUP, by.kind, by.namespace),
            to: ("", "ConfigMap", namespace, name),
        };
        if !permits(&api.grants, naming) {
            return Err(ReferenceProblem::NotPermitted);
        }
        let object = self.objects.get("", "ConfigMap", namespace, name);
        let object = object.ok_or(ReferenceProblem::NotFound)?;
        let data = object.node.get("data").and_then(|data| data.get("ca.crt"));
        let data = data
            .and_then(Node::as_str)
            .filter(|data| is_pem(data, "CERTIFICATE"));
        data.map(Arc::from).ok_or(ReferenceProblem::Malformed)
    }
}

fn is_core(reference: &ObjectRef) -> bool {
    matches!(text(&reference.group), None | Some(""))
}

/// Whether a text has a block whose label ends so, and which holds DER.
fn is_pem(text: &str, label: &str) -> bool {
    let Some((head, rest)) = text.split_once(&format!("{label}-----")) else {
        return false;
    };
    let begins = head.rsplit('\n').next().unwrap_or_default();
    let Some((body, _)) = rest.split_once("-----END ") else {
        return false;
    };
    let body: String = body.split_ascii_whitespace().collect();
    let decoded = BASE64.decode(body.as_bytes());
    // DER begins with a sequence
    begins.starts_with("-----BEGIN ") && decoded.is_ok_and(|der| der.first() == Some(&0x30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_known_by_its_frame_and_what_is_in_it() {
        let block = |label: &str, body: &str| {
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let rows = [
            ("whole", block("CERTIFICATE", "MAAA"), true),
            (
                "after other text",
                format!("# a\n{}", block("CERTIFICATE", "MAAA")),
                true,
            ),
            ("no DER", block("CERTIFICATE", "SGVsbG8="), false),
            ("no base64", block("CERTIFICATE", "!!"), false),
            ("another label", block("PUBLIC KEY", "MAAA"), false),
            (
                "no end",
                "-----BEGIN CERTIFICATE-----\nMAAA".to_owned(),
                false,
            ),
            ("nothing", String::new(), false),
        ];
        for (name, text, want) in rows {
            assert_eq!(is_pem(&text, "CERTIFICATE"), want, "{name}");
        }
        let key = block("EC PRIVATE KEY", "MAAA");
        assert!(is_pem(&key, "PRIVATE KEY"), "kinds of keys have names");
    }
}
