//! One line for each thing that happens, where there is no terminal to draw on.

use super::{counted, seconds};
use crate::limits::Wall;
use crate::model::{Event, RunSummary};

/// The line of an event; none where it is not worth one.
pub fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::CycleStarted { collectors, deadline } => {
            format!("running {}, at most {}", counted(collectors.len(), "collector"), Wall(*deadline))
        }
        Event::SlotRepeats { slot, values } => {
            format!("{} of {slot} were written by an earlier cycle and stand", counted(*values, "value"))
        }
        Event::RunStarted { .. } => return None,
        Event::AttemptFailed { collector, attempt, fault, pause } => {
            let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            format!("{collector}: attempt {attempt} failed, again in {}: {fault}", seconds(ms))
        }
        Event::RunEnded(run) => run_line(run),
        Event::Interrupted { signal } => format!("{signal}: ending all attempts, keeping what they emitted"),
        Event::Delivering { points } => format!("delivering {}", counted(*points, "point")),
        Event::PushDeferred { sink, reason, pause } => {
            let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            format!("{sink}: not delivered yet, again in {}: {reason}", seconds(ms))
        }
    })
}

/// How a run ended: `github: emitted, 28 points in 1.2 s`.
pub(super) fn run_line(run: &RunSummary) -> String {
    let gaps = match run.gaps.len() {
        0 => String::new(),
        n => format!(", {}", counted(n, "gap")),
    };
    let fault = run.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
    let (points, time) = (counted(run.points, "point"), seconds(run.duration_ms));
    format!("{}: {}, {points}{gaps} in {time}{fault}", run.collector, run.outcome)
}
