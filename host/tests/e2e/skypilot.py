"""The world of SkyPilot: seeds its databases by SkyPilot's own functions, and says what each series must then be.

Runs with the Python that SkyPilot is installed in and the HOME of its API server:
`skypilot.py NOW EXPECTED`, where NOW is the cycle's instant in seconds since 1970 and EXPECTED the file that is written.
What is expected is computed from the seeds below and nothing else; neither the server nor the collector is asked.

SUBMITTED is not among the states: no function of SkyPilot 0.14 writes it any more.
"""

import asyncio
import collections
import dataclasses
import json
import os
import pathlib
import sys
import time

HOUR_S = 3600
DAY_S = 24 * HOUR_S

# Accelerators of one node. The instance types are real ones; g6f has shares of a GPU.
MACHINES = {
    "p5.48xlarge": {"H100": 8},
    "g6.12xlarge": {"L4": 4},
    "g6f.4xlarge": {"L4": 0.5},
    "g6e.48xlarge": {"L40S": 8},
    "g5.12xlarge": {"A10G": 4},
    "p4de.24xlarge": {"A100-80GB": 8},
    "trn1.32xlarge": {"Trainium": 16},
    "inf2.48xlarge": {"Inferentia": 12},
    "m6i.4xlarge": {},
    "a3-megagpu-8g": {"H100-MEGA-80GB": 8},
    "TPU-VM": {"tpu-v5litepod-8": 1},
    "4CPU--16GB--H100:2": {"H100": 2},
}
NOT_GPUS = ("trainium", "inferentia", "tpu")

AWS_REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
GCP_REGIONS = ("us-central1", "us-east1")

# Two of them have one name.
USERS = {
    "a11ce000": "alice",
    "b0b00000": "bob",
    "ca401000": "carol",
    "5a3a0001": "sam",
    "5a3a0002": "sam",
    "d4ve0000": "dave",
    "e41n0000": "erin",
    "f4a9k000": "frank",
}
ALICE, BOB, CAROL, SAM, OTHER_SAM, DAVE, ERIN, FRANK = USERS


@dataclasses.dataclass
class Task:
    """A row of the queue."""

    status: str
    # How long ago it began; negative where a controller's clock is ahead.
    hours: float = 0.0
    # Where it runs; without a machine the server has no record of its cluster.
    machine: str = ""
    region: str = ""
    nodes: int = 1
    is_spot: bool = False
    recoveries: int = 0
    # How many seconds before the cycle's instant it ended.
    ended_s: float = 0.0

    def cloud(self):
        """The cloud that has its machine."""
        if self.region in AWS_REGIONS:
            return "aws"
        return "gcp" if self.region in GCP_REGIONS else "kubernetes"

    def accelerators(self):
        """Accelerators of one of its nodes."""
        return MACHINES.get(self.machine, {})

    def asked(self):
        """What was asked for, as SkyPilot writes it."""
        kinds = [f"{kind}:{count}" for kind, count in self.accelerators().items()] or ["CPU:1+"]
        return f"{self.nodes}x[{kinds[0]}]" + ("[Spot]" if self.is_spot else "")


@dataclasses.dataclass
class Job:
    """A managed job: one task, or several one after another."""

    user: str
    tasks: list
    workspace: str = "default"
    # The place in JOBS of the job that it was launched from.
    parent: int = -1
    # Where it last ran, although its cluster is in no table any more.
    last_region: str = ""


@dataclasses.dataclass
class Cluster:
    """A cluster that somebody launched, not a managed job."""

    user: str
    status: str
    machine: str
    region: str
    workspace: str = "default"
    nodes: int = 1


def running(hours, machine, region, **more):
    """A task that runs."""
    return Task("RUNNING", hours, machine, region, **more)


def ended(status, ended_s, **more):
    """A task that ended so many seconds ago, after an hour."""
    return Task(status, ended_s / HOUR_S + 1, ended_s=ended_s, **more)


WEEK_S = 7 * DAY_S

JOBS = [
    # Running, on both sides of every bound of the buckets.
    Job(ALICE, [running(0.05, "g6.12xlarge", "us-east-1")]),
    Job(ALICE, [running(0.9, "g6.12xlarge", "us-east-1", is_spot=True)]),
    Job(BOB, [running(1.0, "g5.12xlarge", "us-west-2", is_spot=True, recoveries=1, nodes=2)], "research"),
    Job(BOB, [running(1.7, "g5.12xlarge", "us-west-2")]),
    Job(SAM, [running(2.5, "g6e.48xlarge", "us-east-1")]),
    Job(OTHER_SAM, [running(3.9, "p5.48xlarge", "us-east-1", is_spot=True, nodes=2, recoveries=3)]),
    Job(CAROL, [running(4.0, "a3-megagpu-8g", "us-central1", is_spot=True, nodes=4)], "research"),
    Job(CAROL, [running(7.25, "4CPU--16GB--H100:2", "lab-cluster")]),
    Job(CAROL, [running(11.0, "g6f.4xlarge", "eu-west-1", nodes=3)]),
    Job(SAM, [running(23.9, "m6i.4xlarge", "us-east-1")]),
    Job(SAM, [running(24.0, "trn1.32xlarge", "us-east-1", nodes=2)]),
    Job(ALICE, [running(36.5, "inf2.48xlarge", "us-west-2", is_spot=True, recoveries=1)]),
    Job(BOB, [running(80.0, "TPU-VM", "us-central1", is_spot=True)]),
    Job(BOB, [running(200.0, "p4de.24xlarge", "us-west-2", recoveries=7)]),
    # Nothing is known of where it runs; and one that began in the future, which has no runtime yet.
    Job(ALICE, [running(6.0, "", "")]),
    Job(ALICE, [running(-1.0, "g6.12xlarge", "us-west-2")]),
    # Its cluster is gone from the table, what the job itself keeps is left.
    Job(CAROL, [running(9.5, "", "", is_spot=True)], last_region="eu-west-1"),
    # Pipelines: each task is a row.
    Job(BOB, [
        ended("SUCCEEDED", 2 * HOUR_S),
        running(1.9, "g6.12xlarge", "us-east-1"),
        Task("PENDING"),
        Task("PENDING"),
    ]),
    Job(SAM, [ended("SUCCEEDED", 3 * DAY_S), ended("FAILED", 2 * DAY_S, machine="g5.12xlarge", region="us-west-2")]),
    # A job and those that were launched from inside of it: the server counts them as one when it cuts pages.
    Job(CAROL, [running(5.5, "m6i.4xlarge", "us-west-2")]),
    Job(CAROL, [running(5.0, "p5.48xlarge", "us-west-2", is_spot=True)], parent=19),
    Job(CAROL, [Task("STARTING")], parent=19),
    # Neither waiting nor computing: what they hold is counted nowhere but in their state.
    Job(ERIN, [Task("WINDING_DOWN", 30.0, "p5.48xlarge", "us-east-1")]),
    Job(BOB, [Task("STARTING", 0.1, "p5.48xlarge", "us-east-1", nodes=8)]),
    Job(SAM, [Task("RECOVERING", 12.0, "g5.12xlarge", "us-west-2", is_spot=True, recoveries=2)]),
    Job(FRANK, [Task("CANCELLING", 3.0, "g6.12xlarge", "us-east-1", is_spot=True)]),
    Job(BOB, [Task("PENDING")], "research"),
    Job(OTHER_SAM, [Task("PENDING")]),
    # History. Dave has nothing unfinished.
    Job(DAVE, [ended("SUCCEEDED", HOUR_S)]),
    Job(DAVE, [ended("SUCCEEDED", 40 * DAY_S)], "research"),
    Job(DAVE, [ended("CANCELLED", 0, machine="g6.12xlarge", region="us-east-1")]),
    Job(DAVE, [ended("FAILED", 20)]),
    Job(DAVE, [ended("FAILED", WEEK_S)]),
    Job(DAVE, [ended("FAILED", WEEK_S + 1)]),
    Job(DAVE, [ended("FAILED", 30 * DAY_S)], "research"),
    Job(DAVE, [ended("FAILED_SETUP", 5 * DAY_S)]),
    Job(DAVE, [ended("FAILED_SETUP", 8 * DAY_S)]),
    Job(DAVE, [ended("FAILED_PRECHECKS", DAY_S)]),
    Job(DAVE, [ended("FAILED_NO_RESOURCE", 6.9 * DAY_S)], "research"),
    Job(DAVE, [ended("FAILED_CONTROLLER", 7.1 * DAY_S)]),
    Job(DAVE, [ended("FAILED_CONTROLLER", 3 * HOUR_S)]),
]

CLUSTERS = [
    Cluster(ALICE, "UP", "g6.12xlarge", "us-east-1"),
    Cluster(BOB, "UP", "m6i.4xlarge", "us-west-2", "research"),
    Cluster(CAROL, "UP", "a3-megagpu-8g", "us-central1", nodes=2),
    Cluster(DAVE, "AUTOSTOPPING", "p5.48xlarge", "us-east-1", "research"),
    Cluster(ERIN, "STOPPED", "m6i.4xlarge", "us-east-1"),
    Cluster(OTHER_SAM, "STOPPED", "g5.12xlarge", "us-west-2"),
    Cluster(FRANK, "INIT", "g5.12xlarge", "us-west-2"),
]

QUEUED = {"PENDING", "SUBMITTED", "STARTING", "RECOVERING"}
RUNNING = {"RUNNING", "WINDING_DOWN"}
CANCELLED = {"CANCELLED", "CANCELLING"}
FAILED = {"FAILED", "FAILED_SETUP", "FAILED_PRECHECKS", "FAILED_NO_RESOURCE", "FAILED_CONTROLLER"}
FINAL = FAILED | {"SUCCEEDED", "CANCELLED"}


def expect():
    """The value of every series at the cycle's instant, each `{"value": …}`; with `"grows"` where it then grows by a second
    each second, as the runtimes of running jobs do."""
    rows = [task for job in JOBS for task in job.tasks]
    at_work = [(job, task) for job in JOBS for task in job.tasks if task.status == "RUNNING"]
    exact = expect_counts(rows)
    exact.update(expect_gpus([task for _, task in at_work]))
    exact.update(expect_places(at_work))
    recoveries = [task.recoveries for _, task in at_work if task.recoveries > 0]
    exact["skypilot.jobs.with_recoveries"] = len(recoveries)
    exact["skypilot.jobs.recovery_count.avg"] = sum(recoveries) / len(recoveries)
    exact["skypilot.jobs.recovery_count.max"] = max(recoveries)
    unfinished = {job.user for job in JOBS if any(task.status not in FINAL for task in job.tasks)}
    exact["skypilot.users.active_count"] = len(unfinished)
    exact["skypilot.clusters.active"] = sum(cluster.status in {"UP", "AUTOSTOPPING"} for cluster in CLUSTERS)
    growing, buckets = expect_runtimes([task.hours for _, task in at_work if task.hours > 0])
    exact.update(buckets)
    expected = {series: {"value": value} for series, value in exact.items()}
    expected.update({series: {"value": value, "grows": True} for series, value in growing.items()})
    return expected


def expect_counts(rows):
    """Rows by state, which five add up to all, and the failures of the week, closed at its old end."""
    states = collections.Counter(task.status for task in rows)

    def count(meant):
        return sum(number for state, number in states.items() if state in meant)

    failed_lately = [task for task in rows if task.status in FAILED and task.ended_s <= WEEK_S]
    return {
        "skypilot.jobs.queued": count(QUEUED),
        "skypilot.jobs.running": count(RUNNING),
        "skypilot.jobs.failed": count(FAILED),
        "skypilot.jobs.succeeded": count({"SUCCEEDED"}),
        "skypilot.jobs.cancelled": count(CANCELLED),
        "skypilot.jobs.failed_7d": len(failed_lately),
    }


def expect_gpus(tasks):
    """Nodes times the accelerators of one; L4 and A10G by that very name, H100 of every kind."""
    held = collections.Counter()
    for task in tasks:
        for kind, count in task.accelerators().items():
            held[kind] += task.nodes * count
    return {
        "skypilot.resources.gpus.l4_count": held["L4"],
        "skypilot.resources.gpus.a10g_count": held["A10G"],
        "skypilot.resources.gpus.h100_count": sum(held[kind] for kind in held if kind.startswith("H100")),
        "skypilot.resources.gpus.total_count": sum(held[kind] for kind in held if not kind.lower().startswith(NOT_GPUS)),
    }


def expect_places(at_work):
    """Spot or not and the region, where they are known."""
    located = [(task, task.region or job.last_region) for job, task in at_work if task.machine or job.last_region]
    regions = collections.Counter(region for _, region in located)
    named = regions["us-east-1"] + regions["us-west-2"]
    return {
        "skypilot.resources.spot_jobs": sum(task.is_spot for task, _ in located),
        "skypilot.resources.ondemand_jobs": sum(not task.is_spot for task, _ in located),
        "skypilot.regions.us_east_1": regions["us-east-1"],
        "skypilot.regions.us_west_2": regions["us-west-2"],
        "skypilot.regions.other": len(located) - named,
    }


def expect_runtimes(hours):
    """The figures of the runtimes, which grow, and the buckets, whose bounds no seed passes within the minutes of a test."""
    seconds = sorted(hour * HOUR_S for hour in hours)
    n = len(seconds)
    figures = {
        "min": seconds[0],
        "max": seconds[-1],
        "avg": sum(seconds) / n,
        "p50": seconds[n * 50 // 100],
        "p90": seconds[n * 90 // 100],
        "p99": seconds[min(n * 99 // 100, n - 1)],
    }
    buckets = {
        "0_1h": sum(hour < 1 for hour in hours),
        "1_4h": sum(1 <= hour < 4 for hour in hours),
        "4_24h": sum(4 <= hour < 24 for hour in hours),
        "over_24h": sum(hour >= 24 for hour in hours),
    }
    return (
        {f"skypilot.jobs.runtime_seconds.{name}": value for name, value in figures.items()},
        {f"skypilot.jobs.runtime_buckets.{name}": value for name, value in buckets.items()},
    )


def write_catalogues():
    """Price lists of the machines above. SkyPilot takes what a machine has from such files, and would download them."""
    folder = pathlib.Path.home() / ".sky/catalogs/v8"
    columns = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone"
    for cloud, regions in (("aws", AWS_REGIONS), ("gcp", GCP_REGIONS)):
        rows = [columns]
        for machine, accelerators in MACHINES.items():
            kind, count = next(iter(accelerators.items()), ("", ""))
            # GCP lists TPUs as accelerators without a machine.
            name = "" if machine == "TPU-VM" else machine
            rows += [f"{name},{kind},{count},16,64,,1.0,0.5,{region},{region}-a" for region in regions]
        (folder / cloud).mkdir(parents=True, exist_ok=True)
        (folder / cloud / "vms.csv").write_text("\n".join(rows) + "\n")


async def ignore(_status):
    """Takes the place of SkyPilot's event callbacks."""


class Seeder:
    """Writes the world into the databases of the server whose HOME this is."""

    def __init__(self, now_s):
        # Only here, as the catalogues must be there before.
        # pylint: disable=import-outside-toplevel
        from sky import backends, clouds, global_user_state, models, resources, skypilot_config
        from sky.jobs import state, utils
        from sky.utils import registry, status_lib

        self.now_s = now_s
        self.state, self.utils, self.global_state = state, utils, global_user_state
        self.handle_type, self.resources_type = backends.CloudVmRayResourceHandle, resources.Resources
        self.cluster_status, self.user_type = status_lib.ClusterStatus, models.User
        self.in_workspace, self.cloud_of = skypilot_config.local_active_workspace_ctx, registry.CLOUD_REGISTRY.from_str
        del clouds

    async def write(self):
        """Everything."""
        for user, name in USERS.items():
            self.global_state.add_or_update_user(self.user_type(id=user, name=name))
        ids = []
        for job in JOBS:
            ids.append(await self.write_job(job, ids))
        for number, cluster in enumerate(CLUSTERS):
            self.write_cluster(f"cluster-{number}", cluster)

    async def write_job(self, job, ids):
        """A job with its tasks, by the functions that SkyPilot's server and controller call."""
        parent = None if job.parent < 0 else ids[job.parent]
        job_id = self.state.set_job_info_without_job_id(
            name=f"job-{len(ids)}", workspace=job.workspace, entrypoint="", pool=None, pool_hash=None, user_hash=job.user,
            parent_job_id=parent, root_job_id=parent,
            dynamic_task_index=None if parent is None else self.state.next_dynamic_task_index(parent),
        )
        for task_id, task in enumerate(job.tasks):
            name = f"job-{len(ids)}-task-{task_id}"
            self.state.set_pending(job_id, task_id, name, task.asked(), "{}")
        for task_id, task in enumerate(job.tasks):
            await self.write_task(job_id, task_id, task)
            if task.machine:
                self.write_handle(self.utils.generate_managed_job_cluster_name(f"job-{len(ids)}-task-{task_id}", job_id), job, task)
        if job.last_region:
            self.state.set_job_infra(job_id, cloud="AWS", region=job.last_region)
        if all(task.status in FINAL for task in job.tasks):
            self.state.scheduler_set_done(job_id)
        return job_id

    async def write_task(self, job_id, task_id, task):
        """A task from PENDING to its state."""
        state, began_s, ended_s = self.state, self.now_s - task.hours * HOUR_S, self.now_s - task.ended_s
        if task.status == "PENDING":
            return
        if task.status in {"FAILED_PRECHECKS", "FAILED_NO_RESOURCE"}:
            # These never start, and so have no time of submission either.
            failure = state.ManagedJobStatus(task.status)
            return await state.set_failed_async(job_id, task_id, failure, "seeded", ignore, ended_s)
        await state.set_starting_async(job_id, task_id, "sky-seed", began_s, task.asked(), {}, ignore)
        if task.status == "STARTING":
            return
        await state.set_started_async(job_id, task_id, began_s, ignore)
        for _ in range(task.recoveries):
            await state.set_recovering_async(job_id, task_id, False, ignore)
            await state.set_recovered_async(job_id, task_id, time.time(), ignore)
        await self.end_task(job_id, task_id, task, ended_s)

    async def end_task(self, job_id, task_id, task, ended_s):
        """A task from RUNNING to its state."""
        state = self.state
        if task.status == "RECOVERING":
            await state.set_recovering_async(job_id, task_id, False, ignore)
        elif task.status == "WINDING_DOWN":
            state.set_winding_down(job_id, task_id)
        elif task.status == "SUCCEEDED":
            await state.set_succeeded_async(job_id, task_id, ended_s, ignore)
        elif task.status in FAILED:
            failure = state.ManagedJobStatus(task.status)
            await state.set_failed_async(job_id, task_id, failure, "seeded", ignore, ended_s)
        elif task.status in CANCELLED:
            await state.set_cancelling_async(job_id, ignore)
            if task.status == "CANCELLED":
                await state.set_cancelled_async(job_id, ignore)

    def write_handle(self, name, owner, place, is_managed=True):
        """The record of a cluster, UP."""
        accelerators = MACHINES[place.machine]
        cloud = "kubernetes" if "--" in place.machine else ("gcp" if place.region in GCP_REGIONS else "aws")
        resources = self.resources_type(
            cloud=self.cloud_of(cloud), region=place.region, instance_type=place.machine,
            accelerators=accelerators or None, use_spot=getattr(place, "is_spot", False),
        )
        handle = self.handle_type(
            cluster_name=name, cluster_name_on_cloud=name, cluster_yaml=None, launched_nodes=place.nodes,
            launched_resources=resources,
        )
        os.environ["SKYPILOT_USER_ID"], os.environ["SKYPILOT_USER"] = owner.user, USERS[owner.user]
        with self.in_workspace(owner.workspace):
            self.global_state.add_or_update_cluster(name, handle, {resources}, ready=True, is_managed=is_managed)

    def write_cluster(self, name, cluster):
        """A cluster in its state."""
        self.write_handle(name, cluster, cluster, is_managed=False)
        self.global_state.set_cluster_status(name, self.cluster_status(cluster.status))


def main():
    """See above."""
    now_s, file = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    write_catalogues()
    asyncio.run(Seeder(now_s).write())
    file.write_text(json.dumps(expect(), indent=1) + "\n")


if __name__ == "__main__":
    main()
