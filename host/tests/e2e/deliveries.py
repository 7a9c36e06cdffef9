"""What the sinks wrote, held against what was emitted (the lines of the sink stdout)."""

import datetime
import math

import parts
import prometheus
from harness import Host
from otel import OpenTelemetryCollector, as_points
from secret_stores import Stores

# Those that write into the store.
SINKS = ("datadog", "otlp", "remote_write")
SERVICE = {"service.name": "collector-host", "scope.name": "collector-host", "scope.version": "unknown"}


def as_samples(points, sink):
    """Points of stdout as the store must have them from a sink: (labels, milliseconds, value), sorted."""
    samples = []
    for point in points:
        time_ms = int(datetime.datetime.fromisoformat(point["time"].replace("Z", "+00:00")).timestamp() * 1000)
        samples.append((labels_of(point, sink == "remote_write"), time_ms, point["value"]))
    return sorted(samples)


def labels_of(point, is_prometheus):
    """The name and the tags of a point of stdout as sorted pairs, as Prometheus has them or with dots in the name."""
    series = point["series"]
    labels = {"__name__": series.replace(".", "_") if is_prometheus else series}
    for tag in point["tags"]:
        key, colon, value = tag.partition(":")
        labels[key] = value if colon else "no_label_value"
    return tuple(sorted(labels.items()))


def by_sink(samples):
    """The store's samples by the sink that wrote them, without the labels that say so: {sink: samples}."""
    found = {sink: [] for sink in SINKS}
    for labels, time_ms, value in samples:
        own = dict(labels)
        sink = own.pop("sink", "datadog")
        if sink == "otlp":
            # The resource and the scope of all of them, as VictoriaMetrics labels them.
            for name, meant in SERVICE.items():
                sink = sink if own.pop(name, None) == meant else None
        found.setdefault(sink, []).append((tuple(sorted(own.items())), time_ms, value))
    return {sink: sorted(samples) for sink, samples in found.items()}


def check_store(checks, store, points):
    """Everything that was emitted is in the store once from each sink, and nothing else is."""
    with parts.step("the store read back"):
        stored_by_sink = by_sink(store.samples())
    checks.expect(points, "no point was emitted")
    checks.expect(set(stored_by_sink) == set(SINKS), f"labels of OTLP's resource or scope are others: {stored_by_sink.get(None)}")
    for sink in SINKS:
        stored, emitted = stored_by_sink[sink], as_samples(points, sink)
        for sample in emitted:
            number = sum(is_same(sample, other) for other in stored)
            checks.expect(number == 1, f"in the store {number} times from {sink}: {sample}")
        for sample in stored:
            checks.expect(any(is_same(sample, other) for other in emitted), f"in the store from {sink}, but never emitted: {sample}")
        parts.say(f"    {len(emitted)} points emitted, {len(stored)} samples in the store from {sink}")


def check_textfile(checks, textfile, points):
    """promtool reads the textfile, and every point stands in it once."""
    promtool = prometheus.Promtool()
    with parts.step("promtool reads the textfile"):
        wrong, remarks = promtool.check(textfile)
    checks.expect(wrong is None, f"promtool: {wrong}")
    lines = [line for line in textfile.read_text().splitlines() if not line.startswith("#")]
    checks.expect(len(lines) == len(points), f"{len(lines)} lines in the textfile, {len(points)} points emitted")
    parts.say(f"    {len(lines)} lines, {remarks} remarks on names that Prometheus would have chosen otherwise")


def check_pushgateway(checks, gateway, points):
    """A Pushgateway holds every point of the newest cycle, and nothing else."""
    meant = sorted((labels_of(point, True), point["value"]) for point in points)
    held = [(tuple(pair for pair in labels if pair not in (("job", prometheus.JOB), ("instance", ""))), value) for labels, value in gateway.samples()]
    checks.expect(meant == sorted(held), f"of {len(points)} points the Pushgateway holds others: {set(meant) ^ set(held)}")
    parts.say(f"    {len(points)} points emitted, {len(held)} in the Pushgateway")


def check_otel(checks, folder, arguments, upstreams, now):
    """The OpenTelemetry Collector has read every point of a cycle once, and nothing else."""
    collector = OpenTelemetryCollector(folder)
    try:
        host = Host(folder, arguments, upstreams, collector.sinks(), "otel")
        with parts.step("host run-all, into the OpenTelemetry Collector"):
            code, lines, _, _ = host.run_all(now, state="state-otel")
        emitted, decoded = as_points(lines), collector.points()
    finally:
        collector.stop()
    checks.expect(code in (0, 3), f"exit code {code}")
    checks.expect(emitted and emitted == decoded, f"of {len(emitted)} points only these: {set(decoded)}; not {set(emitted) - set(decoded)}")
    parts.say(f"    {len(emitted)} points emitted, {len(decoded)} decoded")


def check_secrets(checks, folder, arguments, upstreams, now):
    """Credentials of sinks come from AWS Secrets Manager and from the cluster."""
    stores = Stores(upstreams)
    try:
        host = Host(folder, arguments, upstreams, stores.sinks(), "secrets")
        stores.check(checks, host, now)
    finally:
        stores.stop()


def is_same(one, other):
    """Whether two samples are one: labels and time exactly, the value to the 12 digits that VictoriaMetrics keeps of a fraction
    (its lib/decimal)."""
    return one[:2] == other[:2] and math.isclose(one[2], other[2], rel_tol=1e-12)
