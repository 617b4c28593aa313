//! Storage with reuse: a key stays valid until its entry is removed, and is recognised as stale after.

/// An entry's place and which of the place's tenants it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// A key of nothing.
    pub(crate) const NONE: Self = Self {
        index: u32::MAX,
        generation: 0,
    };

    /// Entries never have the place of [`Key::NONE`].
    pub(crate) const fn is_none(self) -> bool {
        self.index == Self::NONE.index
    }
}

#[derive(Clone, Debug)]
struct Entry<T> {
    /// Odd while the entry is live.
    generation: u32,
    /// Of a dead entry: the next dead one.
    next_free: u32,
    value: T,
}

#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    live: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: u32::MAX,
            live: 0,
        }
    }
}

impl<T: Copy> Slab<T> {
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.live += 1;
        if let Some(entry) = self.entries.get_mut(self.free as usize) {
            let index = self.free;
            self.free = entry.next_free;
            entry.generation = entry.generation.wrapping_add(1);
            entry.value = value;
            return Key {
                index,
                generation: entry.generation,
            };
        }
        let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 things in flight");
        self.entries.push(Entry {
            generation: 1,
            next_free: u32::MAX,
            value,
        });
        Key {
            index,
            generation: 1,
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let value = *self.get(key)?;
        let entry = &mut self.entries[key.index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next_free = self.free;
        self.free = key.index;
        self.live -= 1;
        Some(value)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation).then_some(&entry.value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        (entry.generation == key.generation).then_some(&mut entry.value)
    }

    #[inline]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// How many places there are, live or not; [`Slab::at`] visits them.
    pub(crate) fn places(&self) -> usize {
        self.entries.len()
    }

    /// The live entry at a place.
    pub(crate) fn at(&self, place: usize) -> Option<(Key, T)> {
        let entry = &self.entries[place];
        let key = Key {
            index: place as u32,
            generation: entry.generation,
        };
        (entry.generation % 2 == 1).then_some((key, entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.index, first.index, "places are reused");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!((slab.len(), slab.places()), (1, 1));
        assert_eq!(slab.at(0), Some((second, 'b')));
        assert!(!slab.contains(Key::NONE));
    }
}
