"""Secrets from where they live: AWS Secrets Manager (moto), and a real cluster's own. What the host sends says whether it has read them."""

import json

import parts
from aws import Aws
from kubernetes import Kubernetes
from recorder import Recorder

CLUSTER_SECRET = "e2e-secret-of-the-cluster-0123456789"
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: secrets, namespace: ml}
rules: [{apiGroups: [""], resources: [secrets], resourceNames: [delivery], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: secrets, namespace: ml}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: secrets}
subjects: [{kind: ServiceAccount, name: host, namespace: ml}]
"""


class Stores:
    """The stores among the running parts, with a secret in each, and sinks that need them."""

    def __init__(self, upstreams):
        self.recorder = Recorder()
        self.aws = next((part for part in upstreams if isinstance(part, Aws)), None)
        self.cluster = next((part.cluster for part in upstreams if isinstance(part, Kubernetes)), None)
        if self.cluster:
            with parts.step("a secret in the cluster, and the right to read that one"):
                self.cluster.kubectl("create", "secret", "generic", "delivery", "-n", "ml", f"--from-literal=token={CLUSTER_SECRET}")
                self.cluster.kubectl("apply", "-f", "-", given=ROLE)

        if not (self.aws or self.cluster):
            self.stop()
            raise parts.Missing("neither moto nor a cluster runs that would keep them")
        self.collector = self.aws.collector if self.aws else "kubernetes"

    def sinks(self):
        """The sinks of host.toml, each with a credential of a store."""
        text = ""
        if self.aws:
            text += f"""
[secrets.aws]
region = "us-east-1"
endpoint_url = "{self.aws.url}"

[sink.datadog]
base_url = "{self.recorder.url}"
allow_addresses = ["loopback"]
api_key = {{ aws = "e2e/datadog", key = "DD_API_KEY" }}

[credential.plain]
kind = "bearer"
aws = "e2e/plain"

[sink.remote_write]
url = "{self.recorder.url}/write"
version = 1
credential = "plain"
allow_addresses = ["loopback"]
"""
        if self.cluster:
            text += f"""
[credential.cluster]
kind = "bearer"
kubernetes = "ml/delivery"
key = "token"

[sink.otlp]
endpoint = "{self.recorder.url}"
credential = "cluster"
allow_addresses = ["loopback"]
"""
        return text

    def check(self, checks, host, now):
        """A cycle whose sinks have their credentials from the stores."""
        if self.aws:
            self.aws.record()
        with parts.step("host run-all, secrets from their stores"):
            code, _, report, _ = host.run_all(now, only=self.collector, state="state-secrets")
        checks.expect(code == 0, f"exit code {code} with secrets from stores: {report}")
        seen = {path: headers for path, headers, _ in self.recorder.requests}
        if self.aws:
            key = seen.get("/api/v2/series", {}).get("dd-api-key")
            checks.expect(key == json.loads(self.aws.secrets["e2e/datadog"])["DD_API_KEY"], "Datadog's key is not the one of Secrets Manager's JSON secret")
            bearer = seen.get("/write", {}).get("authorization")
            checks.expect(bearer == f"Bearer {self.aws.secrets['e2e/plain']}", "the token is not Secrets Manager's plain secret")
            asked = self.aws.recorded("secretsmanager.BatchGetSecretValue")
            checks.expect(asked == 1, f"Secrets Manager was asked {asked} times, not once for all")
        if self.cluster:
            bearer = seen.get("/v1/metrics", {}).get("authorization")
            checks.expect(bearer == f"Bearer {CLUSTER_SECRET}", "the token is not the cluster's secret")

    def stop(self):
        """Ends the recorder."""
        self.recorder.stop()
