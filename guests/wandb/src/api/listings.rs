//! The listings that W&B is asked for: which runs, which of their numbers, and in how many pages.

use collector_sdk::{Fault, Timestamp};
use serde_json::{Value, json};

use super::graphql::Question;
use super::paging::Listing;
use super::{DAY, PAGE_SIZE_MAX, Recent, Run, SPEED_KEYS, Settings, WEEK, start_of};

/// 10,000 runs a day at the default page size; a listing that never ends must not eat the whole attempt.
pub(super) const RECENT_PAGES_MAX: usize = 100;
/// A week of 9,100 runs takes 19 pages of 500. Where the server grants smaller ones, more are not worth their requests.
const OPTIONAL_PAGES_MAX: usize = 30;
/// Rows with one or two numbers are small, so a week of them fits into few pages.
const SCORED_PAGE_FACTOR: usize = 5;

/// The runs of the last day and those that run now. The counts of the week cost no request of their own, and they stand
/// even if a later page fails.
///
/// # Errors
/// Where the first page does not come.
pub(super) async fn ask_recent(settings: &Settings, now: Timestamp) -> Result<Recent, Fault> {
    let in_day = json!({"createdAt": {"$gte": a_second_before(start_of(DAY, now))}});
    let in_week = json!({"createdAt": {"$gte": in_milliseconds(start_of(WEEK, now))}});
    let completed = json!({"$and": [in_week, {"state": "finished"}]});
    let failed = json!({"$and": [in_week, {"state": {"$in": ["failed", "crashed"]}}]});
    let listing = Listing {
        what: "recent runs",
        question: Question {
            name: "Runs",
            settings,
            filter: json!({"$or": [in_day, {"state": "running"}]}),
            numbers: summary_of(&SPEED_KEYS),
            counts: vec![("completed7d", completed), ("failed7d", failed)],
            page_size: settings.page_size,
        },
        summary_keys: SPEED_KEYS.to_vec(),
        pages_max: RECENT_PAGES_MAX,
    };
    let first = listing.ask_first_page().await?;
    let count = |alias, what| first.count(alias).map_err(|fault| fault.while_asking(what));
    let completed_7d = count("completed7d", "runs completed in 7 days");
    let failed_7d = count("failed7d", "runs failed in 7 days");
    Ok(Recent { runs: listing.follow(first).await, completed_7d, failed_7d })
}

/// The runs of the last week that have an accuracy or a loss; none where no setting names a key of either.
///
/// # Errors
/// Where a page does not come or cannot be what it means.
pub(super) async fn ask_scored(settings: &Settings, now: Timestamp) -> Result<Vec<Run>, Fault> {
    let keys: Vec<&str> =
        [&settings.accuracy_key, &settings.loss_key].into_iter().flatten().map(String::as_str).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let in_week = json!({"createdAt": {"$gte": a_second_before(start_of(WEEK, now))}});
    let has_key: Vec<Value> =
        keys.iter().map(|key| json!({format!("summary_metrics.{key}"): {"$exists": true}})).collect();
    let listing = Listing {
        what: "runs with accuracy or loss",
        question: Question {
            name: "ScoredRuns",
            settings,
            filter: json!({"$and": [in_week, {"$or": has_key}]}),
            numbers: summary_of(&keys),
            counts: Vec::new(),
            page_size: settings.page_size.saturating_mul(SCORED_PAGE_FACTOR).min(PAGE_SIZE_MAX),
        },
        summary_keys: keys,
        pages_max: OPTIONAL_PAGES_MAX,
    };
    listing.follow(listing.ask_first_page().await?).await
}

/// The runs that run now, with their system metrics; none where no setting names a metric.
///
/// # Errors
/// As [`ask_scored`].
pub(super) async fn ask_running(settings: &Settings) -> Result<Vec<Run>, Fault> {
    if settings.gpu_key.is_none() {
        return Ok(Vec::new());
    }
    let listing = Listing {
        what: "running runs",
        question: Question {
            name: "RunningRuns",
            settings,
            filter: json!({"state": "running"}),
            numbers: "systemMetrics".into(),
            counts: Vec::new(),
            page_size: settings.page_size,
        },
        summary_keys: Vec::new(),
        pages_max: OPTIONAL_PAGES_MAX,
    };
    listing.follow(listing.ask_first_page().await?).await
}

/// The field of a run that holds these keys of its summary.
fn summary_of(keys: &[&str]) -> String {
    format!("summaryMetrics(keys: {})", json!(keys))
}

/// For a listing, which is filtered again, exactly: a server that compares texts or whole seconds must not lose the run
/// that stands on the edge.
fn a_second_before(instant: Timestamp) -> String {
    Timestamp::from_second(instant.as_second().saturating_sub(1)).unwrap_or(instant).to_string()
}

/// For a count, which nobody can filter again: as exact as every parser of ISO 8601 reads it.
fn in_milliseconds(instant: Timestamp) -> String {
    Timestamp::from_millisecond(instant.as_millisecond()).unwrap_or(instant).to_string()
}
