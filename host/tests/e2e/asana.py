"""Asana: its official OpenAPI description by Prism, between a front that writes down what is asked and a world of seeds
(asana_world.py) that answers. Requests and answers that violate the description are refused."""

import collections
import http.client
import json
import os
import pathlib
import time

import asana_world
import parts
import prism
from local_server import LocalServer

DESCRIPTION = "ASANA_OPENAPI"
WHERE_FROM = f"set {DESCRIPTION} to a copy of defs/asana_oas.yaml of https://github.com/Asana/openapi; no package has a recent one"
BASE = "/api/1.0"
TASKS, PROJECTS = "/projects/{project_gid}/tasks", "/projects"
# What the collector asks for, and Asana documents and gives, but the list of opt_fields lacks.
MISSING_FIELDS = {TASKS: "memberships.project.gid", PROJECTS: "current_status_update.status_type"}


def find_properties(description, name):
    """The properties of a schema, with those of all that it is made of."""
    schema = description["components"]["schemas"][name]
    found = dict(schema.get("properties", {}))
    for piece in schema.get("allOf", []):
        found.update(find_properties(description, piece["$ref"].rpartition("/")[2]) if "$ref" in piece else piece.get("properties", {}))
    return found


def mend(description):
    """Mends the description where it is narrower or wider than what Asana does, and says so.

    opt_fields may be more than it lists. A listing's rows are declared compact, open to any further field; what they have is what
    opt_fields asks for of the whole record; those that the world has are taken over. Where a task has no section and a project no
    status update there is null; of the latter the description says so, but by a `nullable` beside `allOf`, which has no effect in
    OpenAPI 3.0.
    """

    def close(schema, *names, **others):
        declared = find_properties(description, schema)
        properties = {**{name: declared[name] for name in ("gid", "resource_type", *names)}, **others}
        return {"type": "object", "properties": properties, "required": ["gid"], "additionalProperties": False}

    section = {**close("SectionCompact", "name"), "nullable": True}
    membership = {"type": "object", "properties": {"project": close("ProjectCompact", "name"), "section": section}}
    memberships = {"type": "array", "items": {**membership, "additionalProperties": False}}
    update = {**close("StatusUpdateResponse", "title", "status_type"), "nullable": True}
    rows = {
        TASKS: close("TaskResponse", "name", "completed", "completed_at", "created_at", memberships=memberships),
        PROJECTS: close("ProjectResponse", "name", "archived", current_status_update=update),
    }
    for path, field in MISSING_FIELDS.items():
        operation = description["paths"][path]["get"]
        fields = next(row for row in operation["parameters"] if row.get("name") == "opt_fields")["schema"]["items"]["enum"]
        if field in fields:
            raise parts.Broken(f"the description has {field}: the mend is needed no more")
        fields.append(field)
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer["properties"]["data"]["items"] = rows[path]
        answer["required"] = ["data", "next_page"]
    parts.say(f"  mends of the description: opt_fields may be {' and '.join(MISSING_FIELDS.values())};")
    parts.say("  rows have fields of the whole record and no other; no section and no status update are null")


class Asana(parts.Part):
    """A world that answers as Asana's official description says."""

    name = "asana"
    collector = "asana"
    prefix = "asana."
    token = "2/1200000000000001/1200000000000002:e2e0asana0token0123456789abcdef"

    def __init__(self, folder, now, _others):
        if not os.environ.get(DESCRIPTION):
            raise parts.Missing(WHERE_FROM)
        self.world, self.requests, self.servers = asana_world.World(now, self.token), [], []
        description = prism.read(pathlib.Path(os.environ[DESCRIPTION]))
        mend(description)
        mended = folder / "asana.openapi.json"
        mended.write_text(json.dumps(description))
        try:
            self.servers.append(LocalServer(self.answer_from_world))
            prism.install()
            with parts.step("Asana's description"):
                self.prism = prism.Prism(mended, folder / "asana.prism.log", upstream=self.servers[0].url)
                self.servers.append(self.prism)
                self.check_prism()
            self.servers.append(LocalServer(self.pass_on))
            self.url = self.servers[-1].url
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """Ends all three."""
        while self.servers:
            self.servers.pop().stop()

    def check_prism(self):
        """Prism says nothing where it cannot use a schema, and lets everything pass: it must refuse a page of too many, a field that
        there is not, and a row without its gid."""
        world = self.servers[0]
        world.answer = lambda *_: (200, {"Content-Type": "application/json"}, b'{"data": [{}], "next_page": null}')
        for path in ("/projects", "/projects/1/tasks"):
            for query, meant, word in (("limit=101", 422, b"limit"), ("opt_fields=none", 422, b"opt_fields"), ("limit=1", 500, b"gid")):
                status, _, content = self.ask_prism("GET", f"{path}?{query}", {"authorization": "Bearer any"})
                if status != meant or word not in content:
                    raise parts.Broken(f"Prism does not refuse {path}?{query}, but answers {status} {content[:500]}")
        world.answer = self.answer_from_world

    def ask_prism(self, method, url, headers, body=None):
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.prism.port, timeout=30)
        try:
            connection.request(method, url, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def answer_from_world(self, _method, url, headers, _body):
        """Behind Prism."""
        path, _, query = url.partition("?")
        status, given, answer = self.world.answer(path, query, headers)
        return status, {**given, "Content-Type": "application/json"}, json.dumps(answer).encode()

    def pass_on(self, method, url, headers, body):
        """Before Prism."""
        row = {"method": method, "url": url, "at": time.monotonic(), "status": None, "text": "", "violations": None}
        self.requests.append(row)
        asked = {key: value for key, value in headers.items() if key != "host"}
        status, given, content = self.ask_prism(method, url.removeprefix(BASE), asked, body)
        row.update(status=status, text=content.decode(errors="replace"), violations=given["sl-violations"])
        return status, {key: given[key] for key in ("Content-Type", "Retry-After") if key in given}, content

    def plan(self):
        """Its part of host.toml."""
        return f"""
[upstream.asana]
base_url = "{self.url}{BASE}"
allow_addresses = ["loopback"]
credential = "asana"

[credential.asana]
kind = "bearer"
env = "ASANA_ACCESS_TOKEN"

[collector.asana.settings]
workspace = "{asana_world.WORKSPACE}"
bugs_project = "{asana_world.BUGS_PROJECT}"
"""

    def environment(self):
        """The credential."""
        return {"ASANA_ACCESS_TOKEN": self.token}

    def expected(self):
        """What the seeds make of each series."""
        return {**asana_world.expect_bugs(), **asana_world.expect_projects()}

    def problems(self):
        """What was refused, asked too often, or too soon after the 429."""
        parts.say(f"    {len(self.requests)} requests, of these {self.count(429)} refused for their rate")
        refused = [row["url"] for row in self.requests if row["status"] == 429]
        asked = collections.Counter(row["url"] for row in self.requests)
        found = self.find_refusals({429: 1}, sum(asana_world.count_pages()) + 1)
        found += [f"asked {times} times: {url}" for url, times in asked.items() if times > 1 + (url in refused)]
        moments = [row["at"] for row in self.requests if row["url"] in refused]
        if moments[-1:] and moments[-1] - moments[0] < asana_world.RETRY_AFTER_S:
            found.append(f"asked again {moments[-1] - moments[0]:.1f} s after the 429, whose Retry-After was {asana_world.RETRY_AFTER_S} s")
        return found

    def count(self, status):
        """How many requests were answered so."""
        return sum(row["status"] == status for row in self.requests)

    def find_refusals(self, meant, budget):
        """Answers other than 200 and those that are meant, {status: number}; other paths than the two listings', such as an item's;
        more requests than the budget."""
        found = [f"{len(self.requests)} requests, the budget is {budget}"] if len(self.requests) > budget else []
        listings = {f"{BASE}/projects", f"{BASE}/projects/{asana_world.BUGS_PROJECT}/tasks"}
        found += [f"asked for {path}" for path in sorted({row["url"].partition("?")[0] for row in self.requests} - listings)]
        for row in self.requests:
            if row["status"] not in meant and (row["status"] != 200 or row["violations"]):
                found.append(f"{row['method']} {row['url']}: {row['status']} {row['violations'] or ''} {row['text'][:1000]}")
        return found + [f"{status} {self.count(status)} times" for status, number in meant.items() if self.count(status) != number]

    def further_cycles(self, checks, host, now):
        """An offset that has expired costs a new beginning and no figure; bugs that may not be seen cost their figures alone."""
        tasks, projects = asana_world.count_pages()
        for fault, name, lost, refused, budget in (
            ("expired", "an offset expired", (), {400: 1}, 2 + tasks + projects),
            ("hidden", "the bugs project hidden", ("asana.projects.bugs.",), {403: 1}, 1 + projects),
        ):
            self.requests.clear()
            self.world.faults.add(fault)
            with parts.step(f"host run-all, {name}"):
                _, points, _, _ = host.run_all(now, only=self.collector)
            parts.check_values(checks, self, points, lost)
            for problem in self.find_refusals(refused, budget):
                checks.expect(False, f"{name}: {problem}")
