//! Where accepted points stand before `emit` answers.

use crate::model::{PointRef, SeriesSet};

/// Keeps points beyond the life of the process.
pub trait Journal: Send + Sync {
    /// Keeps points that were accepted. When this returns, the guest is told that they are.
    fn keep(&self, points: &mut dyn Iterator<Item = PointRef<'_>>);

    /// How many points of the collector, or more, were kept within the hour that ends with the cycle's slot.
    fn points_within_hour(&self) -> usize;

    /// The series of these points, by the tags that the collector gave them.
    fn series_within_hour(&self) -> SeriesSet;
}
