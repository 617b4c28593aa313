//! What a driver has yet to do.

/// Actions in order. A driver takes them all after every input, so the list begins at its front again each time.
#[derive(Clone, Debug)]
pub(crate) struct Outbox<T> {
    list: Vec<T>,
    taken: usize,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            taken: 0,
        }
    }
}

impl<T: Copy> Outbox<T> {
    #[inline]
    pub(crate) fn push(&mut self, action: T) {
        self.list.push(action);
    }

    /// Gives all that was not taken yet in `into`, which must be empty and whose memory is used on; false: there is nothing.
    #[inline]
    pub(crate) fn take(&mut self, into: &mut Vec<T>) -> bool {
        debug_assert!(into.is_empty(), "actions would be lost");
        if self.list.is_empty() {
            return false;
        }
        if self.taken > 0 {
            self.list.drain(..self.taken);
            self.taken = 0;
        }
        core::mem::swap(&mut self.list, into);
        !into.is_empty()
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let next = self.list.get(self.taken).copied();
        if next.is_some() {
            self.taken += 1;
        } else {
            self.list.clear();
            self.taken = 0;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_come_in_order_even_when_more_come_while_they_are_taken() {
        let mut outbox = Outbox::default();
        for round in 0..3 {
            outbox.push((round, 'a'));
            outbox.push((round, 'b'));
            assert_eq!(outbox.pop(), Some((round, 'a')));
            outbox.push((round, 'c'));
            assert_eq!(outbox.pop(), Some((round, 'b')));
            assert_eq!(outbox.pop(), Some((round, 'c')));
            assert_eq!(outbox.pop(), None);
        }
    }

    #[test]
    fn all_are_taken_at_once_but_those_that_were_taken_before() {
        let (mut outbox, mut taken) = (Outbox::default(), Vec::new());
        assert!(!outbox.take(&mut taken));
        for action in ['a', 'b', 'c'] {
            outbox.push(action);
        }
        assert_eq!(outbox.pop(), Some('a'));
        assert!(outbox.take(&mut taken));
        assert_eq!((taken.as_slice(), outbox.pop()), (&['b', 'c'][..], None));
    }
}
