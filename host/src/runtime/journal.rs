//! Where accepted points stand before `emit` answers.

use crate::model::PointRef;

/// Keeps points beyond the life of the process.
pub trait Journal: Send + Sync {
    /// Keeps points that were accepted. When this returns, the guest is told that they are.
    fn keep(&self, points: &mut dyn Iterator<Item = PointRef<'_>>);
}
