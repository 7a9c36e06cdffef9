//! What W&B is asked, and the runs that it answers with. Long because a simulated W&B stands with the tests at its end.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use collector_sdk::futures::join;
use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason, Timestamp, log, settings};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub const DAY: Duration = Duration::from_hours(24);
pub const WEEK: Duration = Duration::from_hours(7 * 24);

/// The summary keys of training speed. They are flat: the slash is part of the key.
pub const SPEED_KEYS: [&str; 5] = [
    "overview/steps_per_second",
    "overview/epoch_steps_per_second",
    "overview/sps",
    "timing_cumulative/sps",
    "timing_per_epoch/sps",
];

const PAGE_SIZE_MAX: usize = 1000;
/// 10,000 runs a day at the default page size; a listing that never ends must not eat the whole attempt.
const RECENT_PAGES_MAX: usize = 100;
/// A week of 9,100 runs takes 19 pages of 500. Where the server grants smaller ones, more are not worth their requests.
const OPTIONAL_PAGES_MAX: usize = 30;
/// Rows with one or two numbers are small, so a week of them fits into few pages.
const SCORED_PAGE_FACTOR: usize = 5;

/// What the operator wrote for this collector.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub entity: String,
    pub project: String,
    pub page_size: usize,
    pub accuracy_key: Option<String>,
    pub loss_key: Option<String>,
    pub gpu_key: Option<String>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// `setting`, where one is missing or makes no sense.
    pub fn read() -> Result<Settings, Fault> {
        let page_size = settings::parsed("page_size")?;
        if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
            return Err(Fault::setting(format!("setting page_size is {page_size}, not from 1 to {PAGE_SIZE_MAX}")));
        }
        Ok(Settings {
            entity: settings::text("entity")?,
            project: settings::text("project")?,
            page_size,
            accuracy_key: settings::get("accuracy_key"),
            loss_key: settings::get("loss_key"),
            gpu_key: settings::get("gpu_key"),
        })
    }

    /// The summary keys that only settings name.
    fn scored_keys(&self) -> Vec<&str> {
        [&self.accuracy_key, &self.loss_key].into_iter().flatten().map(String::as_str).collect()
    }
}

/// What W&B answered, every group of figures for itself. A listing that no setting wants is empty.
#[derive(Clone, Debug)]
pub struct Answers {
    pub recent: Result<Recent, Fault>,
    /// Runs created in the last week whose summary has the key of accuracy or loss; perhaps a few older ones.
    pub scored: Result<Vec<Run>, Fault>,
    /// Runs that run now, with their system metrics.
    pub running: Result<Vec<Run>, Fault>,
}

/// What the listing of recent runs says, and the counts that its first page brings along.
#[derive(Clone, Debug)]
pub struct Recent {
    /// Runs created in the last day, and those that run now; perhaps a few others.
    pub runs: Result<Vec<Run>, Fault>,
    pub completed_7d: Result<usize, Fault>,
    pub failed_7d: Result<usize, Fault>,
}

/// A run. What its listing did not ask for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Unique in W&B: the graph id.
    pub id: String,
    /// The name that people see and that categories go by. The API's `name` is a short id.
    pub display_name: Option<String>,
    pub state: State,
    pub sweep: Option<String>,
    pub created_at: Option<Timestamp>,
    pub heartbeat_at: Option<Timestamp>,
    /// The finite numbers of its summary, as far as they were asked for.
    pub summary: Numbers,
    /// The finite numbers of its system metrics.
    pub system: Numbers,
}

/// Finite numbers by their flat key.
pub type Numbers = BTreeMap<String, f64>;

/// What became of a run, as far as a figure asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    Running,
    Finished,
    Failed,
    /// Its heartbeats stopped.
    Crashed,
    /// `killed`, `pending`, `preempting`, `preempted`, and whatever W&B adds.
    #[default]
    Other,
}

/// The instant at which a window that ends now begins. The instant belongs to the window.
pub fn start_of(window: Duration, now: Timestamp) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// Asks for everything, all listings at once.
pub async fn ask(settings: &Settings, now: Timestamp) -> Answers {
    let (recent, scored, running) = join!(ask_recent(settings, now), ask_scored(settings, now), ask_running(settings));
    Answers { recent, scored, running }
}

/// The counts of the week cost no request of their own, and they stand even if a later page fails.
async fn ask_recent(settings: &Settings, now: Timestamp) -> Result<Recent, Fault> {
    let in_week = json!({"createdAt": {"$gte": in_milliseconds(start_of(WEEK, now))}});
    let in_day = json!({"createdAt": {"$gte": a_second_before(start_of(DAY, now))}});
    let listing = Listing {
        settings,
        what: "recent runs",
        query: "Runs",
        filter: json!({"$or": [in_day, {"state": "running"}]}),
        numbers: format!("summaryMetrics(keys: {})", json!(SPEED_KEYS)),
        keys: SPEED_KEYS.to_vec(),
        counts: vec![
            ("completed7d", json!({"$and": [in_week, {"state": "finished"}]})),
            ("failed7d", json!({"$and": [in_week, {"state": {"$in": ["failed", "crashed"]}}]})),
        ],
        page_size: settings.page_size,
        pages_max: RECENT_PAGES_MAX,
    };
    let first = listing.ask_page(1, None).await?;
    let (completed_7d, failed_7d) = (first.completed_7d.clone(), first.failed_7d.clone());
    Ok(Recent { runs: listing.follow(first).await, completed_7d, failed_7d })
}

async fn ask_scored(settings: &Settings, now: Timestamp) -> Result<Vec<Run>, Fault> {
    let keys = settings.scored_keys();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let in_week = json!({"createdAt": {"$gte": a_second_before(start_of(WEEK, now))}});
    let has_key: Vec<Value> =
        keys.iter().map(|key| json!({format!("summary_metrics.{key}"): {"$exists": true}})).collect();
    let listing = Listing {
        settings,
        what: "runs with accuracy or loss",
        query: "ScoredRuns",
        filter: json!({"$and": [in_week, {"$or": has_key}]}),
        numbers: format!("summaryMetrics(keys: {})", json!(keys)),
        keys,
        counts: Vec::new(),
        page_size: settings.page_size.saturating_mul(SCORED_PAGE_FACTOR).min(PAGE_SIZE_MAX),
        pages_max: OPTIONAL_PAGES_MAX,
    };
    listing.follow(listing.ask_page(1, None).await?).await
}

async fn ask_running(settings: &Settings) -> Result<Vec<Run>, Fault> {
    if settings.gpu_key.is_none() {
        return Ok(Vec::new());
    }
    let listing = Listing {
        settings,
        what: "running runs",
        query: "RunningRuns",
        filter: json!({"state": "running"}),
        numbers: "systemMetrics".into(),
        keys: Vec::new(),
        counts: Vec::new(),
        page_size: settings.page_size,
        pages_max: OPTIONAL_PAGES_MAX,
    };
    listing.follow(listing.ask_page(1, None).await?).await
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

/// A listing of runs. It is read to its end or not at all.
struct Listing<'a> {
    settings: &'a Settings,
    /// What it is, for messages.
    what: &'static str,
    /// Its name in GraphQL.
    query: &'static str,
    filter: Value,
    /// The field of a run that holds numbers.
    numbers: String,
    /// The summary keys that are kept, should the server send them all.
    keys: Vec<&'a str>,
    /// Counts that the first page brings along: alias and filter.
    counts: Vec<(&'static str, Value)>,
    page_size: usize,
    pages_max: usize,
}

/// One answer. An error in one field does not cost the others.
struct Page {
    rows: Result<Rows, Fault>,
    /// How many runs the server says that the whole listing has.
    promised: Option<usize>,
    completed_7d: Result<usize, Fault>,
    failed_7d: Result<usize, Fault>,
}

struct Rows {
    runs: Vec<Run>,
    /// The cursor to the next page, if there is one.
    next: Option<String>,
}

impl Listing<'_> {
    /// Every run from the first page to the last, each once.
    async fn follow(&self, first: Page) -> Result<Vec<Run>, Fault> {
        let broken = |why: String| Fault::bad_answer(format!("{}: {why}", self.what));
        let (mut rows, mut promised) = (first.rows?, first.promised);
        let (mut page_number, mut row_count) = (1_usize, 0_usize);
        let (mut runs, mut cursors) = (BTreeMap::new(), BTreeSet::new());
        loop {
            row_count = row_count.saturating_add(rows.runs.len());
            // Pages have held a run twice (wandb issue 6614).
            runs.extend(rows.runs.into_iter().map(|run| (run.id.clone(), run)));
            let Some(cursor) = rows.next else { break };
            // Where the first page shows that the rest would be too long, the rest is not asked for.
            let is_hopeless = page_number == 1 && promised > Some(row_count.saturating_mul(self.pages_max));
            if is_hopeless || page_number == self.pages_max {
                let why = format!("{}: more than {} pages; raise page_size", self.what, self.pages_max);
                return Err(Fault::new(Reason::Limit, why));
            }
            if !cursors.insert(cursor.clone()) {
                return Err(broken(format!("page {page_number} leads back to one that was read")));
            }
            page_number += 1;
            let page = self.ask_page(page_number, Some(&cursor)).await?;
            rows = page.rows?;
            // Runs may leave the filter between two pages: the smallest promise is the one to be kept.
            promised = [promised, page.promised].into_iter().flatten().min();
        }
        match promised {
            Some(promised) if row_count < promised => {
                Err(broken(format!("ended after {row_count} of {promised} runs")))
            }
            _ => Ok(runs.into_values().collect()),
        }
    }

    /// The page after the cursor. Names and shape of the query are those of W&B's own client.
    async fn ask_page(&self, page_number: usize, cursor: Option<&str>) -> Result<Page, Fault> {
        let counts = if page_number == 1 { self.counts.as_slice() } else { &[] };
        let declared: String = counts.iter().map(|(alias, _)| format!(", ${alias}: JSONString")).collect();
        let counted: String =
            counts.iter().map(|(alias, _)| format!("{alias}: runCount(filters: ${alias}) ")).collect();
        let (name, numbers) = (self.query, &self.numbers);
        let query = format!(
            "query {name}($project: String!, $entity: String!, $cursor: String, $perPage: Int, $order: String, \
             $filters: JSONString{declared}) {{ \
             project(name: $project, entityName: $entity) {{ {counted}runCount(filters: $filters) \
             runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {{ \
             edges {{ node {{ id name displayName state sweepName createdAt heartbeatAt {numbers} }} cursor }} \
             pageInfo {{ endCursor hasNextPage }} }} }} }}"
        );
        let mut variables = Map::from_iter([
            ("project".to_owned(), json!(self.settings.project)),
            ("entity".to_owned(), json!(self.settings.entity)),
            ("cursor".to_owned(), json!(cursor)),
            ("perPage".to_owned(), json!(self.page_size)),
            ("order".to_owned(), json!("+created_at")),
            // A JSONString is a JSON document as a string.
            ("filters".to_owned(), json!(self.filter.to_string())),
        ]);
        variables.extend(counts.iter().map(|(alias, filter)| ((*alias).to_owned(), json!(filter.to_string()))));
        let body = json!({"query": query, "variables": variables, "operationName": name});

        let place = format!("{}, page {page_number}", self.what);
        let answer = Request::post("wandb", "/graphql").json(&body).repeatable().fetch().await;
        let page = answer.and_then(|answer| self.read_page(&place, &String::from_utf8_lossy(&answer.body)));
        page.map_err(|fault| fault.while_asking(&place))
    }

    fn read_page(&self, place: &str, body: &str) -> Result<Page, Fault> {
        let answer: Value = parse(body).ok_or_else(|| Fault::bad_answer("the answer is not JSON"))?;
        let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice);
        let project = &answer["data"]["project"];
        if !project.is_object() {
            return Err(errors.first().map_or_else(|| self.miss_project(&answer), read_error));
        }
        // An error costs the field that its path names, and everything where it names none.
        let unless_error = |field: &str| {
            let is_about = |error: &&Value| error["path"][1].as_str().is_none_or(|named| named == field);
            errors.iter().find(is_about).map_or(Ok(&project[field]), |error| Err(read_error(error)))
        };
        let count = |alias: &str| {
            let number = unless_error(alias)?;
            read_count(number).ok_or_else(|| Fault::bad_answer(format!("{alias} is {number}, not a count")))
        };
        let rows = unless_error("runs").and_then(|runs| self.read_rows(runs));
        Ok(Page {
            rows: rows.map_err(|fault| fault.while_asking(place)),
            promised: read_count(&project["runCount"]),
            completed_7d: count("completed7d").map_err(|fault| fault.while_asking("runs completed in 7 days")),
            failed_7d: count("failed7d").map_err(|fault| fault.while_asking("runs failed in 7 days")),
        })
    }

    /// W&B answers `project: null` for a project that is not there and for one that the key may not see.
    fn miss_project(&self, answer: &Value) -> Fault {
        let name = format!("{}/{}", self.settings.entity, self.settings.project);
        if answer["data"].is_object() {
            Fault::new(Reason::NotFound, format!("there is no project {name}, or none that the key may see"))
        } else {
            Fault::bad_answer("the answer has neither data nor errors")
        }
    }

    fn read_rows(&self, runs: &Value) -> Result<Rows, Fault> {
        let edges = runs["edges"].as_array().ok_or_else(|| Fault::bad_answer("the answer has no edges"))?;
        let rows: Result<Vec<Run>, Fault> = edges.iter().map(|edge| self.read_run(&edge["node"])).collect();
        let last_cursor = || read_text(&edges.last()?["cursor"]);
        let cursor = read_text(&runs["pageInfo"]["endCursor"]).or_else(last_cursor);
        let next = match (runs["pageInfo"]["hasNextPage"].as_bool(), cursor) {
            (Some(false), _) => None,
            (Some(true), Some(cursor)) => Some(cursor),
            (Some(true), None) => return Err(Fault::bad_answer("a page follows, but there is no cursor to it")),
            (None, _) => return Err(Fault::bad_answer("the answer does not say whether a page follows")),
        };
        Ok(Rows { runs: rows?, next })
    }

    fn read_run(&self, node: &Value) -> Result<Run, Fault> {
        let id = read_text(&node["id"]).or_else(|| read_text(&node["name"]));
        let id = id.ok_or_else(|| Fault::bad_answer("a run has no id"))?;
        let created_at = read_time(&node["createdAt"]);
        if created_at.is_none() {
            log::warn(format!("{}: run {id} has no createdAt that can be read", self.what));
        }
        let numbers = |field: &str| {
            read_numbers(&node[field]).unwrap_or_else(|| {
                log::warn(format!("{}: run {id} has {field} that cannot be read", self.what));
                Numbers::new()
            })
        };
        let (mut summary, system) = (numbers("summaryMetrics"), numbers("systemMetrics"));
        summary.retain(|key, _| self.keys.contains(&key.as_str()));
        Ok(Run {
            display_name: read_text(&node["displayName"]),
            state: read_state(&node["state"]),
            sweep: read_text(&node["sweepName"]),
            created_at,
            heartbeat_at: read_time(&node["heartbeatAt"]),
            summary,
            system,
            id,
        })
    }
}

/// The fault that an entry of `errors` means; GraphQL answers 200 for all of them.
fn read_error(error: &Value) -> Fault {
    const SHOWN_CHARS: usize = 160;
    let message = error["message"].as_str().unwrap_or("an error without a message");
    let lower = message.to_lowercase().replace('-', " ");
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let reason = if says(&["rate limit", "too many requests"]) {
        Reason::RateLimited
    } else if says(&["permission", "unauthorized", "unauthenticated", "forbidden", "not logged in"]) {
        Reason::Unauthorized
    } else if says(&["not found", "could not find"]) {
        Reason::NotFound
    } else {
        Reason::UpstreamError
    };
    Fault::new(reason, format!("W&B says: {}", message.chars().take(SHOWN_CHARS).collect::<String>()))
}

fn read_count(number: &Value) -> Option<usize> {
    number.as_u64().and_then(|count| usize::try_from(count).ok())
}

/// A text that says something.
fn read_text(field: &Value) -> Option<String> {
    field.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn read_state(field: &Value) -> State {
    match field.as_str() {
        Some("running") => State::Running,
        Some("finished") => State::Finished,
        Some("failed") => State::Failed,
        Some("crashed") => State::Crashed,
        _ => State::Other,
    }
}

/// W&B's times come with a zone and without one; then they are UTC.
fn read_time(field: &Value) -> Option<Timestamp> {
    let text = field.as_str()?;
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// The finite numbers of a field that holds a JSON object as text; what else is in there is passed over.
fn read_numbers(field: &Value) -> Option<Numbers> {
    let text = field.as_str().map_or_else(|| field.to_string().into(), Cow::Borrowed);
    // Where a writer encoded the object twice, the text holds a text.
    let inner = if text.trim_start().starts_with('"') { parse::<String>(&text) } else { None };
    // Each value as raw text: one that no f64 can hold, such as 1e999, must not cost the others.
    let object: Option<BTreeMap<String, Box<RawValue>>> = parse(inner.as_deref().unwrap_or(&text))?;
    let finite = |json: &RawValue| json.get().parse().ok().filter(|number: &f64| number.is_finite());
    Some(object.unwrap_or_default().into_iter().filter_map(|(key, json)| Some((key, finite(&json)?))).collect())
}

/// Reads JSON, and also what Python's `json` writes and takes for it.
fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&clean(text))).ok()
}

/// Makes JSON of almost-JSON: bare words such as `NaN` and `-Infinity` become null, raw control characters in strings
/// are escaped, and halves of surrogate pairs, which no Rust string can hold, are replaced.
fn clean(text: &str) -> String {
    let is_bare = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    let is_json = |word: &str| serde_json::from_str::<&RawValue>(word).is_ok();
    let mut cleaned = String::with_capacity(text.len());
    let mut is_in_string = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                is_in_string = !is_in_string;
                cleaned.push(c);
            }
            '\\' if is_in_string => {
                let escaped = rest.next();
                let digits = if escaped == Some('u') { 4 } else { 0 };
                let code: String = rest.by_ref().take(digits).collect();
                match u16::from_str_radix(&code, 16) {
                    Ok(0xd800..=0xdfff) => cleaned.push(char::REPLACEMENT_CHARACTER),
                    _ => cleaned.extend([Some(c), escaped].into_iter().flatten().chain(code.chars())),
                }
            }
            _ if is_in_string && c.is_control() => cleaned.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ if !is_in_string && is_bare(&c) => {
                let mut word = String::from(c);
                word.extend(std::iter::from_fn(|| rest.next_if(is_bare)));
                cleaned.push_str(if is_json(&word) { &word } else { "null" });
            }
            _ => cleaned.push(c),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use collector_sdk::Timestamp;
    use collector_sdk::http::{Error, ErrorKind, Request, Response};
    use collector_sdk::testing::{Outcome, World, run};
    use proptest::prelude::*;

    use super::*;
    use crate::Wandb;

    const NOW: &str = "2025-10-24T12:00:00Z";
    const OPTIONAL: [(&str, &str); 3] =
        [("accuracy_key", "acc"), ("loss_key", "loss"), ("gpu_key", "system.gpu.*.gpu")];

    /// A W&B that holds runs and answers as the real one: filters, counts, pages, cursors.
    #[derive(Clone, Default)]
    struct Simulated {
        runs: Vec<Value>,
        /// The most rows that it gives in one page, whatever is asked.
        page_cap: usize,
        /// Whether each page begins with the last row of the one before.
        repeats: bool,
        /// The request, counted from 1, that goes wrong, and how.
        trouble: Option<(usize, Trouble)>,
        found: Rc<RefCell<BTreeMap<String, Vec<Value>>>>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Trouble {
        Broken,
        Status(u16),
        /// `errors` beside a null, in an answer of status 200.
        Error(&'static str),
        /// A next page without a cursor.
        NoCursor,
        /// The listing ends here, although the count says that there is more.
        EarlyEnd,
        /// The cursor leads back to the first page, for ever.
        Circle,
    }

    impl Simulated {
        /// A run every `step_s` seconds back from now, with every state, kind of name and summary.
        fn of(count: usize, step_s: usize) -> Simulated {
            let now: Timestamp = NOW.parse().unwrap();
            let states = ["finished", "running", "finished", "failed", "crashed", "killed", "finished"];
            let names = ["github.sky.main.", "ak.sweep_v", "local."];
            let runs = (0..count).map(|i| {
                let created = now - Duration::from_secs((i * step_s) as u64);
                // Only young runs run, as in real life.
                let state = if i > 60 && i % 7 == 1 { "preempted" } else { states[i % 7] };
                let heartbeat = created + Duration::from_secs(60 * (i % 90) as u64);
                let speeds: String = SPEED_KEYS.map(|key| format!("\"{key}\":{i}.5,")).concat();
                let loss = if i % 5 == 0 { "NaN".into() } else { format!("{i}e-3") };
                json!({
                    "id": format!("UnVuOnYx{i:07}"), "name": format!("r{i}"), "state": state,
                    "displayName": format!("{}{i}", names[i % 3]), "createdAt": created.to_string(),
                    "heartbeatAt": heartbeat.to_string().trim_end_matches('Z'),
                    "summaryMetrics": format!("{{{speeds}\"acc\":0.{i},\"loss\":{loss},\"note\":\"a\nb\"}}"),
                    "systemMetrics": format!("{{\"system.gpu.0.gpu\":{},\"system.cpu\":3}}", i % 100),
                })
            });
            Simulated { runs: runs.collect(), page_cap: 1000, ..Simulated::default() }
        }

        fn find(&self, filter: &str) -> Vec<Value> {
            let mut found = self.found.borrow_mut();
            let select = || {
                let filter: Value = serde_json::from_str(filter).unwrap();
                let mut runs: Vec<Value> = self.runs.iter().filter(|run| passes(run, &filter)).cloned().collect();
                runs.sort_by_key(|run| run["createdAt"].as_str().unwrap_or_default().to_owned());
                runs
            };
            found.entry(filter.to_owned()).or_insert_with(select).clone()
        }

        fn answer(&self, request: &Request, number: usize) -> Result<Response, Error> {
            let body = request.body_json();
            let variables = &body["variables"];
            assert_eq!((&variables["entity"], &variables["project"]), (&json!("acme"), &json!("rocket")));
            let trouble = self.trouble.filter(|(at, _)| *at == number).map(|(_, trouble)| trouble);
            match trouble {
                Some(Trouble::Broken) => return Err(Error { kind: ErrorKind::Broken, message: "cut".into() }),
                Some(Trouble::Status(status)) => return Ok(Response { status, ..Response::default() }),
                _ => {}
            }
            let found = self.find(variables["filters"].as_str().unwrap());
            let start = variables["cursor"].as_str().map_or(0, |cursor| cursor.parse::<usize>().unwrap());
            let size = usize::try_from(variables["perPage"].as_u64().unwrap()).unwrap().min(self.page_cap);
            let end = found.len().min(start + size);
            let first = if self.repeats { start.saturating_sub(1) } else { start };
            let edges: Vec<Value> = found[first..end].iter().map(|node| json!({"node": node})).collect();
            let mut project = json!({
                "runCount": found.len(),
                "runs": {"edges": edges, "pageInfo": {"endCursor": end.to_string(), "hasNextPage": end < found.len()}},
            });
            for alias in ["completed7d", "failed7d"] {
                if let Some(filter) = variables[alias].as_str() {
                    project[alias] = json!(self.find(filter).len());
                }
            }
            let mut errors = Value::Null;
            match trouble {
                Some(Trouble::Error(field)) => {
                    project[field] = Value::Null;
                    errors = json!([{"message": "statement timeout", "path": ["project", field]}]);
                }
                Some(Trouble::NoCursor) => project["runs"]["pageInfo"] = json!({"hasNextPage": true}),
                Some(Trouble::EarlyEnd) => project["runs"]["pageInfo"] = json!({"hasNextPage": false}),
                Some(Trouble::Circle) => {
                    project["runs"]["pageInfo"] = json!({"hasNextPage": true, "endCursor": variables["cursor"]});
                }
                _ => {}
            }
            Ok(json_response(&json!({"data": {"project": project}, "errors": errors})))
        }

        fn run(&self, settings: &[(&str, &str)]) -> Outcome {
            let (server, mut number) = (self.clone(), 0);
            let answering = move |request: &Request| {
                number += 1;
                server.answer(request, number)
            };
            run_against(answering, settings)
        }
    }

    fn run_against(
        answering: impl FnMut(&Request) -> Result<Response, Error> + 'static,
        settings: &[(&str, &str)],
    ) -> Outcome {
        let world = World::new(include_str!("../collector.toml"), NOW.parse().unwrap());
        let world = world.with("entity", "acme").with("project", "rocket").answering(answering);
        run::<Wandb>(settings.iter().fold(world, |world, (key, value)| world.with(key, value)))
    }

    fn json_response(json: &Value) -> Response {
        Response { status: 200, body: json.to_string().into_bytes(), ..Response::default() }
    }

    /// W&B's filter language, as far as it is used.
    fn passes(run: &Value, filter: &Value) -> bool {
        filter.as_object().unwrap().iter().all(|(key, wanted)| {
            let parts = || wanted.as_array().unwrap().iter();
            let field = match key.strip_prefix("summary_metrics.") {
                Some(key) => run["summaryMetrics"].as_str().filter(|text| text.contains(&format!("\"{key}\""))).into(),
                None => run[key].clone(),
            };
            match key.as_str() {
                "$and" => parts().all(|part| passes(run, part)),
                "$or" => parts().any(|part| passes(run, part)),
                _ if wanted["$exists"] == true => !field.is_null(),
                _ if wanted["$in"].is_array() => wanted["$in"].as_array().unwrap().contains(&field),
                _ if wanted["$gte"].is_string() => field.as_str() >= wanted["$gte"].as_str(),
                _ => field == *wanted,
            }
        })
    }

    fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
        outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
    }

    #[test]
    fn a_quiet_project_costs_one_request_and_one_for_each_optional_listing() {
        for (count, step_s) in [(0, 1), (90, 960)] {
            assert_eq!(Simulated::of(count, step_s).run(&[]).requests.len(), 1);
            let outcome = Simulated::of(count, step_s).run(&OPTIONAL);
            assert_eq!((outcome.requests.len(), outcome.fault.clone(), outcome.forgotten()), (3, None, vec![]));
        }
    }

    #[test]
    fn a_project_of_26_000_runs_stays_under_40_requests_and_none_is_made_twice_or_without_a_filter() {
        // 1,310 runs of a day, 9,164 of a week: 14 pages of 100, 19 of 500, and 1 of those that run.
        let outcome = Simulated::of(26_000, 86_400 / 1300).run(&OPTIONAL);
        assert_eq!((outcome.requests.len(), &outcome.fault), (14 + 19 + 1, &None));
        assert_eq!(outcome.value("wandb.runs.total_recent"), Some(1310.0));
        let bodies: BTreeSet<String> = outcome.requests.iter().map(|request| request.body_json().to_string()).collect();
        assert_eq!(bodies.len(), outcome.requests.len());
        assert!(
            bodies.iter().all(|body| body.contains(r#"\"createdAt\""#) || body.contains(r#"{\"state\":\"running\"}"#))
        );
    }

    #[test]
    fn neither_the_page_size_nor_rows_repeated_at_a_page_boundary_change_a_figure() {
        let whole = Simulated::of(400, 300).run(&OPTIONAL);
        for (page_size, repeats) in [(20, false), (20, true), (99, true), (100, false)] {
            let simulated = Simulated { page_cap: page_size, repeats, ..Simulated::of(400, 300) };
            let paged = simulated.run(&[&OPTIONAL[..], &[("page_size", &page_size.to_string())]].concat());
            assert_eq!((values(&paged), &paged.fault), (values(&whole), &None), "{page_size} {repeats}");
        }
    }

    #[test]
    fn trouble_at_any_request_costs_whole_groups_and_changes_no_other_figure() {
        let simulated = Simulated { page_cap: 60, ..Simulated::of(400, 300) };
        let whole = simulated.run(&OPTIONAL);
        // The pages of recent runs, of scored ones, of running ones.
        assert_eq!((whole.requests.len(), &whole.fault), (5 + 7 + 1, &None));
        let transport = [Trouble::Broken, Trouble::Status(502), Trouble::Status(429), Trouble::Error("runs")];
        let paging = [Trouble::NoCursor, Trouble::EarlyEnd, Trouble::Circle];
        for (number, trouble) in (1..=13).flat_map(|n| transport.iter().chain(&paging).map(move |t| (n, *t))) {
            let outcome = Simulated { trouble: Some((number, trouble)), ..simulated.clone() }.run(&OPTIONAL);
            let is_harmless = matches!((number, trouble), (5 | 12 | 13, Trouble::EarlyEnd));
            assert_eq!(outcome.fault.is_none(), is_harmless, "{number} {trouble:?}");
            assert!(outcome.forgotten().is_empty() && outcome.requests.len() <= 13, "{number} {trouble:?}");
            let wrong = values(&outcome).into_iter().find(|(series, value)| whole.value(series) != Some(*value));
            assert_eq!(wrong, None, "{number} {trouble:?}");
            let week_is_lost = outcome.gap("wandb.runs.failed_7d").is_some();
            assert_eq!(
                week_is_lost,
                number == 1 && matches!(trouble, Trouble::Broken | Trouble::Status(_)),
                "{trouble:?}"
            );
        }
    }

    #[test]
    fn an_error_in_one_count_costs_that_count_alone() {
        let trouble = Some((1, Trouble::Error("completed7d")));
        let outcome = Simulated { trouble, ..Simulated::of(90, 960) }.run(&[]);
        assert_eq!(outcome.gaps.len(), 1);
        assert_eq!(
            outcome.gap("wandb.runs.completed_7d"),
            Some("runs completed in 7 days: W&B says: statement timeout")
        );
    }

    #[test]
    fn an_answer_without_a_project_is_told_apart_by_what_it_says() {
        for (answer, reason) in [
            (json!({"data": {"project": null}}), Reason::NotFound),
            (json!({"data": {"project": null}, "errors": [{"message": "project not found"}]}), Reason::NotFound),
            (json!({"data": null, "errors": [{"message": "Rate limit exceeded"}]}), Reason::RateLimited),
            (json!({"data": null, "errors": [{"message": "permission denied"}]}), Reason::Unauthorized),
            (json!({"errors": [{}]}), Reason::UpstreamError),
            (json!({"data": null}), Reason::BadAnswer),
            (json!([]), Reason::BadAnswer),
        ] {
            let response = json_response(&answer);
            let outcome = run_against(move |_| Ok(response.clone()), &[]);
            assert_eq!(outcome.fault.map(|fault| fault.reason), Some(reason), "{answer}");
            assert_eq!((outcome.points.len(), outcome.gaps.len()), (0, 22), "{answer}");
        }
    }

    #[test]
    fn pages_without_end_are_given_up() {
        let mut number = 0;
        let endless = move |_: &Request| {
            number += 1;
            let page_info = json!({"hasNextPage": true, "endCursor": number.to_string()});
            Ok(json_response(&json!({"data": {"project": {"runs": {"edges": [], "pageInfo": page_info}}}})))
        };
        let outcome = run_against(endless, &[]);
        assert_eq!((outcome.requests.len(), outcome.fault.unwrap().reason), (RECENT_PAGES_MAX, Reason::Limit));
    }

    #[test]
    fn a_listing_that_would_take_too_many_pages_is_given_up_after_the_first() {
        let outcome = Simulated { page_cap: 20, ..Simulated::of(700, 800) }.run(&OPTIONAL);
        assert_eq!((outcome.requests.len(), outcome.fault.as_ref().unwrap().reason), (6 + 1 + 1, Reason::Limit));
        assert!(outcome.gap("wandb.metrics.best_accuracy").unwrap().ends_with("more than 30 pages; raise page_size"));
    }

    #[test]
    fn settings_that_make_no_sense_are_said_before_anything_is_asked() {
        for (key, value) in [("page_size", "0"), ("page_size", "1001"), ("page_size", "many"), ("project", "")] {
            let outcome = run_against(|_| unreachable!(), &[(key, value)]);
            assert_eq!(outcome.fault.unwrap().reason, Reason::Setting, "{key} {value:?}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_utc() {
        let read = |text: &str| read_time(&json!(text)).map(|time| time.to_string());
        for text in
            ["2025-10-24T11:00:00", "2025-10-24T11:00:00Z", "2025-10-24T11:00:00.000+00:00", "2025-10-24 13:00:00+02"]
        {
            assert_eq!(read(text).as_deref(), Some("2025-10-24T11:00:00Z"), "{text}");
        }
        assert_eq!(read("2025-10-24T11:00:00.25").as_deref(), Some("2025-10-24T11:00:00.25Z"));
        for text in ["", "yesterday", "2025-13-01T00:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn one_bad_key_of_a_summary_does_not_cost_the_others() {
        for text in [
            r#"{"good": 2.5, "bad": NaN}"#,
            r#"{"good": 2.5, "bad": [Infinity, {"x": -Infinity}], "worse": 1e999}"#,
            r#"{"good": 2.5, "bad": "2.5", "worse": true, "none": null, "\ud83d": 1}"#,
            "{\"good\": 2.5, \"bad\": \"a\u{1}b\nc \\\" NaN\"}",
            r#""{\"good\": 2.5, \"bad\": NaN}""#,
        ] {
            let numbers = read_numbers(&json!(text)).unwrap_or_default();
            assert_eq!(
                (numbers.get("good"), numbers.get("bad"), numbers.get("worse")),
                (Some(&2.5), None, None),
                "{text}"
            );
        }
        let fields = [json!(null), json!("null"), json!("{}"), json!({"good": 1}), json!("{"), json!("")];
        let read = fields.map(|field| read_numbers(&field).map(|numbers| numbers.len()));
        assert_eq!(read, [Some(0), Some(0), Some(0), Some(1), None, None]);
    }

    /// A JSON document, and the same as a sloppy writer puts it: with NaN for each null and raw control characters.
    fn document() -> impl Strategy<Value = (Value, String)> {
        let leaf = prop_oneof![
            Just((Value::Null, "NaN".to_owned())),
            any::<i32>().prop_map(|n| (json!(n), n.to_string())),
            "[a-zN\"\\\\\u{1}\n é]{0,6}".prop_map(|text| {
                let raw = text.replace('\\', "\\\\").replace('"', "\\\"");
                (json!(text), format!("\"{raw}\""))
            }),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop::collection::vec(("[a-z/ ]{1,6}", inner), 0..4).prop_map(|fields| {
                let text: Vec<String> = fields.iter().map(|(key, (_, text))| format!("\"{key}\": {text}")).collect();
                let json = fields.into_iter().map(|(key, (json, _))| (key, json)).collect::<Map<_, _>>();
                (Value::Object(json), format!("{{{}}}", text.join(", ")))
            })
        })
    }

    proptest! {
        #[test]
        fn cleaning_makes_json_of_a_sloppy_document_and_leaves_json_alone((json, sloppy) in document()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&clean(&sloppy)).ok(), Some(json.clone()));
            prop_assert_eq!(clean(&json.to_string()), json.to_string());
        }

        #[test]
        fn no_text_is_too_odd_to_be_looked_at(
            text in "(\\PC|[\\[\\]{}\",:\\\\uNaIn0-9+.e-]|\\\\u[dD][0-9a-f]{3}){0,40}"
        ) {
            let _ = read_time(&json!(text));
            prop_assert!(read_numbers(&json!(text)).unwrap_or_default().values().all(|number| number.is_finite()));
        }
    }
}
