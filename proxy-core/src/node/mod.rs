//! One proxy: what goes in, what comes out, and the machine between.

mod contract;

pub use contract::{
    Accept, Action, Arrival, ConnectPlan, Cx, EditKey, HandshakePlan, HealthCheckId, Identity,
    Input, Peek, PeekedProtocol, Request, ResetCause, RouteRef, Side, Target, TimerClass, TimerId,
    TlsHello, TlsPlan,
};
