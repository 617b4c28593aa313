//! Dense ids: positions in the lists of a [`Setup`](crate::setup::Setup), so that recording is array indexing.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the list it names.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A source of requests, in `Setup::loads`.
    LoadId;
    /// One service that calls another, in `Setup::edges`.
    EdgeId;
    /// A service or workload, in `Setup::workloads`.
    WorkloadId;
    /// A cluster as its callers configure it, in `Setup::clusters`.
    ClusterId;
    /// An endpoint of a cluster, in `ClusterSetup::endpoints` or from `Recorder::add_endpoint`.
    EndpointId;
    /// A proxy, in `Setup::proxies`.
    ProxyId;
    /// A fault, in `Setup::faults`.
    FaultId;
    /// A change, in `Setup::changes`.
    ChangeId;
    /// Where a rule comes from, in `Setup::origins`.
    OriginId;
}
