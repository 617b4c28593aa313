//! Requests in line, threaded through the jobs themselves, so that any of them can leave at no cost.

use super::job::Job;
use super::slab::{Key, Slab};

#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    first: Key,
    last: Key,
    len: u32,
}

impl Queue {
    pub(super) const EMPTY: Self = Self {
        first: Key::NONE,
        last: Key::NONE,
        len: 0,
    };

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn push(&mut self, jobs: &mut Slab<Job>, job: Key) {
        let last = self.last;
        let entry = jobs.get_mut(job).expect("only live jobs queue");
        (entry.before, entry.after) = (last, Key::NONE);
        match jobs.get_mut(last) {
            Some(last) => last.after = job,
            None => self.first = job,
        }
        self.last = job;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, jobs: &mut Slab<Job>, job: Key) {
        let entry = jobs.get(job).expect("only live jobs queue");
        let (before, after) = (entry.before, entry.after);
        match jobs.get_mut(before) {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        match jobs.get_mut(after) {
            Some(after) => after.before = before,
            None => self.last = before,
        }
        self.len -= 1;
    }

    /// The one that came first.
    pub(super) fn take_first(&mut self, jobs: &mut Slab<Job>) -> Option<Key> {
        let job = self.first;
        jobs.contains(job).then(|| {
            self.remove(jobs, job);
            job
        })
    }

    /// The one that came last.
    pub(super) fn take_last(&mut self, jobs: &mut Slab<Job>) -> Option<Key> {
        let job = self.last;
        jobs.contains(job).then(|| {
            self.remove(jobs, job);
            job
        })
    }
}
