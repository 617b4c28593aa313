//! The exchanges under way.

use super::machine::Exchange;
use crate::ids::ExchangeId;

/// Exchanges by id. Each stays where it was put until its place is used again, so that none is ever moved: they are the
/// largest and most often made things of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Slot {
    /// That of the exchange here; of the next one while there is none, so that no id fits.
    generation: u32,
    live: bool,
    /// None: the place was never used.
    exchange: Option<Exchange>,
}

impl Exchanges {
    /// Puts the exchange in that `make` gives, and gives its id.
    #[inline]
    pub(super) fn insert(&mut self, make: impl FnOnce() -> Exchange) -> ExchangeId {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.add_place(),
        };
        let slot = &mut self.slots[index as usize];
        slot.live = true;
        // what was here goes first: with nothing between its making and its place, the new one is made there
        slot.exchange = None;
        slot.exchange = Some(make());
        ExchangeId {
            index,
            generation: slot.generation,
        }
    }

    #[cold]
    fn add_place(&mut self) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 requests under way");
        self.slots.push(Slot {
            generation: 0,
            live: false,
            exchange: None,
        });
        // all may end before another begins: room is made now, so that the end of one never asks for memory
        self.free.reserve(self.slots.len());
        index
    }

    #[inline]
    pub(super) fn get(&self, id: ExchangeId) -> Option<&Exchange> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.exchange.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.exchange.as_mut()
    }

    /// An exchange that the caller knows to be there.
    #[inline(always)]
    pub(super) fn existing(&mut self, id: ExchangeId) -> &mut Exchange {
        self.get_mut(id).expect("the caller has just found it")
    }

    /// Takes an exchange out, if it is there: from now on its id is stale.
    #[inline]
    pub(super) fn remove(&mut self, id: ExchangeId) {
        if let Some(slot) = self.slots.get_mut(id.index as usize)
            && slot.generation == id.generation
        {
            slot.generation = slot.generation.wrapping_add(1);
            slot.live = false;
            self.free.push(id.index);
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All of them, in the order of their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ExchangeId, &Exchange)> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.live);
        live.filter_map(|(index, slot)| {
            let id = ExchangeId {
                index: index as u32,
                generation: slot.generation,
            };
            Some((id, slot.exchange.as_ref()?))
        })
    }
}
