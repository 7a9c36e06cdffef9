//! `last-values`.

use std::time::Duration;

use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::wit::last_values::{Answer, Host, HostWithStore, Source, Value};
use crate::capability;

/// Series of one call.
const SERIES_MAX: usize = 1_000;

impl Host for State {}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn get(accessor: &Accessor<T, Self>, series: Vec<String>, max_age_s: u32) -> wasmtime::Result<Answer> {
        let (capabilities, quota) =
            accessor.with(|mut access| (access.get().capabilities.clone(), access.get().quota.clone()));
        let nothing = |problem: String| Answer { values: vec![None; series.len()], problem: Some(problem) };
        let _slot = match quota.admit(series.iter().map(String::len).sum()) {
            Ok(_) if series.len() > SERIES_MAX => {
                return Ok(nothing(format!("{} series at once, more than {SERIES_MAX}", series.len())));
            }
            Ok(slot) => slot,
            Err(exceeded) => return Ok(nothing(exceeded.0)),
        };
        let (deadline, meter, asked) = (quota.deadline(), quota.meter().clone(), series.clone());
        let max_age = Duration::from_secs(max_age_s.into());
        let work = async move { capabilities.last_values.get(&asked, max_age, deadline, &meter).await };
        let Some(answer) = quota.on_control(work).await else { return Ok(nothing("the host gave it up".into())) };
        let value = |(value, source)| Value { value, source: source_to_wit(source) };
        Ok(Answer { values: answer.values.into_iter().map(|v| v.map(value)).collect(), problem: answer.problem })
    }
}

fn source_to_wit(source: capability::Source) -> Source {
    match source {
        capability::Source::Cycle => Source::Cycle,
        capability::Source::Store => Source::Store,
        capability::Source::Datadog => Source::Datadog,
    }
}
