//! A listing of runs, read page by page: to its end or not at all.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::{Fault, Reason};
use serde_json::Value;

use super::graphql::{Project, Question};
use super::json::read_text;
use super::{Run, runs};

/// What is asked for, and how its answers are read.
pub(super) struct Listing<'a> {
    /// What it is, for messages.
    pub what: &'static str,
    pub question: Question<'a>,
    /// The summary keys that are kept, should the server send them all.
    pub summary_keys: Vec<&'a str>,
    /// A longer listing is lost.
    pub pages_max: usize,
}

impl Listing<'_> {
    /// The first page, which brings the counts along.
    ///
    /// # Errors
    /// Where there is no answer, or none that shows the project.
    pub async fn ask_first_page(&self) -> Result<Project, Fault> {
        self.ask_page(1, None).await
    }

    /// Every run from the first page to the last, each once.
    ///
    /// # Errors
    /// Where a page does not come or cannot be what it means, where the listing has more than `pages_max` pages, and
    /// where it ends with fewer runs than the server counts.
    pub async fn follow(&self, first: Project) -> Result<Vec<Run>, Fault> {
        let broken = |why: String| Fault::bad_answer(format!("{}: {why}", self.what));
        let (mut page, mut page_number, mut promised) = (first, 1_usize, None);
        let (mut runs, mut cursors) = (BTreeMap::new(), BTreeSet::new());
        loop {
            // Runs may leave the filter between two pages: the smallest promise is the one to be kept.
            promised = [promised, page.count("runCount").ok()].into_iter().flatten().min();
            let rows = self.read_rows(&page).map_err(|fault| fault.while_asking(&self.place_of(page_number)))?;
            runs.extend(rows.runs.into_iter().map(|run| (run.id.clone(), run)));
            let Some(cursor) = rows.next else { break };
            // Where the first page shows that the rest would be too long, the rest is not asked for.
            let reachable = runs.len().saturating_mul(self.pages_max);
            let is_hopeless = page_number == 1 && promised.is_some_and(|promised| promised > reachable);
            if is_hopeless || page_number == self.pages_max {
                let why = format!("{}: more than {} pages; raise page_size", self.what, self.pages_max);
                return Err(Fault::new(Reason::Limit, why));
            }
            if !cursors.insert(cursor.clone()) {
                return Err(broken(format!("page {page_number} leads back to one that was read")));
            }
            page_number += 1;
            page = self.ask_page(page_number, Some(&cursor)).await?;
        }
        // W&B has given one run twice and another not at all, at the right number of rows (wandb issues 6614 and 7666).
        match promised {
            Some(promised) if runs.len() < promised => {
                Err(broken(format!("ended after {} of {promised} runs", runs.len())))
            }
            _ => Ok(runs.into_values().collect()),
        }
    }

    async fn ask_page(&self, page_number: usize, cursor: Option<&str>) -> Result<Project, Fault> {
        self.question.ask(cursor).await.map_err(|fault| fault.while_asking(&self.place_of(page_number)))
    }

    fn read_rows(&self, page: &Project) -> Result<Rows, Fault> {
        let listing = page.field("runs")?;
        let edges = listing["edges"].as_array().ok_or_else(|| Fault::bad_answer("the answer has no edges"))?;
        let next = read_next(&listing["pageInfo"], edges)?;
        let runs = edges.iter().map(|edge| runs::read(self.what, &edge["node"], &self.summary_keys));
        Ok(Rows { runs: runs.collect::<Result<_, _>>()?, next })
    }

    fn place_of(&self, page_number: usize) -> String {
        format!("{}, page {page_number}", self.what)
    }
}

/// What stands on one page.
struct Rows {
    runs: Vec<Run>,
    /// The cursor to the next page, if there is one.
    next: Option<String>,
}

/// The cursor to the page after this one; none at the end.
fn read_next(page_info: &Value, edges: &[Value]) -> Result<Option<String>, Fault> {
    match page_info["hasNextPage"].as_bool() {
        Some(false) => Ok(None),
        Some(true) => {
            let last_cursor = || read_text(&edges.last()?["cursor"]);
            let cursor = read_text(&page_info["endCursor"]).or_else(last_cursor);
            let missing = || Fault::bad_answer("a page follows, but there is no cursor to it");
            cursor.map(Some).ok_or_else(missing)
        }
        None => Err(Fault::bad_answer("the answer does not say whether a page follows")),
    }
}
