//! Figures of many runs, and the table that they are printed in.

use std::fmt;

/// Many measurements of one thing.
#[derive(Clone, Debug)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// At least one measurement.
    pub fn new(mut values: Vec<f64>) -> Sample {
        values.sort_by(f64::total_cmp);
        assert!(!values.is_empty());
        Sample(values)
    }

    /// The value below which this part of the measurements lies.
    pub fn quantile(&self, part: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * part).round() as usize]
    }
}

/// What was measured, and what was aimed at.
#[derive(Default)]
pub struct Table(Vec<[String; 5]>);

impl Table {
    /// A figure by its median; the aim is an upper bound.
    pub fn median(&mut self, what: &str, unit: &str, sample: &Sample, aim: Option<f64>) {
        self.row(what, unit, sample.quantile(0.5), sample, aim);
    }

    /// A figure by its 99th percentile.
    pub fn p99(&mut self, what: &str, unit: &str, sample: &Sample, aim: Option<f64>) {
        self.row(what, unit, sample.quantile(0.99), sample, aim);
    }

    /// A figure that is one number.
    pub fn figure(&mut self, what: &str, unit: &str, value: f64, aim: Option<f64>) {
        self.row(what, unit, value, &Sample::new(vec![value]), aim);
    }

    /// A line of text.
    pub fn note(&mut self, what: &str, text: String) {
        self.0.push([what.into(), text, String::new(), String::new(), String::new()]);
    }

    fn row(&mut self, what: &str, unit: &str, value: f64, sample: &Sample, aim: Option<f64>) {
        let spread = match sample.0.len() {
            1 => String::new(),
            n => format!(
                "p10 {:.2}, p90 {:.2}, max {:.2}, n {n}",
                sample.quantile(0.1),
                sample.quantile(0.9),
                sample.quantile(1.0)
            ),
        };
        let verdict = aim.map(|aim| if value <= aim { "met" } else { "MISSED" }).unwrap_or_default();
        self.0.push([
            what.into(),
            format!("{value:.2} {unit}"),
            spread,
            aim.map(|aim| format!("aim {aim} {unit}")).unwrap_or_default(),
            verdict.into(),
        ]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        for row in &self.0 {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Cores and load: a figure means nothing without them.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{cores} cores, load average {}", load.split(' ').next().unwrap_or("?"))
}

/// The resident memory of a process, in MiB; 0 where it is gone.
pub fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
