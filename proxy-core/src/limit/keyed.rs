//! State by key: one entry for each client, header value or host that a gate counts, in memory that is bounded.
//!
//! A table has levels. The first has one set of eight entries, and a level is made when a key finds no room in those before it, so that a
//! gate with few clients stays small. A key may lie in one set of each level and is looked for in all of them. Levels never move, and an entry
//! is taken by one exchange of a word: nothing locks but the making of a level.
//!
//! What happens at the bound: entries of which nothing would be lost (a drained bucket, windows that are over, no request under way) are
//! given away first, whatever the bound; then, in the sets that the new key may use, the one that was used longest ago loses its state, as
//! in NGINX and Traefik. An entry with requests under way is never given away: where there is no other, there is no room (`Table::find`
//! has none).
//!
//! Keys are told apart by 64 bits of a hash whose seed is the table's own. Two keys with one hash would share an entry.

use smallvec::SmallVec;
use xxhash_rust::xxh64::xxh64;

use crate::config::Name;
use crate::shared::{BlockKey, SharedState};
use crate::time::Time;
use crate::words::Words;

/// Sets of each level.
const SETS: [usize; 5] = [1, 8, 64, 512, 8_192];
/// Entries of a set.
const WAYS: usize = 8;
/// Words of an entry before its state: the hash of its key (0: nobody's) and when it was last used.
const HEAD: usize = 2;
/// Words before the entries of the first level: the seed, and the number of levels.
const TABLE_HEAD: usize = 2;
/// Words that all tables of a process may take beyond their first two levels: 32 MiB.
const MOST_WORDS: u64 = 1 << 22;

/// The most keys of a table.
pub const MOST_KEYS: usize = {
    let (mut sum, mut i) = (0, 0);
    while i < SETS.len() {
        sum += SETS[i] * WAYS;
        i += 1;
    }
    sum
};

/// How much an entry is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Nothing would be lost.
    Spare,
    /// Its key would begin anew.
    Wanted,
    /// It must stay.
    Held,
}

/// A worker's knowledge of a table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    name: Name,
    /// Tells tables of one name apart.
    shape: u64,
    /// Words of an entry's state.
    state: usize,
    /// The word that counts what the tables of the process take.
    budget: usize,
    /// Where the levels known so far begin.
    levels: SmallVec<[usize; SETS.len()]>,
}

impl Table {
    /// The table of this name whose entries have so many words, found or made. `seed` is of account where it is made.
    pub(crate) fn new(
        shared: &mut impl SharedState,
        (name, shape): (&Name, u64),
        state: usize,
        seed: u64,
    ) -> Self {
        let mut table = Self {
            name: name.clone(),
            shape,
            state,
            budget: shared.block(&BlockKey::GateWords, 1),
            levels: SmallVec::new(),
        };
        let at = table.level(shared, 0);
        shared.replace_if(at, 0, seed | 1);
        table
    }

    /// Whether it is the table of gates of this shape.
    pub(crate) const fn is(&self, shape: u64) -> bool {
        self.shape == shape
    }

    const fn entry(&self) -> usize {
        HEAD + self.state
    }

    fn size(&self, level: usize) -> usize {
        let head = if level == 0 { TABLE_HEAD } else { 0 };
        head + SETS[level] * WAYS * self.entry()
    }

    /// Where a level begins, which is made if nobody has made it.
    fn level(&mut self, shared: &mut impl SharedState, level: usize) -> usize {
        while self.levels.len() <= level {
            let next = self.levels.len();
            let key = BlockKey::Gate(self.name.clone(), self.shape << 8 | next as u64);
            let at = shared.block(&key, self.size(next));
            self.levels.push(at);
        }
        self.levels[level]
    }

    /// The hash of a key.
    pub(crate) fn hash(&self, shared: &impl Words, key: &[u8]) -> u64 {
        xxh64(key, shared.get(self.levels[0])).max(1)
    }

    /// How many levels there are.
    fn made(&self, shared: &impl Words) -> usize {
        (shared.get(self.levels[0] + 1) as usize + 1).min(SETS.len())
    }

    /// Where the state of a key begins; all zero if it is new. None: there is no room for it.
    ///
    /// `need` is asked about the state that begins at a word.
    pub(crate) fn find<S: SharedState>(
        &mut self,
        shared: &mut S,
        hash: u64,
        now: Time,
        need: impl Fn(&S, usize) -> Need,
    ) -> Option<usize> {
        // as often as other workers take the entry that was to be taken
        for _ in 0..WAYS {
            match self.look(shared, hash, &need) {
                Looked::Found(entry) => return Some(self.used(shared, entry, now)),
                Looked::Free(entry, old) => {
                    if !shared.replace_if(entry, old, hash) {
                        continue;
                    }
                    // a count of what is under way is zero, unless a worker has just counted with it
                    if self.shape != SEATS {
                        shared.clear(entry + HEAD, self.state);
                    }
                    return Some(self.used(shared, entry, now));
                }
                Looked::Full(level) if self.grow(shared, level) => {}
                Looked::Full(_) => return None,
                Looked::Crowded(level, entry, old) => {
                    if !self.grow(shared, level) && shared.replace_if(entry, old, hash) {
                        shared.clear(entry + HEAD, self.state);
                        return Some(self.used(shared, entry, now));
                    }
                }
            }
        }
        None
    }

    fn used(&self, shared: &mut impl Words, entry: usize, now: Time) -> usize {
        shared.set_time(entry + 1, now);
        entry + HEAD
    }

    fn look<S: SharedState>(
        &mut self,
        shared: &mut S,
        hash: u64,
        need: &impl Fn(&S, usize) -> Need,
    ) -> Looked {
        let made = self.made(shared);
        let mut free = None;
        let mut oldest: Option<(Time, usize, u64)> = None;
        for (level, sets) in SETS.iter().enumerate().take(made) {
            let entries = sets * WAYS * self.entry();
            let begin = self.level(shared, level) + self.size(level) - entries;
            let set = hash.rotate_left(13 * level as u32) as usize % sets;
            for way in 0..WAYS {
                let entry = begin + (set * WAYS + way) * self.entry();
                let owner = shared.get(entry);
                if owner == hash {
                    return Looked::Found(entry);
                }
                if free.is_some() {
                    continue;
                }
                match if owner == 0 {
                    Need::Spare
                } else {
                    need(shared, entry + HEAD)
                } {
                    Need::Spare => free = Some((entry, owner)),
                    Need::Wanted => {
                        let used = shared.time(entry + 1);
                        if oldest.is_none_or(|(time, ..)| used < time) {
                            oldest = Some((used, entry, owner));
                        }
                    }
                    Need::Held => {}
                }
            }
        }
        match (free, oldest) {
            (Some((entry, owner)), _) => Looked::Free(entry, owner),
            (None, Some((_, entry, owner))) => Looked::Crowded(made, entry, owner),
            (None, None) => Looked::Full(made),
        }
    }

    /// Makes the level of this number, unless there are enough.
    fn grow(&mut self, shared: &mut impl SharedState, level: usize) -> bool {
        if level >= SETS.len() {
            return false;
        }
        let size = self.size(level) as u64;
        let bounded = level > 1;
        if bounded && shared.get(self.budget) + size > MOST_WORDS {
            return false;
        }
        self.level(shared, level);
        let made = self.levels[0] + 1;
        if shared.replace_if(made, level as u64 - 1, level as u64) && bounded {
            shared.add(self.budget, size);
        }
        true
    }
}

/// The shape of tables that count what is under way.
pub(crate) const SEATS: u64 = 1;

enum Looked {
    Found(usize),
    /// One that nobody needs, and whose it was.
    Free(usize, u64),
    /// None is free in so many levels; of those the one that was used longest ago.
    Crowded(usize, usize, u64),
    /// All are held.
    Full(usize),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::shared::PlainState;
    use crate::time::Duration;

    fn second(s: u64) -> Time {
        Time::ZERO + Duration::from_secs(s)
    }

    fn table(shared: &mut PlainState, shape: u64) -> Table {
        Table::new(shared, (&"t".into(), shape), 1, 7)
    }

    /// Needed while it is not zero.
    fn counts(shared: &PlainState, at: usize) -> Need {
        match shared.get(at) {
            0 => Need::Spare,
            1..1_000 => Need::Wanted,
            _ => Need::Held,
        }
    }

    fn put(table: &mut Table, shared: &mut PlainState, key: u32, value: u64, at: Time) -> bool {
        let hash = table.hash(shared, &key.to_le_bytes());
        let found = table.find(shared, hash, at, counts);
        if let Some(found) = found {
            shared.set(found, value);
        }
        found.is_some()
    }

    fn get(table: &mut Table, shared: &mut PlainState, key: u32) -> u64 {
        let hash = table.hash(shared, &key.to_le_bytes());
        match table.look(shared, hash, &counts) {
            Looked::Found(entry) => shared.get(entry + HEAD),
            Looked::Free(..) | Looked::Crowded(..) | Looked::Full(_) => 0,
        }
    }

    #[test]
    fn each_key_has_a_state_of_its_own() {
        let mut shared = PlainState::default();
        let mut table = table(&mut shared, 0);
        for key in 0..5_000 {
            assert!(put(
                &mut table,
                &mut shared,
                key,
                u64::from(key % 900) + 1,
                second(1)
            ));
        }
        for key in 0..5_000 {
            assert_eq!(get(&mut table, &mut shared, key), u64::from(key % 900) + 1);
        }
    }

    #[test]
    fn few_keys_take_little_room() {
        let mut shared = PlainState::default();
        let mut table = table(&mut shared, 0);
        for key in 0..8 {
            put(&mut table, &mut shared, key, 1, second(1));
        }
        assert_eq!(table.levels.len(), 1);
        put(&mut table, &mut shared, 8, 1, second(1));
        assert_eq!(table.levels.len(), 2);
    }

    #[test]
    fn what_nobody_needs_is_given_away_before_a_level_is_made() {
        let mut shared = PlainState::default();
        let mut table = table(&mut shared, 0);
        for key in 0..1_000 {
            put(&mut table, &mut shared, key, 0, second(u64::from(key)));
        }
        assert_eq!(table.levels.len(), 1);
    }

    #[test]
    fn at_the_bound_the_key_that_was_used_longest_ago_begins_anew() {
        let mut shared = PlainState::default();
        let mut table = table(&mut shared, 0);
        let all = 2 * MOST_KEYS as u32;
        for key in 0..all {
            assert!(put(&mut table, &mut shared, key, 1, second(u64::from(key))));
        }
        let known = |table: &mut Table, shared: &mut PlainState, keys: core::ops::Range<u32>| {
            keys.filter(|key| get(table, shared, *key) > 0).count()
        };
        let kept = known(&mut table, &mut shared, 0..all);
        assert!(kept <= MOST_KEYS && kept > MOST_KEYS * 9 / 10, "{kept}");
        let latest = known(&mut table, &mut shared, all - 10_000..all);
        assert!(latest > 9_990, "{latest}");
        let first = known(&mut table, &mut shared, 0..10_000);
        assert!(first < 1_000, "{first}");
    }

    #[test]
    fn what_is_under_way_is_never_given_away() {
        let mut shared = PlainState::default();
        let mut table = table(&mut shared, SEATS);
        let all = 2 * MOST_KEYS as u32;
        let put: Vec<bool> = (0..all)
            .map(|key| {
                put(
                    &mut table,
                    &mut shared,
                    key,
                    1_000 + u64::from(key),
                    second(1),
                )
            })
            .collect();
        for (key, put) in put.iter().enumerate() {
            let want = if *put { 1_000 + key as u64 } else { 0 };
            assert_eq!(get(&mut table, &mut shared, key as u32), want, "{key}");
        }
        let refused = put.iter().filter(|put| !**put).count();
        assert!(refused >= MOST_KEYS, "{refused}");
    }

    #[test]
    fn the_tables_of_a_process_share_what_room_there_is() {
        let mut shared = PlainState::default();
        let tables = (0..40).map(|n| {
            let name: Name = format!("t{n}").into();
            Table::new(&mut shared, (&name, 0), 1, n)
        });
        let mut tables: Vec<Table> = tables.collect();
        for table in &mut tables {
            for key in 0..20_000 {
                assert!(put(table, &mut shared, key, 1, second(1)));
            }
        }
        let budget = shared.block(&BlockKey::GateWords, 1);
        assert!(shared.get(budget) <= MOST_WORDS, "{}", shared.get(budget));
        let large = tables
            .iter()
            .filter(|table| table.levels.len() == SETS.len());
        let large = large.count();
        assert!(large > 10 && large < 40, "{large}");
    }

    /// Words that threads share.
    #[derive(Clone)]
    struct Atoms(Arc<Inner>);

    struct Inner {
        words: Vec<AtomicU64>,
        blocks: Mutex<(BTreeMap<BlockKey, usize>, usize)>,
    }

    impl Words for Atoms {
        fn get(&self, i: usize) -> u64 {
            self.0.words[i].load(Ordering::SeqCst)
        }

        fn set(&mut self, i: usize, value: u64) {
            self.0.words[i].store(value, Ordering::SeqCst);
        }

        fn update(&mut self, i: usize, f: impl FnMut(u64) -> u64) -> (u64, u64) {
            self.0.words.as_slice().update(i, f)
        }
    }

    impl SharedState for Atoms {
        fn block(&mut self, key: &BlockKey, words: usize) -> usize {
            let mut blocks = self.0.blocks.lock().unwrap();
            if let Some(at) = blocks.0.get(key) {
                return *at;
            }
            let at = blocks.1;
            blocks.1 += words;
            blocks.0.insert(key.clone(), at);
            at
        }
    }

    #[test]
    fn racing_workers_give_back_every_seat_and_never_take_one_too_many() {
        let shared = Atoms(Arc::new(Inner {
            words: (0..1 << 16).map(|_| AtomicU64::new(0)).collect(),
            blocks: Mutex::default(),
        }));
        let need = |shared: &Atoms, at: usize| match shared.get(at) {
            0 => Need::Spare,
            _ => Need::Held,
        };
        let work = |mut shared: Atoms, worker: u64| {
            let mut table = Table::new(&mut shared, (&"t".into(), SEATS), 1, 7);
            for n in 0..20_000_u64 {
                // few keys at first, so that levels are made while others look
                let key = (n * (worker * 2 + 1)) % (1 + n / 100);
                let hash = table.hash(&shared, &key.to_le_bytes());
                let Some(at) = table.find(&mut shared, hash, second(n), need) else {
                    continue;
                };
                let (before, after) = shared.update(at, |taken| (taken + 1).min(2));
                assert!(after <= 2);
                if before < 2 {
                    assert!(shared.take_one(at), "it was taken just now");
                }
            }
        };
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let shared = shared.clone();
                scope.spawn(move || work(shared, worker));
            }
        });
        let mut shared = shared;
        let mut table = Table::new(&mut shared, (&"t".into(), SEATS), 1, 7);
        for key in 0..201_u64 {
            let hash = table.hash(&shared, &key.to_le_bytes());
            let at = table.find(&mut shared, hash, second(0), need).unwrap();
            assert_eq!(shared.get(at), 0, "{key}");
        }
    }

    #[test]
    fn workers_meet_in_one_state() {
        let mut shared = PlainState::default();
        let mut one = table(&mut shared, 0);
        let mut other = table(&mut shared, 0);
        for key in 0..1_000 {
            put(&mut one, &mut shared, key, u64::from(key) + 1, second(1));
            assert_eq!(get(&mut other, &mut shared, key), u64::from(key) + 1);
        }
    }
}
