//! Tasks and projects that are written down here, and what they amount to.

use std::time::Duration;

use collector_sdk::Reason;
use proptest::prelude::*;

use super::*;
use crate::api::Membership;

const BUGS: &str = "100";

fn now() -> Timestamp {
    "2025-10-24T12:00:00Z".parse().unwrap()
}

fn ago(age_s: u64) -> Option<Timestamp> {
    Some(now() - Duration::from_secs(age_s))
}

fn days(days: u64) -> u64 {
    days * 86_400
}

fn membership(project: &str, section: Option<&str>) -> Membership {
    Membership { project: Some(project.into()), section: section.map(Into::into) }
}

/// An open task in a section of the bugs project.
fn open(gid: &str, section: &str, age_s: u64) -> Task {
    let memberships = vec![membership(BUGS, Some(section))];
    Task { gid: gid.into(), is_open: true, created_at: ago(age_s), memberships, ..Task::default() }
}

fn completed(gid: &str, created_s: u64, completed_s: u64) -> Task {
    Task { is_open: false, completed_at: ago(completed_s), ..open(gid, "Active", created_s) }
}

fn project(gid: &str, status: Option<Status>) -> Project {
    Project { gid: gid.into(), is_archived: false, status }
}

fn of_tasks(tasks: Vec<Task>) -> Sheet {
    measure_bugs(BUGS, Ok(tasks), now())
}

fn value(sheet: &Sheet, series: &str) -> Option<f64> {
    sheet.points.iter().find(|point| point.series == format!("asana.projects.{series}")).map(|point| point.value)
}

fn gaps(sheet: &Sheet) -> Vec<&str> {
    sheet.gaps.iter().filter_map(|gap| gap.series.strip_prefix("asana.projects.")).collect()
}

#[test]
fn a_section_goes_by_whole_words_of_its_name() {
    for (name, section) in [
        ("Triage", Section::Triage),
        ("needs TRIAGE", Section::Triage),
        ("Active → Triage", Section::Triage),
        ("🔥Active🔥", Section::Active),
        ("Backlog of active bugs", Section::Active),
        ("not-active", Section::Active),
        ("Backlog (P2, P3):", Section::Backlog),
        ("Inactive", Section::Other),
        ("Triaged", Section::Other),
        ("Backlogs", Section::Other),
        ("Actively worked on", Section::Other),
        ("active2", Section::Other),
        ("réactive", Section::Other),
        ("Untitled section", Section::Other),
        ("", Section::Other),
    ] {
        assert_eq!(read_section(name), section, "{name}");
    }
}

#[test]
fn only_the_section_in_the_bugs_project_counts() {
    let section = |memberships: Vec<Membership>| find_section(&Task { memberships, ..Task::default() }, BUGS);
    let elsewhere = || membership("200", Some("Triage"));
    assert_eq!(section(vec![elsewhere(), membership(BUGS, Some("Backlog"))]), Section::Backlog);
    assert_eq!(section(vec![membership(BUGS, Some("Backlog")), elsewhere()]), Section::Backlog);
    assert_eq!(section(vec![elsewhere(), membership(BUGS, None)]), Section::Other);
    assert_eq!(section(vec![elsewhere()]), Section::Other);
    assert_eq!(section(vec![]), Section::Other);
    let unseen = Membership { project: None, section: Some("Triage".into()) };
    assert_eq!(section(vec![unseen, membership(BUGS, Some("Active"))]), Section::Active);
}

#[test]
fn of_several_memberships_in_the_bugs_project_the_first_with_a_section_counts() {
    let memberships = vec![membership(BUGS, None), membership(BUGS, Some("Active")), membership(BUGS, Some("Triage"))];
    assert_eq!(find_section(&Task { memberships, ..Task::default() }, BUGS), Section::Active);
}

#[test]
fn a_task_on_the_edge_of_a_window_is_in_it() {
    let sheet = of_tasks(vec![
        completed("1", days(90), days(7)),
        completed("2", days(90), days(7) + 1),
        completed("3", days(90), days(30)),
        completed("4", days(90), days(30) + 1),
        open("5", "Triage", days(7)),
        open("6", "Triage", days(7) + 1),
    ]);
    assert_eq!(value(&sheet, "bugs.completed_7d"), Some(1.0));
    assert_eq!(value(&sheet, "bugs.completed_30d"), Some(3.0));
    assert_eq!(value(&sheet, "bugs.created_7d"), Some(1.0));
    assert_eq!(value(&sheet, "bugs.total_open"), Some(2.0));
}

#[test]
fn a_task_that_was_created_and_completed_within_the_week_counts_as_created() {
    let sheet = of_tasks(vec![completed("1", days(3), days(2)), open("2", "Active", days(1))]);
    assert_eq!(value(&sheet, "bugs.created_7d"), Some(2.0));
    assert_eq!(value(&sheet, "bugs.active_count"), Some(1.0));
}

#[test]
fn ages_are_those_of_open_tasks() {
    let sheet = of_tasks(vec![
        open("1", "Active", days(3)),
        open("2", "Nowhere", days(1) + 43_200),
        completed("3", days(400), days(1)),
    ]);
    assert_eq!(value(&sheet, "bugs.avg_age_days"), Some(2.25));
    assert_eq!(value(&sheet, "bugs.oldest_bug_days"), Some(3.0));
}

#[test]
fn without_an_open_task_ages_are_gaps_and_counts_are_0() {
    for tasks in [vec![], vec![completed("1", days(9), days(8))]] {
        let sheet = of_tasks(tasks);
        assert_eq!(gaps(&sheet), ["bugs.avg_age_days", "bugs.oldest_bug_days"]);
        assert_eq!(value(&sheet, "bugs.total_open"), Some(0.0));
        assert_eq!((sheet.points.len(), sheet.faults.len()), (8, 0));
    }
}

#[test]
fn a_time_that_cannot_be_read_costs_the_figures_that_need_it_and_no_other() {
    let sheet = of_tasks(vec![Task { created_at: None, ..open("1", "Triage", 0) }, completed("2", days(9), days(8))]);
    assert_eq!(gaps(&sheet), ["bugs.created_7d", "bugs.avg_age_days", "bugs.oldest_bug_days"]);
    assert_eq!(value(&sheet, "bugs.triage_count"), Some(1.0));
    let sheet = of_tasks(vec![open("1", "Triage", 0), Task { created_at: None, ..completed("2", 0, 0) }]);
    assert_eq!(gaps(&sheet), ["bugs.created_7d"]);
    let sheet = of_tasks(vec![open("1", "Triage", 0), Task { completed_at: None, ..completed("2", 0, 0) }]);
    assert_eq!(gaps(&sheet), ["bugs.completed_7d", "bugs.completed_30d"]);
    assert_eq!(sheet.faults.len(), 1);
    assert_eq!(sheet.gaps.first().unwrap().reason, "task 2 has no completed_at that can be read");
}

#[test]
fn a_project_counts_under_its_latest_status_unless_it_is_archived() {
    let archived = Project { is_archived: true, ..project("9", Some(Status::OnTrack)) };
    let statuses = [Status::OnTrack, Status::OnTrack, Status::AtRisk, Status::OffTrack, Status::Other];
    let projects = statuses.map(|status| project("1", Some(status)));
    let sheet = measure_projects(Ok([&projects[..], &[archived]].concat()));
    let counts = ["active", "on_track", "at_risk", "off_track"].map(|series| value(&sheet, series));
    assert_eq!(counts, [Some(5.0), Some(2.0), Some(1.0), Some(1.0)]);
}

#[test]
fn a_status_that_asana_does_not_say_costs_the_statuses_and_not_the_number_of_projects() {
    let sheet = measure_projects(Ok(vec![project("1", Some(Status::OnTrack)), project("2", None)]));
    assert_eq!(gaps(&sheet), ["on_track", "at_risk", "off_track"]);
    assert_eq!(value(&sheet, "active"), Some(2.0));
    let unseen = Project { is_archived: true, ..project("2", None) };
    assert_eq!(gaps(&measure_projects(Ok(vec![unseen]))), Vec::<&str>::new());
}

#[test]
fn a_lost_listing_costs_every_figure_of_its_group() {
    let fault = || Fault::new(Reason::Timeout, "too slow");
    let bugs = measure_bugs(BUGS, Err(fault()), now());
    assert_eq!((bugs.points.len(), bugs.gaps.len(), bugs.faults), (0, 10, vec![fault()]));
    let projects = measure_projects(Err(fault()));
    assert_eq!((projects.points.len(), projects.gaps.len(), projects.faults), (0, 4, vec![fault()]));
}

#[test]
fn a_bugs_project_that_is_not_set_is_no_fault() {
    let sheet = without_bugs_project();
    assert_eq!((sheet.points.len(), sheet.gaps.len(), sheet.faults.len()), (0, 10, 0));
    assert!(sheet.gaps.iter().all(|gap| gap.reason.contains("bugs_project")));
}

fn any_task() -> impl Strategy<Value = Task> {
    let sections = vec![None, Some("Triage"), Some("In active work"), Some("Backlog"), Some("Inactive")];
    let section = prop::sample::select(sections);
    let place = prop::sample::select(vec![BUGS, "200"]);
    let memberships = prop::collection::vec((place, section), 0..3)
        .prop_map(|places| places.into_iter().map(|(project, section)| membership(project, section)).collect());
    (any::<bool>(), 0..days(40), 0..days(40), memberships).prop_map(|(is_open, created, completed, memberships)| Task {
        gid: String::new(),
        is_open,
        completed_at: if is_open { None } else { ago(completed) },
        created_at: ago(created),
        memberships,
    })
}

proptest! {
    #[test]
    fn sections_sum_to_the_total_and_windows_and_ages_hold_one_another(
        mut tasks in prop::collection::vec(any_task(), 0..30)
    ) {
        let sheet = of_tasks(tasks.clone());
        let bugs = |series: &str| value(&sheet, &format!("bugs.{series}"));
        let sum: f64 = SECTIONS.iter().filter_map(|(series, _)| bugs(series.strip_prefix("asana.projects.bugs.")?)).sum();
        prop_assert_eq!(bugs("total_open"), Some(sum));
        prop_assert!(bugs("completed_7d") <= bugs("completed_30d"));
        prop_assert!(bugs("completed_30d").unwrap_or(f64::NAN) + sum <= tasks.len() as f64);
        prop_assert!(bugs("created_7d").unwrap_or(f64::NAN) <= tasks.len() as f64);
        prop_assert_eq!(bugs("avg_age_days").is_some(), sum > 0.0);
        prop_assert!(bugs("avg_age_days").unwrap_or(0.0) <= bugs("oldest_bug_days").unwrap_or(0.0) + 1e-9);
        tasks.reverse();
        let reversed = of_tasks(tasks);
        let mut pairs = sheet.points.iter().zip(&reversed.points);
        prop_assert!(pairs.all(|(a, b)| (a.value - b.value).abs() <= 1e-9 * a.value.abs()));
    }

    #[test]
    fn no_name_of_a_section_is_too_odd(name in "\\PC{0,20}") {
        let lower = name.to_lowercase();
        let words = ["triage", "active", "backlog"];
        prop_assert!(read_section(&name) == Section::Other || words.iter().any(|word| lower.contains(word)));
        prop_assert_eq!(read_section(&format!("{name} triage")), Section::Triage);
    }

    #[test]
    fn statuses_are_never_more_than_the_projects(numbers in prop::collection::vec(0_usize..4, 0..30)) {
        let statuses = [Status::OnTrack, Status::AtRisk, Status::OffTrack, Status::Other];
        let projects = numbers.iter().map(|number| project("1", statuses.get(*number).copied())).collect();
        let sheet = measure_projects(Ok(projects));
        let counted: f64 = ["on_track", "at_risk", "off_track"].iter().filter_map(|series| value(&sheet, series)).sum();
        let others = numbers.iter().filter(|number| **number == 3).count();
        prop_assert_eq!(value(&sheet, "active"), Some(counted + others as f64));
    }
}
