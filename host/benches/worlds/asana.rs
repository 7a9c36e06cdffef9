//! An Asana workspace of many projects and a bugs project of many tasks, by its REST API.

use std::sync::Arc;

use serde_json::{Value, json};

use super::server::{Answer, Request, Upstream, page};
use super::time::{NOW_S, seconds_ago};
use super::world::{Figure, World, figure};

/// Tasks that are open or were completed in the last 30 days.
const TASKS: usize = 2_000;
/// Tasks that were completed before.
const OLD_TASKS: usize = 3_000;
const PROJECTS: usize = 300;
const DAY_S: usize = 24 * 3600;
const BUGS: &str = "1207100000430017";

const SECTIONS: [&str; 5] = ["Triage", "Active", "Backlog", "Inactive", "Waiting for reporter"];
const STATUSES: [Option<&str>; 5] = [Some("on_track"), Some("at_risk"), Some("off_track"), Some("complete"), None];

pub fn world() -> World {
    let tasks: Vec<Task> = (0..TASKS + OLD_TASKS).map(Task::of).collect();
    World {
        collector: "asana",
        holds: vec![
            (TASKS, "tasks open or completed in 30 days"),
            (OLD_TASKS, "completed before"),
            (PROJECTS, "projects"),
        ],
        plan: |address| {
            format!("[upstream.asana]\nbase_url = 'http://{address}/api/1.0'\nallow_addresses = ['loopback']\n")
        },
        environment: &[
            ("ASANA_ACCESS_TOKEN", "bench-token-0123456789"),
            ("ASANA_WORKSPACE_GID", "1206000011112222"),
            ("ASANA_BUGS_PROJECT_GID", BUGS),
        ],
        is_remembered: false,
        figures: figures(&tasks),
        upstream: Arc::new(Server { tasks }),
    }
}

struct Task {
    number: usize,
    created_s: usize,
    /// Seconds ago; none of an open one.
    completed_s: Option<usize>,
}

impl Task {
    /// Two of three are open.
    fn of(number: usize) -> Task {
        let completed_s = match number {
            _ if number >= TASKS => Some((31 + number % 300) * DAY_S),
            _ if number.is_multiple_of(3) => Some(600 + number * 1_283 % (29 * DAY_S)),
            _ => None,
        };
        Task { number, created_s: completed_s.unwrap_or(0) + 1_800 + number * 7_919 % (200 * DAY_S), completed_s }
    }

    /// Half of them stand in a sprint too, which has sections of its own.
    fn row(&self) -> Value {
        let place = |project: &str, section: &str| {
            json!({
                "project": {"gid": project}, "section": {"gid": "1207100000430022", "name": section},
            })
        };
        let own = place(BUGS, SECTIONS[self.number % SECTIONS.len()]);
        let memberships =
            if self.number.is_multiple_of(2) { vec![place("1205880000071004", "Active"), own] } else { vec![own] };
        json!({
            "gid": format!("12000109{:08}", self.number), "completed": self.completed_s.is_some(),
            "completed_at": self.completed_s.map(|s| seconds_ago(s as i64)),
            "created_at": seconds_ago(self.created_s as i64),
            "memberships": memberships,
        })
    }
}

struct Server {
    tasks: Vec<Task>,
}

impl Upstream for Server {
    fn answer(&self, request: &Request) -> Option<Answer> {
        match request.path.strip_prefix("/api/1.0/projects")? {
            "" => answer(request, &(0..PROJECTS).map(project).collect::<Vec<_>>()),
            path if path == format!("/{BUGS}/tasks") => {
                let since: jiff::Timestamp = request.query.get("completed_since")?.parse().ok()?;
                let age_s = usize::try_from(NOW_S - since.as_second()).ok()?;
                let is_listed = |task: &&Task| task.completed_s.is_none_or(|completed_s| completed_s <= age_s);
                answer(request, &self.tasks.iter().filter(is_listed).map(Task::row).collect::<Vec<_>>())
            }
            _ => None,
        }
    }
}

fn project(number: usize) -> Value {
    let update = STATUSES[number % STATUSES.len()];
    let update = update.map(|status| json!({"gid": "1209", "resource_type": "status_update", "status_type": status}));
    json!({"gid": format!("12058800{number:08}"), "archived": false, "current_status_update": update})
}

fn answer(request: &Request, rows: &[Value]) -> Option<Answer> {
    // An offset is a token of this length.
    let wrapped = |offset: usize| format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.{offset:0>120}");
    let start = match request.query.get("offset") {
        Some(offset) => offset.split_once('.')?.1.parse().ok()?,
        None => 0,
    };
    let (rows, next) = page(rows, start, request.query.number("limit")?.min(100));
    let next = next.map(|next| {
        let (offset, path) = (wrapped(next), &request.path);
        let uri = format!("https://app.asana.com{path}?offset={offset}");
        json!({"offset": offset, "path": format!("{path}?offset={offset}"), "uri": uri})
    });
    Some(Answer::json(json!({"data": rows, "next_page": next})))
}

fn figures(tasks: &[Task]) -> Vec<Figure> {
    let open: Vec<&Task> = tasks.iter().filter(|task| task.completed_s.is_none()).collect();
    let in_section =
        |sections: &[usize]| open.iter().filter(|task| sections.contains(&(task.number % SECTIONS.len()))).count();
    let completed =
        |days: usize| tasks.iter().filter(|task| task.completed_s.is_some_and(|s| s <= days * DAY_S)).count();
    let days: Vec<f64> = open.iter().map(|task| task.created_s as f64 / DAY_S as f64).collect();
    let with_status = |status: &str| (0..PROJECTS).filter(|n| STATUSES[n % STATUSES.len()] == Some(status)).count();
    vec![
        figure("asana.projects.bugs.triage_count", in_section(&[0])),
        figure("asana.projects.bugs.active_count", in_section(&[1])),
        figure("asana.projects.bugs.backlog_count", in_section(&[2])),
        figure("asana.projects.bugs.other_count", in_section(&[3, 4])),
        figure("asana.projects.bugs.total_open", open.len()),
        figure("asana.projects.bugs.completed_7d", completed(7)),
        figure("asana.projects.bugs.completed_30d", completed(30)),
        figure("asana.projects.bugs.created_7d", tasks.iter().filter(|task| task.created_s <= 7 * DAY_S).count()),
        figure("asana.projects.bugs.avg_age_days", days.iter().sum::<f64>() / days.len() as f64),
        figure("asana.projects.bugs.oldest_bug_days", days.iter().copied().fold(0.0, f64::max)),
        figure("asana.projects.active", PROJECTS),
        figure("asana.projects.on_track", with_status("on_track")),
        figure("asana.projects.at_risk", with_status("at_risk")),
        figure("asana.projects.off_track", with_status("off_track")),
    ]
}
