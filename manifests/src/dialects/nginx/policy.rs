//! What was read, checked and resolved: what one controller serves.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::annotations::Notes;
use super::flags::Flags;
use super::settings::Settings;
use crate::ingress::ServicePortId;
use crate::model::WorkloadId;
use crate::text::{Span, Spanned};

/// One ingress-nginx.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    /// What its gateway is called where no pods give it a name.
    pub(super) class: Name,
    /// Its pods' workload.
    pub(super) workload: Option<WorkloadId>,
    /// How it was started.
    pub(super) flags: Flags,
    /// Its ConfigMap.
    pub(super) settings: Settings,
    /// What it serves, the oldest first.
    pub(super) ingresses: Vec<IngressPolicy>,
    /// Where requests go that nothing takes (`--default-backend-service`).
    pub(super) default_backend: Option<ServicePortId>,
    /// Headers that requests leave with (`proxy-set-headers`).
    pub(super) request_headers: Vec<(String, Spanned<String>)>,
    /// Headers that answers leave with (`add-headers`).
    pub(super) response_headers: Vec<(String, Spanned<String>)>,
    /// Its pods, else its class, else its first Ingress.
    pub(super) origin: OriginId,
}

/// An Ingress.
#[derive(Clone, Debug)]
pub(super) struct IngressPolicy {
    /// Its namespace.
    pub(super) namespace: Name,
    /// Its name.
    pub(super) name: Name,
    /// What its annotations say.
    pub(super) notes: Notes,
    /// Its rules, in the order written.
    pub(super) rules: Vec<RulePolicy>,
    /// Where its hosts' requests go that none of its paths takes.
    pub(super) default_backend: Option<ServicePortId>,
    /// Its certificates.
    pub(super) tls: Vec<TlsPolicy>,
    /// Headers that answers leave with (`custom-headers`).
    pub(super) response_headers: Vec<(String, Spanned<String>)>,
    /// When a cluster has made it.
    pub(super) created: Option<String>,
    /// Where its name is written.
    pub(super) span: Span,
    /// The same as an origin.
    pub(super) origin: OriginId,
}

/// A host's paths.
#[derive(Clone, Debug)]
pub(super) struct RulePolicy {
    /// Lower case; [`DEFAULT_HOST`] for any.
    pub(super) host: String,
    /// In the order written.
    pub(super) paths: Vec<PathPolicy>,
}

/// A path and where it leads.
#[derive(Clone, Debug)]
pub(super) struct PathPolicy {
    /// As written.
    pub(super) path: String,
    /// `Exact`; else by segments.
    pub(super) exact: bool,
    /// Where it leads.
    pub(super) backend: ServicePortId,
    /// Where it is written.
    pub(super) span: Span,
    /// The same as an origin.
    pub(super) origin: OriginId,
}

/// A certificate of some hosts.
#[derive(Clone, Debug)]
pub(super) struct TlsPolicy {
    /// In lower case.
    pub(super) hosts: Vec<String>,
    /// `namespace/name` of a Secret; none: the controller's own certificate.
    pub(super) secret: Option<Name>,
}

/// The server for hosts that no other server has.
pub(super) const DEFAULT_HOST: &str = "_";

impl IngressPolicy {
    /// `namespace/name`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it is a canary of another one.
    pub(super) fn is_canary(&self) -> bool {
        self.notes.is_set("canary")
    }
}
