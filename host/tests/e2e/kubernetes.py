"""A whole Kubernetes control plane (cluster/), with CronJobs whose pods go every way, read by a service account that has exactly
the rights that the collectors' READMEs list."""

import base64
import json
import os
import pathlib
import subprocess
import time

import parts

GUESTS = parts.HERE.parents[2] / "guests"
TOOL = parts.HERE / "cluster/cluster"

# CronJob, how its pods end (cluster/stages.yaml), jobs.
CRONJOBS = [
    ("nightly-train", "well", 4),
    ("report", "error", 3),
    ("embed", "oom", 2),
    ("etl", "evicted", 1),
    ("stuck", "hang", 2),
    ("pull", "image-pull", 1),
    ("secretless", "config-error", 1),
    ("loop", "crashloop", 1),
]
FAILING = ("error", "oom", "evicted")
WAITING = ("image-pull", "config-error")
WEB_PODS = 3
# Kubernetes keeps so many that went well; of the others only events are left, and they count too.
KEPT_JOBS = 3


def jobs_that(*ends):
    """How many jobs end so; a job has one pod."""
    return sum(count for _, end, count in CRONJOBS if end in ends)


def workloads():
    """The objects of the world."""
    cronjobs = "".join(
        f"""
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: {name}, namespace: ml}}
spec:
  schedule: "0 0 1 1 *"
  suspend: true
  failedJobsHistoryLimit: 10
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        metadata: {{labels: {{ends: {end}}}}}
        spec:
          restartPolicy: Never
          containers:
          - name: main
            image: registry.example/{name}:1
            resources: {{requests: {{cpu: 500m, memory: 1Gi}}, limits: {{nvidia.com/gpu: "1"}}}}
"""
        for name, end, _ in CRONJOBS
    )
    deployments = "".join(
        f"""
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: ml}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{kwok.x-k8s.io/usage-cpu: 500u, kwok.x-k8s.io/usage-memory: 8Mi}}
    spec: {{containers: [{{name: web, image: "registry.example/web:1", resources: {{requests: {{cpu: 100m, memory: 128Mi}}}}}}]}}
"""
        for name, replicas in (("web", WEB_PODS), ("idle", 0))
    )
    return "apiVersion: v1\nkind: Namespace\nmetadata: {name: ml}\n" + cronjobs + deployments


def rules_of(collector):
    """The rules that a collector's README lists."""
    rules = []
    for line in (GUESTS / collector / "README.md").read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0].splitlines():
        if line.startswith("- "):
            rules.append({})
        key, _, value = line.strip("- ").partition(": ")
        rules[-1][key] = json.loads(value)
    return rules


def rights_in(rules):
    """The rights that rules give: {(group, resource): verb}."""
    return {(rule["apiGroups"][0], resource): rule["verbs"][0] for rule in rules for resource in rule["resources"]}


class Cluster:
    """The control plane; one for both collectors."""

    def __init__(self, folder):
        for name in ("go", "openssl", "curl"):
            parts.program(name)
        self.folder, self.usage = folder / "cluster", []
        port = parts.free_port() % 30000 + 20000
        self.environment = {**os.environ, "CLUSTER_PORT": str(port)}
        with parts.step("a Kubernetes control plane built from Go modules (once; ten minutes)"):
            done = subprocess.run([TOOL, "build"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise parts.Missing(f"it cannot be built:\n{parts.tail(done.stderr)}")
        try:
            with parts.step(f"Kubernetes on port {port}"):
                subprocess.run([TOOL, "up", self.folder], env=self.environment, capture_output=True, check=True)
            with parts.step("its workloads, and the first usage of its pods"):
                self.seed()
        except subprocess.CalledProcessError as e:
            self.stop()
            raise parts.Broken(f"{e}: {e.stderr}") from e
        except BaseException:
            self.stop()
            raise

    def kubectl(self, *words, given=None):
        """Calls kubectl as the administrator; gives its output."""
        command = [TOOL, "kubectl", f"--kubeconfig={self.folder}/kubeconfig", *words]
        return subprocess.run(command, env=self.environment, input=given, capture_output=True, text=True, check=True).stdout

    def seed(self):
        """Makes the world and waits until it stands still."""
        self.kubectl("apply", "-f", "-", given=workloads())
        for name, _, count in CRONJOBS:
            for n in range(count):
                self.kubectl("create", "job", f"--from=cronjob/{name}", f"{name}-{29354400 + n}", "-n", "ml")
        self.grant("kubernetes", "batch")
        until = time.monotonic() + 180
        while not self.is_settled():
            if time.monotonic() > until:
                raise parts.Broken("the cluster's pods do not settle")
            time.sleep(1)

    def is_settled(self):
        """Whether every pod is where it ends up, every job has ended that will, and usage is there for all that run."""
        pods = json.loads(self.kubectl("get", "pods", "-n", "ml", "-o", "json"))["items"]
        phases = sorted(pod["status"].get("phase") for pod in pods)
        jobs = json.loads(self.kubectl("get", "jobs", "-n", "ml", "-o", "json"))["items"]
        ends = {("Complete", "True"), ("Failed", "True")}
        ended = sum(any((c["type"], c["status"]) in ends for c in job["status"].get("conditions", [])) for job in jobs)
        restarts = sum(s.get("restartCount", 0) for pod in pods for s in pod["status"].get("containerStatuses", []))
        expected = ["Failed"] * jobs_that(*FAILING) + ["Pending"] * jobs_that(*WAITING)
        expected += ["Running"] * (jobs_that("hang", "crashloop") + WEB_PODS) + ["Succeeded"] * KEPT_JOBS
        if (phases, ended, restarts) != (expected, KEPT_JOBS + jobs_that(*FAILING), 6 * jobs_that("crashloop")):
            return False
        try:
            self.usage = json.loads(self.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods"))["items"]
        except subprocess.CalledProcessError:
            return False
        return sum(row["metadata"]["name"].startswith("web-") for row in self.usage) == WEB_PODS and len(self.usage) >= 5

    def grant(self, *collectors, without=None):
        """Gives the service account the rights of these collectors, all but one (group, resource)."""
        rules = []
        for rule in (rule for collector in collectors for rule in rules_of(collector)):
            kept = [resource for resource in rule["resources"] if (rule["apiGroups"][0], resource) != without]
            rules += [{**rule, "resources": kept}] if kept else []
        role = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: host, namespace: ml}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: host}}
rules: {json.dumps(rules)}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: host}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: host}}
subjects: [{{kind: ServiceAccount, name: host, namespace: ml}}]
"""
        self.kubectl("apply", "-f", "-", given=role)

    def rights_less(self, collector):
        """Takes each right of a collector away in turn, gives its name while it is gone, and restores it."""
        for (group, resource), verb in rights_in(rules_of(collector)).items():
            self.grant(collector, without=(group, resource))
            self.wait_until_refused(verb, group, resource)
            yield f"{group}/{resource}".strip("/")
        self.grant("kubernetes", "batch")

    def wait_until_refused(self, verb, group, resource):
        """Returns when the API server has taken notice."""
        resource, _, part = resource.partition("/")
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": "system:serviceaccount:ml:host",
                "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": part},
            },
        }
        until = time.monotonic() + 30
        while json.loads(self.kubectl("create", "-f", "-", "-o", "json", given=json.dumps(review)))["status"]["allowed"]:
            if time.monotonic() > until:
                raise parts.Broken(f"{verb} {resource} is still allowed")
            time.sleep(0.1)

    def kubeconfig(self):
        """A kubeconfig of the service account."""
        token = self.kubectl("create", "token", "host", "-n", "ml", "--duration=1h").strip()
        admin = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        cluster = admin["clusters"][0]["cluster"]
        if "certificate-authority" in cluster:
            certificate = pathlib.Path(cluster.pop("certificate-authority")).read_bytes()
            cluster["certificate-authority-data"] = base64.b64encode(certificate).decode()
        admin["users"] = [{"name": "admin", "user": {"token": token}}]
        path = self.folder / "host.kubeconfig"
        path.write_text(json.dumps(admin), encoding="utf-8")
        return path

    def stop(self):
        """Ends it; twice does no harm."""
        subprocess.run([TOOL, "down", self.folder], env=self.environment, capture_output=True, check=False)


class Kubernetes(parts.Part):
    """The collector kubernetes."""

    name = "kubernetes"
    collector = "kubernetes"
    prefix = "k8s."

    def __init__(self, folder, _now, _others):
        self.cluster = Cluster(folder)

    def stop(self):
        """Ends the cluster."""
        self.cluster.stop()

    def plan(self):
        """Its part of host.toml."""
        return f'\n[kubernetes]\nkubeconfig = "{self.cluster.kubeconfig()}"\n'

    def expected(self):
        """What each series must be: the seeds', and usage as Kubernetes' own client reads it (with the 4 % that metrics-server's
        windows move between two readings)."""
        unfinished = jobs_that("hang", "crashloop", *WAITING)
        asked_cores, asked_gib = 0.5 * unfinished + 0.1 * WEB_PODS, unfinished + 0.125 * WEB_PODS
        used = [self.used(row) for row in self.cluster.usage]
        cores, gib = sum(row[0] for row in used), sum(row[1] for row in used)
        counts = {
            "k8s.pods.crash_looping": jobs_that("crashloop"),
            "k8s.pods.failed": jobs_that(*FAILING),
            "k8s.pods.pending": jobs_that(*WAITING),
            "k8s.pods.oomkilled_24h": jobs_that("oom", "crashloop"),
            "k8s.pods.high_restarts": jobs_that("crashloop"),
            "k8s.pods.image_pull_errors": jobs_that("image-pull"),
            "k8s.deployments.zero_replicas": 1,
            "k8s.pods.idle_count": WEB_PODS,
            "k8s.pods.low_cpu_usage": WEB_PODS,
            "k8s.pods.low_memory_usage": len(used),
            "k8s.resources.overallocated_pods": len(used),
        }
        usage = {
            "k8s.resources.cpu_waste_cores": asked_cores - cores,
            "k8s.resources.memory_waste_gb": asked_gib - gib,
            "k8s.resources.cpu_efficiency_pct": 100 * cores / asked_cores,
            "k8s.resources.memory_efficiency_pct": 100 * gib / asked_gib,
        }
        expected = {series: {"value": value} for series, value in counts.items()}
        expected.update({series: {"value": value, "within": 0.04} for series, value in usage.items()})
        return expected

    @staticmethod
    def used(row):
        """Cores and GiB of a row of the metrics API."""
        cores, gib = 0.0, 0.0
        for container in row["containers"]:
            cpu, memory = container["usage"]["cpu"], container["usage"]["memory"]
            scale = {"n": 1e-9, "u": 1e-6, "m": 1e-3}.get(cpu[-1])
            cores += float(cpu[:-1]) * scale if scale else float(cpu)
            gib += float(memory[:-2]) * {"Ki": 2**-20, "Mi": 2**-10, "Gi": 1}[memory[-2:]]
        return cores, gib

    def further_cycles(self, checks, host, now):
        """A right that is missing costs the series that need it, and no other."""
        of_pods = ("crash_looping", "failed", "pending", "oomkilled_24h", "high_restarts", "image_pull_errors")
        of_usage = ("idle_count", "low_cpu_usage", "low_memory_usage")
        lost_without = {
            "pods": ("k8s.resources.", *(f"k8s.pods.{name}" for name in of_pods)),
            "apps/deployments": ("k8s.deployments.",),
            "metrics.k8s.io/pods": ("k8s.resources.", *(f"k8s.pods.{name}" for name in of_usage)),
        }
        for right in self.cluster.rights_less("kubernetes"):
            with parts.step(f"host run-all, kubernetes without {right}"):
                _, points, _, _ = host.run_all(now, only="kubernetes")
            parts.check_values(checks, self, points, lost_without[right])
