"""The world of Asana: tasks and projects made of seeds, the API over them, and what each series must be.

What is expected is computed from the seeds alone; which kind of section a name is, is written beside it by hand.
"""

import base64
import dataclasses
import datetime
import hashlib
import json
import math
import urllib.parse

DAY = datetime.timedelta(days=1)
MILLISECOND = datetime.timedelta(milliseconds=1)

WORKSPACE = "1206000011112222"
OTHER_WORKSPACE = "1206000033334444"
BUGS_PROJECT = "1207100000430017"
OTHER_PROJECT = "1207100000430099"

# Sections of the bugs project: name, what it is by the whole words of its name, open tasks. None is no section.
SECTIONS = (
    ("Needs triage", "triage", 41),
    ("TRIAGE: active or backlog", "triage", 7),
    ("🔥 Active (this week)", "active", 38),
    ("Active backlog", "active", 5),
    ("Backlog", "backlog", 112),
    ("Next / backlog", "backlog", 9),
    ("Inactive", "other", 6),
    ("Triaged", "other", 4),
    ("Backlogs", "other", 3),
    ("Untitled section", "other", 8),
    (None, "other", 11),
)
# Of closed tasks it counts when: ages at their end and at their beginning. A window is closed at its old end.
CLOSED = [(n * 10 / 24 * DAY, (n * 10 / 24 + n % 12) * DAY + MILLISECOND) for n in range(70)]
CLOSED += [(7 * DAY, 9 * DAY), (7 * DAY + MILLISECOND, 9 * DAY), (30 * DAY, 31 * DAY), (30 * DAY + MILLISECOND, 90 * DAY)]
CLOSED += [((45 + n) * DAY, 200 * DAY) for n in range(60)]
# Ages of some open tasks: the edge of a week.
EDGES = [7 * DAY, 7 * DAY + MILLISECOND, 7 * DAY - MILLISECOND]

# Latest status, projects: two whole pages that are not archived, archived ones, and those of another workspace.
STATUSES = (("on_track", 61), ("at_risk", 17), ("off_track", 9), ("on_hold", 11), ("complete", 23), ("dropped", 5), (None, 74))
ARCHIVED = (("on_track", 25), ("at_risk", 10), ("off_track", 5))
ELSEWHERE = (("on_track", 6), ("off_track", 6))

RETRY_AFTER_S = 2
HELP = "For more information on API status codes and how to handle them, read the docs on errors: https://developers.asana.com/docs/errors"


@dataclasses.dataclass
class Task:
    """A task of the bugs project."""

    number: int
    section: str
    kind: str
    age: datetime.timedelta
    closed: datetime.timedelta = None

    def row(self, now):
        """Its record. Of every four tasks, one is in another project first, whose section misleads, and one is second."""
        ours = {"project": project(BUGS_PROJECT, "Bugs"), "section": section(self.section)}
        other = {"project": project(OTHER_PROJECT, "Roadmap"), "section": section(("Triage", "Active", None)[self.number % 3])}
        return {
            "gid": str(1208000000000000 + self.number), "resource_type": "task", "name": f"Bug {self.number}",
            "completed": self.closed is not None, "completed_at": None if self.closed is None else write_time(now - self.closed),
            "created_at": write_time(now - self.age),
            "memberships": ([other, ours], [ours, other], [ours], [ours])[self.number % 4],
        }


def project(gid, name):
    """A project, compact."""
    return {"gid": gid, "resource_type": "project", "name": name}


def section(name):
    """A section, compact, or none."""
    return name and {"gid": str(1209000000000000 + len(name)), "resource_type": "section", "name": name}


def write_time(time):
    """As Asana writes it, to the millisecond."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def mix(rows):
    """The same rows in another order, always the same, so that pages hold some of all."""
    return sorted(rows, key=lambda row: hashlib.sha256(str(row).encode()).digest())


def make_tasks():
    """All tasks of the bugs project."""
    tasks = []
    for name, kind, count in SECTIONS:
        for _ in range(count):
            number = len(tasks)
            age = EDGES[number] if number < len(EDGES) else (number * 37 % 290 + 0.4) * DAY + number * MILLISECOND
            tasks.append(Task(number, name, kind, age))
    for closed, age in CLOSED:
        name, kind, _ = SECTIONS[len(tasks) % len(SECTIONS)]
        tasks.append(Task(len(tasks), name, kind, age, closed))
    return tasks


def make_projects():
    """All projects: (workspace, row)."""
    found = []
    for workspace, is_archived, statuses in (
        (WORKSPACE, False, STATUSES), (WORKSPACE, True, ARCHIVED), (OTHER_WORKSPACE, False, ELSEWHERE),
    ):
        for status in (status for status, count in statuses for _ in range(count)):
            gid = str(1207000000000000 + len(found))
            update = status and {"gid": f"9{gid}", "resource_type": "status_update", "title": "This week", "status_type": status}
            row = {**project(gid, f"Project {len(found)}"), "archived": is_archived, "current_status_update": update}
            found.append((workspace, row))
    return found


def expect_bugs():
    """The series of the bugs project."""
    tasks = make_tasks()
    is_open = [task for task in tasks if task.closed is None]
    ages = [task.age / DAY for task in is_open]
    kinds = {kind: sum(task.kind == kind for task in is_open) for kind in ("triage", "active", "backlog", "other")}
    figures = {
        **{f"{kind}_count": count for kind, count in kinds.items()},
        "total_open": len(is_open),
        "completed_7d": sum(task.closed is not None and task.closed <= 7 * DAY for task in tasks),
        "completed_30d": sum(task.closed is not None and task.closed <= 30 * DAY for task in tasks),
        "created_7d": sum(task.age <= 7 * DAY for task in tasks),
        "avg_age_days": sum(ages) / len(ages),
        "oldest_bug_days": max(ages),
    }
    return {f"asana.projects.bugs.{name}": {"value": value} for name, value in figures.items()}


def expect_projects():
    """The series of the workspace."""
    counts = dict(STATUSES)
    figures = {"active": sum(counts.values()), **{name: counts[name] for name in ("on_track", "at_risk", "off_track")}}
    return {f"asana.projects.{name}": {"value": value} for name, value in figures.items()}


def count_pages():
    """The pages of 100 that it takes: of the tasks that are open or closed in 30 days, and of the projects."""
    tasks = sum(task.closed is None or task.closed <= 30 * DAY for task in make_tasks())
    projects = sum(count for _, count in STATUSES)
    return math.ceil(tasks / 100), math.ceil(projects / 100)


class World:
    """Asana's API over the seeds: paging by tokens, `opt_fields`, and what may go wrong."""

    def __init__(self, now, token):
        self.now, self.token = now, token
        self.tasks, self.projects = mix(task.row(now) for task in make_tasks()), mix(make_projects())
        self.offsets = {}
        # What goes wrong: a page of tasks after the first is refused once, for the "rate" of requests or because its offset has
        # "expired"; the bugs are "hidden".
        self.faults = {"rate"}

    def answer(self, path, query, headers):
        """Status, headers and body of a GET."""
        if headers.get("authorization") != f"Bearer {self.token}":
            return refuse(401, "Not Authorized")
        asked = dict(urllib.parse.parse_qsl(query))
        if path == "/projects" and "workspace" in asked:
            rows = [row for workspace, row in self.projects if workspace == asked["workspace"]]
            if "archived" in asked:
                rows = [row for row in rows if row["archived"] == (asked["archived"] == "true")]
            return self.page(path, asked, rows)
        if path == f"/projects/{BUGS_PROJECT}/tasks":
            if "hidden" in self.faults:
                return refuse(403, "project: You do not have access to this resource.")
            return self.page(path, asked, self.select_tasks(asked.get("completed_since")))
        return refuse(404, "project: Unknown object: 1")

    def select_tasks(self, completed_since):
        """The tasks that are open or were completed since then; while pages are turned the last row of the first moves on, and
        so is in the second as well."""
        rows = self.tasks
        if completed_since is not None:
            since = self.now if completed_since == "now" else datetime.datetime.fromisoformat(completed_since.replace("Z", "+00:00"))
            rows = [row for row in rows if not row["completed"] or row["completed_at"] > write_time(since)]
        return rows[:100] + rows[99:]

    def page(self, path, asked, rows):
        """A page, and the token of the next. A token is good for the listing that gave it and no other."""
        listing = (path, *sorted((key, value) for key, value in asked.items() if key != "offset"))
        at, size = 0, int(asked.get("limit", len(rows)))
        if "offset" in asked:
            if path.endswith("/tasks") and self.happens("rate"):
                return refuse(429, "You have made too many requests recently. Please, be chill.", {"Retry-After": str(RETRY_AFTER_S)})
            if path.endswith("/tasks") and self.happens("expired"):
                del self.offsets[asked["offset"]]
            given, at = self.offsets.get(asked["offset"], (None, 0))
            if given != listing:
                return refuse(400, "offset: Your pagination token has expired.")
        fields = [field.split(".") for field in asked.get("opt_fields", "name,resource_type").split(",")]
        answer = {"data": [select(row, fields) for row in rows[at : at + size]]}
        if "limit" in asked:
            answer["next_page"] = self.find_next(listing, asked, at + size) if at + size < len(rows) else None
        return 200, {}, answer

    def happens(self, fault):
        """Whether this goes wrong, once."""
        happens = fault in self.faults
        self.faults.discard(fault)
        return happens

    def find_next(self, listing, asked, at):
        """What leads to the page that begins there."""
        claims = {"border_rank": str(at), "iat": int(self.now.timestamp()) + len(self.offsets), "exp": int(self.now.timestamp()) + 900}
        texts = [json.dumps(claims).encode() for claims in ({"typ": "JWT", "alg": "HS256"}, claims)]
        offset = ".".join(encode(text) for text in (*texts, hashlib.sha256(texts[1]).digest()))
        self.offsets[offset] = (listing, at)
        path = f"{listing[0]}?{urllib.parse.urlencode({**asked, 'offset': offset})}"
        return {"offset": offset, "path": path, "uri": f"https://app.asana.com/api/1.0{path}"}


def refuse(status, message, headers=None):
    """An error as Asana gives it."""
    return status, headers or {}, {"errors": [{"message": message, "help": HELP}]}


def encode(data):
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def select(value, fields):
    """Of a record what `opt_fields` asks for, and always its gid."""
    if isinstance(value, list):
        return [select(row, fields) for row in value]
    if value is None or [] in fields:
        return value
    chosen = {"gid": value["gid"]} if "gid" in value else {}
    for key in dict.fromkeys(field[0] for field in fields if field[0] in value):
        deeper = [field[1:] for field in fields if field[0] == key]
        chosen[key] = select(value[key], deeper) if isinstance(value[key], (dict, list)) else value[key]
    return chosen
