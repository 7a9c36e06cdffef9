//! Workflow runs. GitHub ends a listing of them early, so too many are listed by parts of the time.

use std::collections::BTreeMap;
use std::fmt;

use collector_sdk::futures::{StreamExt, TryStreamExt, stream};
use collector_sdk::{Fault, Reason, Timestamp};
use serde::Deserialize;

use super::Run;
use super::repository::Repository;

/// The most rows that GitHub gives on a page.
const PAGE_RUNS: usize = 100;

/// Where GitHub ends a filtered listing; `total_count` still says how many there are.
/// Source: <https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository>
const LISTED_MAX: usize = 1000;

/// A span of too many runs is divided so finely that its parts would hold this many if runs came evenly. They come on five
/// days of seven, and so a part holds up to 7/5 of it, which can still be listed.
const RUNS_IN_PART: usize = 700;

/// More runs take more requests than are allowed for them, and longer than an attempt may last.
const RUNS_MAX: usize = 15_000;

const REQUESTS_AT_ONCE: usize = 4;

/// All runs that were created since then, in whole seconds.
///
/// # Errors
/// Where they are too many, or more in two seconds than GitHub lists, or a listing lacks any.
pub async fn list(repository: &Repository, since: Timestamp, now: Timestamp) -> Result<Vec<Run>, Fault> {
    let mut spans = vec![Span { from: since.as_second(), to: None }];
    let mut runs = BTreeMap::new();
    while let Some(span) = spans.pop() {
        let first = ask_page(repository, span, 1).await?;
        if first.total_count > LISTED_MAX {
            spans.extend(span.divide(first.total_count, now)?);
        } else {
            runs.extend(list_span(repository, span, first).await?);
        }
    }
    Ok(runs.into_values().collect())
}

/// The runs of a span by their ids, its first page being there already.
async fn list_span(repository: &Repository, span: Span, first: RunPage) -> Result<BTreeMap<u64, Run>, Fault> {
    let total = first.total_count;
    let last = total.div_ceil(PAGE_RUNS);
    let others = stream::iter(2..=last).map(|number| ask_page(repository, span, number)).buffered(REQUESTS_AT_ONCE);
    let others: Vec<RunPage> = others.try_collect().await?;

    let mut pages = vec![first];
    pages.extend(others);
    // Runs that began meanwhile push the oldest ones to a page that was not there before.
    if last < LISTED_MAX / PAGE_RUNS && pages.last().is_some_and(|page| page.workflow_runs.len() >= PAGE_RUNS) {
        pages.push(ask_page(repository, span, last + 1).await?);
    }
    let runs = pages.into_iter().flat_map(|page| page.workflow_runs);
    let runs: BTreeMap<u64, Run> = runs.map(|run| (run.id, run)).collect();
    if runs.len() < total {
        let message = format!("workflow runs created {span}: the listing broke off after {} of {total}", runs.len());
        return Err(Fault::bad_answer(message));
    }
    Ok(runs)
}

async fn ask_page(repository: &Repository, span: Span, number: usize) -> Result<RunPage, Fault> {
    let request = repository.get("actions/runs").query("created", span).query("exclude_pull_requests", true);
    let request = request.query("per_page", PAGE_RUNS).query("page", number);
    let page = repository.fetch(request).await.and_then(|answer| answer.json());
    page.map_err(|fault| fault.while_asking(&format!("workflow runs created {span}, page {number}")))
}

#[derive(Deserialize)]
struct RunPage {
    /// Of all pages, and of runs beyond the end of the listing.
    total_count: usize,
    workflow_runs: Vec<Run>,
}

/// A span of time in seconds since 1970, both ends included, as in GitHub's search; without an end, everything since.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    to: Option<i64>,
}

impl Span {
    /// Its parts, so short that each is likely to be listed to its end. They share their ends: rows count by their ids.
    fn divide(self, runs: usize, now: Timestamp) -> Result<Vec<Span>, Fault> {
        let seconds = self.to.unwrap_or(now.as_second()).saturating_sub(self.from);
        if runs > RUNS_MAX {
            let message = format!("workflow runs created {self}: {runs} are too many to read, {RUNS_MAX} at most");
            return Err(Fault::new(Reason::Limit, message));
        }
        if seconds < 2 {
            let message = format!("workflow runs created {self}: GitHub lists {LISTED_MAX} of {runs}");
            return Err(Fault::bad_answer(message));
        }
        let parts = i64::try_from(runs / RUNS_IN_PART + 1).unwrap_or(i64::MAX);
        let step = (seconds - 1) / parts + 1;
        let starts = (0..seconds).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let part = |start: i64| {
            let to = if start + step < seconds { Some(self.from + start + step) } else { self.to };
            Span { from: self.from + start, to }
        };
        Ok(starts.map(part).collect())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |second: i64| Timestamp::from_second(second).unwrap_or_default();
        match self.to {
            Some(to) => write!(f, "{}..{}", text(self.from), text(to)),
            None => write!(f, ">={}", text(self.from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_of_a_span_cover_it_and_are_shorter(
            from in 0i64..2_000_000_000, seconds in 2i64..1_000_000, runs in LISTED_MAX + 1..RUNS_MAX,
        ) {
            let end = from + seconds;
            let parts = Span { from, to: Some(end) }.divide(runs, Timestamp::UNIX_EPOCH).unwrap();
            prop_assert_eq!((parts[0].from, parts[parts.len() - 1].to), (from, Some(end)));
            prop_assert!(parts.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
            let lengths = parts.iter().map(|part| part.to.unwrap() - part.from);
            prop_assert!(lengths.into_iter().all(|length| (1..seconds).contains(&length)));
        }
    }
}
