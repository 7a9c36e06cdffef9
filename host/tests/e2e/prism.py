"""Prism: an OpenAPI description made a server that refuses every request which violates it."""

import json
import subprocess

import parts

# Pinned; both from the npm registry.
PACKAGES = ("@stoplight/prism-cli@5.14.2", "js-yaml@4.1.0")
TO_JSON = 'console.log(JSON.stringify(require("js-yaml").load(require("fs").readFileSync(process.argv[1], "utf8"))))'


def install():
    """The folder that has it."""
    npm = parts.program("npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
    return parts.install("prism", " ".join(PACKAGES), lambda _: [command])


def read(file):
    """A description, in YAML or JSON."""
    if not file.is_file():
        raise parts.Broken(f"{file} is no file")
    command = [parts.program("node"), "-e", TO_JSON, file.resolve()]
    done = subprocess.run(command, cwd=install(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise parts.Broken(f"{file} cannot be read:\n{parts.tail(done.stderr)}")
    return json.loads(done.stdout)


class Prism(parts.Server):
    """A running Prism. It answers with the description's examples; before an `upstream` it passes on what is asked, and holds the
    answers against the description too. What violates it is answered with 4xx or 5xx."""

    def __init__(self, description, log, upstream=None):
        self.port = parts.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        program = install() / "node_modules/@stoplight/prism-cli/dist/index.js"
        words = ["mock", description] if upstream is None else ["proxy", description, upstream]
        super().__init__([parts.program("node"), program, *words, "--errors", "-h", "127.0.0.1", "-p", self.port], log)
        try:
            self.wait_until_up(f"{self.url}/is-it-up", 120)
        except BaseException:
            self.stop()
            raise
