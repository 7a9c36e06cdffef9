//! The queue of managed jobs: page by page where the server has pages, else as one list; whole or not at all.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU64;

use collector_sdk::{Fault, Reason};
use serde::Deserialize;
use serde_json::json;

use super::requests::{Failure, Requests, read_result};
use super::{Queue, Task, states};

pub(super) const QUEUE: &str = "/jobs/queue/v2";
/// All that servers below API version 18 have: one list, without filters and pages.
const OLD_QUEUE: &str = "/jobs/queue";
const ASKING_QUEUE: &str = "skypilot POST /jobs/queue/v2";

/// Leaves more than half of an attempt's 500 requests.
pub(super) const PAGES_MAX: u64 = 100;
/// The queue may change while it is read, or turn out to need another question.
const READINGS_MAX: usize = 3;

/// What a row is asked to hold.
const FIELDS: [&str; 12] = [
    "job_id",
    "task_id",
    "status",
    "job_duration",
    "end_at",
    "recovery_count",
    "user_hash",
    "user_name",
    "region",
    "cluster_resources",
    "resources",
    "accelerators",
];

/// Reads the queue.
pub(super) struct QueueReader<'a> {
    pub requests: &'a Requests,
    /// How many jobs one page is asked for.
    pub page_size: NonZeroU64,
}

/// The states whose rows are asked for; none asks for all rows.
type States = Option<BTreeSet<String>>;

/// What came of one reading.
enum Reading {
    Whole(Queue),
    /// It has to be read once more, for these states.
    Again(States),
    /// The server gives one list instead of pages.
    Unpaged,
}

#[derive(Deserialize)]
struct Page {
    jobs: Vec<Task>,
    /// Jobs that pass the filters, without those launched from inside another; in 0.10.5, rows that do. Pages go by the
    /// same.
    total: u64,
    #[serde(default)]
    total_no_filter: Option<u64>,
    /// Not narrowed by `statuses`.
    #[serde(default)]
    status_counts: Option<BTreeMap<String, u64>>,
}

/// What was read of the queue so far, page by page.
#[derive(Default)]
struct Listing {
    tasks: Vec<Task>,
    seen: HashSet<(i64, Option<i64>)>,
    jobs: HashSet<i64>,
}

impl QueueReader<'_> {
    /// Reads it until one reading is whole.
    ///
    /// # Errors
    /// Where a request has no result, and where no reading was whole.
    pub async fn read(&self) -> Result<Queue, Failure> {
        let mut states: States = Some(states::READ.map(String::from).into());
        for _ in 0..READINGS_MAX {
            let reading = match self.read_pages(&states).await {
                Err(Failure::NoPath(_)) => return self.read_list(OLD_QUEUE).await,
                reading => reading?,
            };
            match reading {
                Reading::Whole(queue) => return Ok(queue),
                Reading::Again(next) => states = next,
                Reading::Unpaged => return self.read_list(QUEUE).await,
            }
        }
        let message = format!("the queue changed during each of {READINGS_MAX} readings");
        Err(Fault::new(Reason::UpstreamError, message).while_asking(ASKING_QUEUE).into())
    }

    async fn read_pages(&self, states: &States) -> Result<Reading, Failure> {
        let Some(mut page) = self.fetch_page(states, 1).await? else { return Ok(Reading::Unpaged) };
        let counts = match (states, page.take_counts()) {
            (Some(asked), Some(counts)) => {
                let there = counts.iter().filter(|(_, rows)| **rows > 0).map(|(state, _)| state);
                let missing = there.filter(|state| states::is_read(state) && !asked.contains(*state));
                let missing: BTreeSet<String> = missing.cloned().collect();
                if !missing.is_empty() {
                    return Ok(Reading::Again(Some(asked | &missing)));
                }
                Some(counts)
            }
            // An older server does not count: all rows are read instead.
            (Some(_), None) => return Ok(Reading::Again(None)),
            (None, _) => None,
        };
        let total = page.total;
        let mut listing = Listing::default();
        for number in 1..=PAGES_MAX {
            let is_short = (page.jobs.len() as u64) < self.page_size.get();
            let is_longer = listing.add(page.jobs);
            if listing.is_whole(is_short || !is_longer, total, counts.as_ref()) {
                return Ok(Reading::Whole(Queue { counts, tasks: listing.tasks, is_list: false }));
            }
            if page.total < total {
                // A job left the states that are asked for, the later ones moved up, and one slipped past.
                return Ok(Reading::Again(states.clone()));
            }
            if !is_longer {
                let read = listing.jobs.len();
                let message = format!("page {number} has no new job after {read} of {total}");
                return Err(Fault::bad_answer(message).while_asking(ASKING_QUEUE).into());
            }
            if number == PAGES_MAX {
                break;
            }
            let Some(next) = self.fetch_page(states, number + 1).await? else { return Ok(Reading::Unpaged) };
            page = next;
        }
        let message = format!("{total} jobs are more than {PAGES_MAX} pages, set page_size higher");
        Err(Fault::new(Reason::Limit, message).while_asking(ASKING_QUEUE).into())
    }

    /// One page; none where the server gives one list instead.
    async fn fetch_page(&self, states: &States, page: u64) -> Result<Option<Page>, Failure> {
        let body = json!({
            "refresh": false, "skip_finished": false, "all_users": true,
            "fields": FIELDS, "statuses": states, "page": page, "limit": self.page_size,
        });
        let result = self.requests.call(QUEUE, &body).await?;
        if result.trim_start().starts_with('[') {
            return Ok(None);
        }
        Ok(Some(read_result(QUEUE, &result)?))
    }

    /// Older servers give all rows at once.
    async fn read_list(&self, path: &str) -> Result<Queue, Failure> {
        let body = json!({"refresh": false, "skip_finished": false, "all_users": true, "fields": FIELDS});
        let tasks = read_result(path, &self.requests.call(path, &body).await?)?;
        Ok(Queue { counts: None, tasks, is_list: true })
    }
}

impl Page {
    /// The counts, unless they are null, missing, or empty although there are rows.
    fn take_counts(&mut self) -> Option<BTreeMap<String, u64>> {
        let has_rows = !self.jobs.is_empty() || self.total_no_filter.is_some_and(|rows| rows > 0);
        let counts = self.status_counts.take()?;
        (!counts.is_empty() || !has_rows).then_some(counts)
    }
}

impl Listing {
    /// Adds what is new of a page, and says whether there was anything.
    fn add(&mut self, jobs: Vec<Task>) -> bool {
        let before = self.tasks.len();
        for task in jobs {
            if self.seen.insert((task.job_id, task.task_id)) {
                self.jobs.insert(task.job_id);
                self.tasks.push(task);
            }
        }
        self.tasks.len() > before
    }

    /// Whether it holds what the server promised: as many rows as it counted, else, at the end, as many jobs.
    fn is_whole(&self, is_end: bool, total: u64, counts: Option<&BTreeMap<String, u64>>) -> bool {
        let (rows, jobs) = (self.tasks.len() as u64, self.jobs.len() as u64);
        match counts {
            Some(counts) => {
                let counted = counts.iter().filter(|(state, _)| states::is_read(state)).map(|(_, rows)| *rows);
                let read = self.tasks.iter().filter(|task| states::is_read(&task.status)).count() as u64;
                read >= counted.fold(0, u64::saturating_add) || (is_end && jobs >= total)
            }
            None => is_end && (jobs >= total || rows == total),
        }
    }
}
