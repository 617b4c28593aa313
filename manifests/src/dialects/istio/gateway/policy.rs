//! Gateways, checked, and put together by the pods that serve them.

use proxy_core::config::Name;
use proxy_core::origin::OriginId;

use super::types::TlsMode;
use crate::model::{Labels, Listen, WorkloadId};

/// One Gateway.
#[derive(Clone, Debug)]
pub(super) struct GatewayPolicy {
    /// `namespace/name`.
    pub(super) name: String,
    /// Labels of the pods that serve it; empty: any gateway's.
    pub(super) selector: Labels,
    /// What it listens for.
    pub(super) servers: Vec<ServerPolicy>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// One server of a Gateway.
#[derive(Clone, Debug)]
pub(super) struct ServerPolicy {
    /// `namespace/name` of its Gateway.
    pub(super) gateway: String,
    /// The port as it is written.
    pub(super) port: u16,
    /// Names it among the servers of a port.
    pub(super) label: String,
    /// What its connections become.
    pub(super) kind: ServerKind,
    /// Hosts, with the namespace of the VirtualServices that may serve them.
    pub(super) hosts: Vec<(Option<String>, String)>,
    /// Where it is written.
    pub(super) origin: OriginId,
}

/// What the connections of a server become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ServerKind {
    /// Requests in plaintext; where `redirects`, all are sent to HTTPS.
    Http {
        /// `httpsRedirect`.
        redirects: bool,
    },
    /// Requests over TLS that ends here.
    Https(Termination),
    /// Bytes in plaintext.
    Tcp,
    /// Bytes over TLS that ends here.
    TcpOverTls(Termination),
    /// Bytes of TLS connections, by the server name asked for.
    Passthrough,
}

/// How TLS ends here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Termination {
    /// Who ends it.
    pub(super) mode: TlsMode,
    /// The Secret or file that is presented.
    pub(super) certificate: Name,
}

impl ServerKind {
    /// Whether its connections begin with TLS.
    pub(super) const fn is_tls(&self) -> bool {
        match self {
            Self::Http { .. } | Self::Tcp => false,
            Self::Https(_) | Self::TcpOverTls(_) | Self::Passthrough => true,
        }
    }
}

/// Gateways that the same pods serve.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The oldest first.
    pub(super) gateways: Vec<GatewayPolicy>,
    /// Labels by which the pods were looked for.
    pub(super) selector: Labels,
    /// The pods, if they are in the manifests.
    pub(super) workload: Option<WorkloadId>,
    /// By the port as it is written: what clients dial, and where the pods listen.
    pub(super) listens: Vec<Listen>,
}

impl Group {
    /// All servers, the oldest Gateway's first.
    pub(super) fn servers(&self) -> impl Iterator<Item = &ServerPolicy> {
        self.gateways.iter().flat_map(|gateway| &gateway.servers)
    }

    /// Where the pods listen for a port as it is written.
    pub(super) fn bound(&self, port: u16) -> u16 {
        let found = self.listens.iter().find(|listen| listen.port == port);
        found.map_or(port, |listen| listen.bound)
    }
}
