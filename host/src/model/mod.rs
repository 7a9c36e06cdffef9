//! Values only: what is collected, how it went, what is said about it. No I/O, no async, nothing that fails but parsing.

mod cycle;
mod event;
mod fault;
mod manifest;
mod name;
mod point;
mod sample;
mod secret;
mod series_set;
mod signing_key;
mod workload;

pub use cycle::{CycleOutcome, CycleSummary, RunSummary, SinkSummary, Streak, Transfer};
pub use event::Event;
pub use fault::{Blame, Fault, Reason};
pub use manifest::{
    Asked, CONTRACT, ContractVersion, Kind, KubernetesAsked, KubernetesResource, Manifest, ManifestError, Series,
    SettingDecl, SettingKind,
};
pub use name::{Name, NameError};
pub use point::{Gap, Outcome, Point, PointRef, TagSet};
pub use sample::Sample;
pub use secret::{Redactor, Secret};
pub use series_set::SeriesSet;
pub use signing_key::{SigningKey, SigningKeyError};
pub use workload::{Ending, Failure, JobRun, WorkloadReports};
