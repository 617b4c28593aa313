//! Versions of kinds, and which fields they have.

use super::GROUP;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::load::Object;
use crate::text::Span;

/// A version of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    /// `v1` and `v2`, in which several fields may be written in several ways.
    Old,
    /// `v3alpha1`.
    New,
}

/// Fields that only some versions have: kind, field, version.
const FIELDS: &[(&str, &str, Version)] = &[
    ("Mapping", "hostname", Version::New),
    ("Mapping", "health_checks", Version::New),
    ("Mapping", "stats_name", Version::New),
    ("Mapping", "v2ExplicitTLS", Version::New),
    ("Mapping", "v2BoolHeaders", Version::New),
    ("Mapping", "v2BoolQueryParameters", Version::New),
    ("Mapping", "v3health_checks", Version::Old),
    ("Mapping", "v3StatsName", Version::Old),
    ("TCPMapping", "stats_name", Version::New),
    ("TCPMapping", "v2ExplicitTLS", Version::New),
    ("TCPMapping", "v3StatsName", Version::Old),
    ("Host", "mappingSelector", Version::New),
    ("Host", "ambassadorId", Version::Old),
    ("AuthService", "stats_name", Version::New),
    ("AuthService", "circuit_breakers", Version::New),
    ("AuthService", "v3StatsName", Version::Old),
    ("AuthService", "v3CircuitBreakers", Version::Old),
    ("RateLimitService", "grpc", Version::New),
    ("RateLimitService", "stats_name", Version::New),
    ("RateLimitService", "v3GRPC", Version::Old),
    ("RateLimitService", "v3StatsName", Version::Old),
    ("TracingService", "custom_tags", Version::New),
    ("TracingService", "v3CustomTags", Version::Old),
];

impl Version {
    /// The version of an object; what it does not have is an error. None: no release has such a version of the kind.
    pub(super) fn of(object: &Object, out: &mut Diagnostics) -> Option<Self> {
        let kind = object.key.kind.as_str();
        let version = match (object.version.as_str(), kind) {
            ("v3alpha1", _) => Self::New,
            ("v1" | "v2", "Listener") | ("v1", "Host") => return Self::unknown(object, out),
            ("v1" | "v2", _) => Self::Old,
            _ => return Self::unknown(object, out),
        };
        let spec = object.node.get("spec").and_then(|spec| spec.as_map());
        let id = spec.and_then(|spec| spec.get("ambassador_id"));
        if let Some(id) = id.filter(|id| id.as_str().is_some()) {
            version.only_old(id.span, "a list", out);
        }
        for (_, field, of) in FIELDS
            .iter()
            .filter(|(of, _, at)| *of == kind && *at != version)
        {
            if let Some(entry) = spec.and_then(|spec| spec.entry(field)) {
                let message = format!("`{field}` is no field of version {}", object.version);
                let other = match of {
                    Self::Old => "v2",
                    Self::New => "v3alpha1",
                };
                out.push(
                    Diagnostic::error("emissary::field", message)
                        .label(entry.key.span, "not a field of this version")
                        .help(format!("version {other} has it")),
                );
            }
        }
        Some(version)
    }

    fn unknown(object: &Object, out: &mut Diagnostics) -> Option<Self> {
        let (kind, version) = (&object.key.kind, &object.version);
        let at = object.node.get("apiVersion");
        let span = at.map_or(object.name_span, |node| node.span);
        out.push(
            Diagnostic::error(
                "emissary::version",
                format!("there is no {kind} of version {version}"),
            )
            .label(span, "this version")
            .help(format!("write `{GROUP}/v3alpha1`")),
        );
        None
    }

    /// Refuses what only old versions may write so.
    pub(super) fn only_old(self, span: Span, instead: &str, out: &mut Diagnostics) {
        if self == Self::New {
            out.push(
                Diagnostic::error("emissary::field", "version v3alpha1 does not write this so")
                    .label(span, "this value")
                    .help(format!("write {instead}")),
            );
        }
    }
}
