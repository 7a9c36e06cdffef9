//! A row of the queue, whatever release wrote it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Accelerators, Task};

impl TryFrom<Value> for Task {
    type Error = &'static str;

    /// Fails without what tells and counts a row. Any other value that is missing, null or strange is none.
    fn try_from(row: Value) -> Result<Task, &'static str> {
        let integer = |key: &str| row.get(key).and_then(Value::as_i64);
        let number = |key: &str| row.get(key).and_then(Value::as_f64);
        let text = |key: &str| row.get(key).and_then(Value::as_str).map(String::from);
        let (Some(job_id), Some(status)) = (integer("job_id"), text("status")) else {
            return Err("a row without job_id or status");
        };
        Ok(Task {
            job_id,
            task_id: integer("task_id"),
            status,
            runtime_s: number("job_duration"),
            ended_at_s: number("end_at"),
            recovery_count: number("recovery_count"),
            user_hash: text("user_hash"),
            user_name: text("user_name"),
            region: text("region"),
            cluster_resources: text("cluster_resources"),
            resources: text("resources"),
            accelerators: row.get("accelerators").map_or(Accelerators::Missing, read_accelerators),
        })
    }
}

/// A JSON object in the queue; Python's `{'H100': 8}` as text elsewhere and in older servers.
fn read_accelerators(value: &Value) -> Accelerators {
    const SHOWN_CHARS: usize = 40;
    let object: Option<Map<String, Value>> = match value {
        Value::Null => return Accelerators::None,
        Value::Object(object) => Some(object.clone()),
        Value::String(text) if matches!(text.trim(), "" | "-" | "None") => return Accelerators::None,
        Value::String(text) => serde_json::from_str(&text.replace('\'', "\"")).ok(),
        _ => None,
    };
    let count = |(kind, count): (String, Value)| Some((kind, count.as_f64().filter(|count| *count >= 0.0)?));
    let counts: Option<BTreeMap<String, f64>> = object.and_then(|object| object.into_iter().map(count).collect());
    match counts {
        Some(counts) if counts.is_empty() => Accelerators::None,
        Some(counts) => Accelerators::Of(counts),
        None => Accelerators::Unreadable(value.to_string().chars().take(SHOWN_CHARS).collect()),
    }
}
