//! The deployable gateway and sidecar: sockets, clocks and bytes around [`proxy_core`].
//!
//! Every decision is the core's: this crate accepts and dials, reads and writes, sets timers, and tells the core what happened. A
//! [`Proxy`] has workers, one thread each, with a node and sockets (`SO_REUSEPORT`) of its own; what a process shares is kept in
//! [`AtomicState`]. No lock is taken on a request's path.
//!
//! | room | what is there |
//! |---|---|
//! | `bootstrap` | an Envoy file and what it names |
//! | `process` | workers, their sockets, drain |
//! | `worker` | the node of a worker and what it has in flight; each of its actions carried out |
//! | `exchanges` | requests in flight, their tries and their answers |
//! | `downstream`, `upstream` | connections of clients and to endpoints |
//! | `datagrams` | clients that send datagrams, and their sockets to endpoints |
//! | `body`, `heads`, `arriving`, `fields` | messages on their way |
//! | `upgrades` | connections that speak another protocol once an endpoint has switched |
//! | `log` | records of exchanges in words, on their way to files |
//! | `preface` | the header of the PROXY protocol |
//! | `slow` | clients that hold a connection with half a head |
//! | `names` | addresses of endpoints that are named, asked again and again |
//! | `spans` | spans of traced requests, on their way to whoever gathers them |
//! | `voice` | what the process says of itself, and how loudly |
//! | `clock`, `timers`, `tls`, `certificates`, `shown`, `shared`, `stats`, `admin`, `replies` | what their names say |
//!
//! Not there yet: HTTP/3. Whoever starts the process with a configuration that needs it is told so.

mod admin;
mod arriving;
mod body;
mod bootstrap;
mod certificates;
mod clock;
mod counts;
mod datagrams;
mod doors;
mod downstream;
mod exchanges;
mod fields;
mod fleet;
mod gathered;
mod heads;
pub mod kubernetes;
mod local;
mod log;
mod names;
mod preface;
mod process;
mod replies;
mod shared;
mod shown;
mod slow;
mod spans;
mod stats;
mod timers;
mod tls;
mod upgrades;
mod upstream;
pub mod voice;
mod worker;

pub use bootstrap::{LoadError, Loaded, load, parse};
pub use doors::{Door, Meant};
pub use fleet::{Fleet, FleetOptions};
pub use local::Local;
pub use names::{Lookup, Named};
pub use preface::header as announcement;
pub use process::{Change, Dial, Options, Place, Proxy, Secrets, StartError, Tap, Way, seed};
pub use shared::AtomicState;
pub use stats::Stats;
pub use tls::{Secret, SecretError};
