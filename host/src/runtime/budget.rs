//! How many series a collector may have within an hour, which is how Datadog counts custom metrics.
//!
//! A tag whose values come and go, like a pod's name, makes new series in every cycle, however few points each has.

use std::sync::Arc;

use super::journal::Journal;
use crate::model::{SeriesSet, TagSet};

/// What is left of a collector's series.
#[derive(Default)]
pub(super) struct SeriesBudget {
    series_max: usize,
    journal: Option<Arc<dyn Journal>>,
    /// Points within the hour, before this attempt: no fewer than its series.
    points_before: usize,
    /// The series of the hour; read when there are so many points that the budget may be used up.
    known: Option<SeriesSet>,
    /// Series of this attempt that are not among them.
    fresh: usize,
}

impl SeriesBudget {
    /// Of a collector whose points stand in this journal; without one, of this attempt alone.
    pub fn new(series_max: usize, journal: Option<Arc<dyn Journal>>) -> SeriesBudget {
        let points_before = journal.as_ref().map_or(0, |journal| journal.points_within_hour());
        SeriesBudget { series_max, journal, points_before, known: None, fresh: 0 }
    }

    /// Reads the hour's series where one more point than these may need it; `fresh` counts those of the attempt that are not among them.
    pub fn prepare(&mut self, points: usize, fresh: impl FnOnce(&SeriesSet) -> usize) {
        if self.known.is_none() && self.points_before + points >= self.series_max {
            let known = self.journal.as_ref().map(|journal| journal.series_within_hour()).unwrap_or_default();
            self.fresh = fresh(&known);
            self.known = Some(known);
        }
    }

    /// Whether the attempt may have this series, which it has not had yet; then it counts.
    pub fn takes(&mut self, series: &str, tags: &TagSet) -> bool {
        let Some(known) = &self.known else { return true };
        if known.contains(series, tags) {
            return true;
        }
        let is_left = known.len() + self.fresh < self.series_max;
        self.fresh += usize::from(is_left);
        is_left
    }

    /// How many there may be.
    pub fn series_max(&self) -> usize {
        self.series_max
    }
}
