//! `wit/last-values.wit`.

use super::bindings::collector::host::last_values as wit;
use crate::last_values::{Answer, Source, Value};

pub async fn last_values(series: &[&str], max_age_s: u32) -> Answer {
    let names: Vec<String> = series.iter().map(|name| (*name).to_owned()).collect();
    let answer = wit::get(names, max_age_s).await;
    let value = |v: wit::Value| Value { value: v.value, source: source(v.source) };
    let known = series.iter().zip(answer.values).filter_map(|(name, v)| Some(((*name).to_owned(), value(v?))));
    Answer { values: known.collect(), problem: answer.problem }
}

fn source(source: wit::Source) -> Source {
    match source {
        wit::Source::Cycle => Source::Cycle,
        wit::Source::Store => Source::Store,
        wit::Source::Datadog => Source::Datadog,
    }
}
