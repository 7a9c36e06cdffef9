//! What there is in the repository, and what happened in its week.

pub const OPEN: usize = 1_000;
/// Pull requests that were closed in the week.
pub const CLOSED_LATELY: usize = 600;
/// Others that were closed before it.
const CLOSED_BEFORE: usize = 250;
pub const BRANCHES: usize = 1_500;
/// Commits that are a pull request's squash merge.
pub const SQUASHES: usize = 400;
/// Commits of their own: their files take a request each, and these are the most that the collector asks for.
pub const PUSHES: usize = 400;
pub const RUNS: usize = 2_000;
pub const WEEK_S: usize = 7 * 24 * 3600;
/// Files of the whole repository.
const FILES: usize = 5_000;

pub struct Repository {
    /// Changed last first.
    pub closed: Vec<ClosedPull>,
    pub commits: Vec<Commit>,
    /// The newest first.
    pub runs: Vec<Run>,
}

/// A pull request that was closed, every other one by a merge.
pub struct ClosedPull {
    pub number: usize,
    pub closed_s: usize,
}

/// A commit on the default branch.
pub struct Commit {
    pub number: usize,
    /// The pull request that it is the squash merge of.
    pub pull: Option<u64>,
}

/// A workflow run; the rest follows from its number.
pub struct Run {
    pub number: usize,
    pub age_s: usize,
}

impl Repository {
    pub fn busy() -> Repository {
        let lately =
            (0..CLOSED_LATELY).map(|number| ClosedPull { number, closed_s: 60 + number * WEEK_S / CLOSED_LATELY });
        let before =
            (0..CLOSED_BEFORE).map(|n| ClosedPull { number: CLOSED_LATELY + n, closed_s: WEEK_S + 7_200 + 60 * n });
        let commits = (0..SQUASHES + PUSHES).map(|number| {
            let pull = number.is_multiple_of(2).then_some(20_000 + number as u64);
            Commit { number, pull }
        });
        let step_s = WEEK_S / (RUNS + 1);
        let runs = (0..RUNS).map(|number| Run { number, age_s: step_s * (number + 1) });
        Repository { closed: lately.chain(before).collect(), commits: commits.collect(), runs: runs.collect() }
    }
}

impl ClosedPull {
    pub fn is_merged(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    pub fn is_of_week(&self) -> bool {
        self.closed_s <= WEEK_S
    }

    /// From creation to the end.
    pub fn open_s(&self) -> usize {
        3_600 + self.number * 977 % 600_000
    }

    pub fn comments(&self) -> usize {
        self.number % 9
    }
}

impl Commit {
    pub fn oid(&self) -> String {
        format!("{:040x}", 0x9f86_d081 + self.number)
    }

    pub fn age_s(&self) -> usize {
        60 + self.number * 700
    }

    pub fn author(&self) -> usize {
        self.number * 7 % 60
    }

    pub fn additions(&self) -> usize {
        self.number % 300
    }

    pub fn deletions(&self) -> usize {
        self.number % 120
    }

    /// Some words of the messages are counted.
    pub fn message(&self) -> String {
        let what = match self.number {
            n if n % 40 == 3 => "Hotfix: the arena's curriculum",
            n if n % 50 == 7 => "Revert \"Faster rollouts\"",
            _ => "Rollouts are packed by length",
        };
        format!(
            "{what} (#{})\n\n### TL;DR\n\n\
             What was padded is packed now, which saves a third of the memory.\n\n### How to test\n\n\
             Run the arena recipe for ten epochs and compare steps per second.\n\nCo-authored-by: A <a@acme.example>",
            20_000 + self.number
        )
    }

    /// Most touch a few; some have more than one page of them.
    pub fn files(&self) -> Vec<String> {
        let count = match self.pull {
            Some(_) if self.number.is_multiple_of(40) => 150,
            None if self.number % 80 == 1 => 650,
            _ => 1 + self.number % 12,
        };
        (0..count)
            .map(|n| (self.number * 31 + n) % FILES)
            .map(|file| format!("packages/area{}/src/module_{file:04}.py", file % 50))
            .collect()
    }
}

impl Run {
    pub fn is_completed(&self) -> bool {
        self.number % 50 != 1
    }

    pub fn conclusion(&self) -> Option<&'static str> {
        let conclusion = match self.number % 20 {
            0..14 => "success",
            14..17 => "failure",
            17 => "cancelled",
            18 => "timed_out",
            _ => "skipped",
        };
        self.is_completed().then_some(conclusion)
    }

    pub fn is_on_main(&self) -> bool {
        self.number.is_multiple_of(4)
    }

    pub fn name(&self) -> &'static str {
        ["Benchmarks", "Tests", "Lint"][self.number % 3]
    }

    pub fn attempt(&self) -> usize {
        1 + usize::from(self.number.is_multiple_of(15))
    }

    pub fn duration_s(&self) -> usize {
        60 + self.number % 40 * 6
    }
}
