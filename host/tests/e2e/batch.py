"""The collector batch, on the cluster of kubernetes.py."""

import contextlib
import math
import sqlite3

import parts
from kubernetes import CRONJOBS, FAILING, KEPT_JOBS, WAITING, Kubernetes, jobs_that

# What kwok cannot give: there is no kubelet behind its nodes.
NEEDS_KUBELET = ("batch.usage.disk_bytes", "batch.network.")
# What the failure database must have: runs by their ending, and by its type each pod that failed or does not get on.
RUNS = {"succeeded": jobs_that("well"), "failed": jobs_that(*FAILING)}
FAILURES = {
    "Error": jobs_that("error"), "OOMKilled": jobs_that("oom", "crashloop"), "Evicted": jobs_that("evicted"),
    "ImagePullBackOff": jobs_that("image-pull"), "CreateContainerConfigError": jobs_that("config-error"),
}
# Jobs that are gone, and their pods, are known by their events and by what was remembered of them.
OF_GONE_JOBS = ("batch.pods.succeeded_24h", "batch.pods.failed_24h", "batch.success_rate_pct", "batch.failure_rate_pct")
# The series that are lost without a right, and what the failure database then has instead.
LOST_WITHOUT = {
    "pods": (
        ("batch.pods.", "batch.containers.", "batch.success_rate_pct", "batch.failure_rate_pct", "batch.usage.", "batch.network."),
        {"failures": {}, "without a log": {}},
    ),
    "events": (
        ("batch.jobs.run_24h", "batch.jobs.succeeded_24h", "batch.jobs.failed_24h", *OF_GONE_JOBS),
        {"runs": {**RUNS, "succeeded": KEPT_JOBS}, "without events": FAILURES},
    ),
    "batch/jobs": (("batch.jobs.", *OF_GONE_JOBS), {"runs": {}}),
    "batch/cronjobs": (("batch.cronjobs.",), {}),
    "metrics.k8s.io/pods": (("batch.usage.cpu_cores", "batch.usage.memory_bytes"), {}),
    "pods/log": ((), {"without a log": FAILURES}),
    "nodes/proxy": (NEEDS_KUBELET, {}),
}


def group(points):
    """Points by their series: {series: {series with tags: value}}."""
    groups = {}
    for point in points:
        groups.setdefault(point["series"], {})[parts.name_of(point)] = point["value"]
    return groups


def find_problem(series, before, now, reason, lost):
    """What is wrong with the points of a series, {series with tags: value}, or with the reason of its gap: what is lost is a gap for
    want of a right, and all else is as before; usage to the 4 % that metrics-server's windows move between two readings."""
    if series.startswith(lost):
        is_gap = now is None and reason and "403" in reason
        return None if is_gap else f"expected a gap, got {now or reason}; with the right it is {before}"
    if series.startswith(NEEDS_KUBELET):
        return None
    within = 0.04 if series.startswith("batch.usage.") else 1e-9
    is_same = before and now and not reason and before.keys() == now.keys()
    is_same = is_same and all(math.isclose(now[name], before[name], rel_tol=within) for name in before)
    return None if is_same else f"expected {before}, got {now or reason}"


class Batch(parts.Part):
    """The collector batch, on the same cluster."""

    name = "batch"
    collector = "batch"
    prefix = "batch."
    is_complete = False

    def __init__(self, folder, _now, others):
        kubernetes = next((part for part in others if isinstance(part, Kubernetes)), None)
        if kubernetes is None:
            raise parts.Missing("it needs the cluster of kubernetes")
        self.folder, self.cluster = folder, kubernetes.cluster

    def may_be_a_gap(self, series):
        """Whether this cluster cannot give a series."""
        return series.startswith(NEEDS_KUBELET)

    def expected(self):
        """What the seeds alone make of each series."""
        expected = {}
        for name, end, count in CRONJOBS:
            tags = f"{{kube_cronjob:{name},kube_namespace:ml}}"
            has_ended, is_well = end == "well" or end in FAILING, end == "well"
            expected[f"batch.jobs.run_24h{tags}"] = count * has_ended
            expected[f"batch.jobs.succeeded_24h{tags}"] = count * is_well
            expected[f"batch.jobs.failed_24h{tags}"] = count * (end in FAILING)
            expected[f"batch.jobs.active{tags}"] = count * (not has_ended)
            expected[f"batch.pods.succeeded_24h{tags}"] = count * is_well
            expected[f"batch.pods.failed_24h{tags}"] = count * (end in FAILING)
            expected[f"batch.pods.pending{tags}"] = count * (end in WAITING)
            expected[f"batch.pods.crash_looping{tags}"] = count * (end == "crashloop")
        # Rates go by pods, those of jobs that are gone among them.
        pods = sum(count for _, _, count in CRONJOBS)
        expected["batch.success_rate_pct{}"] = 100 * jobs_that("well") / pods
        expected["batch.failure_rate_pct{}"] = 100 * jobs_that(*FAILING) / pods
        return {series.replace("{}", ""): {"value": value} for series, value in expected.items()}

    def problems(self):
        """What the failure database has that it should not, or not."""
        found = self.read_database("state")
        parts.say(f"    the failure database: {found}")
        return [f"{key}: {found[key]}, expected {meant}" for key, meant in (("runs", RUNS), ("failures", FAILURES)) if found[key] != meant]

    def read_database(self, state):
        """What the failure database of a state has: runs by their ending, failures by their type, all and those that lack something."""

        def ask(column, table, where="1"):
            return dict(connection.execute(f"SELECT {column}, COUNT(*) FROM {table} WHERE {where} GROUP BY {column}").fetchall())

        with contextlib.closing(sqlite3.connect(self.folder / state / "state.db")) as connection:
            return {
                "runs": ask("ending", "workload_runs"),
                "failures": ask("failure_type", "workload_failures"),
                "without a log": ask("failure_type", "workload_failures", "logs IS NULL"),
                "without events": ask("failure_type", "workload_failures", "events IS NULL"),
            }

    def further_cycles(self, checks, host, now):
        """A right that is missing costs the series that need it, and no other: those are gaps, and nothing is counted in part."""
        meant, _, meant_database = self.run_twice(host, now, "with all rights")
        for right in self.cluster.rights_less(self.collector):
            lost, instead = LOST_WITHOUT[right]
            found, gaps, database = self.run_twice(host, now, f"without {right}")
            for series in sorted(meant.keys() | found.keys() | gaps.keys()):
                problem = find_problem(series, meant.get(series), found.get(series), gaps.get(series), lost)
                checks.expect(problem is None, f"without {right}: {series}: {problem}")
            instead = {**meant_database, **instead}
            checks.expect(database == instead, f"without {right}: the failure database: {database}, expected {instead}")

    def run_twice(self, host, now, how):
        """The second of two cycles, which remembers the first: points by series, gaps with their reasons, the failure database."""
        state = f"state {how}".replace("/", " ")
        with parts.step(f"host run-all twice, batch {how}"):
            host.run_all(now, only=self.collector, state=state)
            _, points, report, _ = host.run_all(now, only=self.collector, state=state)
        gaps = {gap["series"]: gap["reason"] for gap in report["runs"][0]["gaps"]}
        return group(point for point in points if point["series"].startswith(self.prefix)), gaps, self.read_database(state)
