"""A real SkyPilot API server with a seeded world (skypilot.py), in a HOME of its own."""

import json
import os
import subprocess
import sys

import parts

PACKAGE = "skypilot[kubernetes]==0.14.1"
# The port that SkyPilot's own client would start a server on.
DEFAULT_PORT = 46580
# With this the queue of managed jobs stands in the server's own database; and a workspace is there if it is named.
CONFIGURATION = """
jobs:
  controller:
    consolidation_mode: true
workspaces:
  default: {}
  research: {}
"""


class SkyPilot(parts.Part):
    """A running API server."""

    name = "skypilot"
    collector = "skypilot"
    prefix = "skypilot."
    token = "sky_e2e-skypilot-token-0123456789"

    def __init__(self, folder, now, _others):
        if sys.platform != "linux":
            raise parts.Missing("what it starts and leaves behind can be ended on Linux only")
        self.python, self.server = self.install(), None
        self.home, self.expected_file = folder / "skypilot-home", folder / "skypilot.expected"
        (self.home / ".sky").mkdir(parents=True)
        (self.home / ".sky/config.yaml").write_text(CONFIGURATION)
        port = parts.free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SKYPILOT", "KUBE", "AWS_", "GOOGLE_"))},
            "HOME": str(self.home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1", "SKYPILOT_API_SERVER_LOCAL_PORT": str(port),
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
        }
        try:
            with parts.step("SkyPilot's databases seeded"):
                self.seed(now)
            with parts.step(f"SkyPilot's API server on {self.url}"):
                # Its workers and the controllers of jobs would outlive it.
                family = [sys.executable, parts.HERE / "family.py"]
                command = [*family, self.python, "-m", "sky.server.server", "--host", "127.0.0.1", "--port", port]
                self.server = parts.Server(command, folder / "skypilot.log", env=self.variables, cwd=self.home)
                self.server.wait_until_up(f"{self.url}/api/health", 180)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def install():
        """The Python of a virtual environment that has SkyPilot."""
        python = sys.executable
        if sys.version_info < (3, 9):
            raise parts.Missing("SkyPilot wants Python 3.9 or newer")

        def commands(folder):
            # The folder itself becomes the environment.
            pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
            return [[python, "-m", "venv", folder], pip]

        return parts.install("skypilot", PACKAGE, commands) / "bin/python"

    def seed(self, now):
        """Writes the world with SkyPilot's own functions, before the server runs."""
        command = [self.python, parts.HERE / "skypilot.py", str(int(now.timestamp())), self.expected_file]
        done = subprocess.run(command, env=self.variables, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        if done.returncode != 0:
            raise parts.Broken(f"seeding failed:\n{parts.tail(done.stdout, 40)}")

    def stop(self):
        """Ends the server and all that it started."""
        if self.server is not None:
            self.server.stop()

    def plan(self):
        """Its part of host.toml; the pages are small, so that there are several."""
        return f"""
[upstream.skypilot]
base_url = "{self.url}"
allow_addresses = ["loopback"]

[collector.skypilot.settings]
page_size = 16
"""

    def expected(self):
        """What each series must be: {series: {"value": number, "grows": whether by a second each second}}."""
        return json.loads(self.expected_file.read_text())
