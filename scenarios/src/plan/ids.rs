//! Dense ids: each is an index into one of the plan's tables.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// The place in the table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// The id of place `index`; tables are kept far below `u32::MAX` entries.
            #[must_use]
            pub fn at(index: usize) -> Self {
                Self(u32::try_from(index).expect("tables are limited by validation"))
            }
        }
    )*};
}

ids! {
    /// A workload: pods that behave alike and stand behind the same Services.
    WorkloadId
    /// A Service: a name that callers use.
    ServiceId
    /// What the replicas of a workload do; a rollout gives a workload another one.
    BehaviourId
    /// A handler of a behaviour.
    HandlerId
    /// A place in the program of steps.
    StepId
    /// A call that a handler makes.
    CallId
    /// How one call is tried: timeout, retries, back-off, hedging.
    PolicyId
    /// A distribution.
    DistId
    /// A request's head as a template.
    RequestId
    /// A load.
    LoadId
    /// A fault.
    FaultId
    /// A change.
    ChangeId
    /// A zone of the topology.
    ZoneId
    /// A node of the topology.
    NodeId
    /// A length that many timers share; a driver may keep the timers of one lane first in, first out.
    LaneId
}
