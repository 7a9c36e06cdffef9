"""The host under test, and what is noted about it."""

import json
import os
import subprocess
import time

import parts

API_KEY = "e2e-datadog-key-0123456789abcdef"


class Checks:
    """What was looked at, and what was wrong."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def expect(self, holds, text):
        """Counts a check; `text` says what is wrong where it does not hold."""
        if holds:
            self.passed += 1
        else:
            self.failed.append(text)
            parts.say(f"    WRONG: {text}")


class Host:
    """The host under test: its configuration, and what a cycle says."""

    def __init__(self, folder, arguments, upstreams, sinks, name="host"):
        self.folder, self.binary, self.components = folder, arguments.host.resolve(), arguments.components.resolve()
        self.names = [part.collector for part in upstreams]
        self.config = self.folder / f"{name}.toml"
        own = f'\n[sink.stdout]\n{sinks}\n[tags]\nenv = "e2e"\n'
        self.config.write_text("".join(part.plan() for part in upstreams) + own, encoding="utf-8")
        self.environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        # Not DD_API_KEY: that alone would be a sink.
        self.environment["STORE_KEY"] = API_KEY
        for part in upstreams:
            self.environment.update(part.environment())

    def run_all(self, now, only=None, state="state"):
        """A cycle: exit code, points (the lines of the stdout sink), report, seconds. `state` is the folder that remembers."""
        command = [
            self.binary, "run-all", "--config", self.config, "--components", self.components,
            "--state", self.folder / state, "--only", only or ",".join(self.names), "--now", now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "--format", "json",
        ]
        began = time.monotonic()
        done = subprocess.run([str(word) for word in command], env=self.environment, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        points = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, points, report_of(done.stderr), seconds


def report_of(stderr):
    """The JSON report, which is on stderr where points are on stdout."""
    start = stderr.find('{\n  "schema"') if '{\n  "schema"' in stderr else stderr.find('{"schema"')
    if start < 0:
        raise parts.Broken(f"the host printed no report:\n{parts.tail(stderr, 30)}")
    return json.JSONDecoder().raw_decode(stderr[start:])[0]


def run_of(report, collector):
    """A collector's entry in the report."""
    return next(run for run in report["runs"] if run["collector"] == collector)
