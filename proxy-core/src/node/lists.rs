//! The two lists of the common path: what the driver has to do, and the tries of an exchange. Both are short and often used.

use super::contract::{Action, Target};
use super::machine::Attempt;

/// What the driver has yet to do, in order. It is drained after every call, so that it starts at its front again each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Actions {
    list: Vec<(Target, Action)>,
    taken: usize,
}

impl Actions {
    #[inline]
    pub(super) fn push(&mut self, target: Target, action: Action) {
        self.list.push((target, action));
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Target, Action)> {
        let next = self.list.get(self.taken).copied();
        if next.is_some() {
            self.taken += 1;
        } else {
            self.list.clear();
            self.taken = 0;
        }
        next
    }

    /// Gives all that was not taken yet in `into`, which must be empty and whose memory is used on; false: there is nothing.
    #[inline]
    pub(super) fn take(&mut self, into: &mut Vec<(Target, Action)>) -> bool {
        debug_assert!(into.is_empty(), "actions would be lost");
        if self.taken > 0 {
            self.list.drain(..self.taken);
            self.taken = 0;
        }
        core::mem::swap(&mut self.list, into);
        !into.is_empty()
    }

    /// The targets of those not taken yet.
    pub(super) fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.list[self.taken..].iter_mut().map(|(target, _)| target)
    }
}

/// The tries of an exchange that are under way, in the order in which they began: one, unless the route hedges.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    first: Option<Attempt>,
    /// Empty while there is no first.
    more: Vec<Attempt>,
}

impl Attempts {
    #[inline]
    pub(super) fn push(&mut self, attempt: Attempt) {
        if self.first.is_none() {
            self.first = Some(attempt);
        } else {
            self.more.push(attempt);
        }
    }

    #[inline]
    pub(super) fn get(&self, number: u16) -> Option<&Attempt> {
        match &self.first {
            Some(first) if first.number == number => Some(first),
            Some(_) => self.more.iter().find(|a| a.number == number),
            None => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u16) -> Option<&mut Attempt> {
        match &mut self.first {
            Some(first) if first.number == number => Some(first),
            Some(_) => self.more.iter_mut().find(|a| a.number == number),
            None => None,
        }
    }

    #[inline]
    pub(super) fn take(&mut self, number: u16) -> Option<Attempt> {
        if self.first.is_some_and(|first| first.number == number) {
            let next = (!self.more.is_empty()).then(|| self.more.remove(0));
            return core::mem::replace(&mut self.first, next);
        }
        let at = self.more.iter().position(|a| a.number == number)?;
        Some(self.more.remove(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether a try other than number `number` is under way.
    #[inline]
    pub(super) fn has_other_than(&self, number: Option<u16>) -> bool {
        let other = |a: &Attempt| Some(a.number) != number;
        self.first.as_ref().is_some_and(other) || self.more.iter().any(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::contract::Side;
    use crate::node::machine::AttemptStage;
    use crate::time::Time;
    use proptest::prelude::*;

    fn attempt(number: u16) -> Attempt {
        Attempt {
            number,
            start: Time::ZERO,
            sent: Time::ZERO,
            stage: AttemptStage::Unplaced,
            endpoint: None,
            pool: 0,
            upstream: None,
            hedged: false,
            overtaken: false,
            charged: false,
            per_try_armed: false,
            last_activity: Time::ZERO,
            idle_armed: false,
            status: 0,
        }
    }

    #[test]
    fn actions_come_in_the_order_they_were_put_in_across_calls() {
        let mut actions = Actions::default();
        let pauses = [Side::Upstream, Side::Downstream];
        for round in 0..3 {
            for side in pauses {
                actions.push(Target::Node, Action::Pause(side));
            }
            assert_eq!(actions.targets_mut().count(), 2, "round {round}");
            for side in pauses {
                assert_eq!(actions.pop(), Some((Target::Node, Action::Pause(side))));
            }
            assert_eq!(actions.pop(), None);
        }
    }

    #[test]
    fn all_are_taken_at_once_but_those_that_were_taken_before() {
        let (mut actions, mut taken) = (Actions::default(), Vec::new());
        assert!(!actions.take(&mut taken));
        let pauses = [Side::Upstream, Side::Downstream, Side::Upstream];
        pauses.map(|side| actions.push(Target::Node, Action::Pause(side)));
        assert!(actions.pop().is_some());
        assert!(actions.take(&mut taken));
        let rest = pauses[1..]
            .iter()
            .map(|side| (Target::Node, Action::Pause(*side)));
        assert_eq!(taken, rest.collect::<Vec<_>>());
        assert_eq!(actions.pop(), None);
    }

    proptest! {
        #[test]
        fn tries_behave_like_a_list(takes in prop::collection::vec(0_u16..8, 0..40)) {
            let mut tries = Attempts::default();
            let mut list: Vec<u16> = Vec::new();
            for (n, take) in takes.into_iter().enumerate() {
                let number = n as u16 % 8;
                if !list.contains(&number) {
                    tries.push(attempt(number));
                    list.push(number);
                }
                let at = list.iter().position(|n| *n == take);
                prop_assert_eq!(tries.get(take).is_some(), at.is_some());
                prop_assert_eq!(tries.get_mut(take).is_some(), at.is_some());
                prop_assert_eq!(tries.has_other_than(Some(take)), list.iter().any(|n| *n != take));
                prop_assert_eq!(tries.take(take).map(|a| a.number), at.map(|at| list.remove(at)));
                prop_assert_eq!(tries.iter().map(|a| a.number).collect::<Vec<_>>(), list.clone());
                prop_assert_eq!(tries.is_empty(), list.is_empty());
            }
        }
    }
}
