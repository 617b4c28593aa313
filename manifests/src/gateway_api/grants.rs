//! What one namespace allows another to name.

use super::read::{Item, RouteKind};
use super::types::Grant;

/// Who names what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming<'a> {
    /// Group, kind and namespace of who does.
    pub(super) from: (&'a str, &'a str, &'a str),
    /// Group, kind, namespace and name of what is named.
    pub(super) to: (&'a str, &'a str, &'a str, &'a str),
}

/// Whether an object may name another: of its own namespace always, else where the other's allows it.
///
/// Source: `ReferenceGrant`: a grant lies in the namespace of what is named; its rows add up.
pub(super) fn permits(grants: &[Item<Grant>], naming: Naming<'_>) -> bool {
    let (from_group, from_kind, from_namespace) = naming.from;
    let (to_group, to_kind, to_namespace, to_name) = naming.to;
    if from_namespace == to_namespace {
        return true;
    }
    grants
        .iter()
        .filter(|grant| grant.key.namespace == to_namespace)
        .any(|grant| {
            let who = grant.spec.from.iter().any(|from| {
                from.group.value == from_group
                    && from.kind.value == from_kind
                    && from.namespace.value == from_namespace
            });
            who && grant.spec.to.iter().any(|to| {
                to.group.value == to_group
                    && to.kind.value == to_kind
                    && to
                        .name
                        .as_ref()
                        .is_none_or(|name| name.value.is_empty() || name.value == to_name)
            })
        })
}

/// Who a route is, to a grant.
pub(super) const fn route(kind: RouteKind, namespace: &str) -> (&str, &str, &str) {
    (super::GROUP, kind.name(), namespace)
}
