//! Which series there were, told apart by their name and tags.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::TagSet;

/// A set of series. It keeps 64 bits of each: of a million series, one in 18 trillion new ones is taken for another.
#[derive(Clone, Debug, Default)]
pub struct SeriesSet(HashSet<u64, FixedState>);

impl SeriesSet {
    /// Adds a series.
    pub fn insert(&mut self, series: &str, tags: &TagSet) {
        self.0.insert(mark(series, tags));
    }

    /// Whether a series is in it.
    pub fn contains(&self, series: &str, tags: &TagSet) -> bool {
        self.0.contains(&mark(series, tags))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn mark(series: &str, tags: &TagSet) -> u64 {
    FixedState::default().hash_one((series, tags.as_joined()))
}
