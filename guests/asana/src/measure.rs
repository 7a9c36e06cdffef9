//! What the tasks and projects amount to: pure, rows in, a sheet out. Every formula stands here.

use collector_sdk::{Fault, Sheet, Timestamp};

use crate::api::{MONTH, Project, Status, Task, WEEK, start_of};

/// The series of the sections, and which section each counts.
const SECTIONS: [(&str, Section); 4] = [
    ("asana.projects.bugs.triage_count", Section::Triage),
    ("asana.projects.bugs.active_count", Section::Active),
    ("asana.projects.bugs.backlog_count", Section::Backlog),
    ("asana.projects.bugs.other_count", Section::Other),
];

const TOTAL_OPEN: &str = "asana.projects.bugs.total_open";
const COMPLETED: [&str; 2] = ["asana.projects.bugs.completed_7d", "asana.projects.bugs.completed_30d"];
const CREATED: &str = "asana.projects.bugs.created_7d";
const AGES: [&str; 2] = ["asana.projects.bugs.avg_age_days", "asana.projects.bugs.oldest_bug_days"];

const ACTIVE: &str = "asana.projects.active";

/// The series of the statuses, and which status each counts.
const STATUSES: [(&str, Status); 3] = [
    ("asana.projects.on_track", Status::OnTrack),
    ("asana.projects.at_risk", Status::AtRisk),
    ("asana.projects.off_track", Status::OffTrack),
];

/// What the section of a task is called, as far as a figure asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Triage,
    Active,
    Backlog,
    Other,
}

/// A gap for every figure of bugs, where no setting says which project holds them. That is no fault.
pub fn without_bugs_project() -> Sheet {
    let mut sheet = Sheet::default();
    for series in list_bug_series() {
        sheet.gap(series, "setting bugs_project is not set; it takes the gid of the project that holds the bugs");
    }
    sheet
}

/// A point or a gap for every figure of bugs.
pub fn measure_bugs(bugs_project: &str, tasks: Result<Vec<Task>, Fault>, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    match tasks {
        Ok(tasks) => {
            let all: Vec<&Task> = tasks.iter().collect();
            let (open, completed): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| task.is_open);
            measure_sections(&mut sheet, bugs_project, &open);
            measure_completed(&mut sheet, &completed, now);
            measure_created(&mut sheet, &all, now);
            measure_ages(&mut sheet, &open, now);
        }
        Err(fault) => sheet.lost(&list_bug_series(), &fault),
    }
    sheet
}

/// A point or a gap for every figure of projects.
pub fn measure_projects(projects: Result<Vec<Project>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    let status_series = STATUSES.map(|(series, _)| series);
    match projects {
        Ok(projects) => {
            let active: Vec<&Project> = projects.iter().filter(|project| !project.is_archived).collect();
            sheet.count(ACTIVE, active.len());
            match read_statuses(&active) {
                Ok(statuses) => {
                    for (series, wanted) in STATUSES {
                        sheet.count(series, statuses.iter().filter(|status| **status == wanted).count());
                    }
                }
                Err(fault) => sheet.lost(&status_series, &fault),
            }
        }
        Err(fault) => sheet.lost(&[&[ACTIVE], &status_series[..]].concat(), &fault),
    }
    sheet
}

fn list_bug_series() -> Vec<&'static str> {
    let sections = SECTIONS.map(|(series, _)| series);
    [&sections[..], &[TOTAL_OPEN], &COMPLETED, &[CREATED], &AGES].concat()
}

fn measure_sections(sheet: &mut Sheet, bugs_project: &str, open: &[&Task]) {
    let sections: Vec<Section> = open.iter().map(|task| find_section(task, bugs_project)).collect();
    for (series, wanted) in SECTIONS {
        sheet.count(series, sections.iter().filter(|section| **section == wanted).count());
    }
    sheet.count(TOTAL_OPEN, open.len());
}

fn measure_completed(sheet: &mut Sheet, completed: &[&Task], now: Timestamp) {
    match read_times(completed, "completed_at", |task| task.completed_at) {
        Ok(times) => {
            for (series, window) in COMPLETED.into_iter().zip([WEEK, MONTH]) {
                sheet.count(series, times.iter().filter(|time| **time >= start_of(window, now)).count());
            }
        }
        Err(fault) => sheet.lost(&COMPLETED, &fault),
    }
}

fn measure_created(sheet: &mut Sheet, tasks: &[&Task], now: Timestamp) {
    match read_times(tasks, "created_at", |task| task.created_at) {
        Ok(times) => sheet.count(CREATED, times.iter().filter(|time| **time >= start_of(WEEK, now)).count()),
        Err(fault) => sheet.lost(&[CREATED], &fault),
    }
}

fn measure_ages(sheet: &mut Sheet, open: &[&Task], now: Timestamp) {
    const DAY_SECONDS: f64 = 86_400.0;
    match read_times(open, "created_at", |task| task.created_at) {
        Ok(times) => {
            let age = |created: &Timestamp| now.duration_since(*created).as_secs_f64() / DAY_SECONDS;
            let ages: Vec<f64> = times.iter().map(age).collect();
            for (series, value) in AGES.into_iter().zip([mean(&ages), ages.iter().copied().reduce(f64::max)]) {
                sheet.put_or_gap(series, value, "no task is open");
            }
        }
        Err(fault) => sheet.lost(&AGES, &fault),
    }
}

/// The section of the task in the bugs project: it may stand in other projects too, and each has sections of its own.
fn find_section(task: &Task, bugs_project: &str) -> Section {
    let mut here = task.memberships.iter().filter(|membership| membership.project.as_deref() == Some(bugs_project));
    here.find_map(|membership| membership.section.as_deref()).map_or(Section::Other, read_section)
}

/// Goes by whole words, as "Inactive" is not active; where several fit, by the first of triage, active and backlog.
fn read_section(name: &str) -> Section {
    let name = name.to_lowercase();
    let has = |wanted: &str| name.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
    match () {
        () if has("triage") => Section::Triage,
        () if has("active") => Section::Active,
        () if has("backlog") => Section::Backlog,
        () => Section::Other,
    }
}

/// A time of every task. One that is missing could lie in any window, so no figure can do without it.
fn read_times(tasks: &[&Task], field: &str, time: fn(&Task) -> Option<Timestamp>) -> Result<Vec<Timestamp>, Fault> {
    let read = |task: &&Task| {
        time(task).ok_or_else(|| Fault::bad_answer(format!("task {} has no {field} that can be read", task.gid)))
    };
    tasks.iter().map(read).collect()
}

fn read_statuses(projects: &[&Project]) -> Result<Vec<Status>, Fault> {
    let read = |project: &&Project| {
        let unknown =
            || Fault::bad_answer(format!("project {} has a status update without a status_type", project.gid));
        project.status.ok_or_else(unknown)
    };
    projects.iter().map(read).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no listing has 2^53 tasks")]
fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

#[cfg(test)]
mod tests;
