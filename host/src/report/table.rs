//! The report as a person reads it at three in the morning: what went wrong first, why, and the line that mends it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::{counted, seconds, short_number};
use crate::limits::ByteSize;
use crate::model::{CycleSummary, Gap, Point, RunSummary, Transfer};

/// A cycle: a headline, a row for each run, those that went wrong first, what was wrong, and what became of the points.
pub fn cycle_text(cycle: &CycleSummary) -> String {
    let well = cycle.runs.iter().filter(|run| run.outcome.is_well()).count();
    let mut text = format!(
        "Cycle of {}: {}. {well} of {} well, {}, {}.\n",
        cycle.slot,
        cycle.outcome.word(),
        counted(cycle.runs.len(), "collector"),
        counted(cycle.runs.iter().map(|run| run.points).sum(), "point"),
        seconds(cycle.duration_ms),
    );
    let mut runs: Vec<&RunSummary> = cycle.runs.iter().collect();
    runs.sort_by_key(|run| (run.outcome.is_well(), run.collector.clone()));
    let _ = write!(text, "\n{}", lines_of(&runs_table(&runs)));
    for run in &runs {
        push_details(&mut text, run);
    }
    if !cycle.sinks.is_empty() {
        let _ = write!(text, "\n{}", lines_of(&sinks_table(cycle)));
    }
    for sink in &cycle.sinks {
        let of_sink = [("rejected", &sink.rejected), ("deferred", &sink.deferred), ("given up", &sink.given_up)];
        for (word, reasons) in of_sink {
            for (reason, count) in reasons {
                let _ = writeln!(text, "{}: {count} points {word}: {reason}", sink.sink);
            }
        }
    }
    push_new_series(&mut text, cycle);
    for fault in &cycle.host_faults {
        let _ = writeln!(text, "host: {fault}");
    }
    text
}

/// What a dry run would add to what is paid for: each series with its tags is a custom metric.
fn push_new_series(text: &mut String, cycle: &CycleSummary) {
    let all: usize = cycle.runs.iter().filter_map(|run| Some(run.values.as_ref()?.len())).sum();
    if all == 0 {
        return;
    }
    let Some(slot) = cycle.compared_with else {
        let _ = writeln!(text, "\n{}; no cycle is known to compare with", counted(all, "custom metric"));
        return;
    };
    let of = |run: &RunSummary| run.is_new.iter().flatten().filter(|is_new| **is_new).count();
    let new: usize = cycle.runs.iter().map(of).sum();
    let _ = writeln!(text, "\n{}, of which {new} are new against the cycle of {slot}", counted(all, "custom metric"));
    for run in cycle.runs.iter().filter(|run| of(run) > 0) {
        let points = run.values.iter().flatten().zip(run.is_new.iter().flatten());
        let names: Vec<String> = points.filter(|(_, is_new)| **is_new).map(|(point, _)| named(point)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let _ = writeln!(text, "  {}: {}", run.collector, self::names(&names));
    }
}

/// `series{tags}`
fn named(point: &Point) -> String {
    match point.tags.is_empty() {
        true => point.series.to_string(),
        false => format!("{}{{{}}}", point.series, point.tags),
    }
}

fn runs_table(runs: &[&RunSummary]) -> Table {
    let mut table = plain_table([
        "COLLECTOR",
        "OUTCOME",
        "REASON",
        "POINTS",
        "GAPS",
        "TRIES",
        "TIME",
        "FUEL",
        "MEMORY",
        "REQUESTS",
        "RECEIVED",
    ]);
    for run in runs {
        table.add_row([
            left(run.collector.as_str()),
            left(run.outcome.word()),
            left(run.fault.as_ref().map(|fault| fault.reason.word()).unwrap_or_default()),
            right(run.points.to_string()),
            right(run.gaps.len().to_string()),
            right(run.attempts.to_string()),
            right(seconds(run.duration_ms)),
            right(short_number(run.fuel_used)),
            right(ByteSize(run.memory_peak_bytes).to_string()),
            right(requests(run.http)),
            right(ByteSize(run.http.bytes).to_string()),
        ]);
    }
    table
}

/// How many, and how many of them were out of the ordinary.
fn requests(http: Transfer) -> String {
    let of_them = [(http.throttled, "throttled"), (http.not_modified, "not modified")];
    let of_them: Vec<String> =
        of_them.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    match of_them.is_empty() {
        true => http.requests.to_string(),
        false => format!("{} ({})", http.requests, of_them.join(", ")),
    }
}

fn sinks_table(cycle: &CycleSummary) -> Table {
    let mut table = plain_table(["SINK", "DELIVERED", "REJECTED", "DEFERRED", "GIVEN UP"]);
    for sink in &cycle.sinks {
        table.add_row([
            left(&sink.sink),
            right(sink.delivered.to_string()),
            right(sink.rejected.values().sum::<u64>().to_string()),
            right(sink.deferred.values().sum::<u64>().to_string()),
            right(sink.given_up.values().sum::<u64>().to_string()),
        ]);
    }
    table
}

/// Fault, hint and gaps of a run; nothing where there is nothing to say.
fn push_details(text: &mut String, run: &RunSummary) {
    let indent = "  ";
    if run.fault.is_none() && run.gaps.is_empty() && run.log_dropped_bytes == 0 {
        return;
    }
    let _ = writeln!(text, "\n{}", run.collector);
    if let Some(fault) = &run.fault {
        let _ = writeln!(text, "{indent}{} (blame: {}): {}", fault.reason, fault.blame, fault.message);
        if let Some(hint) = &fault.hint {
            let _ = writeln!(text, "{indent}hint: {hint}");
        }
    }
    for (reason, series) in by_reason(&run.gaps) {
        let _ = writeln!(text, "{indent}no value for {}: {reason}", names(&series));
    }
    if run.log_dropped_bytes > 0 {
        let _ = writeln!(text, "{indent}log: {} beyond its limit dropped", ByteSize(run.log_dropped_bytes));
    }
}

fn by_reason(gaps: &[Gap]) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for gap in gaps {
        all.entry(&gap.reason).or_default().push(&gap.series);
    }
    all
}

/// A few names, or a few and how many more.
fn names(series: &[&str]) -> String {
    const SHOWN: usize = 4;
    match series.len().saturating_sub(SHOWN) {
        0 | 1 => series.join(", "),
        more => format!("{} and {more} more", series[..SHOWN].join(", ")),
    }
}

/// Points, one a line: series, value, tags.
pub fn points_text(points: &[Point]) -> String {
    let mut table = plain_table(["SERIES", "VALUE", "TAGS"]);
    for point in points {
        table.add_row([left(&*point.series), right(point.value.to_string()), left(point.tags.to_string())]);
    }
    lines_of(&table)
}

/// The table's lines without the blanks that fill the last column.
pub fn lines_of(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A table without lines between rows and columns.
pub fn plain_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

fn left(text: impl Into<String>) -> Cell {
    Cell::new(text.into())
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
