//! What the workers of one process share, lent to a node with every call.

use std::collections::BTreeMap;

use crate::words::Words;

/// A growing row of [`Words`]. Blocks are found again by their key, so that the workers of a process and the
/// successive configurations of a node meet in the same state.
pub trait SharedState: Words {
    /// The start of the block called `key`; made of zeros when nobody asked for it before.
    fn block(&mut self, key: &BlockKey, words: usize) -> usize;
}

/// What a block is for. Endpoint state survives by cluster name and address, cluster state by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum BlockKey {
    /// State of a cluster.
    Cluster(crate::config::Name),
    /// State of one endpoint of a cluster.
    Endpoint(crate::config::Name, core::net::SocketAddr),
    /// The latest response times of an endpoint.
    Times(crate::config::Name, core::net::SocketAddr),
    /// What failed of an endpoint of late, and how much of it is kept.
    Passive(crate::config::Name, core::net::SocketAddr, usize),
    /// Connections of a listener with a limit, by its name.
    Listener(crate::config::Name),
    /// Connections of the whole process.
    Connections,
    /// A token bucket, by its name.
    Bucket(crate::config::Name),
    /// State of a gate, by its name, and which part of it.
    Gate(crate::config::Name, u64),
    /// How many words the gates of the process take.
    GateWords,
}

/// Shared state of one simulated process: plain words, no synchronisation.
#[derive(Clone, Debug, Default)]
pub struct PlainState {
    words: Vec<u64>,
    blocks: BTreeMap<BlockKey, usize>,
}

impl Words for PlainState {
    #[inline]
    fn get(&self, i: usize) -> u64 {
        self.words[i]
    }

    #[inline]
    fn set(&mut self, i: usize, value: u64) {
        self.words[i] = value;
    }

    #[inline]
    fn update(&mut self, i: usize, mut f: impl FnMut(u64) -> u64) -> (u64, u64) {
        let before = self.words[i];
        let after = f(before);
        self.words[i] = after;
        (before, after)
    }
}

impl SharedState for PlainState {
    fn block(&mut self, key: &BlockKey, words: usize) -> usize {
        if let Some(&at) = self.blocks.get(key) {
            return at;
        }
        let at = self.words.len();
        self.words.resize(at + words, 0);
        self.blocks.insert(key.clone(), at);
        at
    }
}
