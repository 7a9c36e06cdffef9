//! Points as lines of JSON on stdout.

use std::io::{self, Write};

use super::Verdict;

/// The process' stdout.
pub struct Stdout;

impl Stdout {
    pub(super) fn send(&self, lines: &[u8]) -> Verdict {
        let mut out = io::stdout().lock();
        match out.write_all(lines).and_then(|()| out.flush()) {
            Ok(()) => Verdict::Delivered,
            // Whoever read it is gone, and does not come back.
            Err(e) => Verdict::Rejected { reason: format!("stdout: {}", e.kind()) },
        }
    }
}
