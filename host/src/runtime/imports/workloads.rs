//! `workloads`: reports into the cycle's, bounded and cut to what the failure database keeps.

use jiff::Timestamp;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::quota::Exceeded;
use super::wit::workloads as wit;
use super::wit::workloads::{Host, HostWithStore, Refusal, Rule};
use crate::model::{Ending, Failure, JobRun};

/// Characters of a text that are kept: a name, a sentence, the end of a log.
const NAME_CHARS_MAX: usize = 300;
const MESSAGE_CHARS_MAX: usize = 2_000;
const LOG_CHARS_MAX: usize = 16_000;

impl Host for State {
    fn report_runs(&mut self, runs: Vec<wit::JobRun>) -> wasmtime::Result<Result<(), Refusal>> {
        if let Err(exceeded) = self.quota.count_reports(runs.len(), runs.iter().map(bytes_of_run).sum()) {
            return Ok(Err(exceeded.into()));
        }
        let read: Result<Vec<JobRun>, String> = runs.into_iter().map(run_of_wit).collect();
        Ok(read.map(|runs| self.capabilities.workloads.report(runs, Vec::new())).map_err(bad_report))
    }

    fn report_failures(&mut self, failures: Vec<wit::Failure>) -> wasmtime::Result<Result<(), Refusal>> {
        if let Err(exceeded) = self.quota.count_reports(failures.len(), failures.iter().map(bytes_of_failure).sum()) {
            return Ok(Err(exceeded.into()));
        }
        let redactor = self.web.egress.redactor();
        let scrub = |text: Option<String>| text.map(|text| redactor.scrub_text(text));
        let clean = |failure: Failure| Failure {
            message: scrub(failure.message),
            logs: scrub(failure.logs),
            events: scrub(failure.events),
            ..failure
        };
        let read = failures.into_iter().map(|failure| failure_of_wit(failure).map(clean));
        let read: Result<Vec<Failure>, String> = read.collect();
        let report = |failures| self.capabilities.workloads.report(Vec::new(), failures);
        Ok(read.map(report).map_err(bad_report))
    }
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn known(accessor: &Accessor<T, Self>, ids: Vec<String>) -> wasmtime::Result<Vec<bool>> {
        let capabilities = accessor.with(|mut access| access.get().capabilities.clone());
        let with_logs = capabilities.workloads.with_logs();
        Ok(ids.iter().map(|id| with_logs.contains(id)).collect())
    }

    async fn runs_since(accessor: &Accessor<T, Self>, ended_ms: i64) -> wasmtime::Result<Vec<wit::JobRun>> {
        let capabilities = accessor.with(|mut access| access.get().capabilities.clone());
        let since = Timestamp::from_millisecond(ended_ms).unwrap_or(Timestamp::MAX);
        Ok(capabilities.workloads.runs_since(since).into_iter().map(run_to_wit).collect())
    }

    async fn failures_since(accessor: &Accessor<T, Self>, at_ms: i64) -> wasmtime::Result<Vec<wit::Failure>> {
        let capabilities = accessor.with(|mut access| access.get().capabilities.clone());
        let since = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX);
        Ok(capabilities.workloads.failures_since(since).into_iter().map(failure_to_wit).collect())
    }
}

impl From<Exceeded> for Refusal {
    fn from(Exceeded(message): Exceeded) -> Refusal {
        Refusal { rule: Rule::Limit, message }
    }
}

fn bytes_of_run(run: &wit::JobRun) -> usize {
    let wit::JobRun { id, job, schedule, project, image, node, reason, .. } = run;
    [id, job, project].into_iter().chain([schedule, image, node, reason].into_iter().flatten()).map(String::len).sum()
}

fn bytes_of_failure(failure: &wit::Failure) -> usize {
    let wit::Failure { id, run_id, job, schedule, project, failure_type, phase, pod, container, .. } = failure;
    let wit::Failure { node, image, message, logs, events, cpu_request, memory_request, .. } = failure;
    let names = [run_id, schedule, phase, pod, container, node, image, cpu_request, memory_request];
    let texts = names.into_iter().chain([message, logs, events]).flatten();
    [id, job, project, failure_type].into_iter().chain(texts).map(String::len).sum()
}

fn bad_report(message: String) -> Refusal {
    Refusal { rule: Rule::BadReport, message }
}

fn instant(id: &str, what: &str, ms: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(ms).map_err(|_| format!("{id}: {what} is no time: {ms}"))
}

fn check_id(id: &str) -> Result<(), String> {
    match id.len() {
        1..=NAME_CHARS_MAX => Ok(()),
        length => Err(format!("an id of {length} bytes; it has 1 to {NAME_CHARS_MAX}")),
    }
}

fn check_gpus(id: &str, gpus: f64) -> Result<f64, String> {
    if gpus.is_finite() && gpus >= 0.0 { Ok(gpus) } else { Err(format!("{id}: {gpus} GPUs")) }
}

/// The first so many characters.
fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

fn name(text: String) -> String {
    cut(text, NAME_CHARS_MAX)
}

/// The last so many characters: what a log ends with is what matters.
fn end_of(text: String, chars_max: usize) -> String {
    let chars = text.chars().count();
    if chars <= chars_max { text } else { text.chars().skip(chars - chars_max).collect() }
}

fn run_of_wit(run: wit::JobRun) -> Result<JobRun, String> {
    check_id(&run.id)?;
    Ok(JobRun {
        gpus: check_gpus(&run.id, run.gpus)?,
        started: run.started_ms.map(|ms| instant(&run.id, "its start", ms)).transpose()?,
        ended: instant(&run.id, "its end", run.ended_ms)?,
        id: run.id,
        job: name(run.job),
        schedule: run.schedule.map(name),
        project: name(run.project),
        image: run.image.map(name),
        node: run.node.map(name),
        ending: ending_of_wit(run.ending),
        reason: run.reason.map(name),
    })
}

fn failure_of_wit(failure: wit::Failure) -> Result<Failure, String> {
    check_id(&failure.id)?;
    Ok(Failure {
        gpus: check_gpus(&failure.id, failure.gpus)?,
        at: instant(&failure.id, "its time", failure.at_ms)?,
        id: failure.id,
        run_id: failure.run_id.map(name),
        job: name(failure.job),
        schedule: failure.schedule.map(name),
        project: name(failure.project),
        failure_type: name(failure.failure_type),
        phase: failure.phase.map(name),
        pod: failure.pod.map(name),
        container: failure.container.map(name),
        node: failure.node.map(name),
        image: failure.image.map(name),
        message: failure.message.map(|text| cut(text, MESSAGE_CHARS_MAX)),
        logs: failure.logs.map(|text| end_of(text, LOG_CHARS_MAX)),
        events: failure.events.map(|text| cut(text, LOG_CHARS_MAX)),
        cpu_request: failure.cpu_request.map(name),
        memory_request: failure.memory_request.map(name),
        job_ending: failure.job_ending.map(ending_of_wit),
    })
}

fn run_to_wit(run: JobRun) -> wit::JobRun {
    wit::JobRun {
        id: run.id,
        job: run.job,
        schedule: run.schedule,
        project: run.project,
        image: run.image,
        node: run.node,
        gpus: run.gpus,
        started_ms: run.started.map(|t| t.as_millisecond()),
        ended_ms: run.ended.as_millisecond(),
        ending: ending_to_wit(run.ending),
        reason: run.reason,
    }
}

fn failure_to_wit(failure: Failure) -> wit::Failure {
    wit::Failure {
        id: failure.id,
        run_id: failure.run_id,
        job: failure.job,
        schedule: failure.schedule,
        project: failure.project,
        failure_type: failure.failure_type,
        phase: failure.phase,
        at_ms: failure.at.as_millisecond(),
        pod: failure.pod,
        container: failure.container,
        node: failure.node,
        image: failure.image,
        message: failure.message,
        logs: failure.logs,
        events: failure.events,
        gpus: failure.gpus,
        cpu_request: failure.cpu_request,
        memory_request: failure.memory_request,
        job_ending: failure.job_ending.map(ending_to_wit),
    }
}

fn ending_of_wit(ending: wit::Ending) -> Ending {
    match ending {
        wit::Ending::Succeeded => Ending::Succeeded,
        wit::Ending::Failed => Ending::Failed,
    }
}

fn ending_to_wit(ending: Ending) -> wit::Ending {
    match ending {
        Ending::Succeeded => wit::Ending::Succeeded,
        Ending::Failed => wit::Ending::Failed,
    }
}
