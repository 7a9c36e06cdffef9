//! What other collectors' series were: from this cycle, else the host's state, else Datadog.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Emitted in this cycle.
    Cycle,
    /// The host's own state.
    Store,
    /// Read back from Datadog.
    Datadog,
}

/// What a series was.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Value {
    pub value: f64,
    pub source: Source,
}

/// What is known of the series that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// By series; those that nobody has a young enough value of are missing.
    pub values: BTreeMap<String, Value>,
    /// Why a source could not be asked, where one could not.
    pub problem: Option<String>,
}

/// The last value of each series that is not older than `max_age`.
pub async fn get(series: &[&str], max_age: Duration) -> Answer {
    let max_age_s = u32::try_from(max_age.as_secs()).unwrap_or(u32::MAX);
    crate::boundary::last_values(series, max_age_s).await
}
