//! A question to W&B's GraphQL, and what its answer says of the project.

use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason};
use serde_json::{Map, Value, json};

use super::Settings;
use super::json::parse;

/// A question for the runs of the project. Names and shape are those of W&B's own client.
pub(super) struct Question<'a> {
    /// Its name in GraphQL.
    pub name: &'static str,
    pub settings: &'a Settings,
    /// Which runs, in W&B's filter language.
    pub filter: Value,
    /// The field of a run that holds its numbers.
    pub numbers: String,
    /// Counts that the first page brings along: alias and filter.
    pub counts: Vec<(&'static str, Value)>,
    /// The most runs that one page is asked for.
    pub page_size: usize,
}

impl Question<'_> {
    /// Asks for the page after the cursor; without one, for the first page.
    ///
    /// # Errors
    /// Where there is no answer, or none that shows the project.
    pub async fn ask(&self, cursor: Option<&str>) -> Result<Project, Fault> {
        let counts = if cursor.is_none() { self.counts.as_slice() } else { &[] };
        let body = json!({
            "query": self.write_query(counts),
            "variables": self.write_variables(counts, cursor),
            "operationName": self.name,
        });
        let answer = Request::post("wandb", "/graphql").json(&body).repeatable().fetch().await?;
        Project::read(&String::from_utf8_lossy(&answer.body), self.settings)
    }

    fn write_query(&self, counts: &[(&str, Value)]) -> String {
        let declared: String = counts.iter().map(|(alias, _)| format!(", ${alias}: JSONString")).collect();
        let counted: String =
            counts.iter().map(|(alias, _)| format!("{alias}: runCount(filters: ${alias}) ")).collect();
        let (name, numbers) = (self.name, &self.numbers);
        format!(
            "query {name}($project: String!, $entity: String!, $cursor: String, $perPage: Int, $order: String, \
             $filters: JSONString{declared}) {{ \
             project(name: $project, entityName: $entity) {{ {counted}runCount(filters: $filters) \
             runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {{ \
             edges {{ node {{ id name displayName state sweepName createdAt heartbeatAt {numbers} }} cursor }} \
             pageInfo {{ endCursor hasNextPage }} }} }} }}"
        )
    }

    fn write_variables(&self, counts: &[(&str, Value)], cursor: Option<&str>) -> Map<String, Value> {
        // A JSONString is a JSON document as a string.
        let filters = counts.iter().map(|(alias, filter)| (*alias, json!(filter.to_string())));
        let variables = [
            ("project", json!(self.settings.project)),
            ("entity", json!(self.settings.entity)),
            ("cursor", json!(cursor)),
            ("perPage", json!(self.page_size)),
            ("order", json!("+created_at")),
            ("filters", json!(self.filter.to_string())),
        ];
        variables.into_iter().chain(filters).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The project as an answer shows it. An error in one field does not cost the others.
pub(super) struct Project {
    fields: Value,
    errors: Vec<Value>,
}

impl Project {
    /// W&B answers `project: null` for a project that is not there and for one that the key may not see.
    fn read(body: &str, settings: &Settings) -> Result<Project, Fault> {
        let mut answer: Value = parse(body).ok_or_else(|| Fault::bad_answer("the answer is not JSON"))?;
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        match (answer.pointer_mut("/data/project").map(Value::take), errors.first()) {
            (Some(fields @ Value::Object(_)), _) => Ok(Project { fields, errors }),
            (_, Some(error)) => Err(read_error(error)),
            (_, None) if answer["data"].is_object() => {
                let name = format!("{}/{}", settings.entity, settings.project);
                let why = format!("there is no project {name}, or none that the key may see");
                Err(Fault::new(Reason::NotFound, why))
            }
            (_, None) => Err(Fault::bad_answer("the answer has neither data nor errors")),
        }
    }

    /// A field of the project; null where the answer does not have it.
    ///
    /// # Errors
    /// What W&B says went wrong with this field.
    pub fn field(&self, name: &str) -> Result<&Value, Fault> {
        // An error costs the field that its path names, and everything where it names none.
        let is_about = |error: &&Value| error["path"][1].as_str().is_none_or(|named| named == name);
        self.errors.iter().find(is_about).map_or(Ok(&self.fields[name]), |error| Err(read_error(error)))
    }

    /// A field that holds how many runs there are.
    ///
    /// # Errors
    /// As [`field`](Project::field), and `bad-answer` where it holds anything else.
    pub fn count(&self, name: &str) -> Result<usize, Fault> {
        let number = self.field(name)?;
        let count = number.as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| Fault::bad_answer(format!("{name} is {number}, not a count")))
    }
}

/// The fault that an entry of `errors` means. GraphQL answers 200 for all of them, so the words have to tell.
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
