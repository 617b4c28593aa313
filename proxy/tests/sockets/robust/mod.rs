//! What a proxy on the open network meets: clients that mean harm, peers that break off, changes under load.

mod certificates;
mod changes;
mod conformance;
mod endurance;
mod floods;
mod smuggling;

use std::io::{Write, stderr};

use crate::harness::with_sockets;

/// Says why a test is left out, where whoever runs it sees it although nothing failed.
fn skipped(why: &str) {
    writeln!(stderr(), "SKIPPED: {why}").expect("somebody listens");
}

/// A bootstrap with one listener in plaintext, one virtual host and one cluster `back`; `route` is what follows the match of `/`.
pub(crate) fn bootstrap(port: u16, route: &str, upstreams: &[u16]) -> String {
    with_sockets(port, "", route, "", upstreams)
}
