//! What a collector measured: points, gaps, and the faults that cost it something.

use crate::Fault;
use crate::fault::Reason;

/// A value of a series that the manifest declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub series: String,
    /// Finite; the host refuses anything else.
    pub value: f64,
    /// `key:value`, keys as the manifest declares them.
    pub tags: Vec<String>,
}

/// A declared series without a value this time, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub series: String,
    pub reason: String,
}

/// The result of measuring, before it is emitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    pub points: Vec<Point>,
    pub gaps: Vec<Gap>,
    pub faults: Vec<Fault>,
}

impl Sheet {
    /// A value without tags. Counts of any integer type go through [`count`](Sheet::count).
    pub fn put(&mut self, series: &str, value: f64) {
        self.put_tagged(series, value, Vec::new());
    }

    /// A value with tags.
    pub fn put_tagged(&mut self, series: &str, value: f64, tags: Vec<String>) {
        self.points.push(Point { series: series.into(), value, tags });
    }

    /// A number of things. Exact up to 2^53.
    #[expect(clippy::cast_precision_loss, reason = "no collector counts to 2^53")]
    pub fn count(&mut self, series: &str, number: usize) {
        self.put(series, number as f64);
    }

    /// A value where there is one, else a gap with the reason: a mean over nothing has no value.
    pub fn put_or_gap(&mut self, series: &str, value: Option<f64>, reason: &str) {
        match value {
            Some(value) => self.put(series, value),
            None => self.gap(series, reason),
        }
    }

    /// Says that a series has no value, and why.
    pub fn gap(&mut self, series: &str, reason: impl Into<String>) {
        self.gaps.push(Gap { series: series.into(), reason: reason.into() });
    }

    /// A fault cost these series their values: each becomes a gap, and the run will be `partial`.
    pub fn lost(&mut self, series: &[&str], fault: &Fault) {
        for name in series {
            self.gap(name, fault.message.clone());
        }
        // One fault that costs several groups of series is one.
        if !self.faults.contains(fault) {
            self.faults.push(fault.clone());
        }
    }
}

/// Hands a sheet to the host: points, then gaps.
///
/// # Errors
/// The first fault that cost the sheet a series, else the first refusal of a point or gap by the host. Everything else of
/// the sheet is emitted all the same.
pub fn emit(sheet: Sheet) -> Result<(), Fault> {
    // One call carries at most this many, far below the host's bound for what one call may hand over.
    const POINTS_PER_CALL: usize = 1000;
    let mut faults = sheet.faults;
    let mut points = sheet.points.into_iter().peekable();
    while points.peek().is_some() {
        let batch = points.by_ref().take(POINTS_PER_CALL).collect();
        if let Err(refusal) = crate::boundary::emit(batch) {
            faults.push(Fault::new(Reason::Contract, refusal));
        }
    }
    for gap in sheet.gaps {
        if let Err(refusal) = crate::boundary::gap(gap) {
            faults.push(Fault::new(Reason::Contract, refusal));
        }
    }
    let more = faults.len().saturating_sub(1);
    match faults.into_iter().next() {
        None => Ok(()),
        Some(fault) if more == 0 => Err(fault),
        Some(mut fault) => {
            fault.message = format!("{} (and {more} more)", fault.message);
            Err(fault)
        }
    }
}
