//! The table: a row for each world, medians, and how much of each limit is used.

use std::fmt;

use host::config::File;
use host::limits::{ByteSize, HOST_BYTES, Limits};

use super::binary::Run;
use super::world::World;

const HEADER: [&str; 10] =
    ["collector", "points", "requests", "received", "fuel", "memory", "time", "process", "outcome", "world"];

/// Figures of all worlds, each with its share of the default limit.
pub struct Table(Vec<[String; 10]>);

impl Default for Table {
    fn default() -> Table {
        Table(vec![HEADER.map(String::from)])
    }
}

impl Table {
    /// Adds the medians of some runs.
    pub fn add(&mut self, world: &World, runs: &[Run]) {
        let limits = limits_of(world.collector);
        let median = |of: fn(&Run) -> u64| {
            let mut values: Vec<u64> = runs.iter().map(of).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let bytes = |bytes: u64, max: u64| format!("{} {}", ByteSize(bytes), percent(bytes, max));
        let (points, requests) = (median(|run| run.points as u64), median(|run| run.http.requests));
        let (fuel, time_ms) = (median(|run| run.fuel_used), median(|run| run.duration_ms));
        let process_max = limits.memory_worst_case(world.collector == "batch").0 + HOST_BYTES.0;
        self.0.push([
            world.collector.into(),
            format!("{points} {}", percent(points, limits.points.into())),
            format!("{requests} {}", percent(requests, limits.requests.into())),
            bytes(median(|run| run.http.bytes), limits.response_total.0),
            format!("{:.3} G {}", fuel as f64 / 1e9, percent(fuel, limits.fuel)),
            bytes(median(|run| run.memory_peak_bytes), limits.memory.0),
            format!("{:.2} s {}", time_ms as f64 / 1e3, percent(time_ms, limits.deadline.0.as_millis() as u64)),
            bytes(median(|run| run.process_bytes), process_max),
            runs.iter().map(|run| run.outcome.as_str()).max().unwrap_or_default().into(),
            world.describe(),
        ]);
    }
}

/// A collector's limits where nobody has written any.
fn limits_of(collector: &str) -> Limits {
    let defaults = File::built_in().expect("the built-in defaults");
    let own = defaults.collector.iter().find(|(name, _)| name.as_str() == collector);
    own.map_or_else(Limits::default, |(_, section)| Limits::default().with(&section.limits))
}

fn percent(part: u64, whole: u64) -> String {
    format!("({:.0} %)", 100.0 * part as f64 / whole as f64)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
        for row in &self.0 {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Cores and load: a time means nothing without them.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} cores, load average {load}; medians of {} runs; in brackets, of the default limit", super::ROUNDS)
}
