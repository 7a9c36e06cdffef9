"""The store: VictoriaMetrics, which takes Datadog's v2 series and gives back every sample.

`/datadog/api/v2/series` makes a label of each tag `key:value`; a tag without a colon becomes the label of that name with the
value `no_label_value` (VictoriaMetrics, lib/protoparser/datadogutil, SplitTag). Names keep their dots; OTLP's do too, and the attributes of
its resource become labels.
"""

import json
import shutil
import subprocess
import urllib.parse

import parts

GO_VERSION = "v1.110.0"
GO_MODULE = "github.com/VictoriaMetrics/VictoriaMetrics"


def find():
    """The program: this machine's own if it is new enough, else Debian's of suite sid, else built with Go."""
    own = shutil.which("victoria-metrics")
    if own and takes_v2(own):
        return own
    debian = parts.of_debian("victoria-metrics", "usr/bin/victoria-metrics")
    return debian or parts.build_with_go(GO_MODULE, GO_VERSION, "app/victoria-metrics")


def takes_v2(path):
    """Whether a binary is of a version that has /datadog/api/v2/series: 1.93 and above."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = [part.lstrip("v").split(".") for part in said.replace("-", " ").split() if part.startswith("v1.")]
    return bool(numbers) and int(numbers[0][1]) >= 93


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

    def sinks(self):
        """The sinks of host.toml that write into it. What does not come as Datadog's bears a label `sink` of its own, by `extra_label`."""
        return f"""
[sink.datadog]
base_url = "{self.url}/datadog"
api_key = {{ env = "STORE_KEY" }}
allow_addresses = ["loopback"]

[sink.otlp]
endpoint = "{self.url}/opentelemetry?extra_label=sink=otlp"
allow_addresses = ["loopback"]

[sink.remote_write]
url = "{self.url}/api/v1/write?extra_label=sink=remote_write"
allow_addresses = ["loopback"]
"""

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
