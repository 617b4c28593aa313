//! Dense ids of what a model holds.

macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index into the list that gives it out.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

dense_id!(
    /// A workload: a Deployment, StatefulSet, DaemonSet, bare Pod, or one that only the scenario has.
    WorkloadId
);
dense_id!(
    /// A Service.
    ServiceId
);
dense_id!(
    /// A gateway.
    GatewayId
);

/// One proxy's place: what its configuration depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NodeRef {
    /// A gateway itself.
    Gateway(GatewayId),
    /// The sidecar beside a replica of a workload (a gateway's own workload too).
    Sidecar(WorkloadId),
}
