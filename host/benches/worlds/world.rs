//! A world: an upstream of some size, and what a collector must make of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::binary::Run;
use super::server::Upstream;

/// A large world for one collector.
pub struct World {
    pub collector: &'static str,
    /// How many there are of what, for the reader.
    pub holds: Vec<(usize, &'static str)>,
    /// Its part of `host.toml`, for the upstream at an address.
    pub plan: fn(&str) -> String,
    pub environment: &'static [(&'static str, &'static str)],
    /// Whether an earlier cycle has left its workloads in the state.
    pub is_remembered: bool,
    pub upstream: Arc<dyn Upstream>,
    pub figures: Vec<Figure>,
}

/// A figure that the world determines: the sum of a series' points over all their tags.
#[derive(Debug)]
pub struct Figure {
    pub series: String,
    value: f64,
}

/// What counts become when they are figures.
pub trait Value {
    fn value(self) -> f64;
}

impl Value for f64 {
    fn value(self) -> f64 {
        self
    }
}

impl Value for usize {
    fn value(self) -> f64 {
        self as f64
    }
}

/// A figure.
pub fn figure(series: impl Into<String>, value: impl Value) -> Figure {
    Figure { series: series.into(), value: value.value() }
}

/// A number as people read it: `26,000`.
fn group(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

impl World {
    /// What there is, on a line.
    pub fn describe(&self) -> String {
        let holds = self.holds.iter().map(|(count, what)| format!("{} {what}", group(*count)));
        holds.collect::<Vec<_>>().join(", ")
    }

    /// The run must have emitted every figure, with no gap and no fault.
    pub fn check(&self, run: &Run) -> Result<(), String> {
        if let Some(message) = &run.message {
            return Err(format!("{}: {message}", run.outcome));
        }
        if run.outcome != "emitted" || !run.gaps.is_empty() {
            let gaps: Vec<String> = run.gaps.iter().map(|gap| format!("{} ({})", gap.series, gap.reason)).collect();
            return Err(format!("{}, gaps: {}", run.outcome, gaps.join(", ")));
        }
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for point in &run.values {
            *sums.entry(&point.series).or_default() += point.value;
        }
        let wrong =
            self.figures.iter().filter_map(|figure| figure.find_wrong(sums.get(figure.series.as_str()).copied()));
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

impl Figure {
    fn find_wrong(&self, got: Option<f64>) -> Option<String> {
        let Figure { series, value } = self;
        // Sums of the same numbers in another order.
        let is_it = |got: f64| (got - value).abs() <= value.abs() * 1e-9;
        match got {
            Some(got) if is_it(got) => None,
            Some(got) => Some(format!("{series} is {got}, not {value}")),
            None => Some(format!("{series} is missing, not {value}")),
        }
    }
}
