//! What the workers of a process share: the core's words as atomics, in pages that never move.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proxy_core::shared::{BlockKey, SharedState};
use proxy_core::words::Words;

/// Words of a page.
const PAGE: usize = 1 << 12;
/// Pages at most: 16 million words.
const PAGES: usize = 1 << 12;

/// The shared state of one process; a clone for each worker. A word is read and changed without a lock; only finding a block takes one,
/// which happens when a cluster, an endpoint or a limit is used for the first time.
#[derive(Clone, Debug)]
pub struct AtomicState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pages: Box<[OnceLock<Box<[AtomicU64]>>]>,
    blocks: Mutex<Blocks>,
}

#[derive(Debug, Default)]
struct Blocks {
    at: BTreeMap<BlockKey, usize>,
    end: usize,
}

impl Default for AtomicState {
    fn default() -> Self {
        Self(Arc::new(Inner {
            pages: (0..PAGES).map(|_| OnceLock::new()).collect(),
            blocks: Mutex::default(),
        }))
    }
}

impl AtomicState {
    #[inline]
    fn word(&self, i: usize) -> &AtomicU64 {
        let page = self.0.pages[i / PAGE].get();
        let page = page.expect("only words of blocks are asked for");
        &page[i % PAGE]
    }
}

impl Words for AtomicState {
    #[inline]
    fn get(&self, i: usize) -> u64 {
        self.word(i).load(Ordering::Acquire)
    }

    #[inline]
    fn set(&mut self, i: usize, value: u64) {
        self.word(i).store(value, Ordering::Release);
    }

    #[inline]
    fn update(&mut self, i: usize, mut f: impl FnMut(u64) -> u64) -> (u64, u64) {
        let word = self.word(i);
        let mut before = word.load(Ordering::Acquire);
        loop {
            let after = f(before);
            match word.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return (before, after),
                Err(now) => before = now,
            }
        }
    }
}

impl SharedState for AtomicState {
    fn block(&mut self, key: &BlockKey, words: usize) -> usize {
        let blocks = self.0.blocks.lock();
        // nothing in between can panic and leave half a block
        let mut blocks = blocks.unwrap_or_else(PoisonError::into_inner);
        if let Some(&at) = blocks.at.get(key) {
            return at;
        }
        let at = blocks.end;
        blocks.end += words;
        blocks.at.insert(key.clone(), at);
        for page in at / PAGE..=blocks.end / PAGE {
            self.0.pages[page].get_or_init(|| (0..PAGE).map(|_| AtomicU64::new(0)).collect());
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str) -> BlockKey {
        BlockKey::Bucket(name.into())
    }

    #[test]
    fn workers_meet_in_one_block_by_its_key() {
        let mut one = AtomicState::default();
        let mut other = one.clone();
        let at = one.block(&bucket("a"), 3);
        assert_eq!(other.block(&bucket("a"), 3), at);
        assert_ne!(other.block(&bucket("b"), 3), at);
        one.set(at + 2, 7);
        assert_eq!(other.get(at + 2), 7);
    }

    #[test]
    fn blocks_may_lie_across_pages_and_begin_as_zeros() {
        let mut state = AtomicState::default();
        for n in 0..PAGE {
            let at = state.block(&bucket(&n.to_string()), 3);
            assert_eq!([0, 1, 2].map(|i| state.get(at + i)), [0; 3]);
            state.set(at + 2, 1);
        }
    }

    #[test]
    fn no_step_of_a_race_is_lost() {
        let mut state = AtomicState::default();
        let at = state.block(&bucket("a"), 1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut mine = state.clone();
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        mine.add(at, 1);
                    }
                });
            }
        });
        assert_eq!(state.get(at), 40_000);
    }
}
