"""The store: VictoriaMetrics, which takes Datadog's v2 series and gives back every sample.

`/datadog/api/v2/series` makes a label of each tag `key:value`; a tag without a colon becomes the label of that name with the
value `no_label_value` (VictoriaMetrics, lib/protoparser/datadogutil, SplitTag). Names keep their dots.
"""

import json
import pathlib
import shutil
import subprocess
import urllib.parse

import parts

GO_VERSION = "v1.110.0"
GO_MODULE = "github.com/VictoriaMetrics/VictoriaMetrics"
DEBIAN_SOURCES = pathlib.Path("/etc/apt/sources.list.d/debian.sources")

# Unpacks one package of Debian sid into a folder, without installing it.
UNPACK_FROM_SID = r"""
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial" "$tmp/parts" "$2"
awk 'BEGIN { RS = ""; ORS = "\n\n" } !/security/ { sub(/Suites:[^\n]*/, "Suites: sid"); print }' "$3" >"$tmp/parts/sid.sources"
sid() { apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$tmp/parts" -o Dir::State::lists="$tmp/lists" \
    -o Dir::Cache="$tmp/cache" -o APT::Sandbox::User="$(id -un)" "$@"; }
sid update
(cd "$tmp" && sid download "$1")
dpkg -x "$tmp"/*.deb "$2"
"""


def find():
    """The program: this machine's own if it is new enough, else Debian's of suite sid, else built with Go."""
    own = shutil.which("victoria-metrics")
    if own and takes_v2(own):
        return own
    if shutil.which("apt-get") and DEBIAN_SOURCES.is_file():
        command = ["bash", "-c", UNPACK_FROM_SID, "unpack", "victoria-metrics", ".", DEBIAN_SOURCES]
        try:
            return parts.install("victoria-metrics", "victoria-metrics of Debian sid", lambda _: [command]) / "usr/bin/victoria-metrics"
        except parts.Missing as e:
            parts.say(f"  {e}")
    return build_with_go()


def takes_v2(path):
    """Whether a binary is of a version that has /datadog/api/v2/series: 1.93 and above."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = [part.lstrip("v").split(".") for part in said.replace("-", " ").split() if part.startswith("v1.")]
    return bool(numbers) and int(numbers[0][1]) >= 93


def build_with_go():
    """The program out of its Go module."""
    go = parts.program("go")

    def commands(_folder):
        # `go install` would ask for the list of versions, which not every proxy has.
        yield ["rm", "-f", "go.mod", "go.sum"]
        yield [go, "mod", "init", "store"]
        yield [go, "mod", "edit", f"-require={GO_MODULE}@{GO_VERSION}"]
        yield [go, "build", "-mod=mod", "-o", "victoria-metrics", f"{GO_MODULE}/app/victoria-metrics"]

    return parts.install("victoria-metrics-go", f"{GO_MODULE}@{GO_VERSION}", commands) / "victoria-metrics"


class Store:
    """A running VictoriaMetrics."""

    name = "store"

    def __init__(self, folder):
        binary = find()
        port = parts.free_port()
        self.url = f"http://127.0.0.1:{port}"
        with parts.step(f"VictoriaMetrics on {self.url}"):
            self.server = parts.Server(
                [binary, f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder}/store", "-retentionPeriod=100y"],
                folder / "store.log",
            )
            self.server.wait_until_up(f"{self.url}/health", 30)

    def stop(self):
        """Ends it."""
        self.server.stop()

    def samples(self):
        """Everything that is in the store: a list of (labels as sorted pairs, milliseconds since 1970, value), sorted."""
        parts.fetch(f"{self.url}/internal/force_flush")
        query = urllib.parse.urlencode({"match[]": '{__name__!=""}', "reduce_mem_usage": "1"})
        found = []
        for line in parts.fetch(f"{self.url}/api/v1/export?{query}", timeout_s=60).splitlines():
            row = json.loads(line)
            labels = tuple(sorted(row["metric"].items()))
            found += [(labels, time, value) for time, value in zip(row["timestamps"], row["values"])]
        return sorted(found)
