//! The states of managed jobs: whose rows are read, and which are only counted.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::log;

use super::{Queue, RELEASE};

/// Jobs in these states are only counted, which `status_counts` does, so a long history need not be read.
pub(super) const COUNTED: [&str; 2] = ["SUCCEEDED", "CANCELLED"];

/// All other states of the source, jobs/state.py `ManagedJobStatus`.
pub(super) const READ: [&str; 12] = [
    "PENDING",
    "SUBMITTED",
    "STARTING",
    "RUNNING",
    "WINDING_DOWN",
    "RECOVERING",
    "CANCELLING",
    "FAILED",
    "FAILED_SETUP",
    "FAILED_PRECHECKS",
    "FAILED_NO_RESOURCE",
    "FAILED_CONTROLLER",
];

/// Whether the rows of a state are read, be it one that is known or one of a release to come.
pub(super) fn is_read(state: &str) -> bool {
    !COUNTED.contains(&state)
}

/// Logs the states that SkyPilot did not have when this was written.
pub(super) fn warn_of_unknown(queue: &Queue) {
    let named = queue.counts.iter().flat_map(BTreeMap::keys).chain(queue.tasks.iter().map(|task| &task.status));
    let is_known = |state: &str| COUNTED.contains(&state) || READ.contains(&state);
    let unknown: BTreeSet<&String> = named.filter(|state| !is_known(state)).collect();
    for state in unknown {
        log::warn(format!("job state {state:?} is not one of SkyPilot {RELEASE}; it counts by its first letters"));
    }
}
