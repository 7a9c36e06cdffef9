"""EC2, CloudWatch and Secrets Manager: moto, seeded with a fleet (aws_world.py)."""

import json
import os
import sys
import urllib.request

import parts

PACKAGE = "moto[server,ec2,cloudwatch,secretsmanager]==5.2.5"
PRICES = parts.HERE.parents[2] / "guests/ec2/src/prices.csv"


class Aws(parts.Part):
    """A running moto."""

    name = "ec2"
    collector = "ec2"
    prefix = "ec2."
    token = "e2e-secret-access-key-0123456789"
    # What Secrets Manager keeps: {name: text}.
    secrets = {"e2e/datadog": '{"DD_API_KEY": "e2e-key-of-secrets-manager", "OTHER": "x"}', "e2e/plain": "e2e-plain-secret-0123456789"}

    def __init__(self, folder, now, _others):
        def commands(place):
            pip = [place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
            return [[sys.executable, "-m", "venv", place], pip]

        python = parts.install("aws", PACKAGE, commands) / "bin/python"
        self.expected_file = folder / "aws.expected"
        port = parts.free_port()
        self.url = f"http://127.0.0.1:{port}"
        with parts.step(f"moto with a fleet on {self.url}"):
            environment = {**os.environ, "HOME": str(folder), "MOTO_RECORDER_FILEPATH": str(folder / "aws.requests")}
            command = [python, parts.HERE / "aws_world.py", port, str(int(now.timestamp())), PRICES, json.dumps(self.secrets), self.expected_file]
            self.server = parts.Server(command, folder / "aws.log", env=environment)
            try:
                self.server.wait_for_file(self.expected_file, 180)
            except BaseException:
                self.stop()
                raise

    def stop(self):
        """Ends it."""
        self.server.stop()

    def record(self):
        """Begins to remember what is asked."""
        for act in ("reset-recording", "start-recording"):
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/recorder/{act}", method="POST"), timeout=10).close()

    def recorded(self, target):
        """How often this action of a JSON protocol was asked for since then."""
        lines = parts.fetch(f"{self.url}/moto-api/recorder/download-recording").splitlines()
        return sum(target in line for line in lines)

    def plan(self):
        """Its part of host.toml."""
        return f"""
[ec2]
region = "us-east-1"
endpoint_url = "{self.url}"
"""

    def environment(self):
        """Credentials that moto does not look at."""
        return {"AWS_ACCESS_KEY_ID": "e2e-access-key", "AWS_SECRET_ACCESS_KEY": self.token}

    def expected(self):
        """What each series must be: {series: {"value": number}}."""
        return json.loads(self.expected_file.read_text())
