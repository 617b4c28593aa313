//! What writers of several targets share.

pub(crate) mod backends;
pub(crate) mod doors;
pub(crate) mod duration;
pub(crate) mod edits;
pub(crate) mod groups;
pub(crate) mod matching;
pub(crate) mod retries;
