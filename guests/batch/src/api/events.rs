//! Events about pods, Jobs and CronJobs: what is kept of each.

use collector_sdk::{Timestamp, time};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The only reason of a CronJob's events that is of use.
pub const SAW_COMPLETED_JOB: &str = "SawCompletedJob";

/// An event about a pod, a Job or a CronJob.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub about: Kind,
    /// The UID of what it is about, where the event has it.
    pub uid: Option<Box<str>>,
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub reason: Box<str>,
    /// On one line, cut where it is long.
    pub message: Box<str>,
    /// When it was last seen.
    pub at: Option<Timestamp>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pod,
    Job,
    CronJob,
}

/// A row of the listing of events: nothing is kept of those about anything else.
#[derive(Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Row(pub Option<Event>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    /// Long, and seldom needed: read where the rest does not say it.
    metadata: Option<Box<RawValue>>,
    involved_object: Option<Involved>,
    reason: Option<String>,
    message: Option<String>,
    #[serde(default, deserialize_with = "time::if_readable")]
    first_timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::if_readable")]
    last_timestamp: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::if_readable")]
    event_time: Option<Timestamp>,
    series: Option<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    namespace: Option<String>,
    #[serde(default, deserialize_with = "time::if_readable")]
    creation_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Involved {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(default, deserialize_with = "time::if_readable")]
    last_observed_time: Option<Timestamp>,
}

impl From<Wire> for Row {
    fn from(wire: Wire) -> Row {
        Row(read(wire))
    }
}

fn read(wire: Wire) -> Option<Event> {
    let involved = wire.involved_object?;
    let about = match involved.kind.as_deref()? {
        "Pod" => Kind::Pod,
        "Job" => Kind::Job,
        "CronJob" if wire.reason.as_deref() == Some(SAW_COMPLETED_JOB) => Kind::CronJob,
        _ => return None,
    };
    let metadata = || serde_json::from_str::<Created>(wire.metadata.as_ref()?.get()).ok();
    // Whoever reports through events.k8s.io leaves first and last null.
    let at = wire.series.and_then(|series| series.last_observed_time);
    let at = at.or(wire.last_timestamp).or(wire.event_time).or(wire.first_timestamp);
    let at = at.or_else(|| metadata()?.creation_timestamp);
    Some(Event {
        about,
        uid: involved.uid.filter(|uid| !uid.is_empty()).map(String::into_boxed_str),
        namespace: involved.namespace.or_else(|| metadata()?.namespace).unwrap_or_default().into(),
        name: involved.name.unwrap_or_default().into(),
        reason: wire.reason.unwrap_or_default().into(),
        message: cut_to_a_line(wire.message.unwrap_or_default()).into(),
        at,
    })
}

/// Some messages carry a whole error page of a registry.
fn cut_to_a_line(text: String) -> String {
    const SHOWN_CHARS: usize = 400;
    let is_plain = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    if text.len() <= SHOWN_CHARS && text.split(' ').all(is_plain) {
        return text;
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}
