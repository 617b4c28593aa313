//! Whose turn it is.

use std::collections::VecDeque;

use super::slab::Key;

/// Keys in line. Mostly there is one or none, which is kept outside the queue.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    first: Key,
    /// Empty while there is no first.
    more: VecDeque<Key>,
}

impl Default for Ready {
    fn default() -> Self {
        Self {
            first: Key::NONE,
            more: VecDeque::new(),
        }
    }
}

impl Ready {
    #[inline]
    pub(super) fn push(&mut self, key: Key) {
        if self.first.is_none() {
            self.first = key;
        } else {
            self.more.push_back(key);
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Key> {
        if self.first.is_none() {
            return None;
        }
        let next = if self.more.is_empty() {
            Key::NONE
        } else {
            self.more.pop_front().unwrap_or(Key::NONE)
        };
        Some(core::mem::replace(&mut self.first, next))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_in_the_order_they_were_put_in(pushes in prop::collection::vec(any::<bool>(), 0..60)) {
            let (mut ready, mut line) = (Ready::default(), VecDeque::new());
            for (index, push) in (0..).zip(pushes) {
                let key = Key { index, generation: 1 };
                if push {
                    ready.push(key);
                    line.push_back(key);
                } else {
                    prop_assert_eq!(ready.pop(), line.pop_front());
                }
                prop_assert_eq!(ready.is_empty(), line.is_empty());
            }
        }
    }
}
