"""GitHub: its official OpenAPI description behind Prism and its official GraphQL schema behind graphql-yoga, at one address."""

import json
import os

import parts
import prism

# Pinned; all from the npm registry.
PACKAGES = (
    "@octokit/openapi@23.0.2",
    "@octokit/graphql-schema@15.26.1",
    "graphql@16.15.0",
    "graphql-yoga@5.24.1",
)
DESCRIPTION = "node_modules/@octokit/openapi/generated/api.github.com.json"
RUNS = "/repos/{owner}/{repo}/actions/runs"


class GitHub(parts.Part):
    """A running mock of GitHub that holds every request against the official descriptions."""

    name = "github"
    collector = "github"
    prefix = "github."
    token = "e2e-github-token-0123456789"

    def __init__(self, folder, now, _others):
        npm, self.node = parts.program("npm"), parts.program("node")
        command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
        self.modules = parts.install("github", " ".join(PACKAGES), lambda _: [command])
        self.folder, self.requests_file, self.expected_file = folder, folder / "github.requests", folder / "github.expected"
        self.servers = []
        port = parts.free_port()
        self.url = f"http://127.0.0.1:{port}"
        try:
            parts.say(f"  one mend of the description: `created` of GET {RUNS} is search syntax, not a date-time")
            prism.install()
            with parts.step(f"GitHub's descriptions on {self.url}"):
                self.start(port, now)
        except BaseException:
            self.stop()
            raise

    def start(self, port, now):
        """Prism, then what stands before it."""
        description = prism.Prism(self.write_description(), self.folder / "github.prism.log")
        self.servers.append(description)
        command = [
            self.node, parts.HERE / "github.mjs",
            self.modules, port, description.port, now.isoformat(), self.requests_file, self.expected_file,
        ]
        environment = {**os.environ, "GITHUB_TOKEN": self.token}
        self.servers.append(parts.Server(command, self.folder / "github.log", env=environment))
        self.servers[-1].wait_until_up(f"{self.url}/up", 30)

    def write_description(self):
        """A copy of the official description with one mend: it declares `created` of the workflow runs as a date-time, and so
        refuses the search syntax (`>=2025-10-17T12:00:00Z`) that its own text and GitHub's documentation give for it."""
        description = json.loads((self.modules / DESCRIPTION).read_text())
        created = description["components"]["parameters"]["created"]
        assert {"$ref": "#/components/parameters/created"} in description["paths"][RUNS]["get"]["parameters"]
        assert created["schema"].pop("format") == "date-time", "the mend is needed no more"
        mended = self.folder / "github.openapi.json"
        mended.write_text(json.dumps(description))
        return mended

    def stop(self):
        """Ends both servers."""
        for server in self.servers:
            server.stop()

    def plan(self):
        """Its part of host.toml."""
        return f"""
[upstream.github]
base_url = "{self.url}"
allow_addresses = ["loopback"]
credential = "github"

[credential.github]
kind = "bearer"
env = "GITHUB_TOKEN"

[collector.github.settings]
org = "acme"
repo = "rocket"
"""

    def environment(self):
        """The credential."""
        return {"GITHUB_TOKEN": self.token}

    def expected(self):
        """What each series must be: {series: {"value": number}}."""
        return json.loads(self.expected_file.read_text())

    def problems(self):
        """What the descriptions refused, a line each."""
        requests = [json.loads(line) for line in self.requests_file.read_text().splitlines()]
        parts.say(f"    {len(requests)} requests, of these {sum(row['url'] == '/graphql' for row in requests)} to GraphQL")
        refused = [row for row in requests if row["status"] >= 400 or row.get("refused")]
        lines = [f"{row['method']} {row['url']}: {row['status']} {row.get('refused', '')[:500]}" for row in refused]
        return lines if requests else ["no request came"]
