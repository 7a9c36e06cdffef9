"""Prometheus' own readers of its text format: promtool, and a Pushgateway."""

import json
import shutil
import subprocess

import parts

PROMETHEUS_VERSION = "v0.313.5"
PROMETHEUS = "github.com/prometheus/prometheus"
GATEWAY_VERSION = "v1.11.1"
GATEWAY = "github.com/prometheus/pushgateway"
JOB = "e2e"

# What `promtool check metrics` ends with where it read everything, and would have chosen other names.
LINT_REMARKS = 3


class Promtool:
    """The program: this machine's own, else Debian's, else built with Go; parts.Missing without any."""

    def __init__(self):
        found = shutil.which("promtool") or parts.of_debian("promtool", "usr/bin/promtool")
        self.binary = found or parts.build_with_go(PROMETHEUS, PROMETHEUS_VERSION, "cmd/promtool")

    def check(self, file):
        """What is wrong with a file in text format, or None; and the number of remarks on names."""
        with open(file, "rb") as text:
            done = subprocess.run(
                [self.binary, "check", "metrics"], stdin=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
        if done.returncode not in (0, LINT_REMARKS):
            return parts.tail(done.stdout), 0
        return None, len(done.stdout.splitlines())


class Pushgateway:
    """A running Pushgateway: this machine's own, else Debian's, else built with Go; parts.Missing without any."""

    def __init__(self, folder):
        found = shutil.which("prometheus-pushgateway")
        found = found or parts.of_debian("prometheus-pushgateway", "usr/bin/prometheus-pushgateway")
        binary = found or parts.build_with_go(GATEWAY, GATEWAY_VERSION)
        port = parts.free_port()
        self.url = f"http://127.0.0.1:{port}"
        with parts.step(f"a Pushgateway on {self.url}"):
            self.server = parts.Server([binary, f"--web.listen-address=127.0.0.1:{port}"], folder / "pushgateway.log")
            try:
                self.server.wait_until_up(f"{self.url}/-/ready", 30)
            except BaseException:
                self.stop()
                raise

    def stop(self):
        """Ends it."""
        self.server.stop()

    def sink(self):
        """The sink of host.toml that writes into it."""
        return f'\n[sink.pushgateway]\nurl = "{self.url}"\njob = "{JOB}"\nallow_addresses = ["loopback"]\n'

    def samples(self):
        """What it holds of its only group: (labels as sorted pairs, value), sorted."""
        groups = json.loads(parts.fetch(f"{self.url}/api/v1/metrics"))["data"]
        group = next(group for group in groups if group["labels"]["job"] == JOB)
        # Beside its labels and what it says of the push itself.
        names = [name for name in group if not name.startswith(("labels", "push_", "last_push_"))]
        return sorted(
            (tuple(sorted({**metric["labels"], "__name__": name}.items())), float(metric["value"]))
            for name in names
            for metric in group[name]["metrics"]
        )
