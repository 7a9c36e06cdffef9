//! Whether the caps of all attempts at once, and the host itself, fit into the container.

use std::fmt;

use super::{ByteSize, Limits};

/// What the host itself needs, measured: code, TLS roots, connections, the state file's cache, the report.
pub const HOST_BYTES: ByteSize = ByteSize::mib(64);

/// The memory that a cycle may need at most, next to the container's limit.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryBudget {
    /// One line for each attempt that may run at the same time: name, and what it may need.
    attempts: Vec<(String, ByteSize)>,
    jobs: usize,
    container: ByteSize,
}

impl Limits {
    /// All that one attempt may make the process hold: linear memory, answers being read, one call's arguments, its table
    /// elements (8 bytes each), its log, its points with their tags, and, where it imports `workloads`, its reports.
    pub fn memory_worst_case(&self, reports_workloads: bool) -> ByteSize {
        // Measured: a point with three tags takes about 120 bytes.
        const POINT_BYTES: u64 = 128;
        const ELEMENT_BYTES: u64 = 8;
        let parts = [
            self.memory.0,
            self.response_buffer.0,
            self.hostcall.0,
            u64::from(self.table_elements) * ELEMENT_BYTES,
            self.log.0,
            u64::from(self.points) * POINT_BYTES,
            if reports_workloads { self.report_bytes.0 } else { 0 },
        ];
        ByteSize(parts.into_iter().fold(0, u64::saturating_add))
    }
}

impl MemoryBudget {
    /// The budget of collectors, by name and worst case, of which `jobs` run at once: the largest ones, at worst.
    pub fn new<'a>(
        collectors: impl IntoIterator<Item = (&'a str, ByteSize)>,
        jobs: usize,
        container: ByteSize,
    ) -> MemoryBudget {
        let mut attempts: Vec<_> = collectors.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        attempts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        attempts.truncate(jobs.max(1));
        MemoryBudget { attempts, jobs, container }
    }

    /// What is needed at worst.
    pub fn needed(&self) -> ByteSize {
        ByteSize(self.attempts.iter().map(|(_, bytes)| bytes.0).fold(HOST_BYTES.0, u64::saturating_add))
    }

    /// Whether it fits.
    pub fn fits(&self) -> bool {
        self.needed() <= self.container
    }

    /// How many of the collectors fit at once; 0 where not even one does.
    pub fn jobs_that_fit(&self) -> usize {
        let mut room = self.container.0.saturating_sub(HOST_BYTES.0);
        let fits = |(_, bytes): &&(String, ByteSize)| match room.checked_sub(bytes.0) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        };
        self.attempts.iter().take_while(fits).count()
    }
}

impl fmt::Display for MemoryBudget {
    /// The arithmetic, a line for each part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:>10}  the host itself", HOST_BYTES)?;
        for (name, bytes) in &self.attempts {
            writeln!(f, "  {bytes:>10}  {name}: memory, answers, one call's arguments, points, reports, log")?;
        }
        let jobs = if self.attempts.len() == self.jobs { " (the largest that run at once)" } else { "" };
        writeln!(f, "  {:>10}  together{jobs}", self.needed())?;
        write!(f, "  {:>10}  the container's limit", self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_the_largest_caps_is_held_against_the_container() {
        let worst = |mib| Limits { memory: ByteSize::mib(mib), ..Limits::default() }.memory_worst_case(false);
        let all = [("small", worst(10)), ("large", worst(300)), ("small2", worst(10))];
        let budget = |jobs, mib| MemoryBudget::new(all, jobs, ByteSize::mib(mib));
        assert!(budget(3, 512).fits());
        assert!(!budget(3, 440).fits() && budget(1, 440).fits());
        assert_eq!((budget(3, 440).jobs_that_fit(), budget(3, 100).jobs_that_fit()), (2, 0));
        let text = budget(3, 440).to_string();
        let limits = Limits::default();
        assert_eq!(limits.memory_worst_case(true).0 - limits.memory_worst_case(false).0, limits.report_bytes.0);
        assert!(text.contains("large: ") && text.contains("440 MiB  the container's limit"), "{text}");
    }
}
