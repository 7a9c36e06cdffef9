"""The OpenTelemetry Collector: decodes OTLP as the host writes it, and says as JSON what it has read."""

import datetime
import json

import parts
from recorder import Recorder

VERSION = "v0.156.0"
MODULES = "go.opentelemetry.io/collector"
MANIFEST = f"""
dist: {{module: e2e/otelcol, name: otelcol, output_path: ./build}}
receivers: [{{gomod: {MODULES}/receiver/otlpreceiver {VERSION}}}]
exporters: [{{gomod: {MODULES}/exporter/otlphttpexporter {VERSION}}}]
"""
# Collectors count what they sent since the last cycle.
DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")


class OpenTelemetryCollector:
    """A running Collector that hands everything on, at once, to a server of ours; parts.Missing where it cannot be built."""

    def __init__(self, folder):
        builder = parts.build_with_go(f"{MODULES}/cmd/builder", VERSION)

        def commands(place):
            (place / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
            yield [builder, "--skip-strict-versioning", "--config", place / "manifest.yaml"]

        binary = parts.install("otelcol", f"the OpenTelemetry Collector {VERSION}", commands) / "build/otelcol"
        self.recorder, port = Recorder(), parts.free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            # Without a queue it answers when its own receiver has.
            "exporters": {
                "otlphttp": {"endpoint": self.recorder.url, "encoding": "json", "compression": "none", "sending_queue": {"enabled": False}}
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["otlphttp"]}},
            },
        }
        file = folder / "otelcol.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        with parts.step(f"the OpenTelemetry Collector on {self.url}"):
            self.server = parts.Server([binary, "--config", file], folder / "otelcol.log")
            try:
                self.server.wait_until_up(self.url, 30)
            except BaseException:
                self.stop()
                raise

    def stop(self):
        """Ends it."""
        self.server.stop()
        self.recorder.stop()

    def sinks(self):
        """The sinks of host.toml that write into it."""
        return f'\n[sink.otlp]\nendpoint = "{self.url}"\nallow_addresses = ["loopback"]\n'

    def points(self):
        """What it has read: (series, attributes as sorted pairs, nanoseconds since 1970, value, whether it is a count), sorted."""
        found = []
        for _, _, body in self.recorder.requests:
            for resource in json.loads(body)["resourceMetrics"]:
                for metric in (metric for scope in resource["scopeMetrics"] for metric in scope["metrics"]):
                    found += points_of(metric)
        return sorted(found)


def points_of(metric):
    """The points of a metric in OTLP's JSON, whose 64-bit numbers are texts."""
    is_count = metric.get("sum", {}).get("aggregationTemporality") in DELTA and metric["sum"].get("isMonotonic", False)
    points = (metric["sum"] if is_count else metric["gauge"])["dataPoints"]
    return [
        (
            metric["name"],
            tuple(sorted((pair["key"], pair["value"]["stringValue"]) for pair in point.get("attributes", []))),
            int(point["timeUnixNano"]),
            float(point["asDouble"]),
            is_count,
        )
        for point in points
    ]


def as_points(lines):
    """Lines of the sink stdout as `OpenTelemetryCollector.points` gives them."""
    found = []
    for line in lines:
        pairs = tuple(sorted(tuple(tag.partition(":")[::2]) for tag in line["tags"]))
        at = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
        found.append((line["series"], pairs, int(at.timestamp()) * 1_000_000_000, float(line["value"]), line["kind"] == "count"))
    return sorted(found)
