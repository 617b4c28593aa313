//! What was seen of 1.40.0, with the same files and the same requests.

mod clients;
mod lines;
mod tellings;

use core::net::{IpAddr, SocketAddr};

use super::*;
use crate::config::Cidr;
use crate::heads::asked::Asked;

pub(super) const NODE: &str = "192.0.2.2";

pub(super) fn range(address: &str, bits: u8) -> Cidr {
    let address = address.parse().unwrap();
    Cidr { address, bits }
}

/// Rules, and the connection of a client.
pub(super) struct Manager {
    pub(super) rules: HeadRules,
    pub(super) source: SocketAddr,
    pub(super) tls: bool,
    pub(super) upgrades: Upgrades,
    pub(super) certificates: Option<Certificates>,
}

impl Manager {
    /// A client on the machine itself, and rules as `tune` has them.
    pub(super) fn new(tune: impl FnOnce(&mut HeadRules)) -> Self {
        let mut rules = HeadRules::unwritten("envoy");
        tune(&mut rules);
        Self {
            rules,
            source: "127.0.0.1:4000".parse().unwrap(),
            tls: false,
            upgrades: Upgrades::default(),
            certificates: None,
        }
    }

    /// Takes the client at its word of who it is, and counts 10.0.0.0/8 and 127.0.0.0/8 as one's own.
    pub(super) fn inside(tune: impl FnOnce(&mut HeadRules)) -> Self {
        Self::new(|rules| {
            rules.client.internal = vec![range("10.0.0.0", 8), range("127.0.0.0", 8)];
            tune(rules);
        })
    }

    pub(super) fn source(mut self, source: &str) -> Self {
        self.source = source.parse().unwrap();
        self
    }

    pub(super) fn receive(&self, mut head: Asked) -> (Received, Asked) {
        let own: IpAddr = NODE.parse().unwrap();
        let destination = "127.0.0.1:8080".parse().unwrap();
        let ends = (self.source, destination);
        let client = Client::new(&self.rules, ends, self.tls, own, self.certificates.as_ref());
        let keys = IdKeys {
            request: DrawKey::root(1),
            node: DrawKey::root(2),
        };
        let received = receive(&self.rules, &client, keys, &self.upgrades, &mut head);
        (received, head)
    }

    pub(super) fn get(&self, lines: &[(&str, &str)]) -> Asked {
        let (received, head) = self.receive(Asked::with(lines));
        assert_eq!(received.refused, None);
        head
    }

    pub(super) fn refused(&self, head: Asked) -> Option<BadHead> {
        self.receive(head).0.refused
    }
}

pub(super) fn edge() -> Manager {
    Manager::new(|rules| rules.client.remote_address = true)
}

/// The lines of a head, without those of these names.
pub(super) fn lines_but(head: &Asked, names: &[&str]) -> Vec<String> {
    let lines = head.lines.iter();
    let lines = lines.filter(|(name, _)| !names.contains(&name.as_str()));
    lines
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}
