//! The host as a whole: starts, ends at deadlines, memory, a thousand collectors, and the way it was done before.
//!
//! `cargo bench --bench whole` runs everything; a word after `--` runs the sections whose name holds it.

mod before;
mod deadlines;
mod delivery;
mod figures;
mod processes;
mod server;
#[path = "../stage.rs"]
mod stage;

use figures::Table;

/// Measures something and writes it into the table.
type Section = fn(&mut Table);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    let mut table = Table::default();
    let sections: [(&str, Section); 6] = [
        ("start", processes::start),
        ("deadline", deadlines::overshoot),
        ("memory", processes::memory),
        ("thousand", processes::a_thousand_collectors),
        ("before", before::side_by_side),
        ("delivery", delivery::delivery),
    ];
    for (name, section) in sections.into_iter().filter(|(name, _)| is_wanted(name)) {
        eprintln!("{name} …");
        section(&mut table);
    }
    println!("\n{}\n{table}", figures::machine());
}
