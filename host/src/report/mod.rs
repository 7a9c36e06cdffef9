//! Events and summaries in, text out: lines while a cycle goes on, a table and JSON when it is over.

mod json;
mod lines;
mod table;

pub use json::{Report, RunReport};
pub use lines::line;
pub use table::{cycle_text, lines_of, plain_table, points_text};

/// A number of seconds with one decimal: `1.2 s`; below a tenth, milliseconds.
fn seconds(ms: u64) -> String {
    if ms < 100 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

/// A number of things: `1 point`, `2 points`.
fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A large number in thousands, millions or billions: `1.2 M`.
fn short_number(number: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match STEPS.into_iter().find(|(step, _)| number >= *step) {
        Some((step, letter)) => format!("{}.{} {letter}", number / step, number % step * 10 / step),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_a_person_compares() {
        assert_eq!((seconds(42).as_str(), seconds(1_250).as_str()), ("42 ms", "1.2 s"));
        assert_eq!((counted(1, "point"), counted(0, "gap")), ("1 point".into(), "0 gaps".into()));
        assert_eq!((short_number(999).as_str(), short_number(1_999_999).as_str()), ("999", "1.9 M"));
    }
}
