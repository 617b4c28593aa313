//! Ids of what a node holds. Each is an index into the node's own arena with a generation, so that a late timer or a
//! late answer for something gone is recognised and ignored. Drivers may use the index for side tables.

macro_rules! arena_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            /// Dense and reused.
            pub index: u32,
            /// Changes whenever the index is reused.
            pub generation: u32,
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}#{}.{}", stringify!($name), self.index, self.generation)
            }
        }

        impl From<RawId> for $name {
            fn from(raw: RawId) -> Self {
                Self { index: raw.index, generation: raw.generation }
            }
        }

        impl From<$name> for RawId {
            fn from(id: $name) -> Self {
                Self { index: id.index, generation: id.generation }
            }
        }
    };
}

/// An id without its kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RawId {
    /// Dense and reused.
    pub index: u32,
    /// Changes whenever the index is reused.
    pub generation: u32,
}

arena_id!(
    /// A connection that a client opened to the node.
    DownstreamId
);
arena_id!(
    /// A connection that the node opened to an endpoint.
    UpstreamId
);
arena_id!(
    /// One request and all that is done for it.
    ExchangeId
);
arena_id!(
    /// A client whose datagrams go to one endpoint.
    SessionId
);

/// One try of one exchange; tries count from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AttemptId {
    /// Whose try.
    pub exchange: ExchangeId,
    /// Which one.
    pub number: u16,
}

/// A cluster of a node: sections laid end to end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClusterId(pub u32);

/// An endpoint's slot in its cluster's state. Slots of endpoints that went away stay until nothing refers to them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EndpointSlot(pub u32);

/// An arena with reuse: dense indices, generations against stale ids.
#[derive(Clone, Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Arena<T> {
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> RawId {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            RawId {
                index,
                generation: slot.generation,
            }
        } else {
            let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 live entries");
            self.slots.push(Slot {
                generation: 0,
                value: Some(value),
            });
            RawId {
                index,
                generation: 0,
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: impl Into<RawId>) -> Option<&T> {
        let id = id.into();
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: impl Into<RawId>) -> Option<&mut T> {
        let id = id.into();
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: impl Into<RawId>) -> Option<T> {
        let id = id.into();
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(value)
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RawId, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let id = RawId {
                index: index as u32,
                generation: slot.generation,
            };
            slot.value.as_ref().map(|v| (id, v))
        })
    }
}
