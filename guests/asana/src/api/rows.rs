//! Tasks and projects, read from the rows of a listing. What a figure can do without may be missing, null or odd.

use collector_sdk::time;
use serde_json::Value;

use super::{Membership, Project, Status, Task};

/// Why a row cannot be counted.
pub(super) type RowError = String;

/// What tells a row from others.
///
/// # Errors
/// Where it is not there.
pub(super) fn read_gid(row: &Value) -> Result<String, RowError> {
    read_text(&row["gid"]).ok_or_else(|| "a row has no gid".into())
}

/// Reads a task.
///
/// # Errors
/// Where it has no gid or does not say whether it is completed.
pub(super) fn read_task(row: &Value) -> Result<Task, RowError> {
    let gid = read_gid(row)?;
    let is_open = match (row["completed"].as_bool(), row.get("completed_at")) {
        (Some(is_completed), _) => !is_completed,
        (None, Some(completed_at)) => completed_at.is_null(),
        (None, None) => return Err(format!("task {gid} does not say whether it is completed")),
    };
    let memberships = row["memberships"].as_array().into_iter().flatten();
    let memberships = memberships.map(|membership| Membership {
        project: read_text(&membership["project"]["gid"]),
        section: read_text(&membership["section"]["name"]),
    });
    Ok(Task {
        gid,
        is_open,
        completed_at: row["completed_at"].as_str().and_then(time::parse),
        created_at: row["created_at"].as_str().and_then(time::parse),
        memberships: memberships.collect(),
    })
}

/// Reads a project.
///
/// # Errors
/// Where it has no gid.
pub(super) fn read_project(row: &Value) -> Result<Project, RowError> {
    let status = match &row["current_status_update"] {
        Value::Null => Some(Status::Other),
        update => update.get("status_type").map(read_status),
    };
    Ok(Project { gid: read_gid(row)?, is_archived: row["archived"].as_bool().unwrap_or(false), status })
}

fn read_status(status_type: &Value) -> Status {
    match status_type.as_str() {
        Some("on_track") => Status::OnTrack,
        Some("at_risk") => Status::AtRisk,
        Some("off_track") => Status::OffTrack,
        _ => Status::Other,
    }
}

/// A text that is not empty. Gids were numbers once, and some proxies still make them so.
fn read_text(field: &Value) -> Option<String> {
    match field {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_is_open_unless_it_says_that_it_is_completed() {
        for (row, is_open) in [
            (json!({"completed": false, "completed_at": null}), Some(true)),
            (json!({"completed": true, "completed_at": "2025-10-24T12:00:00.000Z"}), Some(false)),
            (json!({"completed": false}), Some(true)),
            // Where the two contradict each other, the flag is what people see.
            (json!({"completed": false, "completed_at": "2025-10-24T12:00:00.000Z"}), Some(true)),
            (json!({"completed": true, "completed_at": null}), Some(false)),
            (json!({"completed": null, "completed_at": null}), Some(true)),
            (json!({"completed_at": null}), Some(true)),
            (json!({"completed_at": "2025-10-24T12:00:00.000Z"}), Some(false)),
            (json!({"completed_at": "yesterday"}), Some(false)),
            (json!({}), None),
        ] {
            let mut with_gid = row.clone();
            with_gid["gid"] = json!("1");
            assert_eq!(read_task(&with_gid).ok().map(|task| task.is_open), is_open, "{row}");
        }
    }

    #[test]
    fn memberships_of_any_shape_cost_no_task() {
        let memberships = |memberships: Value| {
            let row = json!({"gid": "1", "completed": false, "memberships": memberships});
            read_task(&row).map(|task| task.memberships)
        };
        let full = json!([{"project": {"gid": "7"}, "section": {"gid": "8", "name": "Triage"}}, {"project": null}]);
        let triage = Membership { project: Some("7".into()), section: Some("Triage".into()) };
        assert_eq!(memberships(full), Ok(vec![triage, Membership::default()]));
        for odd in [json!(null), json!([]), json!({}), json!("Triage"), json!(7)] {
            assert_eq!(memberships(odd.clone()), Ok(vec![]), "{odd}");
        }
        for odd in [json!([null]), json!([[]]), json!([{"section": "Triage", "project": 7}])] {
            assert_eq!(memberships(odd.clone()), Ok(vec![Membership::default()]), "{odd}");
        }
    }

    #[test]
    fn a_row_without_a_gid_cannot_be_told_from_others() {
        for row in [json!({}), json!(null), json!([]), json!({"gid": null}), json!({"gid": ""})] {
            assert!(read_task(&row).is_err() && read_project(&row).is_err(), "{row}");
        }
        assert_eq!(read_gid(&json!({"gid": 12_090_000_000_000_001_u64})), Ok("12090000000000001".into()));
    }

    #[test]
    fn a_project_without_an_update_has_no_status_and_an_update_without_a_type_is_not_known() {
        for (update, status) in [
            (json!({"status_type": "on_track"}), Some(Status::OnTrack)),
            (json!({"status_type": "at_risk"}), Some(Status::AtRisk)),
            (json!({"status_type": "off_track"}), Some(Status::OffTrack)),
            (json!({"status_type": "on_hold"}), Some(Status::Other)),
            (json!({"status_type": null}), Some(Status::Other)),
            (json!(null), Some(Status::Other)),
            (json!({"gid": "5", "title": "Week 42"}), None),
        ] {
            let row = json!({"gid": "1", "current_status_update": update});
            assert_eq!(read_project(&row).map(|project| project.status), Ok(status), "{row}");
        }
        assert_eq!(read_project(&json!({"gid": "1"})).map(|project| project.status), Ok(Some(Status::Other)));
    }
}
