//! Numbers that the workers of one process share: a row of 64-bit words, plain in a simulation, atomic in a proxy.
//!
//! Algorithms whose state belongs to the process (limits, buckets, budgets, outlier and accrual state, EWMA) are
//! written once over [`Words`]. Each documents a block: its length as a constant, and what every word of it means.
//! A block starts at an offset `at` of a larger row, and a block of zeros is its initial state. Floats are stored as
//! their bits, moments as nanoseconds.
//!
//! No operation locks. Over atomics each single word is always consistent; rules that span several words may be
//! overshot by as many workers as race, which is what the systems modelled here document of themselves.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::time::Time;

/// A row of words. Indices out of range are a programming error and panic.
pub trait Words {
    /// The word at `i`.
    fn get(&self, i: usize) -> u64;

    /// Makes the word at `i` be `value`.
    fn set(&mut self, i: usize, value: u64);

    /// Replaces the word at `i` by `f` of it, as one step; returns the word before and after. `f` may run repeatedly.
    fn update(&mut self, i: usize, f: impl FnMut(u64) -> u64) -> (u64, u64);

    /// Adds `n` to the word at `i`, wrapping; returns the sum.
    fn add(&mut self, i: usize, n: u64) -> u64 {
        self.update(i, |word| word.wrapping_add(n)).1
    }

    /// Takes `n` from the word at `i`, wrapping; returns the difference.
    fn sub(&mut self, i: usize, n: u64) -> u64 {
        self.update(i, |word| word.wrapping_sub(n)).1
    }

    /// Takes one from the word at `i` unless it is zero; returns whether it did.
    fn take_one(&mut self, i: usize) -> bool {
        self.update(i, |word| word.saturating_sub(1)).0 > 0
    }

    /// Makes the word at `i` be `new` if it is `expected`, as one step; returns whether it was.
    fn replace_if(&mut self, i: usize, expected: u64, new: u64) -> bool {
        let replace = |word| if word == expected { new } else { word };
        self.update(i, replace).0 == expected
    }

    /// The float whose bits are the word at `i`.
    fn float(&self, i: usize) -> f64 {
        f64::from_bits(self.get(i))
    }

    /// Stores `value` at `i`.
    fn set_float(&mut self, i: usize, value: f64) {
        self.set(i, value.to_bits());
    }

    /// The moment stored at `i`.
    fn time(&self, i: usize) -> Time {
        Time::from_nanos(self.get(i))
    }

    /// Stores `time` at `i`.
    fn set_time(&mut self, i: usize, time: Time) {
        self.set(i, time.as_nanos());
    }

    /// Makes `count` words from `at` zero: the initial state of a block.
    fn clear(&mut self, at: usize, count: usize) {
        for i in at..at + count {
            self.set(i, 0);
        }
    }
}

impl Words for &mut [u64] {
    fn get(&self, i: usize) -> u64 {
        self[i]
    }

    fn set(&mut self, i: usize, value: u64) {
        self[i] = value;
    }

    fn update(&mut self, i: usize, mut f: impl FnMut(u64) -> u64) -> (u64, u64) {
        let before = self[i];
        self[i] = f(before);
        (before, self[i])
    }
}

impl Words for Vec<u64> {
    fn get(&self, i: usize) -> u64 {
        self[i]
    }

    fn set(&mut self, i: usize, value: u64) {
        self[i] = value;
    }

    fn update(&mut self, i: usize, f: impl FnMut(u64) -> u64) -> (u64, u64) {
        self.as_mut_slice().update(i, f)
    }
}

/// Plain words behind a shared reference: what one simulation lends its nodes.
impl Words for &[Cell<u64>] {
    fn get(&self, i: usize) -> u64 {
        self[i].get()
    }

    fn set(&mut self, i: usize, value: u64) {
        self[i].set(value);
    }

    fn update(&mut self, i: usize, mut f: impl FnMut(u64) -> u64) -> (u64, u64) {
        let before = self[i].get();
        let after = f(before);
        self[i].set(after);
        (before, after)
    }
}

/// Words that several workers share. Relaxed: every word stands for itself and none publishes other memory.
impl Words for &[AtomicU64] {
    fn get(&self, i: usize) -> u64 {
        self[i].load(Ordering::Relaxed)
    }

    fn set(&mut self, i: usize, value: u64) {
        self[i].store(value, Ordering::Relaxed);
    }

    fn update(&mut self, i: usize, mut f: impl FnMut(u64) -> u64) -> (u64, u64) {
        let word = &self[i];
        let mut before = word.load(Ordering::Relaxed);
        loop {
            let after = f(before);
            match word.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (before, after),
                Err(seen) => before = seen,
            }
        }
    }

    fn add(&mut self, i: usize, n: u64) -> u64 {
        self[i].fetch_add(n, Ordering::Relaxed).wrapping_add(n)
    }

    fn sub(&mut self, i: usize, n: u64) -> u64 {
        self[i].fetch_sub(n, Ordering::Relaxed).wrapping_sub(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(words: &mut impl Words) -> Vec<u64> {
        words.set(1, 5);
        let sum = words.add(1, 3);
        let wrapped = words.sub(0, 1);
        let (before, after) = words.update(2, |w| w + 7);
        let taken = words.take_one(3);
        words.set_float(3, 0.25);
        assert_eq!(words.float(3), 0.25);
        words.set_time(4, Time::from_nanos(9));
        assert_eq!(words.time(4), Time::from_nanos(9));
        assert!(words.replace_if(4, 9, 2) && !words.replace_if(4, 9, 3));
        words.clear(2, 1);
        let mut seen = vec![sum, wrapped, before, after, u64::from(taken)];
        seen.extend((0..5).map(|i| words.get(i)));
        seen
    }

    #[test]
    fn every_kind_of_row_gives_the_same_words() {
        let mut plain = vec![0_u64; 5];
        let cells: Vec<Cell<u64>> = (0..5).map(|_| Cell::new(0)).collect();
        let atoms: Vec<AtomicU64> = (0..5).map(|_| AtomicU64::new(0)).collect();
        let expected = exercise(&mut plain);
        assert_eq!(
            expected[..5],
            [8, u64::MAX, 0, 7, 0],
            "sum, wrapped difference, before, after, taken"
        );
        assert_eq!(exercise(&mut cells.as_slice()), expected);
        assert_eq!(exercise(&mut atoms.as_slice()), expected);
        plain.fill(0);
        assert_eq!(exercise(&mut plain.as_mut_slice()), expected);
    }

    #[test]
    fn racing_workers_never_take_more_than_there_is() {
        let atoms: Vec<AtomicU64> = vec![AtomicU64::new(1_000)];
        let taken: u32 = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut words = atoms.as_slice();
                        (0..400).map(|_| u32::from(words.take_one(0))).sum::<u32>()
                    })
                })
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!((taken, atoms[0].load(Ordering::Relaxed)), (1_000, 0));
    }
}
