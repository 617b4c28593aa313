//! Policies with lists of settings.

use serde::de::DeserializeOwned;

use super::super::notes::{bad_value, ignored, left_out};
use super::super::policies::Policies;
use super::super::rules::{ArrivingEntry, Rules, ToEntry};
use super::super::scope::{Scope, Top};
use super::super::types::{Document, Match, Policy, RefKind, RuleItem, TargetRef, ToItem};
use super::Reader;
use crate::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::load::Object;
use crate::text::{Node, Spanned, read};

/// Which lists a kind of policy has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    /// `to` alone.
    Sent,
    /// `to`, `rules` and, in 2.x, `from`.
    Both,
    /// `rules` and, in 2.x, `from`; `to` is for gateways.
    Arriving,
}

impl Reader<'_, '_> {
    /// Reads a policy's settings into the rules of its kind.
    pub(super) fn policy<C: DeserializeOwned>(
        &mut self,
        object: &Object,
        sides: Sides,
        check: fn(&Spanned<C>, &mut Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        let read = read::<Document<Policy<C>>>(&object.node, self.cx.diagnostics);
        let Some(Document { spec, .. }) = read else {
            return;
        };
        if self.is_shadow(object) {
            return;
        }
        let to = spec.to.as_ref().filter(|list| !list.is_empty());
        let from = spec.from.as_ref().filter(|list| !list.is_empty());
        let arriving = spec.rules.as_ref().filter(|list| !list.is_empty());
        if to.is_none() && from.is_none() && arriving.is_none() {
            let message = match sides {
                Sides::Sent => "`to` must have an item",
                Sides::Both => "one of `to`, `from` and `rules` must have an item",
                Sides::Arriving => "one of `from` and `rules` must have an item",
            };
            bad_value(object.name_span, message, self.cx.diagnostics);
            return;
        }
        for side in [from.map(|it| it.span), arriving.map(|it| it.span)] {
            if let (Sides::Sent, Some(span)) = (sides, side) {
                let message = format!("a {} has `to` alone", object.key.kind);
                bad_value(span, message, self.cx.diagnostics);
                return;
            }
        }
        if let (Some(rules), Some(other)) = (arriving, to.or(from)) {
            self.cx.diagnostics.push(
                Diagnostic::error("kuma::bad-value", "`rules` stand alone")
                    .label(other.span, "must be empty")
                    .label(rules.span, "beside these"),
            );
            return;
        }
        let targets: Vec<&TargetRef> = to
            .into_iter()
            .flat_map(|list| list.iter())
            .map(|item| &item.target_ref)
            .collect();
        let Some(role) = self.role(object, &targets, from.is_some()) else {
            return;
        };
        let Some(scope) = self.scope(object, spec.target_ref.as_ref(), role) else {
            return;
        };
        if let Some(list) = to {
            match sides {
                Sides::Arriving => {
                    let meaning = "it is for gateways of Kuma's own, of which there are none";
                    left_out(list.span, "`to`", meaning, self.cx.diagnostics);
                }
                Sides::Sent | Sides::Both => {
                    for (nth, item) in list.iter().enumerate() {
                        self.sent(object, &scope, (nth, item), check, rules);
                    }
                }
            }
        }
        if let Some(list) = from {
            self.from(object, &scope, list, check, rules);
        }
        if let Some(list) = arriving {
            for (nth, item) in list.iter().enumerate() {
                self.arriving(object, &scope, (nth, item), check, rules);
            }
        }
    }

    fn sent<C>(
        &mut self,
        object: &Object,
        scope: &Scope,
        (nth, item): (usize, &ToItem<C>),
        check: fn(&Spanned<C>, &mut Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        let Some(conf) = self.checked(object, ("to", nth), item.default.as_ref(), check) else {
            return;
        };
        let to = match &scope.top {
            // what names a route above means its requests
            Top::Route => self.route_above(object),
            Top::Mesh | Top::Dataplane { .. } | Top::Tags { .. } | Top::Gateway => {
                self.to(object, &item.target_ref)
            }
        };
        if let Some(to) = to {
            let scope = scope.clone();
            rules(&mut self.policies).push_to(ToEntry { scope, to, conf });
        }
    }

    fn from<C>(
        &mut self,
        object: &Object,
        scope: &Scope,
        list: &Spanned<Vec<ToItem<C>>>,
        check: fn(&Spanned<C>, &mut Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        if self.release.is_v3() {
            let help = "write `rules`";
            ignored(list.span, "`from`", help, self.cx.diagnostics);
            return;
        }
        for (nth, item) in list.iter().enumerate() {
            let Some(conf) = self.checked(object, ("from", nth), item.default.as_ref(), check)
            else {
                continue;
            };
            let kind = item.target_ref.kind;
            let faults = object.key.kind == "MeshFaultInjection";
            match kind.value {
                RefKind::Mesh => rules(&mut self.policies).push_arriving(ArrivingEntry {
                    scope: scope.clone(),
                    is_rule: false,
                    conf,
                }),
                RefKind::MeshSubset | RefKind::MeshService | RefKind::MeshServiceSubset
                    if faults =>
                {
                    let meaning = "it is injected into nobody's requests";
                    left_out(
                        kind.span,
                        "a fault for some callers",
                        meaning,
                        self.cx.diagnostics,
                    );
                }
                RefKind::MeshSubset
                | RefKind::MeshService
                | RefKind::MeshServiceSubset
                | RefKind::Dataplane
                | RefKind::MeshGateway
                | RefKind::MeshExternalService
                | RefKind::MeshMultiZoneService
                | RefKind::MeshHTTPRoute => {
                    let message = format!("`from` takes no {}", kind.value.name());
                    bad_value(kind.span, message, self.cx.diagnostics);
                }
            }
        }
    }

    fn arriving<C>(
        &mut self,
        object: &Object,
        scope: &Scope,
        (nth, item): (usize, &RuleItem<C>),
        check: fn(&Spanned<C>, &mut Diagnostics),
        rules: fn(&mut Policies) -> &mut Rules,
    ) {
        let Some(conf) = self.checked(object, ("rules", nth), item.default.as_ref(), check) else {
            return;
        };
        let matches = item.matches.as_deref().unwrap_or_default();
        if matches.is_empty() {
            rules(&mut self.policies).push_arriving(ArrivingEntry {
                scope: scope.clone(),
                is_rule: true,
                conf,
            });
            return;
        }
        for one in matches {
            self.callers(one);
        }
        let first = matches
            .iter()
            .find_map(|one| one.spiffe_id.as_ref().or(one.sni.as_ref()));
        let span = first.map_or(object.name_span, |it| it.span);
        let meaning = "what the rule sets holds for nobody";
        left_out(
            span,
            "a rule for some callers",
            meaning,
            self.cx.diagnostics,
        );
    }

    /// Checks a condition on callers.
    pub(super) fn callers(&mut self, one: &Match) {
        let values = [(&one.spiffe_id, true), (&one.sni, false)];
        for (value, takes_prefix) in values {
            let Some(value) = value else {
                continue;
            };
            match value.r#type.value.as_str() {
                "Exact" => {}
                "Prefix" if takes_prefix => {}
                _ => {
                    let message = if takes_prefix {
                        "write `Exact` or `Prefix`"
                    } else {
                        "write `Exact`"
                    };
                    bad_value(value.r#type.span, message, self.cx.diagnostics);
                }
            }
        }
    }

    /// The settings of an item as they are written, once they have passed Kuma's own validation.
    fn checked<C>(
        &mut self,
        object: &Object,
        (list, nth): (&str, usize),
        conf: Option<&Spanned<C>>,
        check: fn(&Spanned<C>, &mut Diagnostics),
    ) -> Option<Node> {
        let item = object
            .node
            .at(&format!("spec.{list}"))?
            .as_seq()?
            .get(nth)?;
        let Some(conf) = conf else {
            bad_value(item.span, "`default` must be set", self.cx.diagnostics);
            return None;
        };
        let mark = self.cx.diagnostics.len();
        check(conf, self.cx.diagnostics);
        let is_wrong = |it: &Diagnostic| it.severity() == Severity::Error;
        if self.cx.diagnostics.since(mark).iter().any(is_wrong) {
            return None;
        }
        item.get("default").cloned()
    }
}
