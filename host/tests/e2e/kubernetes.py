"""A whole Kubernetes control plane (cluster/), with CronJobs whose pods go every way, read by a service account that has exactly
the rights that the collectors' READMEs list."""

import base64
import json
import os
import sqlite3
import subprocess
import time

import parts

GUESTS = parts.HERE.parents[2] / "guests"
TOOL = parts.HERE / "cluster/cluster"
# What kwok cannot give: there is no kubelet behind its nodes.
NEEDS_KUBELET = ("batch.usage.disk_bytes", "batch.network.")

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
    """The rules that a collector's README lists, as lines of YAML."""
    text = (GUESTS / collector / "README.md").read_text(encoding="utf-8")
    return text.partition("```yaml\n")[2].partition("```")[0].rstrip().splitlines()


class Cluster:
    """The control plane; one for both collectors."""

    shared = None

    def __init__(self, folder):
        for name in ("go", "openssl", "curl"):
            parts.program(name)
        self.folder = folder / "cluster"
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
        ended = sum(any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in job["status"].get("conditions", [])) for job in jobs)
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
        """Gives the service account the rights of these collectors, all but one resource."""
        lines = []
        for collector in collectors:
            rules = "\n".join(rules_of(collector)).split("- apiGroups:")[1:]
            for rule in rules:
                if without is None or not (f'"{without[1]}"' in rule and rule.strip().startswith(f'["{without[0]}"]')):
                    lines.append("- apiGroups:" + rule.rstrip())
                else:
                    kept = rule.replace(f'"{without[1]}", ', "").replace(f', "{without[1]}"', "")
                    if kept != rule:
                        lines.append("- apiGroups:" + kept.rstrip())
        role = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: host, namespace: ml}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: host}}
rules:
{os.linesep.join(lines)}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: host}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: host}}
subjects: [{{kind: ServiceAccount, name: host, namespace: ml}}]
"""
        self.kubectl("apply", "-f", "-", given=role)

    def kubeconfig(self):
        """A kubeconfig of the service account."""
        token = self.kubectl("create", "token", "host", "-n", "ml", "--duration=1h").strip()
        admin = json.loads(self.kubectl("config", "view", "--raw", "-o", "json"))
        cluster = admin["clusters"][0]["cluster"]
        if "certificate-authority" in cluster:
            certificate = open(cluster.pop("certificate-authority"), "rb").read()  # pylint: disable=consider-using-with
            cluster["certificate-authority-data"] = base64.b64encode(certificate).decode()
        admin["users"] = [{"name": "admin", "user": {"token": token}}]
        path = self.folder / "host.kubeconfig"
        path.write_text(json.dumps(admin), encoding="utf-8")
        return path

    def stop(self):
        """Ends it; twice does no harm."""
        subprocess.run([TOOL, "down", self.folder], env=self.environment, capture_output=True, check=False)


class Kubernetes:
    """The collector kubernetes."""

    name = "kubernetes"
    collector = "kubernetes"
    token = "e2e-kubernetes-has-no-fixed-token"

    def __init__(self, folder, _now):
        Cluster.shared = self.cluster = Cluster(folder)

    def stop(self):
        """Ends the cluster."""
        self.cluster.stop()

    def plan(self):
        """Its part of host.toml."""
        return f'\n[kubernetes]\nkubeconfig = "{self.cluster.kubeconfig()}"\n'

    def environment(self):
        """Nothing: the kubeconfig has it."""
        return {}

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

    def problems(self):
        """Nothing beside the values."""
        return []

    def cycles_with_a_right_less(self, checks, host, now):
        """A right that is missing costs the series that need it, and no other."""
        expected = self.expected()
        usage = {s for s in expected if s.startswith("k8s.resources.") or s in ("k8s.pods.idle_count", "k8s.pods.low_cpu_usage", "k8s.pods.low_memory_usage")}
        of_usage_alone = {s for s in usage if s.startswith("k8s.pods.")}
        deployments = {"k8s.deployments.zero_replicas"}
        for without, lost in (
            (("", "pods"), set(expected) - deployments - of_usage_alone),
            (("apps", "deployments"), deployments),
            (("metrics.k8s.io", "pods"), usage),
        ):
            self.cluster.grant("kubernetes", without=without)
            _, points, _, _ = host.run_all(now, only="kubernetes")
            got = {point["series"] for point in points if point["series"].startswith("k8s.")}
            checks.expect(got == set(expected) - lost, f"without {without}: lost {sorted(set(expected) - got)}, expected {sorted(lost)}")
        self.cluster.grant("kubernetes", "batch")


class Batch:
    """The collector batch, on the same cluster."""

    name = "batch"
    collector = "batch"
    token = Kubernetes.token
    is_complete = False

    def __init__(self, folder, now):
        if Cluster.shared is None:
            raise parts.Missing("it needs the cluster of kubernetes")
        self.state, self.now = folder / "state/state.db", now

    def stop(self):
        """The cluster is kubernetes'."""

    def plan(self):
        """Kubernetes' part has all."""
        return ""

    def environment(self):
        """Nothing."""
        return {}

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
            expected[f"batch.pods.failed_24h{tags}"] = count * (end in FAILING)
            expected[f"batch.pods.pending{tags}"] = count * (end in WAITING)
            expected[f"batch.pods.crash_looping{tags}"] = count * (end == "crashloop")
        # Rates go by pods: those of jobs that are gone went with them, and are known from the next cycle on.
        pods = sum(count for _, _, count in CRONJOBS) - jobs_that("well") + KEPT_JOBS
        expected["batch.success_rate_pct{}"] = 100 * KEPT_JOBS / pods
        expected["batch.failure_rate_pct{}"] = 100 * jobs_that(*FAILING) / pods
        return {series.replace("{}", ""): {"value": value} for series, value in expected.items()}

    def problems(self):
        """What the failure database has that it should not, or not."""
        connection = sqlite3.connect(self.state)
        ask = lambda query: dict(connection.execute(query).fetchall())  # pylint: disable=unnecessary-lambda-assignment
        runs = ask("SELECT ending, COUNT(*) FROM workload_runs GROUP BY ending")
        failures = ask("SELECT failure_type, COUNT(*) FROM workload_failures GROUP BY failure_type")
        without_logs = ask("SELECT failure_type, COUNT(*) FROM workload_failures WHERE logs IS NULL GROUP BY failure_type")
        connection.close()
        parts.say(f"    the failure database: runs {runs}, failures {failures}, without a log {without_logs}")
        found = []
        if runs != {"succeeded": jobs_that("well"), "failed": jobs_that(*FAILING)}:
            found.append(f"runs: {runs}")
        meant = {"Error": 3, "OOMKilled": 2 + 1, "Evicted": 1, "ImagePullBackOff": 1, "CreateContainerConfigError": 1}
        if failures != meant:
            found.append(f"failures: {failures}, expected {meant}")
        return found
