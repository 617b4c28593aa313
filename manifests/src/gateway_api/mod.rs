//! The Gateway API, neutral of who serves it: its objects, and what they come to.
//!
//! [`Api`] is what people wrote, [`Resolved`] what it means: which listener of which Gateway serves, which route is attached to it and which is
//! not, where references lead, and for each "no" the reason. Both what is served and the status that a controller would write come of it.
//!
//! Source: kubernetes-sigs/gateway-api, the comments of its types (`apis/v1`) and its enhancement proposals, cited by number.

mod attach;
mod backends;
mod duration;
mod grants;
mod hosts;
mod listeners;
mod policies;
mod read;
mod references;
mod resolve;
pub mod status;
pub mod types;

pub use attach::{Attachment, Parent, ParentState, RouteRefusal, RouteState};
pub use backends::{BackendProblem, find_backend};
pub use duration::parse as parse_duration;
pub use hosts::{Host, intersection};
pub use listeners::{
    Clients, Conflict, ListenerProblem, ListenerState, Owner, Protocol, Termination, TlsEnd,
};
pub use policies::{AltName, PolicyProblem, PolicyState, Roots, Trust};
pub use read::{Api, GROUP, Item, RouteId, RouteKind, RouteRef};
pub use references::{Lookup, ReferenceProblem};
pub use resolve::{ClassState, ControllerSeen, GatewayProblem, GatewayState, Resolved, SetState};
